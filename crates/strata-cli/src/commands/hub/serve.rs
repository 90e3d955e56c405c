//! `hub serve`.

use crate::command_line::{CommandDefinition, FlagKind, Flags, RunsOn};
use crate::commands::registry_serve::stop_signal;
use crate::context::Context;
use crate::hub::HubStarted;
use crate::output::{complain, print_line};
use crate::report::Outcome;

/// Flags, and the settings that they give.
const SETTINGS: &[(&str, &str)] = &[
    ("addr", "addr"),
    ("tls-cert", "tls.certificate"),
    ("tls-key", "tls.key"),
    ("admin-password-file", "administrator.password_file"),
    ("log-format", "log.format"),
    ("metrics-addr", "metrics.addr"),
];

pub(super) fn definition() -> CommandDefinition {
    let definition = CommandDefinition::new(
        "serve",
        "[OPTIONS]",
        "Serve a hub from the store: images, accounts, search",
        |context, flags| Box::pin(run(context, flags)),
    )
    .flag("addr", FlagKind::Text("string"), "Address to listen on; port 0 takes a free one (default 127.0.0.1:5000)")
    .flag("tls-cert", FlagKind::Text("file"), "Certificate chain in PEM; read again when it changes")
    .flag("tls-key", FlagKind::Text("file"), "Private key of the certificate in PEM")
    .flag("plain-http", FlagKind::Bool, "Serve without TLS also to other machines")
    .flag(
        "admin-password-file",
        FlagKind::Text("file"),
        "File with the password of `admin`, whom the first start makes; without it one is printed once",
    )
    .flag("log-format", FlagKind::Text("string"), "Format of the log (\"text\", \"json\")")
    .flag("metrics-addr", FlagKind::Text("string"), "Address of its own for /metrics")
    .examples(&[
        ("hub serve", "For this machine, on 127.0.0.1:5000"),
        ("hub serve --config /etc/strata/hub.toml", "With a configuration file"),
        ("hub serve --addr :443 --tls-cert hub.pem --tls-key hub.key --root /srv/hub", "For others"),
    ]);
    CommandDefinition { runs_on: RunsOn::WorkersUntilItEnds, logs_itself: true, ..definition }
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let mut settings: Vec<(&'static str, String)> =
        SETTINGS.iter().filter_map(|(flag, key)| Some((*key, flags.text(flag)?))).collect();
    if flags.is_set("plain-http") {
        settings.push(("plain_http", "true".to_owned()));
    }
    let arguments = super::arguments(context, settings)?;
    let shutdown = stop_signal()?;
    context.environment.prepare_network();
    let served = context.environment.hub().serve(&arguments, &announce, Box::pin(shutdown)).await;
    served.map_err(super::failed)
}

fn announce(started: &HubStarted) {
    // Whoever closed our output does not want to read it.
    let _ = print_line(format_args!("Listening on {} ({})", started.address, started.url));
    if let Some((name, password)) = &started.first_administrator {
        let _ = print_line(format_args!("Administrator {name:?}, one-time password: {password}"));
    }
    for warning in &started.warnings {
        complain(&format!("WARNING: {warning}"));
    }
}
