//! Memory that the allocator keeps after it was freed.

/// Lets the allocator give back what this thread has freed, and what it has kept for long enough. It does
/// that by itself only while it is asked for memory: a server that has become quiet keeps what it needed
/// at its busiest. Takes microseconds where there is nothing to give.
pub fn give_back_memory() {
    // SAFETY: it takes a flag and may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(false) }
}

/// The same, and what was freed a moment ago too: after something large and rare, a reload for instance.
pub fn give_back_all_memory() {
    // SAFETY: it takes a flag and may be called from any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
