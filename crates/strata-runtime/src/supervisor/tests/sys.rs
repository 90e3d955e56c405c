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
    let directory = directory.as_deref().map(Path::new);
    match (directory, std::env::var(STARTER)) {
        (Some(directory), _)
            if program.is_some_and(|program| program == PROGRAM) && !directory.join("config.json").exists() =>
        {
            supervise(directory, Plain::new);
        }
        (Some(directory), Ok(stage)) => start::die_at(directory, &stage),
        _ => match crate::entry() {
            Some(_) => {}
            None => return,
        },
    }
    std::process::exit(0);
}
