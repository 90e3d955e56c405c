//! Times as this crate keeps them: nanoseconds since 1970.

use rustix::time::{ClockId, clock_gettime};

/// Now.
pub(crate) fn now() -> i64 {
    let time = clock_gettime(ClockId::Realtime);
    time.tv_sec.saturating_mul(1_000_000_000).saturating_add(time.tv_nsec)
}
