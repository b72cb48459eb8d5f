//! The operating system's threads, and words that they share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Thread;

use super::{INSIDE, State};

/// A number that threads share, in a cache line of its own. Its operations have one order that all threads see.
#[repr(align(64))]
pub(super) struct Word(AtomicUsize);

impl Word {
    pub(super) const fn new(value: usize) -> Self {
        Self(AtomicUsize::new(value))
    }

    pub(super) fn load(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    pub(super) fn store(&self, value: usize) {
        self.0.store(value, Ordering::SeqCst);
    }

    /// Adds, and gives what was there before.
    pub(super) fn add(&self, value: usize) -> usize {
        self.0.fetch_add(value, Ordering::SeqCst)
    }

    pub(super) fn sub(&self, value: usize) {
        self.0.fetch_sub(value, Ordering::SeqCst);
    }
}

/// The threads beside the caller's.
pub(super) struct Workers(Vec<Thread>);

impl Workers {
    /// As many as candle's own pools have, from the same variable; fewer where no more can be had.
    pub(super) fn start(state: &'static State) -> Self {
        let wanted = candle_core::utils::get_num_threads().saturating_sub(1);
        let spawn = |index: usize| {
            let serve = move || {
                INSIDE.set(true);
                state.serve(index + 1)
            };
            std::thread::Builder::new().name(format!("crane-{index}")).spawn(serve).ok()
        };
        Self((0..wanted).map_while(spawn).map(|handle| handle.thread().clone()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Wakes those that sleep.
    pub(super) fn wake(&self, _word: &Word) {
        self.0.iter().for_each(Thread::unpark);
    }
}

/// Sleeps until [`Workers::wake`]; a call before counts.
pub(super) fn sleep(_word: &Word, _seen: usize) {
    std::thread::park();
}

/// Leaves the core to another thread, if one wants it.
pub(super) fn give_way() {
    std::thread::yield_now();
}
