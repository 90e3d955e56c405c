//! Paths as `docker cp` reads them: what a slash or `/.` at the end means, and under which name something arrives.

/// Whether a path names a directory by its end: a slash, or `.` as the last part.
pub(super) fn asserts_directory(path: &str) -> bool {
    path.ends_with('/') || is_current(path)
}

/// Whether the last part of a path is `.`.
pub(super) fn is_current(path: &str) -> bool {
    base(path) == "."
}

/// The last part of a path, as Go's `path.Base`.
pub(super) fn base(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" if path.is_empty() => ".",
        "" => "/",
        trimmed => trimmed.rsplit('/').next().unwrap_or(trimmed),
    }
}

/// A path that was cleaned, with the end that it had.
pub(super) fn keep_end(mut clean: String, given: &str) -> String {
    if is_current(given) && !is_current(&clean) {
        if !clean.ends_with('/') {
            clean.push('/');
        }
        clean.push('.');
    }
    if given.ends_with('/') && !clean.ends_with('/') {
        clean.push('/');
    }
    clean
}

/// The directory and the last part of a clean absolute path; the last part is `.` when the path ends so.
pub(super) fn split(path: &str) -> (String, String) {
    let clean = clean(path);
    if is_current(path) {
        return (clean, ".".to_owned());
    }
    match clean.rsplit_once('/') {
        Some(("", "")) => ("/".to_owned(), "/".to_owned()),
        Some(("", name)) => ("/".to_owned(), name.to_owned()),
        Some((directory, name)) => (directory.to_owned(), name.to_owned()),
        None => (".".to_owned(), clean),
    }
}

/// As Go's `path.Clean` for absolute paths.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A path next to another: what a relative link in the directory of `path` leads to.
pub(super) fn beside(path: &str, target: &str) -> String {
    match target.starts_with('/') {
        true => target.to_owned(),
        false => clean(&format!("{}/{target}", split(path).0)),
    }
}

/// One side of a copy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) path: String,
    pub(super) exists: bool,
    pub(super) is_directory: bool,
    /// The name that the source has for the user, when its path leads elsewhere.
    pub(super) shown_as: Option<String>,
}

/// Where an archive of `source` is unpacked so that it becomes `target`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    pub(super) directory: String,
    /// Which beginning of the members' names becomes which.
    pub(super) rename: Option<(String, String)>,
}

/// Decides it, as docker's `PrepareArchiveCopy`.
///
/// # Errors
/// Docker's words, when a file would have to become a directory or the other way round.
pub(super) fn destination(source: &Side, target: &Side) -> Result<Destination, &'static str> {
    let (directory, name) = split(&target.path);
    let renamed = || {
        let old = source.shown_as.clone().unwrap_or_else(|| split(&source.path).1);
        Ok(Destination { directory: directory.clone(), rename: Some((old, name.clone())) })
    };
    match (target.exists, target.is_directory, source.is_directory) {
        (true, true, _) => Ok(Destination { directory: target.path.clone(), rename: None }),
        (true, false, true) => Err("cannot copy directory"),
        (true, false, false) | (false, _, true) => renamed(),
        (false, _, false) if asserts_directory(&target.path) => Err("no such directory"),
        (false, _, false) => renamed(),
    }
}

/// Changes the first place in a member's name that is `old`.
pub(super) fn rename(name: &mut Vec<u8>, old: &str, new: &str) {
    let old = old.trim_end_matches('/');
    let found = (0..=name.len()).find(|start| name[*start..].starts_with(old.as_bytes()));
    if let Some(start) = found {
        name.splice(start..start + old.len(), new.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_paths() {
        for (path, is_directory, last) in
            [("/", true, "/"), ("/a", false, "a"), ("/a/", true, "a"), ("/a/.", true, "."), ("a/b", false, "b")]
        {
            assert_eq!((asserts_directory(path), base(path)), (is_directory, last), "{path}");
        }
        for (clean, given, kept) in
            [("/a", "/a/.", "/a/."), ("/a", "a/", "/a/"), ("/", "/.", "/."), ("/a", "/a", "/a"), ("/", "/", "/")]
        {
            assert_eq!(keep_end(clean.into(), given), kept);
        }
        for (path, directory, name) in
            [("/a/b", "/a", "b"), ("/a/b/", "/a", "b"), ("/a/b/.", "/a/b", "."), ("/a", "/", "a"), ("/", "/", "/")]
        {
            assert_eq!(split(path), (directory.to_owned(), name.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_becomes_what() {
        let side = |path: &str, exists, is_directory| Side { path: path.into(), exists, is_directory, shown_as: None };
        let renamed = |directory: &str, old: &str, new: &str| {
            Ok(Destination { directory: directory.into(), rename: Some((old.into(), new.into())) })
        };
        let whole = |directory: &str| Ok(Destination { directory: directory.into(), rename: None });
        // Source and whether it is a directory; target, whether it exists and is a directory; what is done.
        let cases = [
            ("/s/f", false, "/t/d", true, true, whole("/t/d")),
            ("/s/f", false, "/t/g", true, false, renamed("/t", "f", "g")),
            ("/s/f", false, "/t/new", false, false, renamed("/t", "f", "new")),
            ("/s/f", false, "/t/new/", false, false, Err("no such directory")),
            ("/s/d", true, "/t/d", true, true, whole("/t/d")),
            ("/s/d/.", true, "/t/d", true, true, whole("/t/d")),
            ("/s/d", true, "/t/g", true, false, Err("cannot copy directory")),
            ("/s/d", true, "/t/new", false, false, renamed("/t", "d", "new")),
            ("/s/d", true, "/t/new/", false, false, renamed("/t", "d", "new")),
            ("/s/d/.", true, "/t/new", false, false, renamed("/t", ".", "new")),
        ];
        for (source, source_is_directory, target, exists, target_is_directory, expected) in cases {
            let decided =
                destination(&side(source, true, source_is_directory), &side(target, exists, target_is_directory));
            assert_eq!(decided, expected, "{source} to {target}");
        }
    }

    #[test]
    fn names_of_members_change() {
        for (name, old, new, changed) in [
            ("d/a", "d", "new", "new/a"),
            ("./a", ".", "new", "new/a"),
            ("/bin/sh", "/", "new", "new/bin/sh"),
            ("f", "f", "g", "g"),
            ("x", "f", "g", "x"),
        ] {
            let mut bytes = name.as_bytes().to_vec();
            rename(&mut bytes, old, new);
            assert_eq!(String::from_utf8(bytes).unwrap(), changed, "{name}");
        }
    }
}
