//! The endpoints, by method and path. A name may have slashes: it goes as far as the last word that the endpoint has.

mod archive;
mod containers;
mod create;
mod df;
mod events;
mod exec;
mod images;
mod networks;
mod processes;
mod stats;
mod streams;
mod system;
mod transfers;
mod volumes;

use serde_json::json;

use crate::answer::ok;
use crate::call::Call;
use crate::status::{Answer, Failure};

/// Calls the endpoint that a method and a path mean.
pub(crate) async fn dispatch(call: Call, path: &[&str]) -> Answer {
    let method = call.method.clone();
    match (method.as_str(), path) {
        ("GET" | "HEAD", ["_ping"]) => system::ping(&call),
        ("GET", ["version"]) => system::version(&call),
        ("GET", ["info"]) => system::info(&call).await,
        ("POST", ["auth"]) => system::authenticate(call).await,
        ("GET", ["system", "df"]) => df::usage(&call).await,
        ("GET", ["events"]) => events::stream(&call),

        ("GET", ["images", "json"]) => images::list(&call).await,
        ("GET", ["images", "search"]) => images::search(&call).await,
        ("GET", ["images", "get"]) => transfers::save(&call, call.query.all("names")).await,
        ("POST", ["images", "create"]) => transfers::create(call).await,
        ("POST", ["images", "load"]) => transfers::load(call).await,
        ("POST", ["images", "prune"]) => images::prune(&call).await,
        ("GET", ["images", name @ .., "json"]) => images::inspect(&call, &name.join("/")).await,
        ("GET", ["images", name @ .., "history"]) => images::history(&call, &name.join("/")).await,
        ("GET", ["images", name @ .., "get"]) => transfers::save(&call, vec![name.join("/")]).await,
        ("POST", ["images", name @ .., "push"]) => transfers::push(call, &name.join("/")).await,
        ("POST", ["images", name @ .., "tag"]) => images::tag(&call, &name.join("/")).await,
        ("DELETE", ["images", name @ ..]) if !name.is_empty() => images::remove(&call, &name.join("/")).await,
        ("GET", ["distribution", name @ .., "json"]) => images::distribution(&call, &name.join("/")).await,

        ("GET", ["containers", "json"]) => containers::list(&call).await,
        ("POST", ["containers", "create"]) => create::create(call).await,
        ("POST", ["containers", "prune"]) => containers::prune(&call).await,
        ("POST", ["commit"]) => containers::commit(call).await,
        ("DELETE", ["containers", name @ ..]) if !name.is_empty() => containers::remove(&call, &name.join("/")).await,
        ("GET", ["containers", name, "json"]) => containers::inspect(&call, name).await,
        ("GET", ["containers", name, "changes"]) => containers::changes(&call, name).await,
        ("GET", ["containers", name, "export"]) => containers::export(&call, name).await,
        ("POST", ["containers", name, "rename"]) => containers::rename(&call, name).await,
        ("POST", ["containers", name, "update"]) => create::update(call, name).await,
        ("POST", ["containers", name, "start"]) => processes::start(&call, name).await,
        ("POST", ["containers", name, "stop"]) => processes::stop(&call, name).await,
        ("POST", ["containers", name, "restart"]) => processes::restart(&call, name).await,
        ("POST", ["containers", name, "kill"]) => processes::kill(&call, name).await,
        ("POST", ["containers", name, "pause"]) => processes::pause(&call, name).await,
        ("POST", ["containers", name, "unpause"]) => processes::unpause(&call, name).await,
        ("POST", ["containers", name, "wait"]) => processes::wait(&call, name).await,
        ("POST", ["containers", name, "attach"]) => streams::attach(call, name).await,
        ("GET", ["containers", name, "attach", "ws"]) => streams::attach_websocket(call, name).await,
        ("GET", ["containers", name, "logs"]) => streams::logs(&call, name).await,
        ("POST", ["containers", name, "resize"]) => streams::resize(&call, name).await,
        ("GET", ["containers", name, "stats"]) => stats::stats(&call, name).await,
        ("GET", ["containers", name, "top"]) => stats::top(&call, name).await,
        ("POST", ["containers", name, "exec"]) => exec::create(call, name).await,
        ("POST", ["exec", id, "start"]) => exec::start(call, id).await,
        ("POST", ["exec", id, "resize"]) => exec::resize(&call, id),
        ("GET", ["exec", id, "json"]) => exec::inspect(&call, id),
        ("HEAD", ["containers", name, "archive"]) => archive::stat(&call, name).await,
        ("GET", ["containers", name, "archive"]) => archive::get(&call, name).await,
        ("PUT", ["containers", name, "archive"]) => archive::put(call, name).await,

        ("GET", ["volumes"]) => volumes::list(&call).await,
        ("POST", ["volumes", "create"]) => volumes::create(call).await,
        ("POST", ["volumes", "prune"]) => volumes::prune(&call).await,
        ("GET", ["volumes", name]) => volumes::inspect(&call, name).await,
        ("DELETE", ["volumes", name]) => volumes::remove(&call, name).await,

        ("GET", ["networks"]) => networks::list(&call).await,
        ("POST", ["networks", "create"]) => networks::create(call).await,
        ("POST", ["networks", "prune"]) => networks::prune(&call).await,
        ("GET", ["networks", name]) => networks::inspect(&call, name).await,
        ("DELETE", ["networks", name]) => networks::remove(&call, name).await,
        ("POST", ["networks", name, "connect"]) => networks::connect(call, name).await,
        ("POST", ["networks", name, "disconnect"]) => networks::disconnect(call, name).await,

        // There are none.
        ("GET", ["plugins"]) => ok(&json!([])),

        _ => Err(refusal(method.as_str(), path)),
    }
}

/// What docker has and Strata has not is said to be so; all else nobody knows.
fn refusal(method: &str, path: &[&str]) -> Failure {
    let what = match (method, path) {
        ("POST", ["build" | "session" | "grpc"] | ["build", _]) => "building images",
        (_, ["swarm" | "nodes" | "services" | "tasks" | "secrets" | "configs", ..]) => {
            return Failure::new(
                http::StatusCode::SERVICE_UNAVAILABLE,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" to connect this node \
                 to swarm and try again.",
            );
        }
        (_, ["plugins", ..]) => "plugins",
        _ => return Failure::page_not_found(),
    };
    Failure::not_supported(what)
}
