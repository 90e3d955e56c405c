//! `login`: credentials for a registry.

use std::io::{self, Read as _};

use strata_registry_client::{Credentials, DOCKER_HUB_KEY, Secret, StoredIn, server_key};

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::prompt;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("login", "[OPTIONS] [SERVER]", "Authenticate to a registry", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::AtMost(1))
    .flag("p/password", FlagKind::Text("string"), "Password or Personal Access Token (PAT)")
    .flag("password-stdin", FlagKind::Bool, "Take the Password or Personal Access Token (PAT) from stdin")
    .flag("u/username", FlagKind::Text("string"), "Username")
    .examples(&[("login -u me --password-stdin registry.example.com < token", "Without a prompt")])
}

/// What the user gave on the command line.
struct Given {
    username: String,
    password: Option<String>,
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let server = flags.arguments().pop().unwrap_or_default();
    let given = given(flags)?;
    let client = context.client()?;
    let (key, _) = server_key(&server)?;
    if given.username.is_empty() && given.password.is_none() {
        let stored = client.config().credentials.find_for_server(&server).await?;
        if let Some(stored) = stored {
            return with_existing(context, &server, stored).await;
        }
    }
    let credentials = complete(given, &key, "")?;
    finish(context, &server, credentials).await
}

fn given(flags: &Flags<'_>) -> Outcome<Given> {
    let (username, from_stdin) = (flags.text("username").unwrap_or_default(), flags.is_set("password-stdin"));
    if flags.is_given("username") && username.is_empty() {
        return Err(Failure::bare("username is empty"));
    }
    if flags.is_given("password") {
        complain("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
        if from_stdin {
            return Err(Failure::bare("conflicting options: cannot specify both --password and --password-stdin"));
        }
        let password = flags.text("password").ok_or_else(|| Failure::bare("password is empty"))?;
        return Ok(Given { username, password: Some(password) });
    }
    if !from_stdin {
        return Ok(Given { username, password: None });
    }
    if username.is_empty() {
        return Err(Failure::bare("the --password-stdin option requires --username to be set"));
    }
    let mut text = String::new();
    io::stdin().lock().read_to_string(&mut text)?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    let password = text.strip_suffix('\r').unwrap_or(text);
    if password.is_empty() {
        return Err(Failure::bare("password is empty"));
    }
    Ok(Given { username, password: Some(password.to_owned()) })
}

/// Tries what is stored; asks when it is refused and somebody can answer.
async fn with_existing(context: &Context<'_>, server: &str, stored: Credentials) -> Outcome {
    let name = stored.username().unwrap_or_default().to_owned();
    let shown = if name.is_empty() { String::new() } else { format!(" [Username: {name}]") };
    complain(&format!("Authenticating with existing credentials...{shown}"));
    match finish(context, server, stored).await {
        Ok(()) => Ok(()),
        Err(failure) if !prompt::stdin_is_terminal() => Err(failure),
        Err(failure) => {
            failure.report();
            let (key, _) = server_key(server)?;
            let credentials = complete(Given { username: String::new(), password: None }, &key, &name)?;
            finish(context, server, credentials).await
        }
    }
}

/// Asks for what was not given.
fn complete(given: Given, key: &str, default: &str) -> Outcome<Credentials> {
    let is_complete = !given.username.is_empty() && given.password.is_some();
    if !is_complete && !prompt::stdin_is_terminal() {
        return Err(Failure::bare("Error: Cannot perform an interactive login from a non TTY device"));
    }
    if !is_complete && key == DOCKER_HUB_KEY {
        print_line(
            "Log in with your Docker ID or email address to push and pull images from Docker Hub. \
             A personal access token works as the password.",
        )?;
    }
    let username = match given.username {
        name if name.is_empty() => prompt::ask("Username", default)?,
        name => name,
    };
    if username.is_empty() {
        return Err(Failure::bare("username is empty"));
    }
    let password = match given.password {
        Some(password) => password,
        None => prompt::ask_password()?,
    };
    if password.is_empty() {
        return Err(Failure::bare("password is empty"));
    }
    Ok(Credentials::Password { username, password: Secret::new(password) })
}

async fn finish(context: &Context<'_>, server: &str, credentials: Credentials) -> Outcome {
    let login = context.client()?.login(server, credentials).await?;
    if let StoredIn::File(path) = &login.stored {
        complain(&format!(
            "\nWARNING! Your credentials are stored unencrypted in '{}'.\n\
             Configure a credential helper to remove this warning. See\n\
             https://docs.docker.com/go/credential-store/\n",
            path.display()
        ));
    }
    print_line("Login Succeeded")
}
