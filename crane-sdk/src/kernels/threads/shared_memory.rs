//! Threads of WebAssembly: instances of the module, each in a worker of JavaScript, that share one memory.
//!
//! The standard library that stable Rust has for wasm32 is made for one thread: its allocator and locks are not safe
//! from two, and thread-locals are one for all. So only the first thread runs the program, and the others run
//! nothing but the bodies of loops, which touch none of these. Words that threads share are read and written by
//! JavaScript's `Atomics`, since the compiler has no atomic instructions either; a call out of the module is also what
//! keeps the compiler from moving other reads and writes across it.

use std::cell::UnsafeCell;
use std::sync::OnceLock;

use super::{State, pool};

/// What JavaScript does with a word of the shared memory.
#[derive(Debug, Clone, Copy)]
pub struct SharedMemory {
    /// Reads the word.
    pub load: fn(*const u32) -> u32,
    /// Writes the word.
    pub store: fn(*const u32, u32),
    /// Adds to the word, and gives what was there before.
    pub add: fn(*const u32, u32) -> u32,
    /// Sleeps until the word is woken, if it still has this value.
    pub sleep: fn(*const u32, u32),
    /// Wakes all that sleep on the word.
    pub wake: fn(*const u32),
    /// How many threads run [`serve`], or soon will.
    pub workers: usize,
}

static SHARED: OnceLock<SharedMemory> = OnceLock::new();

/// Splits loops over other threads, too. It must be called before the first loop; returns whether it was the first
/// call, as it must be.
pub fn share(memory: SharedMemory) -> bool {
    let first = SHARED.set(memory).is_ok();
    // Other threads find the pool there: they could not make one.
    first && pool().workers.count() == memory.workers
}

/// The life of worker `thread`, numbered from 1, after the first thread has called [`share`].
pub fn serve(thread: usize) {
    if SHARED.get().is_some_and(|memory| (1..=memory.workers).contains(&thread)) {
        pool().state.serve(thread);
    }
}

/// Reports that a thread which ran [`serve`] has trapped: the loop that it was in fails.
pub fn abandon() {
    pool().state.panicked.store(1);
    pool().state.inside.sub(1);
}

/// A number that threads share, in a cache line of its own. Its operations have one order that all threads see.
#[repr(C, align(64))]
pub(super) struct Word(UnsafeCell<u32>);

// SAFETY: where there are threads all access is by `Atomics`.
unsafe impl Sync for Word {}

impl Word {
    pub(super) const fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub(super) fn load(&self) -> usize {
        match SHARED.get() {
            Some(memory) => (memory.load)(self.0.get()) as usize,
            // SAFETY: there is one thread.
            None => unsafe { *self.0.get() as usize },
        }
    }

    pub(super) fn store(&self, value: usize) {
        match SHARED.get() {
            Some(memory) => (memory.store)(self.0.get(), value as u32),
            // SAFETY: there is one thread.
            None => unsafe { *self.0.get() = value as u32 },
        }
    }

    /// Adds, and gives what was there before.
    pub(super) fn add(&self, value: usize) -> usize {
        match SHARED.get() {
            Some(memory) => (memory.add)(self.0.get(), value as u32) as usize,
            None => {
                let before = self.load();
                self.store(before.wrapping_add(value));
                before
            }
        }
    }

    pub(super) fn sub(&self, value: usize) {
        self.add(value.wrapping_neg());
    }
}

/// The threads beside the first.
pub(super) struct Workers(usize);

impl Workers {
    /// JavaScript starts them.
    pub(super) fn start(_state: &'static State) -> Self {
        Self(SHARED.get().map_or(0, |memory| memory.workers))
    }

    pub(super) fn count(&self) -> usize {
        self.0
    }

    /// Wakes those that sleep.
    pub(super) fn wake(&self, word: &Word) {
        if let Some(memory) = SHARED.get() {
            (memory.wake)(word.0.get());
        }
    }
}

/// Sleeps while the word is `seen` and nobody wakes it.
pub(super) fn sleep(word: &Word, seen: usize) {
    if let Some(memory) = SHARED.get() {
        (memory.sleep)(word.0.get(), seen as u32);
    }
}

/// WebAssembly cannot leave its core to others: it goes on looking.
pub(super) fn give_way() {
    std::hint::spin_loop();
}
