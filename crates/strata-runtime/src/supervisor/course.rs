//! What follows from what happens to a container, as a table: [`step`] knows no clock and touches nothing.
//!
//! Restarts wait 100 ms, then twice as long each time up to a minute; a container that ran for 10 s begins again with
//! 100 ms. Who was asked to end is not restarted. (The rules are docker's.) Times are those of a clock that never goes
//! back.

use std::time::Duration;

use super::plan::RestartPolicy;

const FIRST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
const LONG_ENOUGH: Duration = Duration::from_secs(10);
const KILL: i32 = 9;

/// Where a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Running,
    Paused,
    /// Its init ended; the next is started at this time.
    Restarting(Duration),
    Ended,
}

/// All that decides what comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    pub(crate) phase: Phase,
    pub(crate) restarts: u32,
    policy: RestartPolicy,
    stop_signal: i32,
    started: Duration,
    delay: Duration,
    /// Somebody asked it to end.
    stopping: bool,
    kill_at: Option<Duration>,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Started,
    /// A restart failed.
    NotStarted,
    Exited {
        exit_code: i32,
    },
    /// Without a timeout it is never killed.
    Stop {
        signal: i32,
        timeout: Option<Duration>,
    },
    Signal(i32),
    Pause,
    Unpause,
    Policy(RestartPolicy),
    Time,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Send(i32),
    Kill,
    Freeze,
    Thaw,
    Launch,
    /// Write the state, and tell those who wait for the end of init.
    Record,
    /// The container ended for good.
    Finish,
    Refuse(&'static str),
}

impl Course {
    pub(crate) fn new(policy: RestartPolicy, stop_signal: i32, now: Duration) -> Course {
        Course {
            phase: Phase::Running,
            restarts: 0,
            policy,
            stop_signal,
            started: now,
            delay: FIRST_DELAY,
            stopping: false,
            kill_at: None,
        }
    }

    /// When [`Event::Time`] has to happen.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.phase {
            Phase::Restarting(at) => Some(at),
            _ => self.kill_at,
        }
    }

    fn restarts_after(&self, exit_code: i32) -> bool {
        match self.policy {
            _ if self.stopping => false,
            RestartPolicy::No => false,
            RestartPolicy::OnFailure { retries } => {
                exit_code != 0 && retries.is_none_or(|retries| self.restarts < retries)
            }
            RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        }
    }

    /// What asks the container to end also wakes it up.
    fn end(&mut self, signal: i32) -> Vec<Action> {
        self.stopping = true;
        match self.phase {
            Phase::Running => vec![Action::Send(signal)],
            Phase::Paused => {
                self.phase = Phase::Running;
                vec![Action::Send(signal), Action::Thaw, Action::Record]
            }
            Phase::Restarting(_) => {
                self.phase = Phase::Ended;
                vec![Action::Record, Action::Finish]
            }
            Phase::Ended => vec![Action::Refuse("the container ended")],
        }
    }
}

/// The table.
pub(crate) fn step(mut course: Course, event: Event, now: Duration) -> (Course, Vec<Action>) {
    let actions = match (event, course.phase) {
        (Event::Started, _) => {
            course.phase = Phase::Running;
            course.started = now;
            vec![Action::Record]
        }
        (Event::NotStarted, _) => {
            course.phase = Phase::Ended;
            vec![Action::Record, Action::Finish]
        }
        (Event::Exited { exit_code }, _) => {
            course.kill_at = None;
            if course.restarts_after(exit_code) {
                if now.saturating_sub(course.started) >= LONG_ENOUGH {
                    course.delay = FIRST_DELAY;
                }
                course.phase = Phase::Restarting(now + course.delay);
                course.delay = (course.delay * 2).min(LONGEST_DELAY);
                vec![Action::Record]
            } else {
                course.phase = Phase::Ended;
                vec![Action::Record, Action::Finish]
            }
        }
        (Event::Stop { signal, timeout }, _) => {
            let actions = course.end(signal);
            // A second request may only shorten the time.
            let kill_at = timeout.map(|timeout| now + timeout);
            course.kill_at = [course.kill_at, kill_at].into_iter().flatten().min();
            actions
        }
        (Event::Signal(signal), _) if signal == course.stop_signal || signal == KILL => course.end(signal),
        (Event::Signal(signal), Phase::Running | Phase::Paused) => vec![Action::Send(signal)],
        (Event::Pause, Phase::Running) => {
            course.phase = Phase::Paused;
            vec![Action::Freeze, Action::Record]
        }
        (Event::Pause, Phase::Paused) => vec![Action::Refuse("the container is paused already")],
        (Event::Unpause, Phase::Paused) => {
            course.phase = Phase::Running;
            vec![Action::Thaw, Action::Record]
        }
        (Event::Unpause, _) => vec![Action::Refuse("the container is not paused")],
        (Event::Signal(_) | Event::Pause, _) => vec![Action::Refuse("the container is not running")],
        (Event::Policy(policy), _) => {
            course.policy = policy;
            vec![]
        }
        (Event::Time, Phase::Restarting(at)) if now >= at => {
            course.restarts += 1;
            vec![Action::Launch]
        }
        (Event::Time, Phase::Running | Phase::Paused) if course.kill_at.is_some_and(|at| now >= at) => {
            course.kill_at = None;
            vec![Action::Kill]
        }
        (Event::Time, _) => vec![],
    };
    (course, actions)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TERM: i32 = 15;

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn running(policy: RestartPolicy) -> Course {
        Course::new(policy, TERM, at(0))
    }

    #[test]
    fn who_is_restarted() {
        let failure = |retries| RestartPolicy::OnFailure { retries };
        let cases = [
            (RestartPolicy::No, 1, false),
            (RestartPolicy::Always, 0, true),
            (RestartPolicy::UnlessStopped, 0, true),
            (failure(None), 0, false),
            (failure(None), 1, true),
            (failure(Some(0)), 1, false),
            (failure(Some(1)), 1, true),
        ];
        for (policy, exit_code, restarted) in cases {
            let (course, actions) = step(running(policy), Event::Exited { exit_code }, at(50));
            assert_eq!(course.phase == Phase::Restarting(at(150)), restarted, "{policy:?} {exit_code}");
            assert_eq!(actions.contains(&Action::Finish), !restarted);
        }
    }

    #[test]
    fn delays_double_until_it_runs_long_enough() {
        let mut course = running(RestartPolicy::Always);
        let mut now = at(0);
        let mut delays = Vec::new();
        for round in 0..13 {
            if round == 12 {
                now += LONG_ENOUGH;
            }
            (course, _) = step(course, Event::Exited { exit_code: 1 }, now);
            let Phase::Restarting(next) = course.phase else { panic!("{course:?}") };
            delays.push((next - now).as_millis());
            assert_eq!(step(course.clone(), Event::Time, next - at(1)).1, []);
            let (launched, actions) = step(course, Event::Time, next);
            assert_eq!(actions, [Action::Launch]);
            now = next;
            (course, _) = step(launched, Event::Started, now);
        }
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000, 100];
        assert_eq!(delays, expected);
        assert_eq!(course.restarts, 13);
    }

    #[test]
    fn a_stop_ends_it_also_when_paused_or_waiting() {
        let stop = Event::Stop { signal: TERM, timeout: Some(at(1000)) };
        let (course, actions) = step(running(RestartPolicy::Always), stop, at(10));
        assert_eq!((actions, course.deadline()), (vec![Action::Send(TERM)], Some(at(1010))));
        let (course, actions) = step(course, Event::Time, at(1010));
        assert_eq!(actions, [Action::Kill]);
        let (course, actions) = step(course, Event::Exited { exit_code: 137 }, at(1011));
        assert_eq!((course.phase, actions), (Phase::Ended, vec![Action::Record, Action::Finish]));

        let (course, _) = step(running(RestartPolicy::Always), Event::Pause, at(10));
        let (_, actions) = step(course, Event::Signal(9), at(20));
        assert_eq!(actions, [Action::Send(9), Action::Thaw, Action::Record]);

        let (course, _) = step(running(RestartPolicy::Always), Event::Exited { exit_code: 0 }, at(10));
        assert_eq!(step(course.clone(), Event::Signal(1), at(20)).1.len(), 1);
        let (course, actions) = step(course, stop, at(20));
        assert_eq!((course.phase, actions), (Phase::Ended, vec![Action::Record, Action::Finish]));
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::Started),
            Just(Event::Time),
            Just(Event::Pause),
            Just(Event::Unpause),
            (0..2).prop_map(|exit_code| Event::Exited { exit_code }),
            Just(Event::Signal(1)),
            Just(Event::Signal(9)),
            Just(Event::Stop { signal: TERM, timeout: Some(at(500)) }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// After somebody asked it to end, nothing is launched, whatever happens.
        #[test]
        fn what_is_stopped_stays_stopped(before in prop::collection::vec(event(), 0..8), after in prop::collection::vec(event(), 0..8)) {
            let mut course = running(RestartPolicy::Always);
            let mut now = at(0);
            for event in before {
                now += at(120);
                (course, _) = step(course, event, now);
            }
            (course, _) = step(course, Event::Stop { signal: TERM, timeout: None }, now);
            for event in after {
                now += at(120_000);
                let actions;
                (course, actions) = step(course, event, now);
                prop_assert!(!actions.contains(&Action::Launch));
            }
        }
    }
}
