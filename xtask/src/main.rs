//! `cargo xtask`: the chores of the project, one module each.
//!
//! Everything here runs on the developer's or the CI machine, never in the product. Nothing needs a network, except
//! that missing Debian packages are installed when `test`, `corpus` or `bench` run as root.

mod bench;
mod corpus;
mod demo;
mod fuzz;
mod lint_deps;
mod oci_layout;
mod packages;
mod process;
mod screenshots;
mod sys;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

  test [--full] [-- FILTER...]    install what tests need, then format, lints, repository rules and all tests
  demo [--keep]                   a guided walk through the image commands, on images made of this machine's files
  screenshots [--strata PATH] [--into FOLDER]
                                  pictures of the hub's pages for the README, from the demo's hub (root, Debian)
  lint-deps                       check the direction of dependencies, forbidden crates and licences
  tidy                            check the repository's own rules
  corpus [--small]                build realistic images into a local registry (root, Debian)
  bench [--peers] [--peers13] [--small] [--runs N] [--strata PATH] [ROW...]
                                  measure Strata (PATH instead of building it) and its peers, write bench/RESULTS.md
  fuzz [--minutes N] [TARGET...]  look for inputs that break a parser, N minutes (1) for each target
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", &[][..]),
    };
    let outcome = match command {
        "test" => test::run(rest),
        "demo" => demo::run(rest),
        "screenshots" => screenshots::run(rest),
        "lint-deps" => lint_deps::run(),
        "tidy" => tidy::run(),
        "corpus" => corpus::run(rest),
        "bench" => bench::run(rest),
        "floor" => bench::floor::run(rest), // started by `bench`, in a process of its own so that memory is its own too
        "fuzz" => fuzz::run(rest),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("unknown command {other:?}\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {command}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
