//! The files of a layer, and those of an image: a directory at a time, or found by a part of their path.

use std::io::{self, Read as _};

use askama::Template;
use axum::body::Body;
use axum::response::IntoResponse as _;
use futures_util::stream::{self, Stream};
use http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use strata_hub::records::RepositoryRow;
use strata_hub::{
    Directory, DirectoryEntry, FileContent, FileKind, FileOrder, FileState, FileTotals, FoundCopy, FoundPath,
    IndexState, Look, printable,
};
use strata_model::{DiffId, ErrorKind};

use super::image::{Shown, bytes_of, encode};
use super::repository::Head;
use crate::failure::{Failure, Result};
use crate::site::{Frame, Values, Visit, page};
use crate::views::{Badge, Step, colour};
use crate::words;

/// Entries of a directory, or paths found, on a page.
pub(super) const PAGE: usize = 200;

/// Bytes of a file that are read at once.
const CHUNK: usize = 64 << 10;

/// What a query says of a directory: which, in which order, which page.
pub(super) struct Asked {
    pub(super) path: Vec<u8>,
    order: FileOrder,
    page: usize,
    /// What else is in the query and stays in every address.
    kept: String,
    /// Where the content of files is, if it is told.
    content: Option<String>,
}

/// A line of a directory.
pub(super) struct Line {
    pub(super) name: String,
    /// Of a directory: where to look into it; of a file: where its content is.
    pub(super) address: Option<String>,
    pub(super) target: String,
    pub(super) state: &'static str,
    pub(super) class: &'static str,
    /// Of a directory: how many files below it.
    pub(super) below: String,
    pub(super) size: String,
    pub(super) former: Option<String>,
    pub(super) mode: String,
    pub(super) owner: String,
}

/// A directory as it is shown.
pub(super) struct Listing {
    pub(super) crumbs: Vec<Step>,
    pub(super) totals: Vec<String>,
    pub(super) lines: Vec<Line>,
    pub(super) total: String,
    pub(super) by_name: String,
    pub(super) by_size: String,
    pub(super) is_by_size: bool,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    /// Whether every file is new, so that nothing is said of each.
    pub(super) is_plain: bool,
}

impl Asked {
    /// As the address of a page asks; `kept` is what of its query stays in every address.
    pub(super) fn of(visit: &Visit, kept: String) -> Asked {
        let query = visit.uri.query().unwrap_or_default();
        let values = Values::of(query);
        let order = if values.first("sort") == "size" { FileOrder::Size } else { FileOrder::Name };
        let page = usize::try_from(values.number("page").max(1)).unwrap_or(usize::MAX);
        Asked { path: bytes_of(query, "path"), order, page, kept, content: None }
    }

    /// Files lead to their contents, at `address` with the path in its query.
    fn with_contents_at(self, address: String) -> Asked {
        Asked { content: Some(address), ..self }
    }

    pub(super) fn look(&self) -> Look {
        let skip = (self.page - 1).saturating_mul(PAGE);
        Look { path: self.path.clone(), order: self.order, skip, limit: PAGE }
    }

    fn address(&self, path: &[u8], order: FileOrder, page: usize) -> String {
        let mut query = format!("?path={}", encode(path));
        if order == FileOrder::Size {
            query.push_str("&sort=size");
        }
        if page > 1 {
            query.push_str(&format!("&page={page}"));
        }
        if !self.kept.is_empty() {
            query.push_str(&format!("&{}", self.kept));
        }
        query
    }

    /// The directory as it is shown. `is_plain`: everything in it is new.
    pub(super) fn listing(&self, directory: &Directory, is_plain: bool) -> Listing {
        let lines = directory.entries.iter().map(|entry| self.line(entry)).collect();
        let page = |number: usize| self.address(&self.path, self.order, number);
        Listing {
            crumbs: self.crumbs(),
            totals: totals(&directory.totals, is_plain),
            lines,
            total: words::exactly(directory.total as u64, "entry"),
            by_name: self.address(&self.path, FileOrder::Name, 1),
            by_size: self.address(&self.path, FileOrder::Size, 1),
            is_by_size: self.order == FileOrder::Size,
            previous: (self.page > 1).then(|| page(self.page - 1)),
            next: (self.page.saturating_mul(PAGE) < directory.total).then(|| page(self.page + 1)),
            is_plain,
        }
    }

    fn crumbs(&self) -> Vec<Step> {
        let mut crumbs = vec![Step { label: "/".into(), address: self.address(b"", self.order, 1), is_current: false }];
        let mut end = 0;
        for name in self.path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            end += name.len() + usize::from(end > 0);
            let address = self.address(self.path.get(..end).unwrap_or_default(), self.order, 1);
            crumbs.push(Step { label: printable(name), address, is_current: false });
        }
        if let Some(last) = crumbs.last_mut() {
            last.is_current = true;
        }
        crumbs
    }

    fn line(&self, entry: &DirectoryEntry) -> Line {
        let slash: &[u8] = if self.path.is_empty() { b"" } else { b"/" };
        let path = [&self.path, slash, &entry.name].concat();
        let is_directory = entry.kind == FileKind::Directory;
        let totals = &entry.totals;
        let count = totals.added + totals.changed + totals.rewritten + totals.removed;
        let has_below = is_directory && entry.state != FileState::Removed;
        let (state, class) = state(entry.state);
        let (size, former) = match entry.state {
            FileState::Removed => (totals.replaced_bytes, None),
            _ => (totals.written_bytes, Some(totals.replaced_bytes)),
        };
        Line {
            name: format!("{}{}", printable(&entry.name), if is_directory { "/" } else { "" }),
            address: match (entry.kind, &self.content) {
                (FileKind::File, Some(content)) => {
                    Some(format!("{content}{}", self.address(&path, FileOrder::Name, 1)))
                }
                _ => has_below.then(|| self.address(&path, self.order, 1)),
            },
            target: printable(&entry.target),
            state,
            class,
            below: if is_directory { words::exactly(count, "file") } else { String::new() },
            size: if entry.kind == FileKind::Special { String::new() } else { words::size(size) },
            former: former.filter(|former| *former > 0 && *former != size).map(words::size),
            mode: mode(entry),
            owner: format!("{}:{}", entry.uid, entry.gid),
        }
    }
}

fn totals(totals: &FileTotals, is_plain: bool) -> Vec<String> {
    if is_plain {
        return vec![words::exactly(totals.added, "file"), words::size(totals.written_bytes)];
    }
    let counts = [
        (totals.added, "added"),
        (totals.changed, "changed"),
        (totals.rewritten, "written again unchanged"),
        (totals.removed, "removed"),
    ];
    let counted = counts.into_iter().filter(|(count, _)| *count > 0);
    let mut shown: Vec<String> = counted.map(|(count, word)| format!("{} {word}", words::thousands(count))).collect();
    if totals.written_bytes > 0 {
        shown.push(format!("{} written", words::size(totals.written_bytes)));
    }
    if totals.replaced_bytes > 0 {
        shown.push(format!("{} replaced or removed", words::size(totals.replaced_bytes)));
    }
    shown
}

fn state(state: FileState) -> (&'static str, &'static str) {
    match state {
        FileState::Same => ("", ""),
        FileState::Added => ("added", "added"),
        FileState::Changed => ("changed", "changed"),
        FileState::Rewritten => ("same again", "changed"),
        FileState::Removed => ("removed", "removed"),
    }
}

/// As `ls -l` writes it.
fn mode(entry: &DirectoryEntry) -> String {
    let kind = match entry.kind {
        FileKind::File => '-',
        FileKind::Directory => 'd',
        FileKind::Link => 'l',
        FileKind::Special => 's',
    };
    let mut text = String::from(kind);
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = entry.mode >> shift & 7;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

#[derive(Template)]
#[template(path = "layer.html")]
struct LayerPage {
    frame: Frame,
    head: Head,
    tag: String,
    stack: String,
    number: usize,
    count: usize,
    colour: String,
    instruction: String,
    digest: String,
    diff_id: String,
    size: String,
    lower: Option<String>,
    upper: Option<String>,
    state: IndexState,
    listing: Option<Listing>,
}

/// `GET …/tags/{tag}/layers/{number}?path=&sort=&page=&platform=`.
pub(super) async fn layer(visit: &Visit, row: &RepositoryRow, head: Head, tag: &str, number: usize) -> Result {
    let failed = |error| Failure::of(visit, error);
    let no_layer = || Failure::not_found(visit, "layer");
    let shown = Shown::of(visit, row, &head, Some(tag)).await?.ok_or_else(no_layer)?;
    let stack = visit.hub.plain_stack(&shown.parts).await.map_err(failed)?;
    let count = stack.layers.len();
    let layer = stack.layers.into_iter().find(|layer| layer.number == number).ok_or_else(no_layer)?;
    let state = visit.hub.index_state(row, &shown.parts).await.map_err(failed)?;
    let listing = match &state {
        IndexState::Ready(layers) => Some(layer_listing(visit, &shown, layers, number).await?),
        IndexState::Waiting | IndexState::Failed(_) => None,
    };
    let neighbour = |number: usize| shown.address(&format!("layers/{number}"), "");
    Ok(page(LayerPage {
        frame: visit.frame(""),
        tag: shown.tag.tag.clone(),
        stack: shown.address("layers", ""),
        number,
        count,
        colour: colour(&layer.diff_id.map_or(layer.digest, |diff_id| diff_id.0)),
        digest: layer.digest.to_string(),
        diff_id: layer.diff_id.map(|diff_id| diff_id.to_string()).unwrap_or_default(),
        instruction: layer.instruction,
        size: words::size(layer.size),
        lower: (number > 1).then(|| neighbour(number - 1)),
        upper: (number < count).then(|| neighbour(number + 1)),
        state,
        listing,
        head,
    }))
}

async fn layer_listing(visit: &Visit, shown: &Shown, layers: &[DiffId], number: usize) -> Result<Listing> {
    let asked = Asked::of(visit, shown.query().to_owned());
    let found = visit.hub.layer_directory(layers, number, &asked.look()).await;
    let directory = found.map_err(|error| Failure::of(visit, error))?;
    Ok(asked.listing(&directory, number == 1))
}

/// A path that was found.
struct FoundLine {
    path: String,
    /// The layer that wrote what the image has there.
    layer: Option<u32>,
    address: Option<String>,
    size: String,
    hidden: Vec<String>,
}

/// What a search found.
struct Results {
    lines: Vec<FoundLine>,
    total: String,
    previous: Option<String>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "files.html")]
struct Files {
    frame: Frame,
    head: Head,
    tag: String,
    stack: String,
    action: String,
    platform: Option<String>,
    platforms: Vec<Step>,
    find: String,
    state: IndexState,
    results: Option<Results>,
    listing: Option<Listing>,
}

/// `GET …/tags/{tag}/files?find=&path=&sort=&page=&platform=`.
pub(super) async fn files(visit: &Visit, row: &RepositoryRow, head: Head, tag: &str) -> Result {
    let failed = |error| Failure::of(visit, error);
    let shown = Shown::of(visit, row, &head, Some(tag)).await?;
    let shown = shown.ok_or_else(|| Failure::not_found(visit, "image"))?;
    let state = visit.hub.index_state(row, &shown.parts).await.map_err(failed)?;
    let values = Values::of(visit.uri.query().unwrap_or_default());
    let find = values.first("find").trim().to_owned();
    let (mut results, mut listing) = (None, None);
    if let IndexState::Ready(layers) = &state {
        if find.is_empty() {
            let asked = Asked::of(visit, shown.query().to_owned());
            let asked = asked.with_contents_at(format!("{}/files/content", shown.path));
            let directory = visit.hub.compared_directory(&[], layers, &asked.look()).await.map_err(failed)?;
            listing = Some(asked.listing(&directory, true));
        } else {
            results = Some(search(visit, &shown, layers, &values, &find).await?);
        }
    }
    Ok(page(Files {
        frame: visit.frame(""),
        tag: shown.tag.tag.clone(),
        stack: shown.address("layers", ""),
        action: format!("{}/files", shown.path),
        platform: (shown.tag.manifest.images.len() > 1).then(|| shown.platform.clone()),
        platforms: shown.platforms("files"),
        find,
        state,
        results,
        listing,
        head,
    }))
}

/// `GET …/tags/{tag}/files/content?path=&platform=`: a file of an image, to be kept and never shown as a part of this site.
pub(super) async fn content(visit: &Visit, row: &RepositoryRow, head: &Head, tag: &str) -> Result {
    let failed = |error| Failure::of(visit, error);
    let no_file = || Failure::not_found(visit, "file");
    let shown = Shown::of(visit, row, head, Some(tag)).await?.ok_or_else(no_file)?;
    let path = bytes_of(visit.uri.query().unwrap_or_default(), "path");
    let IndexState::Ready(layers) = visit.hub.index_state(row, &shown.parts).await.map_err(failed)? else {
        return Err(no_file());
    };
    let file = match visit.hub.file(&layers, &path).await {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(no_file()),
        Err(error) => return Err(failed(error)),
    };
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let headers = [
        (CONTENT_TYPE, "application/octet-stream".to_owned()),
        (CONTENT_LENGTH, file.size.to_string()),
        (CONTENT_DISPOSITION, format!("attachment; filename*=UTF-8''{}", encode(name))),
    ];
    Ok((headers, Body::from_stream(chunks(file))).into_response())
}

/// The bytes of a file, read beside what must not be kept waiting.
fn chunks(file: FileContent) -> impl Stream<Item = io::Result<Vec<u8>>> {
    stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut chunk = vec![0; CHUNK];
            let length = file.read(&mut chunk)?;
            chunk.truncate(length);
            Ok((length > 0).then_some((chunk, file)))
        });
        read.await.map_err(io::Error::other)?
    })
}

async fn search(visit: &Visit, shown: &Shown, layers: &[DiffId], values: &Values, find: &str) -> Result<Results> {
    let number = usize::try_from(values.number("page").max(1)).unwrap_or(usize::MAX);
    let skip = (number - 1).saturating_mul(PAGE);
    let found = visit.hub.search_paths(layers, find, skip, PAGE).await.map_err(|error| Failure::of(visit, error))?;
    let address = |number: usize| format!("?{}", values.with("page", &number.to_string()));
    Ok(Results {
        lines: found.paths.iter().map(|path| found_line(shown, path)).collect(),
        total: words::exactly(found.total as u64, "path"),
        previous: (number > 1).then(|| address(number - 1)),
        next: (number.saturating_mul(PAGE) < found.total).then(|| address(number + 1)),
    })
}

fn found_line(shown: &Shown, found: &FoundPath) -> FoundLine {
    let current = found.copies.iter().rev().find(|copy| Some(copy.layer) == found.layer);
    let is_directory = current.or(found.copies.last()).is_some_and(|copy| copy.is_directory);
    let is_hidden = |copy: &&FoundCopy| Some(copy.layer) != found.layer && !(copy.is_directory && copy.size.is_some());
    let said = |copy: &FoundCopy| match copy.size {
        Some(size) => format!("layer {}: {}", copy.layer + 1, words::size(size)),
        None => format!("layer {} removes it", copy.layer + 1),
    };
    let folder = found.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash);
    let place = if is_directory { &found.path[..] } else { &found.path[..folder] };
    FoundLine {
        path: format!("/{}{}", printable(&found.path), if is_directory { "/" } else { "" }),
        layer: found.layer.map(|layer| layer + 1),
        address: found.layer.map(|_| shown.address("files", &format!("path={}", encode(place)))),
        size: match current.and_then(|copy| copy.size).filter(|_| !is_directory) {
            Some(size) => words::size(size),
            None => String::new(),
        },
        hidden: found.copies.iter().filter(is_hidden).map(said).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_written_as_ls_does() {
        for (kind, bits, expected) in [
            (FileKind::File, 0o644, "-rw-r--r--"),
            (FileKind::File, 0o6755, "-rwsr-sr-x"),
            (FileKind::Directory, 0o1777, "drwxrwxrwt"),
            (FileKind::File, 0o4644, "-rwSr--r--"),
            (FileKind::Link, 0o777, "lrwxrwxrwx"),
        ] {
            let entry = DirectoryEntry {
                name: Vec::new(),
                kind,
                state: FileState::Added,
                mode: bits,
                uid: 0,
                gid: 0,
                target: Vec::new(),
                totals: FileTotals::default(),
            };
            assert_eq!(mode(&entry), expected);
        }
    }
}
