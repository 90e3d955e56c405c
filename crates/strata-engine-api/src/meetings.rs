//! What requests that run at the same time have to do with each other: one attaches to a container that another starts, and
//! a third waits for its end. Nothing here outlives them, and whoever starts a container elsewhere is met, too: then the log
//! has what was written before.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use strata_engine::{AttachRequest, AttachStream};
use tokio::sync::{broadcast, oneshot};

/// Ends that wait for whoever waits for them.
const ENDS: usize = 1024;

/// Who waits for what.
pub struct Meetings {
    /// By the IDs of containers.
    attaching: Mutex<HashMap<String, Attaching>>,
    ends: broadcast::Sender<(Arc<str>, i32)>,
}

impl Default for Meetings {
    fn default() -> Meetings {
        Meetings { attaching: Mutex::default(), ends: broadcast::channel(ENDS).0 }
    }
}

/// A client that is to be attached from the first byte on.
pub(crate) struct Attaching {
    pub(crate) request: AttachRequest,
    pub(crate) attached: oneshot::Sender<AttachStream>,
}

impl Meetings {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Attaching>> {
        self.attaching.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks whoever starts a container here to attach a client. `None` when another one asked before.
    pub(crate) fn attach_at_start(&self, id: &str, request: AttachRequest) -> Option<AtStart<'_>> {
        let (attached, stream) = oneshot::channel();
        match self.lock().entry(id.to_owned()) {
            Entry::Occupied(_) => None,
            Entry::Vacant(place) => {
                place.insert(Attaching { request, attached });
                Some(AtStart { meetings: self, id: id.to_owned(), stream: Some(stream) })
            }
        }
    }

    /// The client that waits for the start of a container, which the caller is about to start.
    pub(crate) fn take_attaching(&self, id: &str) -> Option<Attaching> {
        self.lock().remove(id)
    }

    /// Tells that a container has ended.
    pub(crate) fn ended(&self, id: &str, code: i32) {
        let _ = self.ends.send((id.into(), code));
    }

    /// The ends of a container that are told from now on.
    pub(crate) fn ends_of(&self, id: &str) -> Ends {
        Ends { id: id.to_owned(), ends: self.ends.subscribe() }
    }
}

/// A client that waits for a start.
pub(crate) struct AtStart<'a> {
    meetings: &'a Meetings,
    id: String,
    stream: Option<oneshot::Receiver<AttachStream>>,
}

impl AtStart<'_> {
    /// The client's streams, once the container is started here; `None` when that failed.
    pub(crate) async fn stream(&mut self) -> Option<AttachStream> {
        let came = self.stream.as_mut()?.await.ok();
        self.stream = None; // there is nothing to withdraw any more: the place may be another client's by now
        came
    }

    /// Stops waiting, unless the start is going on here: then there is something to wait for.
    pub(crate) fn withdraw(&mut self) -> bool {
        let mut attaching = self.meetings.lock();
        let Some(stream) = &mut self.stream else { return true };
        // Who is about to start the container has the entry.
        let is_waiting = attaching.get(&self.id).is_some_and(|entry| !entry.attached.is_closed());
        if is_waiting {
            attaching.remove(&self.id);
            stream.close();
            self.stream = None;
        }
        is_waiting
    }
}

impl Drop for AtStart<'_> {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The ends of a container.
pub(crate) struct Ends {
    id: String,
    ends: broadcast::Receiver<(Arc<str>, i32)>,
}

impl Ends {
    /// Waits for the next one that is told here.
    pub(crate) async fn next(&mut self) -> i32 {
        loop {
            match self.ends.recv().await {
                Ok((id, code)) if *id == *self.id => return code,
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_client_waits_for_a_start_and_all_hear_of_the_end() {
        let meetings = Meetings::default();
        let mut first = meetings.attach_at_start("a", AttachRequest::default()).expect("the first");
        assert!(meetings.attach_at_start("a", AttachRequest::default()).is_none());
        let taken = meetings.take_attaching("a").expect("somebody waits");
        assert!(!first.withdraw(), "the start is going on");
        drop(taken);
        assert!(first.stream().await.is_none(), "the start failed");
        let next = meetings.attach_at_start("a", AttachRequest::default()).expect("who waits for the next start");
        drop(first);
        assert!(meetings.take_attaching("a").is_some(), "who had a start leaves the next client alone");
        drop(next);
        let mut second = meetings.attach_at_start("a", AttachRequest::default()).expect("the second");
        assert!(second.withdraw() && meetings.take_attaching("a").is_none());
        drop(meetings.attach_at_start("a", AttachRequest::default()));
        assert!(meetings.take_attaching("a").is_none(), "who went away does not wait");
        let mut ends = meetings.ends_of("a");
        meetings.ended("b", 1);
        meetings.ended("a", 2);
        assert_eq!(ends.next().await, 2);
    }
}
