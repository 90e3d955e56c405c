//! Accounts, for whoever has the hub's files.

use strata_cli::{HubResult, UserChange, UserLine};
use strata_hub::records::AccountKind;
use strata_hub::{AccountUpdate, Hub, Identity, NewUser};

/// Accounts that are read at once.
const PAGE: usize = 500;

/// Carries a change out; returns the password that was made, if one was.
pub(super) async fn change(hub: &Hub, change: UserChange) -> HubResult<Option<String>> {
    let operator = Identity::operator();
    let made = match change {
        UserChange::Add { name, email, is_administrator, password } => {
            let new = NewUser { name, email, is_administrator, password, ..NewUser::default() };
            hub.create_user(&operator, new).await?.1
        }
        UserChange::Password { name, password } => hub.reset_password(&operator, &name, password).await?,
        UserChange::Disable { name } => set_disabled(hub, &name, true).await?,
        UserChange::Enable { name } => set_disabled(hub, &name, false).await?,
    };
    Ok(made.map(|one_time| one_time.password))
}

async fn set_disabled<T>(hub: &Hub, name: &str, is_disabled: bool) -> HubResult<Option<T>> {
    let update = AccountUpdate { is_disabled: Some(is_disabled), ..AccountUpdate::default() };
    hub.update_account(&Identity::operator(), name, update).await?;
    Ok(None)
}

/// Every account by its name.
pub(super) async fn list(hub: &Hub) -> HubResult<Vec<UserLine>> {
    let mut lines: Vec<UserLine> = Vec::new();
    loop {
        let after = lines.last().map(|line| line.name.clone()).unwrap_or_default();
        let page = hub.accounts(&Identity::operator(), &after, PAGE).await?;
        if page.is_empty() {
            return Ok(lines);
        }
        lines.extend(page.into_iter().map(|account| UserLine {
            kind: match account.kind {
                AccountKind::Organization => "organization",
                AccountKind::User if account.is_administrator => "administrator",
                AccountKind::User => "user",
            },
            email: account.email.unwrap_or_default(),
            is_disabled: account.is_disabled,
            created: account.created,
            name: account.name,
        }));
    }
}
