use oci_spec::runtime::LinuxSeccomp;
use proptest::prelude::*;

use super::sys::Instruction;
use super::*;

const ALLOW: u32 = 0x7fff_0000;
const X86_64: u32 = 0xc000_003e;
const I386: u32 = 0x4000_0003;

/// What the kernel would answer: an interpreter of the instructions that are used.
fn run(filter: &Filter, architecture: u32, number: u32, arguments: &[u64]) -> u32 {
    let word = |offset: u32| match offset {
        0 => number,
        4 => architecture,
        _ => {
            let argument = arguments.get((offset as usize - 16) / 8).copied().unwrap_or(0);
            if offset.is_multiple_of(8) { argument as u32 } else { (argument >> 32) as u32 }
        }
    };
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let Instruction { code, yes, no, value } = filter.instructions[at];
        at += 1;
        let holds = match code {
            0x20 => {
                accumulator = word(value);
                continue;
            }
            0x54 => {
                accumulator &= value;
                continue;
            }
            0x05 => {
                at += value as usize;
                continue;
            }
            0x06 => return value,
            0x15 => accumulator == value,
            0x25 => accumulator > value,
            0x35 => accumulator >= value,
            other => panic!("instruction {other:#x}"),
        };
        at += usize::from(if holds { yes } else { no });
    }
}

fn parse(json: &str) -> LinuxSeccomp {
    serde_json::from_str(json).unwrap()
}

#[test]
#[cfg(target_arch = "x86_64")]
fn answers() {
    let filter = compile(&parse(
        r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86"],"syscalls":[
            {"names":["read","write","openat","no_such_call"],"action":"SCMP_ACT_ALLOW"},
            {"names":["personality"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]},
            {"names":["clone"],"action":"SCMP_ACT_ALLOW",
             "args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]},
            {"names":["clone3"],"action":"SCMP_ACT_ERRNO","errnoRet":38},
            {"names":["ptrace"],"action":"SCMP_ACT_KILL_PROCESS"}]}"#,
    ))
    .unwrap();
    for (architecture, number, argument, expected) in [
        (X86_64, 0, 0, ALLOW),
        (X86_64, 1, 0, ALLOW),
        (X86_64, 2, 0, 0x0005_0001),
        (X86_64, 257, 0, ALLOW),
        (X86_64, 135, 8, ALLOW),
        (X86_64, 135, 9, 0x0005_0001),
        (X86_64, 135, 8 | 1 << 32, 0x0005_0001),
        (X86_64, 56, 0x11, ALLOW),
        (X86_64, 56, 0x1000_0000, 0x0005_0001),
        (X86_64, 101, 0, 0x8000_0000),
        (X86_64, 435, 0, 0x0005_0026),
        (X86_64, 434, 0, 0x0005_0001),
        (X86_64, 436, 0, 0x0005_0026),
        (X86_64, 9999, 0, 0x0005_0026),
        (X86_64, 0x4000_0000, 0, RETURN_KILL_PROCESS),
        (I386, 3, 0, ALLOW),
        (I386, 0, 0, 0x0005_0001),
        (I386, 136, 8, ALLOW),
        (0x28, 0, 0, RETURN_KILL_PROCESS),
    ] {
        let answer = run(&filter, architecture, number, &[argument]);
        assert_eq!(answer, expected, "{architecture:#x} {number} {argument:#x}: {answer:#x}");
    }
}

#[test]
fn what_cannot_be_filtered_is_refused() {
    let notify = r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#;
    let index = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#;
    for json in [notify, index] {
        assert!(compile(&parse(json)).is_err(), "{json}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any comparison of any two numbers is answered as Rust compares them.
    #[test]
    fn comparisons(argument: u64, value: u64, near in -1i64..2, equal_half: bool, mask: u64, which in 0usize..7) {
        let value = if equal_half { argument.wrapping_add_signed(near) } else { value };
        let (name, holds) = [
            ("NE", argument != value),
            ("LT", argument < value),
            ("LE", argument <= value),
            ("EQ", argument == value),
            ("GE", argument >= value),
            ("GT", argument > value),
            ("MASKED_EQ", argument & mask == value),
        ][which];
        let (first, second) = if name == "MASKED_EQ" { (mask, value) } else { (value, 0) };
        let filter = compile(&parse(&format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["read"],"action":"SCMP_ACT_ALLOW","args":[
                {{"index":5,"value":{first},"valueTwo":{second},"op":"SCMP_CMP_{name}"}},
                {{"index":1,"value":3,"op":"SCMP_CMP_GE"}}]}}]}}"#
        )))
        .unwrap();
        let read = Architecture::native().numbers()["read"];
        let audit = Architecture::native().audit();
        let answer = run(&filter, audit, read, &[0, 3, 0, 0, 0, argument]);
        prop_assert_eq!(answer == ALLOW, holds);
        prop_assert_ne!(run(&filter, audit, read, &[0, 2, 0, 0, 0, argument]), ALLOW);
    }
}
