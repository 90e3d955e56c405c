//! Which devices may be used: rules of version 1, and the BPF program that stands for them in version 2.
//!
//! The program gets the kind of device, the kind of access and the device's numbers, and answers 1 or 0. It is the rules
//! from the last to the first, each a block of comparisons that go on to the next block unless all hold.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceType};

use super::limits::{DeviceAccess, DeviceRule};
use super::sys::{self, Instruction};

impl From<&LinuxDeviceCgroup> for DeviceRule {
    fn from(rule: &LinuxDeviceCgroup) -> DeviceRule {
        let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        let access = rule.access().as_deref().filter(|access| !access.is_empty()).unwrap_or("rwm");
        DeviceRule {
            allow: rule.allow(),
            kind: match rule.typ() {
                Some(LinuxDeviceType::B) => 'b',
                Some(LinuxDeviceType::C | LinuxDeviceType::U) => 'c',
                _ => 'a',
            },
            major: number(rule.major()),
            minor: number(rule.minor()),
            access: DeviceAccess {
                read: access.contains('r'),
                write: access.contains('w'),
                make_node: access.contains('m'),
            },
        }
    }
}

/// As `devices.allow` takes it.
impl fmt::Display for DeviceRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<u32>| value.map_or("*".to_owned(), |value| value.to_string());
        write!(formatter, "{} {}:{} ", self.kind, number(self.major), number(self.minor))?;
        let DeviceAccess { read, write, make_node } = self.access;
        let letters = [(read, "r"), (write, "w"), (make_node, "m")];
        letters.iter().filter(|(set, _)| *set).try_for_each(|(_, letter)| formatter.write_str(letter))
    }
}

/// Lets the rules decide for a group of version 2 as long as it exists.
pub(super) fn attach(directory: &Path, rules: &[DeviceRule]) -> io::Result<()> {
    let program = sys::load_device_program(&program(rules))?;
    sys::attach_device_program(&File::open(directory)?, &program)
}

// Kinds of devices and accesses: `BPF_DEVCG_*` of `linux/bpf.h`.
const BLOCK: i32 = 1;
const CHARACTER: i32 = 2;
const MAKE_NODE: i32 = 1;
const READ: i32 = 2;
const WRITE: i32 = 4;
const ALL: i32 = MAKE_NODE | READ | WRITE;

// Registers: what the kernel passes, and what is taken out of it.
const RESULT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 1;

// Operations: class, size or operation, and source, as `linux/bpf_common.h` adds them up.
const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const COPY: u8 = 0xbc;
const SET: u8 = 0xb7;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const JUMP_IF_EQUAL: u8 = 0x15;
const EXIT: u8 = 0x95;

/// The program of some rules. What no rule names is denied.
fn program(rules: &[DeviceRule]) -> Vec<Instruction> {
    let load = |register, offset| Instruction::new(LOAD_WORD, register, CONTEXT, offset, 0);
    let mut program = vec![
        load(KIND, 0),
        Instruction::immediate(AND, KIND, 0xffff),
        load(ACCESS, 0),
        Instruction::immediate(SHIFT_RIGHT, ACCESS, 16),
        load(MAJOR, 4),
        load(MINOR, 8),
    ];
    for rule in rules.iter().rev() {
        let block = block(rule);
        let is_unconditional = block.len() == answer(true).len();
        program.extend(block);
        if is_unconditional {
            // The kernel takes no program with instructions that are never reached.
            return program;
        }
    }
    program.extend(answer(false));
    program
}

fn answer(allow: bool) -> [Instruction; 2] {
    [Instruction::immediate(SET, RESULT, i32::from(allow)), Instruction::immediate(EXIT, 0, 0)]
}

fn block(rule: &DeviceRule) -> Vec<Instruction> {
    let mut block = Vec::new();
    let kind = match rule.kind {
        'b' => Some(BLOCK),
        'c' => Some(CHARACTER),
        _ => None,
    };
    if let Some(kind) = kind {
        block.push(Instruction::immediate(JUMP_UNLESS_EQUAL, KIND, kind));
    }
    let DeviceAccess { read, write, make_node } = rule.access;
    let bit = |set: bool, bit: i32| if set { bit } else { 0 };
    let access = bit(read, READ) | bit(write, WRITE) | bit(make_node, MAKE_NODE);
    if access != ALL {
        // What is allowed must cover all that is asked for; what is denied only a part of it.
        let (mask, jump) = if rule.allow { (ALL & !access, JUMP_UNLESS_EQUAL) } else { (access, JUMP_IF_EQUAL) };
        block.push(Instruction::new(COPY, SCRATCH, ACCESS, 0, 0));
        block.push(Instruction::immediate(AND, SCRATCH, mask));
        block.push(Instruction::immediate(jump, SCRATCH, 0));
    }
    for (register, number) in [(MAJOR, rule.major), (MINOR, rule.minor)] {
        if let Some(number) = number {
            block.push(Instruction::immediate(JUMP_UNLESS_EQUAL, register, number.cast_signed()));
        }
    }
    block.extend(answer(rule.allow));
    let end = block.len();
    for (at, instruction) in block.iter_mut().enumerate() {
        if [JUMP_UNLESS_EQUAL, JUMP_IF_EQUAL].contains(&instruction.operation()) {
            // A block is far shorter than a jump can go.
            instruction.set_offset(i16::try_from(end - at - 1).unwrap_or(i16::MAX));
        }
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the kernel would answer, as far as the program's instructions go.
    fn run(program: &[Instruction], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let context = [(access << 16 | kind).cast_unsigned(), major, minor];
        let mut registers = [0_u64; 6];
        let mut at = 0;
        loop {
            let instruction = &program[at];
            let (to, from) = (usize::from(instruction.to()), usize::from(instruction.from()));
            let value = instruction.value();
            at += 1;
            match instruction.operation() {
                LOAD_WORD => registers[to] = context[usize::try_from(instruction.offset()).unwrap() / 4].into(),
                AND => registers[to] = u64::from(registers[to] as u32 & value.cast_unsigned()),
                SHIFT_RIGHT => registers[to] >>= value,
                COPY => registers[to] = registers[from],
                SET => registers[to] = i64::from(value).cast_unsigned(),
                operation @ (JUMP_UNLESS_EQUAL | JUMP_IF_EQUAL) => {
                    let equal = registers[to] == i64::from(value).cast_unsigned();
                    if equal == (operation == JUMP_IF_EQUAL) {
                        at += usize::try_from(instruction.offset()).unwrap();
                    }
                }
                EXIT => return registers[0] == 1,
                other => panic!("{other:#x}"),
            }
        }
    }

    /// The rules as their definition has it.
    fn expected(rules: &[DeviceRule], kind: i32, access: i32, major: u32, minor: u32) -> bool {
        let covers = |rule: &DeviceRule| {
            let DeviceAccess { read, write, make_node } = rule.access;
            let asked = [(READ, read), (WRITE, write), (MAKE_NODE, make_node)];
            let mut asked = asked.iter().filter(|(bit, _)| access & bit != 0).map(|(_, named)| *named);
            if rule.allow { asked.all(|named| named) } else { asked.any(|named| named) }
        };
        let fits = |rule: &&DeviceRule| {
            (rule.kind == 'a' || (rule.kind == 'b') == (kind == BLOCK))
                && rule.major.is_none_or(|number| number == major)
                && rule.minor.is_none_or(|number| number == minor)
                && covers(rule)
        };
        rules.iter().rev().find(fits).is_some_and(|rule| rule.allow)
    }

    fn rule() -> impl Strategy<Value = DeviceRule> {
        let number = || prop::option::of(0_u32..3);
        let access = (any::<bool>(), any::<bool>(), any::<bool>());
        (any::<bool>(), prop::sample::select(vec!['a', 'b', 'c']), number(), number(), access).prop_map(
            |(allow, kind, major, minor, (read, write, make_node))| DeviceRule {
                allow,
                kind,
                major,
                minor,
                access: DeviceAccess { read, write, make_node },
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_program_decides_as_its_rules(rules in prop::collection::vec(rule(), 0..6)) {
            let program = program(&rules);
            for kind in [BLOCK, CHARACTER] {
                for access in 1..=ALL {
                    for (major, minor) in [(0, 0), (1, 2), (2, 1), (7, 7)] {
                        prop_assert_eq!(
                            run(&program, kind, access, major, minor),
                            expected(&rules, kind, access, major, minor),
                            "{:?} {} {} {} {}", rules, kind, access, major, minor
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn rules_print_as_the_kernel_reads_them() {
        let access = DeviceAccess { read: true, write: false, make_node: true };
        let rule = DeviceRule { allow: true, kind: 'c', major: Some(1), minor: None, access };
        assert_eq!(rule.to_string(), "c 1:* rm");
    }
}
