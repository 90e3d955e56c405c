//! Installing a filter in the calling process.
#![allow(unsafe_code)]

use std::io;

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instruction {
    pub(super) code: u16,
    pub(super) yes: u8,
    pub(super) no: u8,
    pub(super) value: u32,
}

impl Instruction {
    pub(super) fn new(code: u16, yes: u8, no: u8, value: u32) -> Instruction {
        Instruction { code, yes, no, value }
    }
}

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    length: u16,
    instructions: *const Instruction,
}

/// A compiled filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(super) instructions: Vec<Instruction>,
    pub(super) flags: u32,
}

impl Filter {
    /// Filters every later call of this process and its children. Needs `no_new_privs` or `CAP_SYS_ADMIN`.
    pub(crate) fn install(&self) -> io::Result<()> {
        let length = u16::try_from(self.instructions.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
        let program = Program { length, instructions: self.instructions.as_ptr() };
        // SAFETY: `program` points to `length` instructions of this value, which lives through the call.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, self.flags, &raw const program) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}
