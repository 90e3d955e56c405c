//! What people do to repositories, in one step each: whether they may, the doing, the audit log.
//!
//! Whoever may not see a repository is told that there is none; so is whoever asks for what only its admins may know.

use serde_json::{Value, json};
use strata_model::{Repository, Tag};
use strata_store::registry::{RegistryError, RemovalPreview};

use crate::audit::AuditAction;
use crate::records::{RepositoryRow, Role, WebhookRow};
use crate::roles::{OFFICIAL, full_name, role_on};
use crate::{
    CreatedWebhook, Hub, HubError, Identity, NewRepository, NewWebhook, Reach, RepositoryUpdate, Result, repositories,
};

impl Hub {
    /// A repository for one of its admins.
    ///
    /// # Errors
    /// `NotFound`, also for those who are not.
    pub async fn administered(&self, who: Option<&Identity>, name: &str) -> Result<RepositoryRow> {
        let txn = self.read().await?;
        let reach = Reach::of(&*txn, who).await?;
        let name = full_name(name);
        match role_on(&*txn, &reach, &name).await? {
            Some(Role::Admin) => repositories::active(&*txn, &name).await,
            _ => Err(HubError::NotFound(format!("repository {name}"))),
        }
    }

    /// The namespaces in which somebody may make repositories.
    ///
    /// # Errors
    /// When the records fail.
    pub async fn writable_namespaces(&self, who: &Identity) -> Result<Vec<String>> {
        let reach = self.reach_of(Some(who)).await?.readable();
        let mut namespaces = reach.namespaces;
        // The own one first, the official one last.
        namespaces.sort_by_key(|name| (*name != who.account, name.clone()));
        if reach.everything && !namespaces.iter().any(|name| name == OFFICIAL) {
            namespaces.push(OFFICIAL.to_owned());
        }
        Ok(namespaces)
    }

    /// Makes a repository as somebody who may push it.
    ///
    /// # Errors
    /// Those of [`Hub::create_repository`]; `NotFound` for a namespace that one may not write to.
    pub async fn create_repository_as(&self, who: &Identity, new: NewRepository) -> Result<RepositoryRow> {
        let name = format!("{}/{}", new.namespace, new.name);
        if self.role_of(Some(who), &name).await? < Some(Role::Write) {
            return Err(HubError::NotFound(format!("namespace {}", new.namespace)));
        }
        let row = self.create_repository(new).await?;
        self.log_repository(who, AuditAction::REPOSITORY_CREATE, &name, json!({})).await?;
        Ok(row)
    }

    /// Changes a repository as its admin.
    ///
    /// # Errors
    /// `NotFound`, `Invalid`.
    pub async fn update_repository_as(
        &self,
        who: &Identity,
        name: &str,
        update: RepositoryUpdate,
    ) -> Result<RepositoryRow> {
        let name = self.administered(Some(who), name).await?.full_name();
        let row = self.update_repository(&name, update).await?;
        self.log_repository(who, AuditAction::REPOSITORY_UPDATE, &name, json!({})).await?;
        Ok(row)
    }

    /// Removes a repository as its admin, who has typed its name.
    ///
    /// # Errors
    /// `NotFound`; `Invalid` for another name.
    pub async fn delete_repository_as(&self, who: &Identity, name: &str, typed: &str) -> Result<()> {
        let row = self.administered(Some(who), name).await?;
        let name = row.full_name();
        if typed.trim() != name && typed.trim() != row.familiar_name() {
            return Err(HubError::Invalid { what: "confirmation", why: format!("type {name} to confirm") });
        }
        self.delete_repository(&name, &who.name).await?;
        self.log_repository(who, AuditAction::REPOSITORY_DELETE, &name, json!({})).await
    }

    /// Removes tags as an admin of the repository; returns how many.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` for a tag that never moves. What was removed before stays so.
    pub async fn delete_tags_as(&self, who: &Identity, name: &str, tags: &[String]) -> Result<usize> {
        let row = self.administered(Some(who), name).await?;
        for tag in tags {
            // The registry's history brings it to the audit log.
            self.delete_tag(&row, tag, &who.name).await?;
        }
        Ok(tags.len())
    }

    /// What removing a repository would give back, for its admin.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn preview_deletion(&self, who: &Identity, name: &str) -> Result<RemovalPreview> {
        let row = self.administered(Some(who), name).await?;
        let Ok(repository) = row.full_name().parse::<Repository>() else { return Ok(RemovalPreview::default()) };
        match self.registry().preview_deletion(&repository).await {
            Ok(preview) => self.visible_to(who, preview).await,
            // Nothing was pushed yet.
            Err(RegistryError::RepositoryUnknown(_)) => Ok(RemovalPreview::default()),
            Err(error) => Err(error.into()),
        }
    }

    /// What removing tags would give back, for an admin of the repository.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn preview_untagging(&self, who: &Identity, name: &str, tags: &[String]) -> Result<RemovalPreview> {
        let row = self.administered(Some(who), name).await?;
        let name = row.full_name();
        let unknown = || HubError::NotFound(format!("tag of repository {name}"));
        let tags = tags.iter().map(|tag| tag.parse()).collect::<Result<Vec<Tag>, _>>().map_err(|_| unknown())?;
        let repository: Repository = name.parse().map_err(|_| unknown())?;
        let preview = self.registry().preview_untagging(&repository, &tags).await?;
        self.visible_to(who, preview).await
    }

    /// Without the names of repositories that `who` may not see.
    async fn visible_to(&self, who: &Identity, mut preview: RemovalPreview) -> Result<RemovalPreview> {
        let txn = self.read().await?;
        let reach = Reach::of(&*txn, Some(who)).await?;
        let mut visible = Vec::new();
        for name in preview.sharers {
            if txn.repository(&full_name(&name)).await?.is_some() && role_on(&*txn, &reach, &name).await?.is_some() {
                visible.push(name);
            }
        }
        preview.sharers = visible;
        Ok(preview)
    }

    /// Adds a webhook as an admin of the repository.
    ///
    /// # Errors
    /// `NotFound`; those of [`Hub::create_webhook`].
    pub async fn create_webhook_as(&self, who: &Identity, name: &str, new: NewWebhook) -> Result<CreatedWebhook> {
        let name = self.administered(Some(who), name).await?.full_name();
        let created = self.create_webhook(&name, &who.name, new).await?;
        self.log_webhook(who, &name, json!({ "webhook_added": created.webhook.name })).await?;
        Ok(created)
    }

    /// Switches a webhook on or off as an admin of the repository.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn switch_webhook_as(&self, who: &Identity, name: &str, id: &str, is_active: bool) -> Result<WebhookRow> {
        let name = self.administered(Some(who), name).await?.full_name();
        let webhook = self.set_webhook_active(&name, id, is_active).await?;
        self.log_webhook(who, &name, json!({ "webhook": webhook.name, "is_active": is_active })).await?;
        Ok(webhook)
    }

    /// Removes a webhook as an admin of the repository.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_webhook_as(&self, who: &Identity, name: &str, id: &str) -> Result<()> {
        let name = self.administered(Some(who), name).await?.full_name();
        let webhook = self.webhook(&name, id).await?;
        self.delete_webhook(&name, id).await?;
        self.log_webhook(who, &name, json!({ "webhook_removed": webhook.name })).await
    }

    /// Sends what was sent before once more, as an admin of the repository.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn redeliver_as(&self, who: &Identity, name: &str, id: &str, delivery: i64) -> Result<()> {
        let name = self.administered(Some(who), name).await?.full_name();
        self.redeliver(&name, id, delivery).await
    }

    async fn log_webhook(&self, who: &Identity, repository: &str, data: Value) -> Result<()> {
        self.log_repository(who, AuditAction::REPOSITORY_UPDATE, repository, data).await
    }
}
