//! The test program as supervisor, and as starter that is killed: before its `main`, which is the test harness's.
#![allow(unsafe_code)]

use std::path::Path;

use super::plain::Plain;
use crate::supervisor::{PROGRAM, start, supervise};

/// Says at which stage a starter is killed.
pub(super) const STARTER: &str = "STRATA_TEST_STARTER";

// SAFETY: a function of this type in this section is called once before `main`, after the standard library's own that
// takes the arguments over; it uses nothing that is set up later.
#[used]
#[unsafe(link_section = ".init_array")]
static ENTRY: extern "C" fn() = entry;

extern "C" fn entry() {
    let mut arguments = std::env::args_os();
    let (program, directory) = (arguments.next(), arguments.next());
    let Some(directory) = directory else { return };
    if program.is_some_and(|program| program == PROGRAM) {
        let directory = Path::new(&directory);
        if directory.join("config.json").exists() {
            crate::entry();
        } else {
            supervise(directory, Plain::new);
        }
    } else if let Ok(stage) = std::env::var(STARTER) {
        start::die_at(Path::new(&directory), &stage);
    } else {
        return;
    }
    std::process::exit(0);
}
