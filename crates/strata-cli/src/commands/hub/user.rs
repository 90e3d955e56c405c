//! `hub user`: accounts, for whoever has the hub's files; no password of the hub is asked.

use std::io::Read as _;

use strata_format::Value;
use strata_format::formatter::{Format, Formatter};
use strata_format::template::Struct;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, Group};
use crate::commands::commands;
use crate::context::Context;
use crate::hub::{UserChange, UserLine};
use crate::output::{print, print_line};
use crate::report::{Failure, Outcome};

const STDIN: &str = "Take the password from stdin; without it one is made and shown once";

const TABLE: &str = "table {{.Name}}\\t{{.Kind}}\\t{{.Email}}\\t{{.Created}}\\t{{.State}}";
const HEADERS: [(&str, &str); 5] =
    [("Name", "NAME"), ("Kind", "KIND"), ("Email", "EMAIL"), ("Created", "CREATED"), ("State", "STATE")];

pub(super) fn group() -> Group {
    let children = commands([
        CommandDefinition::new("add", "[OPTIONS] NAME", "Add a user", |context, flags| Box::pin(add(context, flags)))
            .arity(Arity::Exactly(1))
            .on_workers()
            .flag("admin", FlagKind::Bool, "May do everything on this hub")
            .flag("email", FlagKind::Text("string"), "Address")
            .flag("password-stdin", FlagKind::Bool, STDIN)
            .examples(&[("hub user add --admin alice", "A second administrator")]),
        CommandDefinition::new("ls", "", "List accounts", |context, _| Box::pin(list(context)))
            .named("ls", &["list"])
            .on_workers(),
        CommandDefinition::new("passwd", "[OPTIONS] NAME", "Give a user another password", |context, flags| {
            Box::pin(password(context, flags))
        })
        .arity(Arity::Exactly(1))
        .on_workers()
        .flag("password-stdin", FlagKind::Bool, STDIN),
        CommandDefinition::new("disable", "NAME", "Let a user neither sign in nor use tokens", |context, flags| {
            Box::pin(change(context, UserChange::Disable { name: flags.argument(0) }))
        })
        .arity(Arity::Exactly(1))
        .on_workers(),
        CommandDefinition::new("enable", "NAME", "Let a disabled user in again", |context, flags| {
            Box::pin(change(context, UserChange::Enable { name: flags.argument(0) }))
        })
        .arity(Arity::Exactly(1))
        .on_workers(),
    ]);
    Group { name: "user", about: "Manage accounts on the hub's files", children }
}

async fn add(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let add = UserChange::Add {
        name: flags.argument(0),
        email: flags.text("email"),
        is_administrator: flags.is_set("admin"),
        password: given_password(flags)?,
    };
    change(context, add).await
}

async fn password(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    change(context, UserChange::Password { name: flags.argument(0), password: given_password(flags)? }).await
}

async fn change(context: &Context<'_>, change: UserChange) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let made = context.environment.hub().change_user(&arguments, change).await.map_err(super::failed)?;
    match made {
        Some(password) => print_line(format_args!("one-time password: {password}")),
        None => Ok(()),
    }
}

async fn list(context: &Context<'_>) -> Outcome {
    let arguments = super::arguments(context, Vec::new())?;
    let users = context.environment.hub().users(&arguments).await.map_err(super::failed)?;
    let rows: Vec<Value> = users.into_iter().map(row).collect();
    print(&Formatter::new(&Format::new("table", TABLE, None), HEADERS)?.render(&rows)?)
}

fn row(user: UserLine) -> Value {
    let created = jiff::Timestamp::from_nanosecond(user.created.into()).unwrap_or_default();
    Struct::row("*formatter.userContext")
        .field("Name", user.name)
        .field("Kind", user.kind)
        .field("Email", user.email)
        .field("Created", created.strftime("%Y-%m-%d").to_string())
        .field("State", if user.is_disabled { "disabled" } else { "active" })
        .into()
}

fn given_password(flags: &Flags<'_>) -> Outcome<Option<String>> {
    if !flags.is_set("password-stdin") {
        return Ok(None);
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text)?;
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Failure::bare("password is empty"));
    }
    Ok(Some(password.to_owned()))
}
