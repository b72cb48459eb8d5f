//! Who waits for a slot, in which order, and how many may.

use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crane_sdk::generate::{CancelToken, GenerationConfig, PrefixSalt};
use tokio::sync::mpsc::{Sender, UnboundedSender};

use super::turns::{Client, Turns};
use super::{Event, Limits};
use crate::server::share::Share;

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
    pub client: Client,
    /// With whom its prompt may share what was evaluated.
    pub salt: PrefixSalt,
    /// When.
    pub asked: Instant,
}

/// What the engine's thread and its callers share.
#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    wake: Condvar,
    limits: Limits,
}

/// What is known under the lock.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Replies that wait, in the order in which they came.
    pub waiting: VecDeque<Job>,
    /// Whose replies are under way.
    pub running: Vec<Share>,
    /// Whose replies were put aside for others.
    pub paused: Vec<Share>,
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
    pub(super) fn new(limits: Limits) -> Self {
        Self { state: Mutex::default(), wake: Condvar::new(), limits }
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

    /// Takes all jobs or none: those that no slot is free for must find places in the queue. A share that has nothing
    /// here finds some that are kept for such.
    ///
    /// # Errors
    /// After how many seconds it is worth trying again.
    pub(super) fn push(&self, jobs: Vec<Job>) -> Result<(), u64> {
        let Limits { parallel, queue, .. } = self.limits;
        let mut state = self.lock();
        state.waiting.retain(|job| !job.cancel.is_cancelled());
        let known = jobs.first().is_some_and(|job| state.shares().contains(&job.client.share));
        let kept = if known { 0 } else { self.limits.kept() };
        let ahead = state.running.len() + state.paused.len() + state.waiting.len();
        if ahead + jobs.len() > parallel + queue + kept {
            let rounds = (ahead + jobs.len()).div_ceil(parallel.max(1)) as f64;
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
    /// The shares that have replies under way, put aside or waiting.
    pub(super) fn shares(&self) -> HashSet<Share> {
        let waiting = self.waiting.iter().map(|job| job.client.share);
        waiting.chain(self.running.iter().copied()).chain(self.paused.iter().copied()).collect()
    }

    /// The shares whose jobs wait and are `ready`.
    pub(super) fn waiting_shares(&self, ready: impl Fn(&Job) -> bool) -> HashSet<Share> {
        let mut shares = HashSet::new();
        for job in &self.waiting {
            if !shares.contains(&job.client.share) && ready(job) {
                shares.insert(job.client.share);
            }
        }
        shares
    }

    /// Takes the next job of a share that is `ready`: of its users the one with the fewest replies under way comes first,
    /// then the one who was served longest ago; of a user's jobs the oldest.
    pub(super) fn take(
        &mut self,
        share: Share,
        turns: &Turns,
        running_of: impl Fn(&Client) -> usize,
        ready: impl Fn(&Job) -> bool,
    ) -> Option<Job> {
        let jobs = self.waiting.iter().enumerate();
        let jobs = jobs.filter(|(_, job)| job.client.share == share && ready(job));
        // Of equals the first is taken.
        let (index, _) =
            jobs.min_by_key(|(_, job)| (running_of(&job.client), turns.served(&job.client)))?;
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

    const BUSY: Share = Share::Key(0);
    const RARE: Share = Share::Key(1);

    fn job(index: usize, share: Share, user: &str) -> Job {
        Job {
            index,
            prompt: [0].into(),
            config: GenerationConfig::default(),
            cancel: CancelToken::new(),
            events: tokio::sync::mpsc::unbounded_channel().0,
            _under_way: tokio::sync::mpsc::channel(1).0,
            client: Client { share, user: Some(user.into()) },
            salt: PrefixSalt::default(),
            asked: Instant::now(),
        }
    }

    fn shared(parallel: usize, queue: usize) -> Shared {
        Shared::new(Limits { parallel, queue, context: 8 })
    }

    #[test]
    fn a_share_is_divided_among_its_users() {
        let shared = shared(1, 8);
        let jobs = [(0, "a"), (1, "a"), (2, "a"), (3, "b")];
        shared.push(jobs.map(|(index, user)| job(index, BUSY, user)).into()).unwrap();
        let (mut turns, mut state) = (Turns::default(), shared.lock());
        let order: Vec<_> = std::iter::from_fn(|| {
            let job = state.take(BUSY, &turns, |_| 0, |_| true)?;
            turns.note_reply(&job.client, 0);
            Some(job.index)
        })
        .collect();
        assert_eq!(order, [0, 3, 1, 2]);
    }

    #[test]
    fn a_full_queue_refuses_and_says_when_to_come_back() {
        let shared = shared(1, 2);
        shared.lock().running = vec![BUSY];
        shared.lock().took(10.0);
        shared.push(vec![job(0, BUSY, ""), job(1, BUSY, "")]).unwrap();
        assert_eq!(shared.push(vec![job(2, BUSY, "made up")]), Err(20));
        // Those that nobody waits for make room.
        shared.lock().waiting[0].cancel.cancel();
        assert_eq!(shared.push(vec![job(2, BUSY, "")]), Ok(()));
        assert_eq!(shared.lock().waiting.len(), 2);
    }

    #[test]
    fn a_full_queue_keeps_a_place_for_who_has_nothing_here() {
        let shared = shared(1, 2);
        shared.lock().running = vec![BUSY];
        shared.push(vec![job(0, BUSY, ""), job(1, BUSY, "")]).unwrap();
        assert!(shared.push(vec![job(2, BUSY, "")]).is_err());
        shared.push(vec![job(3, RARE, "")]).unwrap();
        assert!(shared.push(vec![job(4, RARE, "")]).is_err());
        assert!(shared.push(vec![job(5, Share::Key(2), "")]).is_err());
    }

    #[test]
    fn what_is_not_ready_is_passed_over() {
        let shared = shared(1, 2);
        shared.push(vec![job(0, BUSY, ""), job(1, BUSY, "")]).unwrap();
        let (turns, mut state) = (Turns::default(), shared.lock());
        let ready = |job: &Job| job.index == 1;
        assert_eq!(state.waiting_shares(ready), HashSet::from([BUSY]));
        assert_eq!(state.take(BUSY, &turns, |_| 0, ready).unwrap().index, 1);
        assert!(state.take(BUSY, &turns, |_| 0, ready).is_none());
        assert_eq!(state.waiting_shares(ready), HashSet::new());
        assert_eq!(state.waiting.len(), 1);
    }
}
