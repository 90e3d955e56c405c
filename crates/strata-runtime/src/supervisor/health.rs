//! Whether a container is well: when its program for that runs, and what follows from how it ends. Knows no clock.

use std::time::Duration;

use crate::state::{HealthState, HealthStatus, ProbeResult};

use super::plan::HealthCheck;

/// Probes that are remembered.
const REMEMBERED: usize = 5;

/// Bytes of a probe's output that are kept.
pub(crate) const OUTPUT: usize = 4096;

/// The schedule and the verdict of a container's health check. Times are those of a clock that never goes back.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    check: HealthCheck,
    state: HealthState,
    started: Duration,
    next: Duration,
}

impl Health {
    /// For an init that starts now. Zeros in the check are docker's defaults.
    pub(crate) fn new(mut check: HealthCheck, now: Duration) -> Health {
        let or = |value: u64, default: u64| if value == 0 { default } else { value };
        check.interval = or(check.interval, 30_000_000_000);
        check.timeout = or(check.timeout, 30_000_000_000);
        check.start_interval = or(check.start_interval, 5_000_000_000);
        check.retries = check.retries.max(1);
        let state = HealthState { status: HealthStatus::Starting, failing_streak: 0, log: Vec::new() };
        let mut health = Health { check, state, started: now, next: now };
        health.next = now + health.interval(now);
        health
    }

    pub(crate) fn state(&self) -> &HealthState {
        &self.state
    }

    /// The program.
    pub(crate) fn test(&self) -> &[String] {
        &self.check.test
    }

    /// When the next probe begins.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// How long a probe may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_nanos(self.check.timeout)
    }

    /// Takes the result of a probe; says whether the verdict changed.
    pub(crate) fn take(&mut self, result: ProbeResult, now: Duration) -> bool {
        let before = self.state.status;
        if result.exit_code == 0 {
            self.state.failing_streak = 0;
            self.state.status = HealthStatus::Healthy;
        } else if before != HealthStatus::Starting || !self.is_starting(now) {
            self.state.failing_streak += 1;
            if self.state.failing_streak >= self.check.retries {
                self.state.status = HealthStatus::Unhealthy;
            }
        }
        if self.state.log.len() == REMEMBERED {
            self.state.log.remove(0);
        }
        self.state.log.push(result);
        self.next = now + self.interval(now);
        self.state.status != before
    }

    fn is_starting(&self, now: Duration) -> bool {
        now < self.started + Duration::from_nanos(self.check.start_period)
    }

    fn interval(&self, now: Duration) -> Duration {
        let starting = self.state.status == HealthStatus::Starting && self.is_starting(now);
        Duration::from_nanos(if starting { self.check.start_interval } else { self.check.interval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result(exit_code: i32) -> ProbeResult {
        ProbeResult { start: 0, end: 0, exit_code, output: String::new() }
    }

    fn check(start_period: u64) -> HealthCheck {
        let second = 1_000_000_000;
        HealthCheck {
            test: vec!["true".to_owned()],
            interval: 10 * second,
            timeout: second,
            start_period: start_period * second,
            start_interval: second,
            retries: 2,
        }
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn verdicts() {
        let mut health = Health::new(check(0), seconds(100));
        assert_eq!(health.next(), seconds(110));
        assert!(!health.take(result(1), seconds(110)));
        assert!(health.take(result(1), seconds(120)));
        assert_eq!(health.state().status, HealthStatus::Unhealthy);
        assert!(health.take(result(0), seconds(130)));
        assert_eq!((health.state().status, health.state().failing_streak), (HealthStatus::Healthy, 0));
        for _ in 0..9 {
            health.take(result(0), seconds(140));
        }
        assert_eq!(health.state().log.len(), REMEMBERED);
    }

    #[test]
    fn failures_at_the_start_do_not_count() {
        let mut health = Health::new(check(30), seconds(0));
        assert_eq!(health.next(), seconds(1));
        for at in 1..29 {
            assert!(!health.take(result(1), seconds(at)));
            assert_eq!(health.next(), seconds(at + 1));
        }
        assert_eq!(health.state().failing_streak, 0);
        health.take(result(0), seconds(29));
        assert_eq!(health.next(), seconds(39));
        // Once it was well, it counts.
        assert!(!health.take(result(1), seconds(29)));
        assert!(health.take(result(1), seconds(29)));
        assert_eq!(health.state().status, HealthStatus::Unhealthy);
    }
}
