//! `stop`, `restart`, `kill`, `pause`, `unpause`, `wait`: what is done to the process of a container.

use futures_util::future::join_all;
use strata_engine::{ContainerAction, control_container, start_container, wait_container};

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags, RunCommand};
use crate::context::Context;
use crate::output::{complain, print_line};
use crate::report::{Failure, Failures, Outcome};

pub(super) fn definitions() -> Vec<CommandDefinition> {
    const SEVERAL: &str = "CONTAINER [CONTAINER...]";
    const OPTIONS: &str = "[OPTIONS] CONTAINER [CONTAINER...]";
    let command = |name, usage, about, run: RunCommand| {
        CommandDefinition::new(name, usage, about, run).arity(Arity::AtLeast(1)).on_workers()
    };
    let stopping = |command: CommandDefinition| {
        command
            .flag("s/signal", FlagKind::Text("string"), "Signal to send to the container")
            .flag("t/timeout", FlagKind::Number, "Seconds to wait before killing the container")
            .ignored_flag("time", FlagKind::Number)
    };
    vec![
        stopping(command("stop", OPTIONS, "Stop one or more running containers", |context, flags| {
            Box::pin(each(context, flags, stop(flags), false))
        }))
        .examples(&[("stop -t 30 database", "With half a minute to end")]),
        stopping(command("restart", OPTIONS, "Restart one or more containers", |context, flags| {
            Box::pin(each(context, flags, stop(flags), true))
        }))
        .with_all_ids()
        .examples(&[("restart web", "Stopped and started")]),
        command("kill", OPTIONS, "Kill one or more running containers", |context, flags| {
            let signal = flags.text("signal").unwrap_or_else(|| "KILL".to_owned());
            Box::pin(each(context, flags, ContainerAction::Kill { signal }, false))
        })
        .flag("s/signal", FlagKind::Text("string"), "Signal to send to the container")
        .examples(&[("kill -s HUP web", "Another signal")]),
        command("pause", SEVERAL, "Pause all processes within one or more containers", |context, flags| {
            Box::pin(each(context, flags, ContainerAction::Pause, false))
        })
        .examples(&[("pause web", "Nothing of it runs until unpause")]),
        command("unpause", SEVERAL, "Unpause all processes within one or more containers", |context, flags| {
            Box::pin(each(context, flags, ContainerAction::Unpause, false))
        })
        .examples(&[("unpause web", "It goes on")]),
        command("wait", SEVERAL, "Block until one or more containers stop, then print their exit codes", |c, flags| {
            Box::pin(wait(c, flags))
        })
        .examples(&[("wait job", "Prints its exit code")]),
    ]
}

fn stop(flags: &Flags<'_>) -> ContainerAction {
    let timeout = flags.number("timeout").or_else(|| flags.number("time"));
    ContainerAction::Stop { signal: flags.text("signal"), timeout }
}

/// Does it to all of them at a time, and tells of each in their order.
async fn each(context: &Context<'_>, flags: &Flags<'_>, action: ContainerAction, starts: bool) -> Outcome {
    let (store, root) = (context.store()?, context.root()?);
    let names = flags.arguments();
    let all = names.iter().map(async |name| {
        control_container(store, &root, name, &action).await?;
        if starts {
            let started = start_container(store, &root, name, None).await?;
            started.warnings.iter().for_each(|warning| complain(&format!("WARNING: {warning}")));
        }
        Ok::<_, strata_engine::EngineError>(())
    });
    let mut failures = Failures::default();
    for (name, done) in names.iter().zip(join_all(all).await) {
        if failures.note(done.map_err(Failure::from)).is_some() {
            print_line(name)?;
        }
    }
    failures.outcome()
}

async fn wait(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let (store, root) = (context.store()?, context.root()?);
    let mut failures = Failures::default();
    for name in flags.arguments() {
        if let Some(code) = failures.note(wait_container(store, &root, &name).await.map_err(Failure::from)) {
            print_line(code)?;
        }
    }
    failures.outcome()
}
