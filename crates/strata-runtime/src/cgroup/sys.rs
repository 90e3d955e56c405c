//! The system call `bpf(2)`, as far as programs that decide about devices need it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// `struct bpf_insn`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Instruction {
    operation: u8,
    registers: u8,
    offset: i16,
    value: i32,
}

impl Instruction {
    pub(super) fn new(operation: u8, to: u8, from: u8, offset: i16, value: i32) -> Instruction {
        // The two halves of the byte are in the processor's order.
        let registers = if cfg!(target_endian = "little") { from << 4 | to } else { to << 4 | from };
        Instruction { operation, registers, offset, value }
    }

    pub(super) fn immediate(operation: u8, to: u8, value: i32) -> Instruction {
        Instruction::new(operation, to, 0, 0, value)
    }

    pub(super) fn operation(&self) -> u8 {
        self.operation
    }

    pub(super) fn set_offset(&mut self, offset: i16) {
        self.offset = offset;
    }
}

#[cfg(test)]
impl Instruction {
    pub(super) fn to(&self) -> u8 {
        if cfg!(target_endian = "little") { self.registers & 15 } else { self.registers >> 4 }
    }

    pub(super) fn from(&self) -> u8 {
        if cfg!(target_endian = "little") { self.registers >> 4 } else { self.registers & 15 }
    }

    pub(super) fn offset(&self) -> i16 {
        self.offset
    }

    pub(super) fn value(&self) -> i32 {
        self.value
    }
}

const PROGRAM_LOAD: libc::c_long = 5;
const PROGRAM_ATTACH: libc::c_long = 8;
const PROGRAM_OF_DEVICES: u32 = 15;
const ATTACH_TO_DEVICES: u32 = 6;
/// Other programs on the group, as one above it, decide as well.
const ALLOW_MULTI: u32 = 2;

/// The beginning of `union bpf_attr` for `BPF_PROG_LOAD`.
#[repr(C)]
struct Load {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
}

/// The beginning of `union bpf_attr` for `BPF_PROG_ATTACH`.
#[repr(C)]
struct Attach {
    target: RawFd,
    program: RawFd,
    kind: u32,
    flags: u32,
}

fn bpf<T>(command: libc::c_long, attributes: &T) -> io::Result<RawFd> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attributes`, and what the pointers in it say, which outlives
    // the call; it writes nothing, as no log is asked for.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_ref(attributes), size_of::<T>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(RawFd::try_from(result).unwrap_or(-1)) }
}

/// Lets the kernel check and keep a program.
pub(super) fn load_device_program(instructions: &[Instruction]) -> io::Result<OwnedFd> {
    let load = Load {
        kind: PROGRAM_OF_DEVICES,
        count: u32::try_from(instructions.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        instructions: instructions.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
    };
    let program = bpf(PROGRAM_LOAD, &load)?;
    // SAFETY: the kernel just made this descriptor (with close-on-exec), and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(program) })
}

/// Attaches a program to a group, where it stays as long as the group is there.
pub(super) fn attach_device_program(group: &File, program: &OwnedFd) -> io::Result<()> {
    let attach =
        Attach { target: group.as_raw_fd(), program: program.as_raw_fd(), kind: ATTACH_TO_DEVICES, flags: ALLOW_MULTI };
    bpf(PROGRAM_ATTACH, &attach).map(|_| ())
}
