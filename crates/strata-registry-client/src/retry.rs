//! Making failed requests again: exponential pauses with jitter, or as long as the registry asks for.

use std::hash::{BuildHasher, Hasher};
use std::time::Duration;

use crate::config::RetryPolicy;
use crate::failure::Failure;

/// A registry that cannot be reached is tried this often; a wrong address should not take long to show.
const TRIES_WHEN_UNREACHABLE: u32 = 3;

/// The tries of one request.
pub(crate) struct Attempts<'a> {
    policy: &'a RetryPolicy,
    tries: u32,
    made: u32,
}

impl<'a> Attempts<'a> {
    pub(crate) fn new(policy: &'a RetryPolicy, tries: Option<u32>) -> Attempts<'a> {
        Attempts { policy, tries: tries.unwrap_or(policy.tries), made: 0 }
    }

    /// After a failure: how long to wait before the next try, or `None` when there is none.
    pub(crate) fn next(&mut self, failure: &Failure) -> Option<Duration> {
        self.made += 1;
        let tries = if failure.unreachable { self.tries.min(TRIES_WHEN_UNREACHABLE) } else { self.tries };
        if !failure.error.retryable || self.made >= tries {
            return None;
        }
        match failure.retry_after {
            Some(asked) if asked > self.policy.max_retry_after => None,
            Some(asked) => Some(asked),
            None => Some(self.pause()),
        }
    }

    /// After a failure: waits and tells `true` when the request should be made again.
    pub(crate) async fn again(&mut self, failure: &Failure) -> bool {
        let Some(pause) = self.next(failure) else { return false };
        tracing::debug!(error = %failure.error, ?pause, "retrying");
        tokio::time::sleep(pause).await;
        true
    }

    fn pause(&self) -> Duration {
        let doubled = self.policy.first_delay.saturating_mul(1 << (self.made - 1).min(16));
        doubled.min(self.policy.max_delay).mul_f64(1.0 - random_fraction() / 2.0)
    }
}

/// A number from 0 to 1; the standard library's random hash keys are random enough for jitter.
fn random_fraction() -> f64 {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    (random >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use strata_model::ErrorKind;
    use strata_transfer::TransferError;

    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let policy = RetryPolicy {
            first_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(3),
            ..RetryPolicy::default()
        };
        let failure = Failure::new(TransferError::retryable(ErrorKind::Unavailable, "x"));
        let mut attempts = Attempts::new(&policy, None);
        for (least, most) in [(0.5, 1.0), (1.0, 2.0), (1.5, 3.0), (1.5, 3.0)] {
            let pause = attempts.next(&failure).unwrap().as_secs_f64();
            assert!((least..=most).contains(&pause), "{pause}");
        }
        assert_eq!(attempts.next(&failure), None);
    }

    #[test]
    fn the_registry_may_ask_for_a_pause_but_not_for_hours() {
        let policy = RetryPolicy::default();
        let mut failure = Failure::new(TransferError::retryable(ErrorKind::RateLimited, "x"));
        failure.retry_after = Some(Duration::from_secs(7));
        assert_eq!(Attempts::new(&policy, None).next(&failure), Some(Duration::from_secs(7)));
        failure.retry_after = Some(Duration::from_secs(7000));
        assert_eq!(Attempts::new(&policy, None).next(&failure), None);
        failure.retry_after = None;
        failure.error.retryable = false;
        assert_eq!(Attempts::new(&policy, None).next(&failure), None);
    }
}
