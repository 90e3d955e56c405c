//! Numbers of system calls, by architecture. The tables are what the kernel's `unistd.h` files say; from 424 on all
//! architectures have the same numbers.

use std::collections::HashMap;

use oci_spec::runtime::Arch;

/// An architecture that this machine or one like it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Architecture {
    X86_64,
    X86,
    X32,
    Aarch64,
}

impl Architecture {
    pub(super) fn native() -> Architecture {
        if cfg!(target_arch = "aarch64") { Architecture::Aarch64 } else { Architecture::X86_64 }
    }

    pub(super) fn of(arch: Arch) -> Option<Architecture> {
        match arch {
            Arch::ScmpArchNative => Some(Architecture::native()),
            Arch::ScmpArchX86_64 => Some(Architecture::X86_64),
            Arch::ScmpArchX86 => Some(Architecture::X86),
            Arch::ScmpArchX32 => Some(Architecture::X32),
            Arch::ScmpArchAarch64 => Some(Architecture::Aarch64),
            _ => None,
        }
    }

    pub(super) fn runs_on(self, native: Architecture) -> bool {
        (self == Architecture::Aarch64) == (native == Architecture::Aarch64)
    }

    /// `AUDIT_ARCH_*`.
    pub(super) fn audit(self) -> u32 {
        match self {
            Architecture::X86_64 | Architecture::X32 => 0xc000_003e,
            Architecture::X86 => 0x4000_0003,
            Architecture::Aarch64 => 0xc000_00b7,
        }
    }

    /// All names and their numbers (x32: without its bit).
    pub(super) fn numbers(self) -> HashMap<&'static str, u32> {
        let table = match self {
            Architecture::X86_64 => include_str!("tables/x86_64.txt"),
            Architecture::X86 => include_str!("tables/x86.txt"),
            Architecture::X32 => include_str!("tables/x32.txt"),
            Architecture::Aarch64 => include_str!("tables/aarch64.txt"),
        };
        let entries = table.lines().filter_map(|line| line.split_once(' '));
        entries.filter_map(|(name, number)| Some((name, number.parse().ok()?))).collect()
    }
}
