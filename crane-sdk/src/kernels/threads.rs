//! Splitting a loop over the processor's cores: a pool of threads that stay.
//!
//! Each thread, the caller too, has a share of a loop's items: always the same one, and in order, so that it reads on
//! where it was. It takes them a few at a time, and when it has none left it takes of the others' in the same way. The
//! caller waits only for threads that hold items: one that the system has not woken yet finds nothing left and goes back
//! to sleep, so a busy machine, or one whose cores differ, costs speed in proportion and not a time slice for each loop.

#[cfg_attr(not(target_arch = "wasm32"), path = "threads/system.rs")]
#[cfg_attr(target_arch = "wasm32", path = "threads/shared_memory.rs")]
mod place;

use std::cell::Cell;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, TryLockError};

use super::shared::Shared;
#[cfg(target_arch = "wasm32")]
pub use place::{SharedMemory, abandon, serve, share};
use place::{Word, Workers};

/// Work below which a second thread costs more than it brings, in multiply-adds or so.
const LEAST_WORK: usize = 32 * 1024;
/// Parts that each thread's share is cut into, so that a slow thread leaves little undone.
const PARTS: usize = 4;
/// Shares of a loop at most; of more threads than that several begin with the same.
const MOST_SHARES: usize = 64;
/// Turns that an idle thread spins for the next loop before it sleeps: about 30 microseconds.
const SPINS: u32 = 1500;

/// Calls `body` with ranges that together are `0..items`, on several threads if it pays.
///
/// `cost` is the work of one item in multiply-adds. A loop inside a loop, or beside another caller's, runs
/// on its own thread alone.
///
/// A body takes no memory, no lock and nothing that is thread-local: in WebAssembly none of these is made for
/// several threads (see `threads/shared_memory.rs`). What it needs room for, [`parallel_with`] gives it.
pub fn parallel_for(items: usize, cost: usize, body: impl Fn(Range<usize>) + Sync) {
    distribute(items, cost, &|range, _| body(range));
}

/// [`parallel_for`] whose body also gets `room` floats of its thread's own; what they hold is left from other items.
pub fn parallel_with(
    items: usize,
    cost: usize,
    room: usize,
    body: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    let threads = if pays(items, cost) { thread_count() } else { 1 };
    let mut rooms = vec![0f32; threads * room];
    let rooms = Shared::new(&mut rooms);
    distribute(items, cost, &|range, thread| {
        // SAFETY: each thread has a number of its own.
        body(range, unsafe { rooms.slice(thread * room..(thread + 1) * room) });
    });
}

/// Whether a second thread brings more than it costs.
fn pays(items: usize, cost: usize) -> bool {
    items > 1 && items.saturating_mul(cost) >= 2 * LEAST_WORK
}

fn distribute(items: usize, cost: usize, body: &Body<'_>) {
    match pays(items, cost) {
        true => pool().run(items, body),
        false if items > 0 => body(0..items, 0),
        false => {}
    }
}

/// Calls `body` with each run of `size` items of `slice` (the last may be shorter) and its number, on several threads if it pays.
///
/// `cost` is the work of one run in multiply-adds; the body, which also gets `room` floats, is as [`parallel_for`] and
/// [`parallel_with`] say.
pub fn parallel_chunks<T: Send>(
    slice: &mut [T],
    size: usize,
    cost: usize,
    room: usize,
    body: impl Fn(usize, &mut [T], &mut [f32]) + Sync,
) {
    let (len, size) = (slice.len(), size.max(1));
    let shared = Shared::new(slice);
    parallel_with(len.div_ceil(size), cost, room, |range, room| {
        for index in range {
            // SAFETY: runs do not overlap, and each is given to one thread.
            let run = unsafe { shared.slice(index * size..len.min((index + 1) * size)) };
            body(index, run, room);
        }
    });
}

/// The number of threads that loops are split over, the caller's included.
pub fn thread_count() -> usize {
    pool().workers.count() + 1
}

thread_local! {
    /// Whether this thread is inside a loop of the pool. In WebAssembly all threads share one: it is true while any
    /// loop runs, and other threads than the first run nothing but its bodies.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// What is called with a range of items and the number of the thread, 0 for the caller's.
type Body<'a> = dyn Fn(Range<usize>, usize) + Sync + 'a;

struct Pool {
    state: &'static State,
    workers: Workers,
    /// Held by the caller whose loop runs.
    caller: Mutex<()>,
}

struct State {
    /// The number of the loop that may be joined; 0 if none may.
    open: Word,
    /// Threads that look at the job or work on it.
    inside: Word,
    /// The first item of each share that no thread has taken, counted from the share's first.
    cursors: [Word; MOST_SHARES],
    job: Cell<Option<Job>>,
    /// Not 0 if a thread panicked in the loop.
    panicked: Word,
}

// SAFETY: `job` is written only while no loop is open and read only by threads that counted themselves
// in before they saw one open (see `run` and `join`).
unsafe impl Sync for State {}

#[derive(Clone, Copy)]
struct Job {
    body: *const Body<'static>,
    items: usize,
    shares: usize,
}

impl Job {
    /// Takes parts of the thread's own share until there are none, then of the others'.
    ///
    /// # Safety
    /// The loop that made the job must not have ended.
    unsafe fn work(&self, cursors: &[Word], thread: usize) {
        // SAFETY: the caller's frame, which owns it, lives as long as the loop.
        let body = unsafe { &*self.body };
        let share = self.items.div_ceil(self.shares);
        let part = share.div_ceil(PARTS);
        for turn in 0..self.shares {
            let number = (thread + turn) % self.shares;
            let Some(cursor) = cursors.get(number) else { return };
            let first = number * share;
            let len = self.items.saturating_sub(first).min(share);
            // Looking takes nothing from the owner, taking does.
            while turn == 0 || cursor.load() < len {
                let start = cursor.add(part);
                if start >= len {
                    break;
                }
                body(first + start..first + len.min(start + part), thread);
            }
        }
    }
}

fn pool() -> &'static Pool {
    static STATE: State = State {
        open: Word::new(0),
        inside: Word::new(0),
        cursors: [const { Word::new(0) }; MOST_SHARES],
        job: Cell::new(None),
        panicked: Word::new(0),
    };
    static POOL: OnceLock<Pool> = OnceLock::new();
    POOL.get_or_init(|| Pool {
        state: &STATE,
        workers: Workers::start(&STATE),
        caller: Mutex::new(()),
    })
}

impl Pool {
    fn run(&self, items: usize, body: &Body<'_>) {
        if self.workers.count() == 0 || INSIDE.get() {
            return body(0..items, 0);
        }
        let _guard = match self.caller.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return body(0..items, 0),
        };
        let shares = (self.workers.count() + 1).min(MOST_SHARES);
        // SAFETY: only the lifetime is changed; no thread uses the job after `Closing` has dropped.
        let lasting = unsafe { std::mem::transmute::<*const Body<'_>, *const Body<'static>>(body) };
        let job = Job { body: lasting, items, shares };
        self.state.job.set(Some(job));
        self.state.cursors.iter().take(shares).for_each(|cursor| cursor.store(0));
        // Only the caller counts, so this need not be a word.
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        INSIDE.set(true);
        self.state.open.store(number);
        let closing = Closing(self.state);
        self.workers.wake(&self.state.open);
        // SAFETY: the loop is open until `closing` drops.
        unsafe { job.work(&self.state.cursors, 0) };
        drop(closing);
        if self.state.panicked.load() != 0 {
            self.state.panicked.store(0);
            // What the other thread said is on stderr; here the loop's result would be wrong.
            std::panic::resume_unwind(Box::new("a thread of the pool panicked"));
        }
    }
}

/// Ends a loop, also when its body panics: nobody may join, and those inside are waited for.
struct Closing(&'static State);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.open.store(0);
        let mut turns = 0u32;
        while self.0.inside.load() != 0 {
            turns += 1;
            // A thread with items may have lost its core: leave it ours.
            if turns > SPINS { place::give_way() } else { std::hint::spin_loop() }
        }
        INSIDE.set(false);
    }
}

impl State {
    /// The life of worker `thread`: wait for a loop, join it, again.
    fn serve(&self, thread: usize) -> ! {
        let mut last = 0;
        loop {
            let mut turns = 0;
            loop {
                let open = self.open.load();
                if open != 0 && open != last {
                    last = open;
                    break;
                }
                turns += 1;
                if turns > SPINS {
                    place::sleep(&self.open, open);
                    turns = 0;
                } else {
                    std::hint::spin_loop();
                }
            }
            self.join(thread);
        }
    }

    fn join(&self, thread: usize) {
        // Counting in comes before looking, closing before reading the count: either the loop is
        // seen closed here, or its caller sees this thread and waits.
        self.inside.add(1);
        if self.open.load() != 0
            && let Some(job) = self.job.get()
        {
            // SAFETY: the loop was open after this thread counted itself in, so its caller waits.
            let work = AssertUnwindSafe(|| unsafe { job.work(&self.cursors, thread) });
            if catch_unwind(work).is_err() {
                self.panicked.store(1);
            }
        }
        self.inside.sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_rooms_of_their_own() {
        let total = AtomicUsize::new(0);
        for _ in 0..200 {
            parallel_with(64, LEAST_WORK, 3, |range, room| {
                assert_eq!(room.len(), 3);
                for item in range {
                    room.fill(item as f32);
                    std::hint::spin_loop();
                    assert!(room.iter().all(|x| *x == item as f32));
                    total.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        assert_eq!(total.into_inner(), 200 * 64);
    }

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
        parallel_chunks(&mut numbers, 10, LEAST_WORK, 0, |index, run, _| {
            assert_eq!(run.len(), if index == 100 { 1 } else { 10 });
            run.iter_mut().for_each(|number| *number += index + 1);
        });
        assert!(numbers.iter().enumerate().all(|(i, number)| *number == i / 10 + 1));
        parallel_chunks(&mut [0u8; 0], 0, 1, 0, |_, _, _| panic!("there is nothing"));
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
