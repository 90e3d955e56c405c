//! Containers as they are seen from inside, by our runtime and by runc. Needs root, namespaces and a static busybox.

#![allow(clippy::print_stdout, reason = "a harness says what it found")]

mod bundle;
mod escapes;
mod lifecycle;
mod specification;
mod view;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// (name, test)
type Test = (&'static str, fn());

fn main() -> ExitCode {
    if let Some(code) = strata_runtime::entry() {
        return code;
    }
    let tests: Vec<Test> = [lifecycle::TESTS, specification::TESTS, view::TESTS, escapes::TESTS].concat();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            tests.iter().for_each(|(name, _)| println!("{name}: test"));
        }
        return ExitCode::SUCCESS;
    }
    if let Some(reason) = bundle::missing() {
        println!("skipped: {reason}\n\ntest result: ok. 0 passed; 0 failed; {} ignored;", tests.len());
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = arguments.iter().filter(|argument| !argument.starts_with('-')).collect();
    let chosen = |name: &str| match (filters.is_empty(), has("--exact")) {
        (true, _) => true,
        (_, true) => filters.iter().any(|filter| *filter == name),
        _ => filters.iter().any(|filter| name.contains(filter.as_str())),
    };
    let (mut passed, mut failed) = (0, 0);
    for (name, test) in tests.iter().filter(|(name, _)| chosen(name)) {
        match catch_unwind(AssertUnwindSafe(test)) {
            Ok(()) => passed += 1,
            Err(_) => {
                println!("test {name} ... FAILED");
                failed += 1;
            }
        }
    }
    println!("\ntest result: {passed} passed; {failed} failed;");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
