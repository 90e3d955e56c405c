//! Times as this crate keeps them: nanoseconds since 1970.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Now.
pub(crate) fn now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}

/// A time that never goes back, and goes on while the machine sleeps.
pub(crate) fn steady() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs().try_into().unwrap_or(0))
}
