//! System call filters: a configuration's `linux.seccomp` as a classic BPF program, without libseccomp.
//!
//! Rules are OR'd and their conditions AND'd, as in libseccomp. The program decides by architecture, then by a binary
//! search over ranges of numbers with one answer; conditions on arguments come last. Numbers above every one that the
//! configuration names get `ENOSYS` instead of an error of permission, so that C libraries fall back from calls newer than
//! the profile.

mod assemble;
pub(crate) mod sys;
mod table;

use std::collections::BTreeMap;

use oci_spec::runtime::{Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompFilterFlag};

use crate::error::RuntimeError;
use assemble::{Condition, Leaf, Rule};
pub(crate) use sys::Filter;
use table::Architecture;

const RETURN_KILL_PROCESS: u32 = 0x8000_0000;
const RETURN_ERRNO: u32 = 0x0005_0000;
const ENOSYS: u32 = 38;
const EPERM: u32 = 1;

/// The filter that a configuration describes.
///
/// # Errors
/// When it names an architecture or an action that cannot be filtered for, or does not fit a program of the kernel.
pub(crate) fn compile(seccomp: &LinuxSeccomp) -> Result<Filter, RuntimeError> {
    let default = action(seccomp.default_action(), seccomp.default_errno_ret())?;
    let mut programs = Vec::new();
    for architecture in architectures(seccomp.architectures().as_deref().unwrap_or_default())? {
        programs.push((architecture, leaves(seccomp, architecture, default)?));
    }
    let instructions = assemble::program(&programs, RETURN_KILL_PROCESS)?;
    Ok(Filter { instructions, flags: flags(seccomp.flags().as_deref())? })
}

/// The architectures that the kernel of this machine can run, the native one always among them.
fn architectures(named: &[Arch]) -> Result<Vec<Architecture>, RuntimeError> {
    let native = Architecture::native();
    let mut found = vec![native];
    for arch in named {
        match Architecture::of(*arch) {
            Some(architecture) if !found.contains(&architecture) => found.push(architecture),
            // Programs of other machines cannot run here, so that no rule is needed for them.
            _ => {}
        }
    }
    found.retain(|architecture| architecture.runs_on(native));
    Ok(found)
}

/// What happens for each number, in ranges: `(first number, what)`, ascending, beginning with 0.
fn leaves(seccomp: &LinuxSeccomp, architecture: Architecture, default: u32) -> Result<Vec<(u32, Leaf)>, RuntimeError> {
    let numbers = architecture.numbers();
    let mut calls: BTreeMap<u32, Leaf> = BTreeMap::new();
    let mut last = 0;
    for syscall in seccomp.syscalls().as_deref().unwrap_or_default() {
        let answer = action(syscall.action(), syscall.errno_ret())?;
        let known = syscall.names().iter().filter_map(|name| numbers.get(name.as_str()).copied());
        for number in known {
            last = last.max(number);
            if answer == default {
                continue;
            }
            let leaf = calls.entry(number).or_insert_with(|| Leaf { rules: Vec::new(), otherwise: default });
            match syscall.args().as_deref() {
                None | Some([]) => leaf.otherwise = answer,
                Some(arguments) => leaf.rules.extend(rules(arguments, answer)?),
            }
        }
    }
    let unknown = if default & 0x7fff_0000 == RETURN_ERRNO { RETURN_ERRNO | ENOSYS } else { default };
    let mut ranges: Vec<(u32, Leaf)> = Vec::new();
    let mut push = |first: u32, leaf: Leaf| {
        if ranges.last().is_none_or(|(_, before)| *before != leaf) {
            ranges.push((first, leaf));
        }
    };
    push(0, Leaf::plain(default));
    for (number, mut leaf) in calls {
        // A rule that answers as everything else does decides nothing.
        let otherwise = leaf.otherwise;
        leaf.rules.retain(|rule| rule.answer != otherwise);
        push(number, leaf);
        push(number + 1, Leaf::plain(default));
    }
    // Undo what was pushed twice for neighbours: the later entry of the same number holds.
    ranges.dedup_by(|later, earlier| {
        let same = later.0 == earlier.0;
        if same {
            std::mem::swap(later, earlier);
        }
        same
    });
    ranges.dedup_by(|later, earlier| later.1 == earlier.1);
    if seccomp.syscalls().as_ref().is_some_and(|calls| !calls.is_empty()) && unknown != default {
        ranges.retain(|(first, _)| *first <= last);
        ranges.push((last + 1, Leaf::plain(unknown)));
    }
    Ok(ranges)
}

/// One rule, or one for each condition when an argument is named twice: libseccomp has no other way to say "or".
fn rules(arguments: &[LinuxSeccompArg], answer: u32) -> Result<Vec<Rule>, RuntimeError> {
    let conditions = arguments.iter().map(Condition::of).collect::<Result<Vec<_>, _>>()?;
    let twice = |condition: &Condition| conditions.iter().filter(|other| other.index == condition.index).count() > 1;
    if conditions.iter().any(twice) {
        return Ok(conditions.into_iter().map(|condition| Rule { conditions: vec![condition], answer }).collect());
    }
    Ok(vec![Rule { conditions, answer }])
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> Result<u32, RuntimeError> {
    let data = errno.unwrap_or(EPERM) & 0xffff;
    Ok(match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => 0,
        LinuxSeccompAction::ScmpActKillProcess => RETURN_KILL_PROCESS,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => RETURN_ERRNO | data,
        LinuxSeccompAction::ScmpActTrace => 0x7ff0_0000 | data,
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActAllow => 0x7fff_0000,
        LinuxSeccompAction::ScmpActNotify => {
            return Err(RuntimeError::Unsupported("seccomp: SCMP_ACT_NOTIFY needs another OCI runtime".to_owned()));
        }
    })
}

fn flags(named: Option<&[LinuxSeccompFilterFlag]>) -> Result<u32, RuntimeError> {
    const LOG: u32 = 2;
    const SPECULATION_ALLOWED: u32 = 4;
    let Some(named) = named else { return Ok(SPECULATION_ALLOWED) };
    named.iter().try_fold(0, |flags, flag| match flag {
        // A process with one thread has nothing to synchronize.
        LinuxSeccompFilterFlag::SeccompFilterFlagTsync => Ok(flags),
        LinuxSeccompFilterFlag::SeccompFilterFlagLog => Ok(flags | LOG),
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow => Ok(flags | SPECULATION_ALLOWED),
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv => {
            Err(RuntimeError::Unsupported("seccomp: a listener needs another OCI runtime".to_owned()))
        }
    })
}

#[cfg(test)]
mod tests;
