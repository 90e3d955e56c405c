//! glibc's `mallopt`.
#![allow(unsafe_code)]

/// Buffers from this size on are mapped on their own. Those that HTTP bodies are received in (408 KiB) are not: mapping and
/// clearing one anew for each piece took a twentieth of a pull.
#[cfg(target_env = "gnu")]
const LARGE: i32 = 512 << 10;
#[cfg(target_env = "gnu")]
const HEAPS: i32 = 2;
/// By what the main heap grows, and what it keeps free at its end: every step costs a call.
#[cfg(target_env = "gnu")]
const STEP: i32 = 1 << 20;

/// Sets the options; other C libraries have their own ways and are left alone.
pub(super) fn set_up_malloc() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes numbers only; called before any thread is started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, HEAPS);
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
        libc::mallopt(libc::M_TOP_PAD, STEP);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 4 * STEP);
    }
}
