//! All work on a request that no model does: parsing, chat templates, tokens, grammars. A few threads with a known stack do it.
//!
//! A request enters with [`Workers::enter`] and gets a [`Permit`], or is told to come back later. The permit runs its jobs, which wait
//! in turn by share. Dropping it, as a deadline and a client that leaves do, cancels them: jobs that wait are gone at once, and
//! those under way look at their [`CancelToken`].

mod admission;
mod limits;
mod schedule;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use crane_sdk::generate::CancelToken;
use tokio::sync::oneshot;

use self::admission::{Admission, AdmissionLimits, Place};
use self::schedule::{Job, Schedule};
use super::share::Share;
use super::wire::ApiError;
use crate::memory;

pub use self::admission::HeldBytes;
pub use self::limits::{SMALLER, most_text};

/// Bytes of each thread's stack, for what recurses: grammars, schemas, JSON. Its pages are taken only when they are used.
const STACK: usize = 64 << 20;
/// The most threads that prepare requests: the models' own threads have the processor.
const MOST_THREADS: usize = 4;
/// A request of more bytes is a large one.
const LARGE: usize = 64 << 10;
/// After a job of a request of so many bytes memory is given back to the system.
const HEAVY: usize = 1 << 20;
/// As after one that took so long.
const LONG: Duration = Duration::from_millis(100);
/// Requests that may always be under way, however short the queue is.
const LEAST_REQUESTS: usize = 16;
/// Bytes that all requests may hold, unless four of the largest bodies are more.
const HELD_BYTES: usize = 512 << 20;

type Boxed = Box<dyn FnOnce() + Send>;

/// The threads that prepare requests, those that make vectors, and who may use them.
#[derive(Debug)]
pub struct Workers {
    admission: Arc<Admission>,
    prepare: Pool,
    embed: Pool,
}

/// How many requests are being prepared, and how many wait for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preparing {
    /// Jobs under way.
    pub running: usize,
    /// Jobs that wait for a thread.
    pub waiting: usize,
}

/// Threads and the jobs that wait for them.
#[derive(Debug)]
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    wake: Condvar,
}

struct State {
    schedule: Schedule<Boxed>,
    closing: bool,
    /// How long a job takes, in seconds: a running mean, 0 before the first.
    mean_seconds: f64,
}

/// One request's right to have work done. Dropping it cancels what is under way.
#[derive(Debug)]
pub struct Permit {
    work: Arc<Workers>,
    entry: Arc<Entry>,
    cancel: CancelToken,
    bytes: usize,
}

/// What a request holds until the last of its jobs is gone.
#[derive(Debug)]
struct Entry {
    place: Place,
    bytes: Mutex<HeldBytes>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Workers {
    /// Starts the threads. `queue` requests may be under way, and bodies have at most `most_body` bytes.
    ///
    /// # Errors
    /// The system's words if it gives no thread.
    pub fn start(queue: usize, most_body: usize) -> Result<Self, String> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        let limits = AdmissionLimits {
            requests: queue.max(LEAST_REQUESTS),
            bytes: most_body.saturating_mul(4).max(HELD_BYTES),
        };
        Ok(Self {
            admission: Arc::new(Admission::new(limits)),
            prepare: Pool::start("prepare", threads.clamp(2, MOST_THREADS))?,
            // One request at a time: the threads that compute are the same for all.
            embed: Pool::start("embed", 1)?,
        })
    }

    /// Bytes of a request of this share, none yet.
    pub fn no_bytes(&self, share: &Share) -> HeldBytes {
        self.admission.no_bytes(share)
    }

    /// Lets a request of so many bytes in.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again if too many are under way.
    pub fn enter(
        self: &Arc<Self>,
        share: &Share,
        bytes: usize,
        held: HeldBytes,
    ) -> Result<Permit, ApiError> {
        let place = self.admission.enter(share).ok_or_else(|| self.busy())?;
        let entry = Arc::new(Entry { place, bytes: Mutex::new(held) });
        Ok(Permit { work: self.clone(), entry, cancel: CancelToken::new(), bytes })
    }

    /// The refusal of a request for which there is no place or no memory.
    pub fn busy(&self) -> ApiError {
        let Preparing { waiting, .. } = self.preparing();
        let seconds = self.prepare.mean_seconds() * waiting as f64;
        ApiError::preparing_too_many(self.admission.most(), (seconds.ceil() as u64).clamp(1, 60))
    }

    /// What is being prepared now.
    pub fn preparing(&self) -> Preparing {
        let (a, b) = (self.prepare.load(), self.embed.load());
        Preparing { running: a.running + b.running, waiting: a.waiting + b.waiting }
    }

    /// Whether a request of anybody would be refused.
    pub fn is_full(&self) -> bool {
        self.admission.is_full()
    }
}

impl Permit {
    /// Whose request it is.
    pub fn share(&self) -> &Share {
        self.entry.place.share()
    }

    /// Whether the request is a large one, which takes its turn even to be looked at.
    pub fn is_large(&self) -> bool {
        self.bytes > LARGE
    }

    /// Counts so many bytes more that the request holds.
    ///
    /// # Errors
    /// 429 if there is no memory for them now.
    pub fn hold(&self, bytes: usize) -> Result<(), ApiError> {
        let mut held = self.entry.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if held.add(bytes) { Ok(()) } else { Err(self.work.busy()) }
    }

    /// Prepares the request: as soon as it is its turn, on a thread of its own.
    ///
    /// # Errors
    /// What `work` returns; 500 if it panics.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancelToken) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run_in(&self.work.prepare, self.is_large(), work).await
    }

    /// As [`Permit::run`], for what keeps the processor's cores busy for long: one at a time.
    ///
    /// # Errors
    /// As [`Permit::run`].
    pub async fn embed<T: Send + 'static>(
        &self,
        work: impl FnOnce(&CancelToken) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.run_in(&self.work.embed, false, work).await
    }

    async fn run_in<T: Send + 'static>(
        &self,
        pool: &Pool,
        is_large: bool,
        work: impl FnOnce(&CancelToken) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (sender, receiver) = oneshot::channel();
        let (cancel, entry) = (self.cancel.clone(), self.entry.clone());
        let token = cancel.clone();
        let is_heavy = self.bytes > HEAVY;
        let boxed: Boxed = Box::new(move || {
            let began = Instant::now();
            let done = catch_unwind(AssertUnwindSafe(|| work(&token)));
            let done = done.unwrap_or_else(|panic| Err(ApiError::internal(words(panic.as_ref()))));
            // Nobody may be there to take it.
            drop(sender.send(done));
            drop(entry);
            if is_heavy || began.elapsed() > LONG {
                memory::give_back();
            }
        });
        pool.push(Job { share: *self.share(), is_large, cancel, work: boxed });
        receiver.await.unwrap_or_else(|_| Err(ApiError::internal("the work was given up")))
    }

    /// Waits for something else than a thread, such as a model. If it takes a while, others get the place.
    pub async fn outside<T>(&self, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let at_once = std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context)));
        if let Poll::Ready(done) = at_once.await {
            return done;
        }
        self.entry.place.leave();
        let done = future.await;
        self.entry.place.enter_again();
        done
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.cancel.cancel();
        for pool in [&self.work.prepare, &self.work.embed] {
            pool.forget_cancelled();
        }
    }
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the work on the request failed: {}", text.unwrap_or("a panic without words"))
}

impl Pool {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system's words if it gives none.
    pub(super) fn start(name: &str, threads: usize) -> Result<Self, String> {
        let state = State { schedule: Schedule::new(threads), closing: false, mean_seconds: 0.0 };
        let shared = Arc::new(Shared { state: Mutex::new(state), wake: Condvar::new() });
        // The threads that were started end with the pool if another one is refused.
        let pool = Self(shared);
        for _ in 0..threads {
            let shared = pool.0.clone();
            let thread = std::thread::Builder::new().name(name.to_owned()).stack_size(STACK);
            thread.spawn(move || shared.serve()).map_err(|error| {
                format!("cannot start a thread that prepares requests: {error}")
            })?;
        }
        Ok(pool)
    }

    /// Does something when it is this share's turn, unless it is cancelled before.
    pub(super) fn submit(
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
    pub(super) fn waiting(&self, share: &Share) -> (usize, usize) {
        self.forget_cancelled();
        let state = self.0.lock();
        (state.schedule.waiting(), state.schedule.waiting_of(share))
    }

    fn push(&self, job: Job<Boxed>) {
        self.0.lock().schedule.push(job);
        self.0.wake.notify_one();
    }

    fn forget_cancelled(&self) {
        let gone = self.0.lock().schedule.take_cancelled();
        // Their places are given back under another lock.
        drop(gone);
    }

    fn load(&self) -> Preparing {
        let state = self.0.lock();
        Preparing { running: state.schedule.running(), waiting: state.schedule.waiting() }
    }

    fn mean_seconds(&self) -> f64 {
        self.0.lock().mean_seconds
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().closing = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A thread: does one job after the other until the pool is gone.
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
            drop(state);
            let Job { share, is_large, work, .. } = job;
            let began = Instant::now();
            work();
            let seconds = began.elapsed().as_secs_f64();
            state = self.lock();
            state.schedule.done(&share, is_large);
            let mean = &mut state.mean_seconds;
            *mean = if *mean == 0.0 { seconds } else { 0.9 * *mean + 0.1 * seconds };
        }
    }
}

#[cfg(test)]
mod tests;
