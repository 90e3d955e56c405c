//! Settings of the allocator that keep the peak low.

mod sys;

/// Lets large buffers go back to the kernel when they are freed, and threads share heaps: a pull has a dozen threads that
/// each would keep the largest layer's worth of buffers otherwise.
pub(crate) fn return_what_is_freed() {
    sys::set_up_malloc();
}
