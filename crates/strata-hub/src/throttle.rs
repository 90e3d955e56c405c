//! Guessing of passwords is slowed down: after some failures in a row an account or an address must wait, longer each time.
//!
//! Counts are in memory, bounded; those that make somebody wait are also recorded, so that neither a restart nor another
//! replica is a new chance. Access tokens cannot be guessed and do not count against an account: a robot works on while its
//! account is attacked.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::records::SignInFailuresRow;
use crate::{Hub, HubError, Result};

/// Failures that cost nothing: people mistype, and many may share an address.
const FREE_FOR_ACCOUNT: u32 = 5;
const FREE_FOR_ADDRESS: u32 = 20;
/// The first wait, doubled with each failure, and the longest, in seconds.
const FIRST_WAIT: i64 = 1;
const LONGEST_WAIT: i64 = 900;
/// Seconds after which failures are forgotten.
const MEMORY: i64 = 3600;
/// Accounts and addresses that are counted at once.
const MOST: usize = 16_384;
const SECOND: i64 = 1_000_000_000;

/// Failed sign-ins by account and address.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Failures>>);

#[derive(Clone, Copy, Default)]
struct Failures {
    count: u32,
    last: i64,
}

/// What a sign-in counts against.
pub(crate) struct Subjects {
    account: Option<String>,
    address: Option<String>,
}

impl Subjects {
    /// An attempt for an account (`None`: by a token) from an address (`None`: from this machine's command line).
    pub(crate) fn new(account: Option<&str>, address: Option<IpAddr>) -> Subjects {
        Subjects {
            account: account.map(|account| format!("account {account}")),
            address: address.map(|address| format!("address {}", network(address))),
        }
    }

    fn each(&self) -> impl Iterator<Item = (&str, u32)> {
        let account = self.account.as_deref().map(|subject| (subject, FREE_FOR_ACCOUNT));
        account.into_iter().chain(self.address.as_deref().map(|subject| (subject, FREE_FOR_ADDRESS)))
    }
}

/// What counts as one address: an IPv4 address, or the /64 network that a subscriber has of IPv6.
pub(crate) fn network(address: IpAddr) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

/// Seconds to wait after the last of so many failures.
fn wait(count: u32, free: u32) -> i64 {
    match count.checked_sub(free) {
        None => 0,
        Some(beyond) => {
            FIRST_WAIT.checked_shl(beyond).filter(|wait| *wait > 0).map_or(LONGEST_WAIT, |wait| wait.min(LONGEST_WAIT))
        }
    }
}

impl Throttle {
    fn known(&self, subject: &str, now: i64) -> Option<Failures> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.get(subject).copied().filter(|known| now - known.last < MEMORY * SECOND)
    }

    fn set(&self, subject: &str, known: Failures) {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= MOST && !failures.contains_key(subject) {
            make_room(&mut failures, known.last);
        }
        failures.insert(subject.to_owned(), known);
    }

    fn forget(&self, subject: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(subject);
    }
}

/// Drops what is old; if all is fresh, those with the fewest failures, so that a flood of names frees nobody who waits.
fn make_room(failures: &mut HashMap<String, Failures>, now: i64) {
    failures.retain(|_, known| now - known.last < MEMORY * SECOND);
    let mut least = 1;
    while failures.len() >= MOST {
        failures.retain(|_, known| known.count > least);
        least *= 2;
    }
}

impl Hub {
    /// Whether an attempt may be made now.
    ///
    /// # Errors
    /// `RateLimited` with the seconds to wait.
    pub(crate) async fn check_throttle(&self, subjects: &Subjects) -> Result<()> {
        let now = self.now();
        for (subject, free) in subjects.each() {
            let known = match self.inner.sign_in.throttle.known(subject, now) {
                Some(known) => Some(known),
                None => self.recorded_failures(subject, now).await?,
            };
            let Some(known) = known else { continue };
            let left = known.last + wait(known.count, free) * SECOND - now;
            if left > 0 {
                return Err(HubError::RateLimited { retry_after: left.unsigned_abs().div_ceil(SECOND.unsigned_abs()) });
            }
        }
        Ok(())
    }

    async fn recorded_failures(&self, subject: &str, now: i64) -> Result<Option<Failures>> {
        let row = self.read().await?.sign_in_failures(subject).await?;
        let row = row.filter(|row| now - row.last < MEMORY * SECOND);
        Ok(row.map(|row| Failures { count: row.failures, last: row.last }))
    }

    /// Notes that an attempt failed.
    pub(crate) async fn count_failure(&self, subjects: &Subjects) -> Result<()> {
        let now = self.now();
        let mut recorded = Vec::new();
        for (subject, free) in subjects.each() {
            let known = match self.inner.sign_in.throttle.known(subject, now) {
                Some(known) => known,
                None => self.recorded_failures(subject, now).await?.unwrap_or_default(),
            };
            let count = known.count.saturating_add(1);
            self.inner.sign_in.throttle.set(subject, Failures { count, last: now });
            if count >= free {
                recorded.push(SignInFailuresRow { subject: subject.to_owned(), failures: count, last: now });
            }
        }
        if recorded.is_empty() {
            return Ok(());
        }
        let mut txn = self.write("recording failed sign-ins").await?;
        for row in &recorded {
            txn.put_sign_in_failures(row).await?;
        }
        txn.prune_sign_in_failures(now - MEMORY * SECOND).await?;
        Ok(txn.commit().await?)
    }

    /// Forgets an account's failures after it signed in. Those of the address stay: an attacker may have an account too.
    pub(crate) async fn forget_failures(&self, account: &str) -> Result<()> {
        let subject = format!("account {account}");
        self.inner.sign_in.throttle.forget(&subject);
        if self.read().await?.sign_in_failures(&subject).await?.is_some() {
            let mut txn = self.write("forgetting failed sign-ins").await?;
            txn.delete_sign_in_failures(&subject).await?;
            txn.commit().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour() {
        let waits = [4, 5, 6, 7, 14, 15, 100, u32::MAX].map(|count| wait(count, FREE_FOR_ACCOUNT));
        assert_eq!(waits, [0, 1, 2, 4, 512, 900, 900, 900]);
    }

    #[test]
    fn addresses_of_one_subscriber_are_one() {
        for (address, expected) in [
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(network(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[test]
    fn a_flood_of_names_frees_nobody_who_waits() {
        let throttle = Throttle::default();
        throttle.set("account victim", Failures { count: 9, last: 1 });
        for n in 0..3 * MOST {
            throttle.set(&format!("account {n}"), Failures { count: 1, last: 1 });
        }
        assert_eq!(throttle.known("account victim", 2).unwrap().count, 9);
        assert!(throttle.0.lock().unwrap().len() <= MOST);
    }
}
