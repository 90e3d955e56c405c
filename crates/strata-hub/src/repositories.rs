//! Repositories as people see them: made, described, shown to all or to some, put into categories, removed.
//!
//! A repository is a row here and content in the registry. The row is made by the first push or through the API. It is
//! removed in steps that can be repeated: first nobody sees it any more, then the registry removes the content, then the
//! row goes; whoever dies in between, [`Hub::finish_deletions`] goes on.

use strata_model::Repository;
use strata_store::registry::RegistryError;

use crate::records::{
    AccountRow, CategoryRow, ImmutableTags, Readable, RepositoryFilter, RepositoryRow, RepositoryStatus, Retention,
};
use crate::roles::{OFFICIAL, namespace};
use crate::{Hub, HubError, HubRead, HubWrite, Result, patterns, search};

/// Longest description on one line, in characters.
pub const MAX_DESCRIPTION: usize = 100;
/// Longest description of a page, in characters.
pub const MAX_FULL_DESCRIPTION: usize = 25_000;
/// Most categories of a repository.
const MAX_CATEGORIES: usize = 3;
/// Longest address that pages link to, in bytes.
const MAX_ADDRESS: usize = 500;

/// A repository that is to be made.
#[derive(Clone, Debug, Default)]
pub struct NewRepository {
    /// The account that it will belong to.
    pub namespace: String,
    /// Its name below it.
    pub name: String,
    /// One line.
    pub description: String,
    /// Its page, in Markdown.
    pub full_description: String,
    /// `None`: as its namespace says.
    pub is_private: Option<bool>,
}

/// What is to be changed of a repository; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct RepositoryUpdate {
    /// One line.
    pub description: Option<String>,
    /// Its page, in Markdown.
    pub full_description: Option<String>,
    /// Whether only those see it who were given a role.
    pub is_private: Option<bool>,
    /// Slugs of categories.
    pub categories: Option<Vec<String>>,
    /// Where its source is; empty for nowhere.
    pub source: Option<String>,
    /// Which tags never move.
    pub immutable_tags: Option<ImmutableTags>,
    /// Which tags may go by themselves.
    pub retention: Option<Retention>,
}

impl Hub {
    /// A repository by its full name, whoever asks.
    ///
    /// # Errors
    /// `NotFound`, also for one that is being removed.
    pub async fn repository(&self, name: &str) -> Result<RepositoryRow> {
        active(&*self.read().await?, name).await
    }

    /// What is read on a repository's page.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn full_description(&self, repository: &RepositoryRow) -> Result<String> {
        Ok(self.read().await?.full_description(repository.id).await?)
    }

    /// Whether a repository is private. One that is not described yet is as its namespace says.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn is_private(&self, name: &str) -> Result<bool> {
        let txn = self.read().await?;
        match txn.repository(name).await? {
            Some(row) => Ok(row.is_private),
            None => Ok(txn.account(namespace(name)).await?.is_some_and(|account| account.private_by_default)),
        }
    }

    /// Some repositories, and how many there are in all.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn repositories(&self, filter: &RepositoryFilter) -> Result<(u64, Vec<RepositoryRow>)> {
        let txn = self.read().await?;
        Ok((txn.count_repositories(filter).await?, txn.repositories(filter).await?))
    }

    /// The first repositories of a list. To count them all, as [`Hub::repositories`] does, takes longer.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn first_repositories(&self, filter: &RepositoryFilter) -> Result<Vec<RepositoryRow>> {
        Ok(self.read().await?.repositories(filter).await?)
    }

    /// Makes a repository that nothing was pushed to yet.
    ///
    /// # Errors
    /// `Invalid`; `Conflict` when it exists; `NotFound` without its namespace.
    pub async fn create_repository(&self, new: NewRepository) -> Result<RepositoryRow> {
        check_name(&new.namespace, &new.name)?;
        check_length("description", &new.description, MAX_DESCRIPTION)?;
        check_length("full_description", &new.full_description, MAX_FULL_DESCRIPTION)?;
        let mut txn = self.write("making a repository").await?;
        let account = txn.account(&new.namespace).await?;
        if account.is_none() && new.namespace != OFFICIAL {
            return Err(HubError::NotFound(format!("namespace {}", new.namespace)));
        }
        let full_name = format!("{}/{}", new.namespace, new.name);
        if txn.repository(&full_name).await?.is_some() {
            return Err(HubError::Conflict(format!("repository {full_name} already exists")));
        }
        let mut row = fresh(&full_name, account.as_ref(), self.now());
        row.is_private = new.is_private.unwrap_or(row.is_private);
        row.description = new.description;
        let row = add(&mut *txn, row).await?;
        txn.put_full_description(row.id, &new.full_description).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Changes what is said of a repository and how it behaves.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn update_repository(&self, name: &str, update: RepositoryUpdate) -> Result<RepositoryRow> {
        let mut txn = self.write("describing a repository").await?;
        let mut row = active(&*txn, name).await?;
        if let Some(text) = &update.full_description {
            check_length("full_description", text, MAX_FULL_DESCRIPTION)?;
            txn.put_full_description(row.id, text).await?;
        }
        apply(&mut row, update, &txn.categories().await?)?;
        row.last_updated = self.now();
        save(&mut *txn, &row).await?;
        txn.commit().await?;
        Ok(row)
    }

    /// Declares a repository official, or not. Those in `library` always are.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_official(&self, name: &str, is_official: bool) -> Result<()> {
        let mut txn = self.write("setting a badge").await?;
        let mut row = active(&*txn, name).await?;
        row.is_official = is_official || row.namespace == OFFICIAL;
        save(&mut *txn, &row).await?;
        Ok(txn.commit().await?)
    }

    /// Stars a repository for an account, or takes the star away. Returns how many there are now.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn set_star(&self, name: &str, account: &str, starred: bool) -> Result<u64> {
        let mut txn = self.write("starring a repository").await?;
        let row = active(&*txn, name).await?;
        if txn.set_star(row.id, account, starred, self.now()).await? {
            let row = active(&*txn, name).await?;
            search::index(&mut *txn, &row).await?;
        }
        let stars = active(&*txn, name).await?.stars;
        txn.commit().await?;
        Ok(stars)
    }

    /// Whether an account starred a repository.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn has_starred(&self, repository: &RepositoryRow, account: &str) -> Result<bool> {
        Ok(self.read().await?.has_starred(repository.id, account).await?)
    }

    /// All categories.
    ///
    /// # Errors
    /// When the records cannot be read.
    pub async fn categories(&self) -> Result<Vec<CategoryRow>> {
        Ok(self.read().await?.categories().await?)
    }

    /// Replaces the list of categories.
    ///
    /// # Errors
    /// `Invalid` for a slug that is none, or twice there.
    pub async fn set_categories(&self, categories: &[CategoryRow]) -> Result<()> {
        for (index, category) in categories.iter().enumerate() {
            let is_slug = !category.slug.is_empty()
                && category.slug.len() <= 64
                && category.slug.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
            let is_twice = categories[..index].iter().any(|other| other.slug == category.slug);
            if !is_slug || is_twice || category.name.trim().is_empty() || category.name.chars().count() > 100 {
                return Err(invalid("categories", format!("{:?} is no category", category.slug)));
            }
        }
        let mut txn = self.write("setting the categories").await?;
        txn.put_categories(categories).await?;
        Ok(txn.commit().await?)
    }

    /// Removes a repository with all that it holds. `actor` goes into the registry's history.
    ///
    /// # Errors
    /// `NotFound`. After a failure it may be half gone: nobody sees it, and [`Hub::finish_deletions`] removes the rest.
    pub async fn delete_repository(&self, name: &str, actor: &str) -> Result<()> {
        let mut txn = self.write("hiding a repository that is to be removed").await?;
        let mut row = active(&*txn, name).await?;
        row.status = RepositoryStatus::Deleting;
        txn.update_repository(&row).await?;
        txn.delete_search_entry(row.id).await?;
        txn.commit().await?;
        self.finish_deletion(&row, actor).await
    }

    /// Goes on with removals that were interrupted. To be called when the hub starts.
    ///
    /// # Errors
    /// When the store or the records fail.
    pub async fn finish_deletions(&self) -> Result<()> {
        for row in self.read().await?.repositories_being_deleted().await? {
            self.finish_deletion(&row, "").await?;
        }
        Ok(())
    }

    async fn finish_deletion(&self, row: &RepositoryRow, actor: &str) -> Result<()> {
        if let Ok(repository) = row.full_name().parse::<Repository>() {
            match self.registry().delete_repository(&repository, actor).await {
                Ok(()) | Err(RegistryError::RepositoryUnknown(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let mut txn = self.write("removing a repository").await?;
        // A push may have made it again meanwhile.
        let found = txn.repository(&row.full_name()).await?;
        if let Some(found) = found.filter(|found| found.id == row.id && found.status == RepositoryStatus::Deleting) {
            forget(&mut *txn, &found, self.now()).await?;
        }
        Ok(txn.commit().await?)
    }
}

/// A repository that is not being removed.
pub(crate) async fn active(txn: &dyn HubRead, name: &str) -> Result<RepositoryRow> {
    let found = txn.repository(name).await?.filter(|row| row.status == RepositoryStatus::Active);
    found.ok_or_else(|| HubError::NotFound(format!("repository {name}")))
}

/// The row of a repository that is new to the hub.
pub(crate) fn fresh(full_name: &str, account: Option<&AccountRow>, now: i64) -> RepositoryRow {
    let (namespace, name) = full_name.split_once('/').unwrap_or((OFFICIAL, full_name));
    RepositoryRow {
        id: 0,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        is_private: account.is_some_and(|account| account.private_by_default),
        description: String::new(),
        categories: Vec::new(),
        source: None,
        is_official: namespace == OFFICIAL,
        is_verified: account.is_some_and(|account| account.is_verified_publisher),
        status: RepositoryStatus::Active,
        immutable_tags: ImmutableTags::default(),
        retention: Retention::default(),
        registered: now,
        last_updated: now,
        last_pushed: None,
        last_pusher: None,
        kinds: Default::default(),
        media_types: Default::default(),
        platforms: Default::default(),
        stars: 0,
        pulls: 0,
    }
}

/// Adds a repository, to search too.
pub(crate) async fn add(txn: &mut dyn HubWrite, row: RepositoryRow) -> Result<RepositoryRow> {
    let id = txn.insert_repository(&row).await?;
    let row = RepositoryRow { id, ..row };
    search::index(txn, &row).await?;
    Ok(row)
}

/// Writes a repository, to search too.
pub(crate) async fn save(txn: &mut dyn HubWrite, row: &RepositoryRow) -> Result<()> {
    txn.update_repository(row).await?;
    search::index(txn, row).await
}

/// Removes a repository's row and what hangs on it. Its webhooks are told of that yet, and go later.
pub(crate) async fn forget(txn: &mut dyn HubWrite, row: &RepositoryRow, now: i64) -> Result<()> {
    let full_name = row.full_name();
    txn.delete_search_entry(row.id).await?;
    txn.delete_grants_on(&full_name).await?;
    txn.delete_publisher_keys_of(&full_name).await?;
    txn.retire_webhooks_of(&full_name, now).await?;
    Ok(txn.delete_repository(row.id).await?)
}

/// Gives the repositories of a namespace the badge of a verified publisher, or takes it away.
pub(crate) async fn set_verified(txn: &mut dyn HubWrite, namespace: &str, is_verified: bool) -> Result<()> {
    txn.set_verified(namespace, is_verified).await?;
    let readable = Readable { everything: true, ..Readable::default() };
    let filter = RepositoryFilter {
        namespaces: vec![namespace.to_owned()],
        readable,
        limit: u64::MAX,
        ..RepositoryFilter::default()
    };
    for row in txn.repositories(&filter).await? {
        search::index(txn, &row).await?;
    }
    Ok(())
}

fn apply(row: &mut RepositoryRow, update: RepositoryUpdate, known: &[CategoryRow]) -> Result<()> {
    if let Some(description) = update.description {
        check_length("description", &description, MAX_DESCRIPTION)?;
        row.description = description;
    }
    if let Some(is_private) = update.is_private {
        row.is_private = is_private;
    }
    if let Some(categories) = update.categories {
        check_categories(&categories, row, known)?;
        row.categories = categories;
    }
    if let Some(source) = update.source {
        row.source = checked_address("source", source)?;
    }
    if let Some(immutable_tags) = update.immutable_tags {
        patterns::check("immutable_tags_settings", &immutable_tags.rules)?;
        row.immutable_tags = immutable_tags;
    }
    if let Some(retention) = update.retention {
        patterns::check("retention", &retention.except)?;
        row.retention = retention;
    }
    Ok(())
}

fn invalid(what: &'static str, why: String) -> HubError {
    HubError::Invalid { what, why }
}

fn check_length(what: &'static str, text: &str, longest: usize) -> Result<()> {
    match text.chars().count() {
        length if length > longest => {
            Err(invalid(what, format!("has {length} characters, at most {longest} are allowed")))
        }
        _ => Ok(()),
    }
}

/// The Hub's rule for names that people choose: one component, 2 to 255 characters.
fn check_name(namespace: &str, name: &str) -> Result<()> {
    let is_name = (2..=255).contains(&name.len())
        && !name.contains('/')
        && !name.contains("__")
        && !name.contains("--")
        && format!("{namespace}/{name}").parse::<Repository>().is_ok();
    match is_name {
        true => Ok(()),
        false => Err(invalid(
            "name",
            format!("{name:?} must be 2 to 255 lower-case letters and digits, single '.', '_' or '-' between them"),
        )),
    }
}

/// A slug that the list lost may stay on a repository that has it.
fn check_categories(categories: &[String], row: &RepositoryRow, known: &[CategoryRow]) -> Result<()> {
    if categories.len() > MAX_CATEGORIES {
        return Err(invalid("categories", format!("at most {MAX_CATEGORIES} are allowed")));
    }
    let is_known = |slug: &String| known.iter().any(|category| category.slug == *slug) || row.categories.contains(slug);
    match categories.iter().find(|slug| !is_known(slug)) {
        Some(slug) => Err(invalid("categories", format!("there is no category {slug:?}"))),
        None => Ok(()),
    }
}

/// Pages make a link of it: nothing but the web.
pub(crate) fn checked_address(what: &'static str, address: String) -> Result<Option<String>> {
    if address.is_empty() {
        return Ok(None);
    }
    let is_address = (address.starts_with("https://") || address.starts_with("http://"))
        && address.len() <= MAX_ADDRESS
        && !address.chars().any(|letter| letter.is_whitespace() || letter.is_control());
    match is_address {
        true => Ok(Some(address)),
        false => Err(invalid(what, format!("{address:?} is no address of the web"))),
    }
}
