//! What a container's program writes and reads: `attach`, `logs`, and the size of its terminal.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use strata_engine::{
    AttachRequest, AttachStream, DetachKeys, EngineError, LogQuery, OutputStream, RemoveContainer, TerminalSize,
    attach_container, container_logs, parse_event_time, remove_container, resize_container,
};
use strata_model::ErrorKind;
use strata_store::Store;
use tokio::sync::mpsc;

use super::processes::State;
use crate::answer::{empty, stream};
use crate::call::{Call, Query};
use crate::connection::{Client, Framing, Part, converse, hijacked, websocket};
use crate::service::EngineService;
use crate::status::{Answer, Failure};
use crate::version::ApiVersion;

/// How often it is looked whether a container that a client waits for has started.
const LOOK: Duration = Duration::from_millis(20);
/// Pieces of a log that wait for the client.
const WAITING: usize = 64;

/// `attach`. A client attaches before it starts the container: it is waited for then, and what was written before we are
/// there is in the log.
pub(super) async fn attach(mut call: Call, name: &str) -> Answer {
    let attaching = Attaching::of(&call, name).await?;
    let framing = attaching.part.framing;
    hijacked(&mut call, framing, |client| attaching.run(client))
}

/// The same over a websocket, where nothing says of which stream a piece is.
pub(super) async fn attach_websocket(mut call: Call, name: &str) -> Answer {
    let mut attaching = Attaching::of(&call, name).await?;
    attaching.part.framing = Framing::Raw;
    if call.version < ApiVersion(42) {
        (attaching.part.stdin, attaching.part.stdout, attaching.part.stderr) = (true, true, true);
    }
    websocket(&mut call, |client| attaching.run(client))
}

/// A client that is about to attach, and how.
struct Attaching {
    engine: Arc<EngineService>,
    before: State,
    part: Part,
    keys: Option<DetachKeys>,
    logs: bool,
    is_live: bool,
    begun: i64,
}

impl Attaching {
    async fn of(call: &Call, name: &str) -> Result<Attaching, Failure> {
        let before = State::of(&call.engine, name).await?;
        let framing = before.framing;
        if before.status == "paused" {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                format!("container {} is paused, unpause the container before attach", before.id),
            ));
        }
        let wants = |name: &str| call.query.is_set(name);
        let part = Part { stdin: wants("stdin"), stdout: wants("stdout"), stderr: wants("stderr"), framing };
        let keys = match framing {
            Framing::Raw => Some(DetachKeys::parse(call.query.text("detachKeys").unwrap_or_default())?),
            Framing::Multiplexed => None,
        };
        let (logs, is_live) = (wants("logs"), wants("stream"));
        let (engine, begun) = (call.engine.clone(), call.store().now());
        Ok(Attaching { engine, before, part, keys, logs, is_live, begun })
    }

    async fn run(self, client: Client) {
        let Attaching { engine, before, part, keys, logs, is_live, begun } = self;
        let attachment =
            Attachment { engine: &engine, before: &before, part, keys, since: if logs { 0 } else { begun } };
        if let Err(failure) = attachment.run(client, is_live, logs).await {
            tracing::debug!(error = failure.message, "an attached client was cut off");
        }
    }
}

struct Attachment<'a> {
    engine: &'a EngineService,
    before: &'a State,
    part: Part,
    /// What the client types to leave its terminal.
    keys: Option<DetachKeys>,
    /// What was written from then on is for the client.
    since: i64,
}

impl Attachment<'_> {
    async fn run(&self, client: Client, is_live: bool, logs: bool) -> Result<(), Failure> {
        if !is_live {
            if !logs {
                return Ok(());
            }
            self.before.first_words(self.engine.store.now()).await;
            return self.replay(&client, None).await;
        }
        let Part { stdin, stdout, stderr, .. } = self.part;
        let request = AttachRequest { stdin, stdout, stderr, paced: true, removes: self.before.removes };
        if !self.before.runs()
            && let Some(mut at_start) = self.engine.meetings.attach_at_start(&self.before.id, request)
        {
            let started_elsewhere = tokio::select! {
                biased;
                stream = at_start.stream() => return self.converse(stream, client).await,
                started = self.started() => started?,
            };
            if !at_start.withdraw() {
                let stream = at_start.stream().await;
                return self.converse(stream, client).await;
            }
            if !started_elsewhere {
                return self.replay(&client, None).await;
            }
        } else if !self.started().await? {
            return self.replay(&client, None).await;
        }
        let attached = attach_container(&self.engine.store, &self.engine.root, &self.before.id, request).await;
        let stream = match attached {
            Ok(stream) => stream,
            // It has ended already.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => {
                return self.replay(&client, None).await;
            }
            Err(error) => return Err(error.into()),
        };
        if logs || !self.before.runs() {
            self.replay(&client, Some(stream.time)).await?;
        }
        self.converse(Some(stream), client).await
    }

    /// Passes everything on until the container ends; nothing when it could not be started.
    async fn converse(&self, stream: Option<AttachStream>, client: Client) -> Result<(), Failure> {
        if let Some(stream) = stream
            && let Some(code) = converse(stream, self.part, self.keys.clone(), client).await?
        {
            self.engine.meetings.ended(&self.before.id, code);
            if self.before.removes {
                let how = RemoveContainer { volumes: true, ..RemoveContainer::default() };
                match remove_container(&self.engine.store, &self.engine.root, &self.before.id, how).await {
                    // Somebody else was first.
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Conflict) => {}
                    removed => removed?,
                }
            }
        }
        Ok(())
    }

    /// Waits until the container runs; false when it has ended by then, or is gone.
    async fn started(&self) -> Result<bool, EngineError> {
        loop {
            match State::find(self.engine, &self.before.id).await? {
                None => return Ok(false),
                Some(now) if now.runs() => return Ok(true),
                Some(now) if now.finished_at != self.before.finished_at => return Ok(false),
                Some(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Sends what the log has.
    async fn replay(&self, client: &Client, until: Option<i64>) -> Result<(), Failure> {
        let query = LogQuery { since: Some(self.since), until, ..LogQuery::default() };
        let log = match container_logs(&self.engine.store, &self.engine.root, &self.before.id, query).await {
            Ok(log) => log,
            // It is gone, or its output is not kept.
            Err(error) if matches!(error.kind(), ErrorKind::Conflict | ErrorKind::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let (part, output) = (self.part, client.output.clone());
        let sent = tokio::task::spawn_blocking(move || {
            for line in log.lines {
                let Ok(line) = line else { return };
                if part.shows(line.stream)
                    && output.blocking_send(part.framing.frame(line.stream, &line.bytes)).is_err()
                {
                    return;
                }
            }
        });
        sent.await.map_err(|cause| Failure::bad_request(format!("a worker thread failed: {cause}")))
    }
}

/// A log as a client wants it.
struct Shown {
    part: Part,
    with_time: bool,
    with_details: bool,
}

pub(super) async fn logs(call: &Call, name: &str) -> Answer {
    let wants = |name: &str| call.query.is_set(name);
    let before = State::of(&call.engine, name).await?;
    let framing = before.framing;
    let part = Part { stdin: false, stdout: wants("stdout"), stderr: wants("stderr"), framing };
    if !part.stdout && !part.stderr {
        return Err(Failure::bad_request("Bad parameters: you must choose at least one stream"));
    }
    let query = LogQuery {
        since: log_time(call.store(), &call.query, "since")?,
        until: log_time(call.store(), &call.query, "until")?,
        // As docker: what is no number is all.
        tail: call.query.text("tail").and_then(|text| text.parse().ok()),
        follow: wants("follow"),
    };
    if !query.follow {
        before.first_words(call.store().now()).await;
    }
    let shown = Shown { part, with_time: wants("timestamps"), with_details: wants("details") };
    let log = container_logs(call.store(), call.root(), name, query).await?;
    let (sender, mut pieces) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        for line in log.lines {
            let Ok(line) = line else { return };
            if shown.part.shows(line.stream)
                && sender.blocking_send(shown.piece(&log.details, line.stream, line.time, line.bytes)).is_err()
            {
                return;
            }
        }
    });
    Ok(stream(framing.content_type(call.version), move |output| async move {
        while let Some(piece) = pieces.recv().await {
            if output.bytes(piece).await.is_err() {
                break;
            }
        }
        Ok(())
    }))
}

impl Shown {
    fn piece(&self, details: &str, stream: OutputStream, time: i64, line: Vec<u8>) -> Bytes {
        let mut bytes = Vec::new();
        if self.with_time {
            let time = jiff::Timestamp::from_nanosecond(i128::from(time)).unwrap_or_default();
            bytes.extend_from_slice(time.strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string().as_bytes());
        }
        if self.with_details {
            bytes.extend_from_slice(details.as_bytes());
            bytes.push(b' ');
        }
        bytes.extend_from_slice(&line);
        self.part.framing.frame(stream, &bytes)
    }
}

/// A time; nothing and zero are no limit.
fn log_time(store: &Store, query: &Query, name: &str) -> Result<Option<i64>, Failure> {
    match query.text(name).filter(|text| *text != "0") {
        Some(text) => Ok(Some(parse_event_time(store, text)?)),
        None => Ok(None),
    }
}

/// Rows and columns that a request names.
pub(super) fn terminal_size(query: &Query) -> Result<TerminalSize, Failure> {
    let number = |name: &str| -> Result<u16, Failure> {
        let number = query.number(name)?.unwrap_or(0);
        u16::try_from(number).map_err(|_| Failure::bad_request(format!("invalid size of a terminal: {name}={number}")))
    };
    Ok(TerminalSize { rows: number("h")?, columns: number("w")? })
}

pub(super) async fn resize(call: &Call, name: &str) -> Answer {
    resize_container(call.store(), call.root(), name, terminal_size(&call.query)?).await?;
    empty(StatusCode::OK)
}
