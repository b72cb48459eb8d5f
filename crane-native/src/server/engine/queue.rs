//! Who waits for a slot, in which order, and how many may.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crane_sdk::generate::{CancelToken, GenerationConfig};
use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::Event;

/// One reply to be generated.
#[derive(Debug)]
pub(super) struct Job {
    /// Which of its request's replies it is.
    pub index: usize,
    /// The prompt's tokens.
    pub prompt: Arc<[u32]>,
    /// How the reply is generated.
    pub config: GenerationConfig,
    /// Set when nobody waits for the reply any more.
    pub cancel: CancelToken,
    /// Where the reply goes.
    pub events: UnboundedSender<(usize, Event)>,
    /// Held for as long as the reply is waited for or under way.
    pub _under_way: Sender<Infallible>,
    /// Who asked.
    pub client: Arc<str>,
    /// When.
    pub asked: Instant,
}

/// What the engine's thread and its callers share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    /// The most replies that may wait.
    limit: usize,
}

/// What is known under the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Replies that wait, in the order in which they came.
    pub waiting: VecDeque<Job>,
    /// Replies under way.
    pub running: usize,
    /// Tokens that all slots hold, whether they are in use or not.
    pub held_tokens: usize,
    /// No more come: the thread ends when all are done.
    pub closing: bool,
    /// Those that are left are given up.
    pub abandoned: bool,
    /// How long a reply takes, in seconds: a running mean, 0 before the first.
    pub mean_seconds: f64,
}

impl Job {
    /// Tells what comes of it; a receiver that is gone has cancelled it.
    pub(super) fn send(&self, event: Event) {
        let _ = self.events.send((self.index, event));
    }
}

impl Shared {
    pub(super) fn new(limit: usize) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), limit }
    }

    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until [`Shared::wake`].
    pub(super) fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.wake.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the engine's thread look again.
    pub(super) fn wake(&self) {
        self.wake.notify_all();
    }

    /// Takes all jobs or none: those that no slot is free for must find room in the queue.
    ///
    /// # Errors
    /// After how many seconds it is worth trying again.
    pub(super) fn push(&self, jobs: Vec<Job>, slots: usize) -> Result<(), u64> {
        let mut state = self.lock();
        state.waiting.retain(|job| !job.cancel.is_cancelled());
        let ahead = state.running + state.waiting.len();
        if ahead + jobs.len() > slots + self.limit {
            let rounds = (ahead + jobs.len()).div_ceil(slots.max(1)) as f64;
            let seconds = (rounds * state.mean_seconds / 2.0).ceil();
            return Err((seconds as u64).clamp(1, 60));
        }
        state.waiting.extend(jobs);
        drop(state);
        self.wake();
        Ok(())
    }
}

impl State {
    /// Takes the next job for which `ready`: of the clients that wait, the one with the fewest replies under way
    /// comes first; of its jobs, the oldest. A client with many requests so delays itself more than others.
    pub(super) fn next(
        &mut self,
        running_of: impl Fn(&str) -> usize,
        ready: impl Fn(&Job) -> bool,
    ) -> Option<Job> {
        self.waiting.retain(|job| !job.cancel.is_cancelled());
        let candidates = self.waiting.iter().enumerate().filter(|(_, job)| ready(job));
        // Of equals the first is taken.
        let (index, _) = candidates.min_by_key(|(_, job)| running_of(&job.client))?;
        self.waiting.remove(index)
    }

    /// Notes how long a reply took.
    pub(super) fn took(&mut self, seconds: f64) {
        let mean = &mut self.mean_seconds;
        *mean = if *mean == 0.0 { seconds } else { 0.9 * *mean + 0.1 * seconds };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(index: usize, client: &str) -> Job {
        Job {
            index,
            prompt: [0].into(),
            config: GenerationConfig::default(),
            cancel: CancelToken::new(),
            events: tokio::sync::mpsc::unbounded_channel().0,
            _under_way: tokio::sync::mpsc::channel(1).0,
            client: client.into(),
            asked: Instant::now(),
        }
    }

    #[test]
    fn the_client_with_the_fewest_replies_under_way_is_next() {
        let shared = Shared::new(8);
        shared.push((0..3).map(|index| job(index, "busy")).collect(), 1).unwrap();
        shared.push(vec![job(7, "rare")], 1).unwrap();
        let running = |client: &str| usize::from(client == "busy");
        let mut state = shared.lock();
        let order: Vec<_> =
            std::iter::from_fn(|| state.next(running, |_| true)).map(|job| job.index).collect();
        assert_eq!(order, [7, 0, 1, 2]);
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_to_come_back() {
        let shared = Shared::new(2);
        shared.lock().running = 1;
        shared.lock().took(10.0);
        shared.push(vec![job(0, "a"), job(1, "a")], 1).unwrap();
        assert_eq!(shared.push(vec![job(2, "b")], 1), Err(20));
        // Those that nobody waits for make room.
        shared.lock().waiting[0].cancel.cancel();
        assert_eq!(shared.push(vec![job(2, "b")], 1), Ok(()));
        assert_eq!(shared.lock().waiting.len(), 2);
    }

    #[test]
    fn what_is_not_ready_is_passed_over() {
        let shared = Shared::new(2);
        shared.push(vec![job(0, "a"), job(1, "b")], 1).unwrap();
        let mut state = shared.lock();
        assert_eq!(state.next(|_| 0, |job| job.index == 1).unwrap().index, 1);
        assert!(state.next(|_| 0, |job| job.index == 1).is_none());
        assert_eq!(state.waiting.len(), 1);
    }
}
