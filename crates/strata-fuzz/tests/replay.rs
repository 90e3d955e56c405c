//! Every seed, and every input that once showed a bug, through its check.

use std::collections::BTreeSet;
use std::panic::catch_unwind;

use strata_fuzz::{TARGETS, Target, folder};

fn regressions(target: &Target) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder().join("regressions").join(target.name)) else { return Vec::new() };
    let paths = entries.map(|entry| entry.expect("an entry of the folder").path());
    paths.map(|path| (path.display().to_string(), std::fs::read(&path).expect("a regression is read"))).collect()
}

fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let seeds = (target.seeds)();
    seeds.into_iter().enumerate().map(|(number, seed)| (format!("{} seed {number}", target.name), seed)).collect()
}

/// Panics with the names of the inputs that a check fails on, and leaves them in `fuzz/artifacts`.
fn pass(inputs: impl Fn(&Target) -> Vec<(String, Vec<u8>)>) {
    let mut failed = Vec::new();
    for target in TARGETS {
        for (name, bytes) in inputs(target) {
            if catch_unwind(|| (target.check)(&bytes)).is_err() {
                let path = folder().join("artifacts").join(format!("{}-{}", target.name, failed.len()));
                let _ = std::fs::create_dir_all(folder().join("artifacts"));
                let _ = std::fs::write(&path, &bytes);
                failed.push(format!("{name}: {}", path.display()));
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn regressions_pass() {
    pass(regressions);
}

#[test]
fn seeds_pass() {
    pass(seeds);
}

#[test]
fn seeds_cut_short_pass() {
    pass(|target| {
        let mut inputs = seeds(target);
        for (_, bytes) in &mut inputs {
            bytes.truncate(bytes.len() / 2);
        }
        inputs
    });
}

/// A pseudo-random number below `limit` (xorshift; the same numbers in every run).
fn below(state: &mut u64, limit: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state % limit.max(1) as u64) as usize
}

/// Overwrites bytes, takes some out, repeats some, and puts a part of another seed in.
fn spoil(bytes: &mut Vec<u8>, other: &[u8], state: &mut u64) {
    for _ in 0..=below(state, 3) {
        let (at, count) = (below(state, bytes.len() + 1), below(state, 16));
        let end = (at + count).min(bytes.len());
        match below(state, 4) {
            0 => bytes[at..end].fill([0, 0xff, b'9', b'/', below(state, 256) as u8][below(state, 5)]),
            1 => drop(bytes.drain(at..end)),
            2 => bytes.extend_from_within(at..end),
            _ => {
                let from = below(state, other.len() + 1);
                let part = &other[from..(from + count).min(other.len())];
                bytes.splice(at..end, part.iter().copied());
            }
        }
    }
}

#[test]
fn spoilt_seeds_pass() {
    pass(|target| {
        let (seeds, mut state) = (seeds(target), 0x2545_f491_4f6c_dd1d);
        let spoilt = (0..400).map(|number| {
            let (name, mut bytes) = seeds[below(&mut state, seeds.len())].clone();
            let other = below(&mut state, seeds.len());
            spoil(&mut bytes, &seeds[other].1, &mut state);
            (format!("{name}, spoilt ({number})"), bytes)
        });
        spoilt.collect()
    });
}

#[test]
fn every_target_has_seeds_and_a_program() {
    let programs = std::fs::read_dir(folder().join("fuzz_targets")).expect("the folder of the programs");
    let programs: BTreeSet<String> =
        programs.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name of letters")).collect();
    let expected: BTreeSet<String> = TARGETS.iter().map(|target| format!("{}.rs", target.name)).collect();
    assert_eq!(programs, expected);
    for target in TARGETS {
        assert!(!seeds(target).is_empty(), "{}", target.name);
    }
    let folders = std::fs::read_dir(folder().join("regressions")).expect("the folder of regressions");
    for folder in folders {
        let name = folder.expect("an entry").file_name().into_string().expect("a name of letters");
        assert!(name == "README.md" || TARGETS.iter().any(|target| target.name == name), "{name} is no target");
    }
}
