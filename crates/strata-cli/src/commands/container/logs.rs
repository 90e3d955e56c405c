//! `logs`: what a container wrote.

use std::io::{self, Write};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use strata_engine::{ContainerLog, LogQuery, OutputStream, container_logs};
use strata_format::timestamp;

use crate::command_line::{Arity, CommandDefinition, FlagKind, Flags};
use crate::context::Context;
use crate::report::{Failure, Outcome};

pub(super) fn definition() -> CommandDefinition {
    CommandDefinition::new("logs", "[OPTIONS] CONTAINER", "Fetch the logs of a container", |context, flags| {
        Box::pin(run(context, flags))
    })
    .arity(Arity::Exactly(1))
    .on_workers()
    .flag("details", FlagKind::Bool, "Show extra details provided to logs")
    .flag("f/follow", FlagKind::Bool, "Follow log output")
    .flag(
        "since",
        FlagKind::Text("string"),
        "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    )
    .flag_with_default("n/tail", FlagKind::Text("string"), "all", "Number of lines to show from the end of the logs")
    .flag("t/timestamps", FlagKind::Bool, "Show timestamps")
    .flag(
        "until",
        FlagKind::Text("string"),
        "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)",
    )
    .examples(&[("logs -f --tail 100 web", "The last hundred lines, and those that come")])
}

async fn run(context: &Context<'_>, flags: &Flags<'_>) -> Outcome {
    let query = LogQuery {
        since: moment(flags, "since")?,
        until: moment(flags, "until")?,
        // As docker has it, what is no number is all.
        tail: flags.text("tail").and_then(|count| count.parse().ok()),
        follow: flags.is_set("follow"),
    };
    let log = container_logs(context.store()?, &context.root()?, &flags.argument(0), query).await?;
    let details = flags.is_set("details").then(|| format!("{} ", log.details));
    let with_times = flags.is_set("timestamps");
    let printed = tokio::task::spawn_blocking(move || print_log(log, details.as_deref(), with_times)).await;
    printed.map_err(|cause| Failure::bare(cause.to_string()))?
}

/// Nanoseconds since 1970.
fn moment(flags: &Flags<'_>, name: &str) -> Outcome<Option<i64>> {
    let Some(text) = flags.text(name) else { return Ok(None) };
    let time = timestamp::parse(&text, &Timestamp::now().to_zoned(TimeZone::system()))
        .map_err(|cause| Failure::bare(format!("invalid value for {name:?}: {cause}")))?;
    Ok(Some(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)))
}

/// Standard output and errors in the order in which they were written: what is buffered goes out before the other begins,
/// and before a line has to be waited for.
fn print_log(mut log: ContainerLog, details: Option<&str>, with_times: bool) -> Outcome {
    let mut stdout = io::BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let mut stderr = io::BufWriter::with_capacity(64 << 10, io::stderr().lock());
    // A long line comes in pieces, of which only the first has a time.
    let mut is_within_line = [false; 2];
    while let Some(line) = log.lines.next() {
        let line = line.map_err(|cause| Failure::daemon(cause.to_string()))?;
        let writer: &mut dyn Write = match line.stream {
            OutputStream::Stdout => {
                stderr.flush()?;
                &mut stdout
            }
            OutputStream::Stderr => {
                stdout.flush()?;
                &mut stderr
            }
        };
        let within = &mut is_within_line[usize::from(line.stream == OutputStream::Stderr)];
        if !*within {
            if with_times {
                let time = Timestamp::from_nanosecond(line.time.into()).unwrap_or_default();
                write!(writer, "{time:.9} ")?;
            }
            writer.write_all(details.unwrap_or_default().as_bytes())?;
        }
        *within = !line.bytes.ends_with(b"\n");
        writer.write_all(&line.bytes)?;
        if !log.lines.has_line() {
            writer.flush()?;
        }
    }
    stdout.flush()?;
    Ok(stderr.flush()?)
}
