//! How many manifests may be pulled in a window of time, by account or by address. Off unless set.
//!
//! Counted in memory by each process for itself: a restart gives everybody a new window, and of several replicas each
//! counts what it serves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use strata_store::registry::{Caller, PullAllowance, Refusal};

use crate::throttle::network;

/// Accounts and addresses that are counted at once.
const MOST: usize = 65_536;
const SECOND: i64 = 1_000_000_000;

/// Section `[pull-limits]` of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct PullLimitSettings {
    /// Pulls of an IPv4 address or IPv6 /64 network without an account in a window; none: no limit.
    pub anonymous: Option<u64>,
    /// Pulls of an account in a window; none: no limit.
    pub signed_in: Option<u64>,
    /// Length of a window in seconds.
    pub window_seconds: u32,
}

impl Default for PullLimitSettings {
    fn default() -> PullLimitSettings {
        PullLimitSettings { anonymous: None, signed_in: None, window_seconds: 6 * 3600 }
    }
}

/// The windows under way.
#[derive(Default)]
pub(crate) struct PullCounter(Mutex<HashMap<String, Window>>);

#[derive(Clone, Copy)]
struct Window {
    began: i64,
    pulls: u64,
}

impl PullCounter {
    /// What is left to a caller, after this pull if it counts.
    pub(crate) fn allow(
        &self,
        settings: &PullLimitSettings,
        caller: &Caller,
        counts: bool,
        now: i64,
    ) -> Result<Option<PullAllowance>, Refusal> {
        let (limit, source) = match (&caller.account, caller.peer) {
            // A robot counts for itself.
            (Some(account), _) => (settings.signed_in, account.clone()),
            (None, Some(peer)) => (settings.anonymous, network(peer)),
            (None, None) => return Ok(None),
        };
        let Some(limit) = limit else { return Ok(None) };
        let window = u64::from(settings.window_seconds);
        let length = i64::from(settings.window_seconds) * SECOND;

        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= MOST && !windows.contains_key(&source) {
            windows.retain(|_, window| now - window.began < length);
            if windows.len() >= MOST {
                // More than this many addresses at once: count anew rather than refuse or grow.
                windows.clear();
            }
        }
        let current = windows.entry(source.clone()).or_insert(Window { began: now, pulls: 0 });
        if now - current.began >= length {
            *current = Window { began: now, pulls: 0 };
        }
        if counts && current.pulls >= limit {
            let left = (current.began + length - now).max(1);
            return Err(Refusal::RateLimited {
                retry_after: left.unsigned_abs().div_ceil(SECOND.unsigned_abs()),
                message: match caller.account {
                    Some(_) => "You have reached your pull rate limit.".to_owned(),
                    None => "You have reached your unauthenticated pull rate limit.".to_owned(),
                },
            });
        }
        current.pulls += u64::from(counts);
        Ok(Some(PullAllowance { limit, remaining: limit.saturating_sub(current.pulls), window, source }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(account: Option<&str>, peer: &str) -> Caller {
        Caller { account: account.map(str::to_owned), peer: Some(peer.parse().unwrap()) }
    }

    #[test]
    fn pulls_count_by_account_or_network() {
        let counter = PullCounter::default();
        let settings = PullLimitSettings { anonymous: Some(2), signed_in: Some(3), window_seconds: 60 };
        let left = |caller: &Caller, counts, now| {
            counter.allow(&settings, caller, counts, now).map(|allowance| allowance.unwrap().remaining)
        };
        let anybody = caller(None, "2001:db8::1");
        assert_eq!(left(&anybody, false, 0), Ok(2));
        assert_eq!(left(&anybody, true, 0), Ok(1));
        assert_eq!(left(&caller(None, "2001:db8::2"), true, 0), Ok(0));
        let Err(Refusal::RateLimited { retry_after, .. }) = left(&anybody, true, 20 * SECOND) else { panic!() };
        assert_eq!(retry_after, 40);
        assert_eq!(left(&anybody, false, 20 * SECOND), Ok(0), "HEAD shows what is left");
        assert_eq!(left(&caller(Some("ann"), "2001:db8::2"), true, 0), Ok(2));
        assert_eq!(left(&caller(None, "2001:db8:0:1::2"), true, 0), Ok(1));
        assert_eq!(left(&anybody, true, 60 * SECOND), Ok(1), "a new window");
    }

    #[test]
    fn there_is_no_limit_unless_one_is_set() {
        let allowed = PullCounter::default().allow(&PullLimitSettings::default(), &caller(None, "::1"), true, 0);
        assert_eq!(allowed, Ok(None));
    }
}
