//! Splitting a loop over the processor's cores: a pool of threads that stay.
//!
//! A loop's items are handed out from a shared cursor, and the caller takes part. It waits only for
//! threads that hold items: one that the system has not woken yet finds the cursor at the end and
//! goes back to sleep, so a busy machine costs speed in proportion and not a time slice for each loop.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};
use std::thread::Thread;

use super::shared::Shared;

/// Work below which a second thread costs more than it brings, in multiply-adds or so.
const LEAST_WORK: usize = 32 * 1024;
/// Parts that each thread's share is cut into, so that a slow thread leaves little undone.
const PARTS: usize = 4;
/// Turns that an idle thread spins for the next loop before it sleeps: about 30 microseconds.
const SPINS: u32 = 1500;

/// Calls `body` with ranges that together are `0..items`, on several threads if it pays.
///
/// `cost` is the work of one item in multiply-adds. A loop inside a loop, or beside another caller's, runs
/// on its own thread alone.
pub fn parallel_for(items: usize, cost: usize, body: impl Fn(Range<usize>) + Sync) {
    if items == 0 {
        return;
    }
    if items == 1 || items.saturating_mul(cost) < 2 * LEAST_WORK {
        return body(0..items);
    }
    pool().run(items, &body);
}

/// Calls `body` with each run of `size` items of `slice` (the last may be shorter) and its number, on several threads if it pays.
///
/// `cost` is the work of one run in multiply-adds.
pub fn parallel_chunks<T: Send>(
    slice: &mut [T],
    size: usize,
    cost: usize,
    body: impl Fn(usize, &mut [T]) + Sync,
) {
    let (len, size) = (slice.len(), size.max(1));
    let shared = Shared::new(slice);
    parallel_for(len.div_ceil(size), cost, |range| {
        for index in range {
            // SAFETY: runs do not overlap, and each is given to one thread.
            body(index, unsafe { shared.slice(index * size..len.min((index + 1) * size)) });
        }
    });
}

/// The number of threads that loops are split over, the caller's included.
pub fn thread_count() -> usize {
    pool().workers.len() + 1
}

thread_local! {
    /// Whether this thread is inside a loop of the pool.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

struct Pool {
    state: &'static State,
    workers: Vec<Thread>,
    /// Held by the caller whose loop runs.
    caller: Mutex<()>,
}

struct State {
    /// The number of the loop that may be joined; 0 if none may.
    open: AtomicUsize,
    /// Threads that look at the job or work on it.
    inside: AtomicUsize,
    job: Cell<Option<Job>>,
    panicked: AtomicBool,
}

// SAFETY: `job` is written only while no loop is open and read only by threads that counted themselves
// in before they saw one open (see `run` and `join`).
unsafe impl Sync for State {}

#[derive(Clone, Copy)]
struct Job {
    body: *const (dyn Fn(Range<usize>) + Sync),
    cursor: *const AtomicUsize,
    items: usize,
    part: usize,
}

impl Job {
    /// Takes parts from the cursor until there are none.
    ///
    /// # Safety
    /// The loop that made the job must not have ended.
    unsafe fn work(&self) {
        // SAFETY: the caller's frame, which owns both, lives as long as the loop.
        let (body, cursor) = unsafe { (&*self.body, &*self.cursor) };
        loop {
            let start = cursor.fetch_add(self.part, Ordering::Relaxed);
            if start >= self.items {
                return;
            }
            body(start..self.items.min(start + self.part));
        }
    }
}

fn pool() -> &'static Pool {
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| {
        let state: &'static State = Box::leak(Box::new(State {
            open: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            job: Cell::new(None),
            panicked: AtomicBool::new(false),
        }));
        // The same number as candle's own pools use, from the same variable.
        let wanted = candle_core::utils::get_num_threads().saturating_sub(1);
        let spawn = |index: usize| {
            let name = format!("crane-{index}");
            // Where no thread can be had, as in wasm, the caller works alone.
            std::thread::Builder::new().name(name).spawn(move || state.serve()).ok()
        };
        let workers = match cfg!(target_arch = "wasm32") {
            true => Vec::new(),
            false => (0..wanted).map_while(spawn).map(|handle| handle.thread().clone()).collect(),
        };
        Pool { state, workers, caller: Mutex::new(()) }
    })
}

impl Pool {
    fn run(&self, items: usize, body: &(dyn Fn(Range<usize>) + Sync)) {
        let free = match self.caller.try_lock() {
            _ if self.workers.is_empty() || INSIDE.get() => None,
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        };
        let Some(_guard) = free else {
            return body(0..items);
        };
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let cursor = AtomicUsize::new(0);
        let part = items.div_ceil((self.workers.len() + 1) * PARTS).max(1);
        // SAFETY: only the lifetime is changed; no thread uses the job after `Closing` has dropped.
        let lasting = unsafe {
            std::mem::transmute::<
                *const (dyn Fn(Range<usize>) + Sync),
                *const (dyn Fn(Range<usize>) + Sync + 'static),
            >(body)
        };
        let job = Job { body: lasting, cursor: &cursor, items, part };
        self.state.job.set(Some(job));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        self.state.open.store(number, Ordering::SeqCst);
        let closing = Closing(self.state);
        self.workers.iter().for_each(Thread::unpark);
        INSIDE.set(true);
        // SAFETY: the loop is open until `closing` drops.
        unsafe { job.work() };
        drop(closing);
        if self.state.panicked.swap(false, Ordering::Relaxed) {
            // What the other thread said is on stderr; here the loop's result would be wrong.
            std::panic::resume_unwind(Box::new("a thread of the pool panicked"));
        }
    }
}

/// Ends a loop, also when its body panics: nobody may join, and those inside are waited for.
struct Closing(&'static State);

impl Drop for Closing {
    fn drop(&mut self) {
        INSIDE.set(false);
        self.0.open.store(0, Ordering::SeqCst);
        let mut turns = 0u32;
        while self.0.inside.load(Ordering::SeqCst) != 0 {
            turns += 1;
            // A thread with items may have lost its core: leave it ours.
            if turns > SPINS { std::thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

impl State {
    /// A worker's life: wait for a loop, join it, again.
    fn serve(&self) {
        INSIDE.set(true);
        let mut last = 0;
        loop {
            let mut turns = 0;
            loop {
                let open = self.open.load(Ordering::SeqCst);
                if open != 0 && open != last {
                    last = open;
                    break;
                }
                turns += 1;
                if turns > SPINS {
                    std::thread::park();
                    turns = 0;
                } else {
                    std::hint::spin_loop();
                }
            }
            self.join();
        }
    }

    fn join(&self) {
        // Counting in comes before looking, closing before reading the count: either the loop is
        // seen closed here, or its caller sees this thread and waits.
        self.inside.fetch_add(1, Ordering::SeqCst);
        if self.open.load(Ordering::SeqCst) != 0
            && let Some(job) = self.job.get()
        {
            // SAFETY: the loop was open after this thread counted itself in, so its caller waits.
            let work = AssertUnwindSafe(|| unsafe { job.work() });
            if catch_unwind(work).is_err() {
                self.panicked.store(true, Ordering::Relaxed);
            }
        }
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_visited_once() {
        for items in [1usize, 2, 3, 17, 1000] {
            for _ in 0..200 {
                let seen: Vec<AtomicUsize> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                parallel_for(items, LEAST_WORK, |range| {
                    for n in &seen[range] {
                        n.fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn chunks_are_the_whole_slice() {
        let mut numbers = vec![0usize; 1001];
        parallel_chunks(&mut numbers, 10, LEAST_WORK, |index, run| {
            assert_eq!(run.len(), if index == 100 { 1 } else { 10 });
            run.iter_mut().for_each(|number| *number += index + 1);
        });
        assert!(numbers.iter().enumerate().all(|(i, number)| *number == i / 10 + 1));
        parallel_chunks(&mut [0u8; 0], 0, 1, |_, _| panic!("there is nothing"));
    }

    #[test]
    fn loops_inside_and_beside_loops_finish() {
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        parallel_for(8, LEAST_WORK, |outer| {
                            for _ in outer {
                                parallel_for(8, LEAST_WORK, |inner| {
                                    total.fetch_add(inner.len(), Ordering::Relaxed);
                                });
                            }
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 50 * 64);
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_goes_on() {
        let broken = catch_unwind(|| {
            parallel_for(100, LEAST_WORK, |range| assert!(!range.contains(&50), "item 50"));
        });
        assert!(broken.is_err());
        every_item_is_visited_once();
    }
}
