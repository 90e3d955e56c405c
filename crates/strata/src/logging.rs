//! What is logged to stderr, and how.

use std::io;

use strata_cli::LogLevel;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::hub::settings::{Format, Level, LogSettings};

/// Where the lines of requests come from.
const REQUESTS: &str = "strata::requests";

/// Text for a command.
pub(crate) fn start_for_command(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let _ = fmt().with_max_level(level).with_writer(io::stderr).try_init();
}

/// As the hub's configuration says.
pub(crate) fn start(settings: &LogSettings) {
    let level = match settings.level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
    };
    let requests = if settings.requests { level } else { LevelFilter::OFF };
    let filter = Targets::new().with_default(level).with_target(REQUESTS, requests);
    let lines = fmt::layer().with_writer(io::stderr);
    let _ = match settings.format {
        Format::Text => tracing_subscriber::registry().with(lines.with_filter(filter)).try_init(),
        Format::Json => tracing_subscriber::registry().with(lines.json().with_filter(filter)).try_init(),
    };
}
