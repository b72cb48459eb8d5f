//! All work on a request that no model does: parsing, chat templates, tokens, grammars. A few threads with a known stack do it.
//!
//! A request enters with [`Workers::enter`] and gets a [`Permit`], or is told to come back later. The permit runs its jobs, which wait
//! in turn by share. Dropping it, as a deadline and a client that leaves do, cancels them: jobs that wait are gone at once, and
//! those under way look at their [`CancelToken`].

mod admission;
mod limits;
mod pool;
mod schedule;

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use crane_sdk::generate::CancelToken;
use tokio::sync::oneshot;

use self::admission::{Admission, AdmissionLimits, Place};
use self::pool::Boxed;
use self::schedule::Job;
use super::share::Share;
use super::wire::ApiError;
use crate::memory;

pub use self::admission::HeldBytes;
pub use self::limits::{SMALLER, most_text};
pub(super) use self::pool::{Pool, Stuck};

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

    /// The threads that do not end what nobody waits for.
    pub fn stuck(&self) -> Stuck {
        self.prepare.stuck() + self.embed.stuck()
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

#[cfg(test)]
mod tests;
