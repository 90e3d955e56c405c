//! Classic BPF out of ranges and rules.

use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator};

use super::sys::Instruction;
use super::table::Architecture;
use crate::error::RuntimeError;

/// `BPF_MAXINSNS`.
const LONGEST: usize = 4096;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JUMP: u16 = 0x05;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_GREATER: u16 = 0x25;
const JUMP_GREATER_EQUAL: u16 = 0x35;
const RETURN: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;

const X32_BIT: u32 = 0x4000_0000;

/// What happens for a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leaf {
    /// The first that holds answers.
    pub(super) rules: Vec<Rule>,
    /// The answer when none holds.
    pub(super) otherwise: u32,
}

impl Leaf {
    pub(super) fn plain(answer: u32) -> Leaf {
        Leaf { rules: Vec::new(), otherwise: answer }
    }
}

/// An answer when all conditions hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) conditions: Vec<Condition>,
    pub(super) answer: u32,
}

/// A condition on one argument: `(argument & mask) operator value`, as 64-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) index: u32,
    pub(super) mask: u64,
    pub(super) value: u64,
    pub(super) operator: LinuxSeccompOperator,
}

impl Condition {
    pub(super) fn of(argument: &LinuxSeccompArg) -> Result<Condition, RuntimeError> {
        let index = u32::try_from(argument.index()).ok().filter(|index| *index < 6);
        let index = index
            .ok_or_else(|| RuntimeError::Invalid(format!("seccomp: a call has no argument {}", argument.index())))?;
        let (mask, value) = match argument.op() {
            LinuxSeccompOperator::ScmpCmpMaskedEq => (argument.value(), argument.value_two().unwrap_or(0)),
            _ => (u64::MAX, argument.value()),
        };
        Ok(Condition { index, mask, value, operator: argument.op() })
    }

    /// Goes on with the next instruction when it holds, and to the end of `after` more instructions when not.
    fn emit(&self, after: usize) -> Result<Vec<Instruction>, RuntimeError> {
        use LinuxSeccompOperator as Operator;
        let (low, high) = (ARGUMENTS + self.index * 8, ARGUMENTS + self.index * 8 + 4);
        let halves = |number: u64| ((number >> 32) as u32, number as u32);
        let ((value_high, value_low), (mask_high, mask_low)) = (halves(self.value), halves(self.mask));
        let load = |offset, mask| {
            let mut code = vec![Instruction::new(LOAD, 0, 0, offset)];
            if mask != u32::MAX {
                code.push(Instruction::new(AND, 0, 0, mask));
            }
            code
        };
        let (first, second) = (load(high, mask_high), load(low, mask_low));
        // Distances: from the instruction after a jump.
        let miss = |behind: usize| {
            u8::try_from(behind + after).map_err(|_| RuntimeError::Invalid("seccomp: a rule is too long".to_owned()))
        };
        let jump = |code, yes, no, value| Instruction::new(code, yes, no, value);
        let tail = second.len();
        let end = match self.operator {
            Operator::ScmpCmpEq | Operator::ScmpCmpMaskedEq => {
                let mut code = first;
                code.push(jump(JUMP_EQUAL, 0, miss(tail + 1)?, value_high));
                code.extend(second);
                code.push(jump(JUMP_EQUAL, 0, miss(0)?, value_low));
                return Ok(code);
            }
            Operator::ScmpCmpNe => {
                let mut code = first;
                let holds = u8::try_from(tail + 1).unwrap_or(u8::MAX);
                code.push(jump(JUMP_EQUAL, 0, holds, value_high));
                code.extend(second);
                code.push(jump(JUMP_EQUAL, miss(0)?, 0, value_low));
                return Ok(code);
            }
            Operator::ScmpCmpGe => jump(JUMP_GREATER_EQUAL, 0, miss(0)?, value_low),
            Operator::ScmpCmpGt => jump(JUMP_GREATER, 0, miss(0)?, value_low),
            Operator::ScmpCmpLt => jump(JUMP_GREATER_EQUAL, miss(0)?, 0, value_low),
            Operator::ScmpCmpLe => jump(JUMP_GREATER, miss(0)?, 0, value_low),
        };
        let greater = matches!(self.operator, Operator::ScmpCmpGe | Operator::ScmpCmpGt);
        let holds = u8::try_from(tail + 2).unwrap_or(u8::MAX);
        let mut code = first;
        // The upper half decides unless it is equal.
        code.push(match greater {
            true => jump(JUMP_GREATER, holds, 0, value_high),
            false => jump(JUMP_GREATER, miss(tail + 2)?, 0, value_high),
        });
        code.push(match greater {
            true => jump(JUMP_EQUAL, 0, miss(tail + 1)?, value_high),
            false => jump(JUMP_EQUAL, 0, holds - 1, value_high),
        });
        code.extend(second);
        code.push(end);
        Ok(code)
    }
}

/// The whole program: `(architecture, ranges of numbers)` each; calls of another architecture are answered `foreign`.
pub(super) fn program(
    architectures: &[(Architecture, Vec<(u32, Leaf)>)],
    foreign: u32,
) -> Result<Vec<Instruction>, RuntimeError> {
    let mut code = vec![Instruction::new(LOAD, 0, 0, ARCHITECTURE)];
    let find = |wanted| architectures.iter().find(|(architecture, _)| *architecture == wanted);
    for (architecture, ranges) in architectures.iter().filter(|(architecture, _)| *architecture != Architecture::X32) {
        let mut part = vec![Instruction::new(LOAD, 0, 0, NUMBER)];
        if *architecture == Architecture::X86_64 {
            // x32 has the same architecture and numbers of its own.
            let x32 = match find(Architecture::X32) {
                Some((_, ranges)) => {
                    let mut code = vec![Instruction::new(AND, 0, 0, !X32_BIT)];
                    code.extend(search(ranges)?);
                    code
                }
                None => vec![Instruction::new(RETURN, 0, 0, foreign)],
            };
            part.extend(fork(JUMP_GREATER_EQUAL, X32_BIT, x32, search(ranges)?));
        } else {
            part.extend(search(ranges)?);
        }
        code.push(Instruction::new(JUMP_EQUAL, 1, 0, architecture.audit()));
        code.push(Instruction::new(JUMP, 0, 0, length(&part)?));
        code.extend(part);
    }
    code.push(Instruction::new(RETURN, 0, 0, foreign));
    if code.len() > LONGEST {
        return Err(RuntimeError::Invalid(format!("seccomp: the filter has {} instructions", code.len())));
    }
    Ok(code)
}

/// Binary search for the number in the accumulator. Every path ends with an answer.
fn search(ranges: &[(u32, Leaf)]) -> Result<Vec<Instruction>, RuntimeError> {
    match ranges {
        [] => Ok(Vec::new()),
        [(_, leaf)] => answer(leaf),
        _ => {
            let (below, above) = ranges.split_at(ranges.len() / 2);
            Ok(fork(JUMP_GREATER_EQUAL, above[0].0, search(above)?, search(below)?))
        }
    }
}

/// `yes` when the comparison holds, else `no`; both end with an answer.
fn fork(comparison: u16, value: u32, yes: Vec<Instruction>, no: Vec<Instruction>) -> Vec<Instruction> {
    let mut code = match u8::try_from(no.len()) {
        Ok(distance) => vec![Instruction::new(comparison, distance, 0, value)],
        Err(_) => vec![
            Instruction::new(comparison, 0, 1, value),
            Instruction::new(JUMP, 0, 0, u32::try_from(no.len()).unwrap_or(u32::MAX)),
        ],
    };
    code.extend(no);
    code.extend(yes);
    code
}

fn answer(leaf: &Leaf) -> Result<Vec<Instruction>, RuntimeError> {
    let mut code = Vec::new();
    for rule in &leaf.rules {
        // Backwards: each condition has to know how much follows it.
        let mut part = vec![Instruction::new(RETURN, 0, 0, rule.answer)];
        for condition in rule.conditions.iter().rev() {
            let mut with = condition.emit(part.len())?;
            with.append(&mut part);
            part = with;
        }
        code.extend(part);
    }
    code.push(Instruction::new(RETURN, 0, 0, leaf.otherwise));
    Ok(code)
}

fn length(code: &[Instruction]) -> Result<u32, RuntimeError> {
    u32::try_from(code.len()).map_err(|_| RuntimeError::Invalid("seccomp: the filter is too long".to_owned()))
}
