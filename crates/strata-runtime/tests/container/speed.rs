//! How long a start takes beside runc. Prints; fails only when something is badly wrong.

use std::time::{Duration, Instant};

use crate::Test;
use crate::bundle::Bundle;

pub(crate) const TESTS: &[Test] = &[("start_cost", start_cost)];

fn start_cost() {
    let median = |run: &dyn Fn()| {
        let mut times: Vec<Duration> = (0..15)
            .map(|_| {
                let began = Instant::now();
                run();
                began.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2]
    };
    let bundles: Vec<Bundle> = (0..15).map(|_| Bundle::with_arguments(&["/bin/true"])).collect();
    let next = std::cell::Cell::new(0);
    let ours = median(&|| {
        bundles[next.get()].start().unwrap();
        next.set(next.get() + 1);
    });
    let bundle = Bundle::with_arguments(&["/bin/true"]);
    let theirs = median(&|| assert_eq!(bundle.run_by_runc().code, 0));
    println!("start of /bin/true: {ours:?}; runc run to its end: {theirs:?}");
    assert!(ours < theirs * 4 + Duration::from_millis(100));
}
