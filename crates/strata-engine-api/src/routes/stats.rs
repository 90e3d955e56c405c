//! What containers use, and their processes.

use std::time::Duration;

use serde_json::{Map, Value, json};
use strata_engine::{Machine, UsageSample, container_top, find_container, processor_time, sample_usage};

use crate::answer::{JSON, ok, stream};
use crate::call::Call;
use crate::service::EngineService;
use crate::status::{Answer, Failure};

/// Time between two samples.
const INTERVAL: Duration = Duration::from_secs(1);
/// The time of a sample that was not taken.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) async fn top(call: &Call, name: &str) -> Answer {
    let options: Vec<String> =
        call.query.text("ps_args").unwrap_or_default().split_whitespace().map(str::to_owned).collect();
    let table = container_top(call.store(), call.root(), name, &options).await?;
    ok(&json!({ "Processes": table.rows, "Titles": table.titles }))
}

/// A sample, and when it was taken.
struct Taken {
    sample: UsageSample,
    time: String,
    /// Nanoseconds of all processors since boot.
    system: u64,
}

impl Taken {
    fn take(engine: &EngineService, id: &str) -> Result<Taken, Failure> {
        let now = jiff::Timestamp::from_nanosecond(i128::from(engine.store.now())).unwrap_or_default();
        let sample = sample_usage(&engine.root, id)?;
        Ok(Taken { sample, time: strata_format::timestamp::to_rfc3339(now), system: processor_time() })
    }
}

pub(super) async fn stats(call: &Call, name: &str) -> Answer {
    let row = find_container(&*call.store().read().await?, name).await?;
    let (id, name) = (row.id, format!("/{}", row.name));
    let is_stream = call.query.is_set_or_absent("stream");
    if !is_stream {
        let first = Taken::take(&call.engine, &id)?;
        if call.query.is_set("one-shot") || first.sample.usage.is_none() {
            return ok(&document(&id, &name, None, &first));
        }
        tokio::time::sleep(INTERVAL).await;
        return ok(&document(&id, &name, Some(&first), &Taken::take(&call.engine, &id)?));
    }
    let engine = call.engine.clone();
    Ok(stream(JSON, move |output| async move {
        let mut before: Option<Taken> = None;
        // Until the container is gone.
        loop {
            if find_container(&*engine.store.read().await?, &id).await.is_err() {
                return Ok(());
            }
            let taken = Taken::take(&engine, &id)?;
            if output.line(&document(&id, &name, before.as_ref(), &taken)).await.is_err() {
                return Ok(());
            }
            before = Some(taken);
            tokio::time::sleep(INTERVAL).await;
        }
    }))
}

fn document(id: &str, name: &str, before: Option<&Taken>, taken: &Taken) -> Value {
    let usage = taken.sample.usage.as_ref();
    let statistics = usage.map(|usage| &usage.statistics);
    let summary = taken.sample.summary(None);
    let pids = statistics.and_then(|statistics| statistics.pids.clone());
    let block = statistics.and_then(|statistics| statistics.block.clone());
    let entry = |op: &str, value: u64| json!({ "major": 0, "minor": 0, "op": op, "value": value });
    let (bytes, operations) = match &block {
        Some(block) => (
            json!([entry("read", block.read_bytes), entry("write", block.written_bytes)]),
            json!([entry("read", block.read_operations), entry("write", block.write_operations)]),
        ),
        None => (Value::Null, Value::Null),
    };
    let memory = statistics.and_then(|statistics| statistics.memory.clone());
    let memory = match memory {
        Some(memory) => json!({
            "usage": memory.usage,
            "stats": { "inactive_file": memory.inactive_file },
            "limit": summary.memory_limit,
        }),
        None => json!({}),
    };
    let mut fields = Map::new();
    let mut add = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    add("name", json!(name));
    add("id", json!(id));
    add("read", json!(if usage.is_some() { taken.time.as_str() } else { NEVER }));
    add("preread", json!(before.map_or(NEVER, |before| before.time.as_str())));
    add(
        "pids_stats",
        pids.map_or(json!({}), |pids| match pids.limit {
            Some(limit) => json!({ "current": pids.current, "limit": limit }),
            None => json!({ "current": pids.current }),
        }),
    );
    add(
        "blkio_stats",
        json!({
            "io_service_bytes_recursive": bytes, "io_serviced_recursive": operations, "io_queue_recursive": null,
            "io_service_time_recursive": null, "io_wait_time_recursive": null, "io_merged_recursive": null,
            "io_time_recursive": null, "sectors_recursive": null,
        }),
    );
    add("num_procs", json!(0));
    add("storage_stats", json!({}));
    add("cpu_stats", processors(Some(taken)));
    add("precpu_stats", processors(before));
    add("memory_stats", memory);
    let interfaces = usage.map(|usage| usage.interfaces.as_slice()).unwrap_or_default();
    if !interfaces.is_empty() {
        let networks: Map<String, Value> = interfaces
            .iter()
            .map(|one| {
                let counters = json!({
                    "rx_bytes": one.received_bytes, "rx_packets": one.received_packets, "rx_errors": one.received_errors,
                    "rx_dropped": one.received_dropped, "tx_bytes": one.sent_bytes, "tx_packets": one.sent_packets,
                    "tx_errors": one.sent_errors, "tx_dropped": one.sent_dropped,
                });
                (one.name.clone(), counters)
            })
            .collect();
        add("networks", Value::Object(networks));
    }
    Value::Object(fields)
}

fn processors(taken: Option<&Taken>) -> Value {
    let counted = taken.and_then(|taken| taken.sample.usage.as_ref()?.statistics.cpu.clone());
    let cpu = counted.clone().unwrap_or_default();
    let mut fields = Map::new();
    fields.insert(
        "cpu_usage".into(),
        json!({
            "total_usage": cpu.total, "usage_in_kernelmode": cpu.system, "usage_in_usermode": cpu.user,
        }),
    );
    if let (Some(taken), Some(_)) = (taken, &counted) {
        fields.insert("system_cpu_usage".into(), json!(taken.system));
        fields.insert("online_cpus".into(), json!(Machine::look().processors));
    }
    fields.insert(
        "throttling_data".into(),
        json!({
            "periods": cpu.periods, "throttled_periods": cpu.throttled_periods, "throttled_time": cpu.throttled,
        }),
    );
    Value::Object(fields)
}
