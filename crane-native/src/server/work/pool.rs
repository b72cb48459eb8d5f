//! Threads that do jobs in turn, and the one that watches them: a thread that goes on with what was cancelled is replaced.
//!
//! Jobs look at their [`CancelToken`] often. One that does not, for a fault of ours or of a library's, must not keep others
//! waiting for ever: a fresh thread takes its place, and it ends with its job. There are only so many replacements at a
//! time; beyond them the threads are stuck, and the server says so.

use std::collections::HashMap;
use std::ops::Add;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crane_sdk::generate::CancelToken;

use super::Preparing;
use super::schedule::{Job, Schedule};
use crate::memory;
use crate::server::share::Share;

/// Bytes of each thread's stack, for what recurses: grammars, schemas, JSON. Its pages are taken only when they are used.
const STACK: usize = 64 << 20;
/// How long a job may go on that was cancelled before its thread is replaced.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long there must have been no job before memory is given back.
const QUIET: Duration = Duration::from_secs(1);
/// How many threads that were replaced may still be at work, for each thread of a pool.
const MOST_REPLACED: usize = 4;

pub(super) type Boxed = Box<dyn FnOnce() + Send>;

/// Threads and the jobs that wait for them.
#[derive(Debug)]
pub(in crate::server) struct Pool(Arc<Shared>);

/// Threads that go on with jobs that were cancelled a while ago.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stuck {
    /// Those whose place another thread has taken.
    pub replaced: usize,
    /// Those that no thread replaces: there are too many of them, or the system gives no thread.
    pub lost: usize,
}

struct Shared {
    name: String,
    threads: usize,
    patience: Duration,
    state: Mutex<State>,
    /// Wakes a thread: there is a job.
    wake: Condvar,
    /// Wakes the watch: a job has begun, or the pool ends.
    watch: Condvar,
}

struct State {
    schedule: Schedule<Boxed>,
    closing: bool,
    /// How long a job takes, in seconds: a running mean, 0 before the first.
    mean_seconds: f64,
    running: HashMap<u64, Running>,
    /// Counts jobs that have begun.
    count: u64,
}

/// A job under way.
struct Running {
    share: Share,
    is_large: bool,
    cancel: CancelToken,
    /// When it was first seen to be cancelled.
    cancelled: Option<Instant>,
    /// Whether another thread has taken the place of its own.
    is_replaced: bool,
}

impl Add for Stuck {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { replaced: self.replaced + other.replaced, lost: self.lost + other.lost }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Pool {
    /// Starts so many threads, and the one that watches them.
    ///
    /// # Errors
    /// The system's words if it gives none.
    pub(in crate::server) fn start(name: &str, threads: usize) -> Result<Self, String> {
        Self::watched(name, threads, PATIENCE)
    }

    /// As [`Pool::start`], where a job may go on for so long that was cancelled.
    pub(super) fn watched(name: &str, threads: usize, patience: Duration) -> Result<Self, String> {
        let state = State {
            schedule: Schedule::new(threads),
            closing: false,
            mean_seconds: 0.0,
            running: HashMap::new(),
            count: 0,
        };
        let shared = Shared {
            name: name.to_owned(),
            threads,
            patience,
            state: Mutex::new(state),
            wake: Condvar::new(),
            watch: Condvar::new(),
        };
        // The threads that were started end with the pool if another one is refused.
        let pool = Self(Arc::new(shared));
        let refused = |error| format!("cannot start a thread that prepares requests: {error}");
        for _ in 0..threads {
            pool.0.add_thread().map_err(refused)?;
        }
        let shared = pool.0.clone();
        let watch = std::thread::Builder::new().name(format!("{name}-watch"));
        watch.spawn(move || shared.watch()).map_err(refused)?;
        Ok(pool)
    }

    /// Does something when it is this share's turn, unless it is cancelled before.
    pub(in crate::server) fn submit(
        &self,
        share: &Share,
        cancel: CancelToken,
        work: impl FnOnce() + Send + 'static,
    ) {
        let work: Boxed = Box::new(move || {
            // A panic was told when it happened; the thread goes on.
            drop(catch_unwind(AssertUnwindSafe(work)));
        });
        self.push(Job { share: *share, is_large: false, cancel, work });
    }

    /// How many jobs wait that somebody wants, and how many of them are this share's.
    pub(in crate::server) fn waiting(&self, share: &Share) -> (usize, usize) {
        self.forget_cancelled();
        let state = self.0.lock();
        (state.schedule.waiting(), state.schedule.waiting_of(share))
    }

    /// The threads that do not end what was cancelled.
    pub(in crate::server) fn stuck(&self) -> Stuck {
        let state = self.0.lock();
        let late = |job: &&Running| job.is_late(self.0.patience);
        Stuck {
            replaced: state.running.values().filter(|job| job.is_replaced).count(),
            lost: state.running.values().filter(|job| !job.is_replaced).filter(late).count(),
        }
    }

    pub(super) fn push(&self, job: Job<Boxed>) {
        self.0.lock().schedule.push(job);
        self.0.wake.notify_one();
    }

    pub(super) fn forget_cancelled(&self) {
        let gone = self.0.lock().schedule.take_cancelled();
        // Their places are given back under another lock.
        drop(gone);
    }

    pub(super) fn load(&self) -> Preparing {
        let state = self.0.lock();
        Preparing { running: state.schedule.running(), waiting: state.schedule.waiting() }
    }

    pub(super) fn mean_seconds(&self) -> f64 {
        self.0.lock().mean_seconds
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.wake.notify_all();
        self.0.watch.notify_all();
    }
}

impl Running {
    fn is_late(&self, patience: Duration) -> bool {
        self.cancelled.is_some_and(|since| since.elapsed() > patience)
    }
}

impl Shared {
    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_thread(self: &Arc<Self>) -> std::io::Result<()> {
        let shared = self.clone();
        let thread = std::thread::Builder::new().name(self.name.clone()).stack_size(STACK);
        thread.spawn(move || shared.serve()).map(drop)
    }

    /// A thread: does one job after the other until the pool is gone, or until another thread has taken its place.
    fn serve(&self) {
        let mut state = self.lock();
        while !state.closing {
            let gone = state.schedule.take_cancelled();
            if !gone.is_empty() {
                drop(state);
                drop(gone);
                state = self.lock();
                continue;
            }
            let Some(job) = state.schedule.next() else {
                state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let Job { share, is_large, cancel, work } = job;
            let number = state.count;
            state.count += 1;
            let running = Running { share, is_large, cancel, cancelled: None, is_replaced: false };
            state.running.insert(number, running);
            let is_first = state.running.len() == 1;
            drop(state);
            if is_first {
                self.watch.notify_one();
            }
            let began = Instant::now();
            work();
            let seconds = began.elapsed().as_secs_f64();
            state = self.lock();
            if state.running.remove(&number).is_some_and(|job| job.is_replaced) {
                return;
            }
            state.schedule.done(&share, is_large);
            let mean = &mut state.mean_seconds;
            *mean = if *mean == 0.0 { seconds } else { 0.9 * *mean + 0.1 * seconds };
        }
    }

    /// The watch: looks at what is under way several times in the time that a cancelled job has. When there has been
    /// nothing for a while, it gives back what jobs have freed: each of them little, but together what the allocator keeps
    /// can be many times what is in use.
    fn watch(self: &Arc<Self>) {
        let mut state = self.lock();
        // Jobs that had begun when memory was given back.
        let mut given_back = 0;
        while !state.closing {
            if state.running.is_empty() && state.count == given_back {
                state = self.watch.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let count = state.count;
            let wait = if state.running.is_empty() { QUIET } else { self.patience / 5 };
            let turn = self.watch.wait_timeout(state, wait);
            (state, _) = turn.unwrap_or_else(PoisonError::into_inner);
            self.replace(&mut state);
            if state.running.is_empty() && state.count == count && !state.closing {
                given_back = count;
                drop(state);
                memory::give_back();
                state = self.lock();
            }
        }
    }

    /// Gives the places of threads that are late to others.
    fn replace(self: &Arc<Self>, state: &mut State) {
        let State { running, schedule, .. } = state;
        let mut replaced = running.values().filter(|job| job.is_replaced).count();
        for job in running.values_mut().filter(|job| job.cancel.is_cancelled()) {
            job.cancelled.get_or_insert_with(Instant::now);
            let is_due = job.is_late(self.patience) && !job.is_replaced;
            if is_due && replaced < MOST_REPLACED * self.threads && self.add_thread().is_ok() {
                job.is_replaced = true;
                replaced += 1;
                schedule.done(&job.share, job.is_large);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::server::work::tests::share;

    /// A job that hears no cancellation, until the channel says so.
    fn deaf(pool: &Pool, number: u8) -> (CancelToken, mpsc::Sender<()>) {
        let (cancel, (end, ended)) = (CancelToken::new(), mpsc::channel());
        pool.submit(&share(number), cancel.clone(), move || {
            let _ = ended.recv();
        });
        (cancel, end)
    }

    fn until(pool: &Pool, is_so: impl Fn(Stuck, Preparing) -> bool) {
        for _ in 0..6000 {
            if is_so(pool.stuck(), pool.load()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{:?} {:?}", pool.stuck(), pool.load());
    }

    #[test]
    fn a_thread_that_hears_no_cancellation_is_replaced() {
        let pool = Pool::watched("test", 1, Duration::from_millis(50)).unwrap();
        let (cancel, end) = deaf(&pool, 1);
        until(&pool, |_, load| load.running == 1);
        let (said, heard) = mpsc::channel();
        pool.submit(&share(1), CancelToken::new(), move || said.send(()).unwrap());
        // Nobody has given it up: it may take as long as it takes.
        assert!(heard.recv_timeout(Duration::from_millis(300)).is_err());
        assert_eq!(pool.stuck(), Stuck::default());
        cancel.cancel();
        heard.recv_timeout(Duration::from_secs(60)).unwrap();
        until(&pool, |stuck, load| stuck.replaced == 1 && load.running == 0);
        // It ends with its job, and the pool has as many threads as before.
        end.send(()).unwrap();
        until(&pool, |stuck, _| stuck == Stuck::default());
        let (ends, _cancels): (Vec<_>, Vec<_>) =
            (0..2).map(|_| deaf(&pool, 1)).map(|(cancel, end)| (end, cancel)).unzip();
        until(&pool, |_, load| (load.running, load.waiting) == (1, 1));
        drop(ends);
        until(&pool, |_, load| (load.running, load.waiting) == (0, 0));
    }

    #[test]
    fn only_so_many_are_replaced_at_a_time() {
        let pool = Pool::watched("test", 1, Duration::from_millis(20)).unwrap();
        let mut ends = Vec::new();
        for count in 1..=MOST_REPLACED + 1 {
            let (cancel, end) = deaf(&pool, 1);
            until(&pool, |_, load| load.running == 1);
            cancel.cancel();
            ends.push(end);
            // A thread that is to be replaced counts as lost for a moment, and its job as running.
            until(&pool, |stuck, _| stuck.replaced == count.min(MOST_REPLACED));
        }
        until(&pool, |stuck, _| stuck == Stuck { replaced: MOST_REPLACED, lost: 1 });
        // Once one of them ends, the one that was lost has its successor.
        drop(ends.remove(0));
        until(&pool, |stuck, load| stuck.lost == 0 && load.running == 0);
        drop(ends);
        until(&pool, |stuck, _| stuck == Stuck::default());
    }
}
