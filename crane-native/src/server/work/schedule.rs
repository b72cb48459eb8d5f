//! Which job is next: the shares take turns, and large requests leave a thread for small ones.

use std::collections::{HashMap, VecDeque};

use crane_sdk::generate::CancelToken;

use crate::server::share::Share;

/// Something to do for a request.
pub(super) struct Job<W> {
    /// Whose request it is.
    pub share: Share,
    /// Whether it may take long: the request has many bytes.
    pub is_large: bool,
    /// Set when nobody waits for it any more.
    pub cancel: CancelToken,
    /// What is to be done.
    pub work: W,
}

/// Jobs that wait, and who has a job under way.
pub(super) struct Schedule<W> {
    waiting: VecDeque<Job<W>>,
    /// Shares that have jobs, waiting or under way.
    shares: HashMap<Share, ShareLoad>,
    running: usize,
    running_large: usize,
    /// Large jobs that may be under way at a time.
    most_large: usize,
    /// Counts jobs: tells whose last one began first.
    clock: u64,
}

#[derive(Default)]
struct ShareLoad {
    waiting: usize,
    running: usize,
    /// When the last one began.
    last: u64,
}

impl<W> Schedule<W> {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            waiting: VecDeque::new(),
            shares: HashMap::new(),
            running: 0,
            running_large: 0,
            most_large: threads.saturating_sub(1).max(1),
            clock: 0,
        }
    }

    pub(super) fn running(&self) -> usize {
        self.running
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn waiting_of(&self, share: &Share) -> usize {
        self.shares.get(share).map_or(0, |turns| turns.waiting)
    }

    pub(super) fn push(&mut self, job: Job<W>) {
        self.shares.entry(job.share).or_default().waiting += 1;
        self.waiting.push_back(job);
    }

    /// Takes out what nobody waits for any more. The caller drops it when it no longer holds the lock.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job<W>> {
        if !self.waiting.iter().any(|job| job.cancel.is_cancelled()) {
            return Vec::new();
        }
        let (gone, waiting): (VecDeque<_>, VecDeque<_>) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|job| job.cancel.is_cancelled());
        self.waiting = waiting;
        for job in &gone {
            self.note(&job.share, |turns| turns.waiting -= 1);
        }
        gone.into()
    }

    /// Takes the next job: of the shares that wait, the one with the fewest under way comes first, then the one whose last turn
    /// is the longest ago; of its jobs, the oldest.
    pub(super) fn next(&mut self) -> Option<Job<W>> {
        let room = self.running_large < self.most_large;
        let candidates = self.waiting.iter().enumerate().filter(|(_, job)| room || !job.is_large);
        let turn = |share: &Share| {
            self.shares.get(share).map_or((0, 0), |turns| (turns.running, turns.last))
        };
        // Of equals the first is taken.
        let (index, _) = candidates.min_by_key(|(_, job)| turn(&job.share))?;
        let job = self.waiting.remove(index)?;
        self.clock += 1;
        let clock = self.clock;
        self.note(&job.share, |turns| {
            turns.waiting -= 1;
            turns.running += 1;
            turns.last = clock;
        });
        self.running += 1;
        self.running_large += usize::from(job.is_large);
        Some(job)
    }

    /// A job has ended.
    pub(super) fn done(&mut self, share: &Share, is_large: bool) {
        self.running -= 1;
        self.running_large -= usize::from(is_large);
        self.note(share, |turns| turns.running -= 1);
    }

    /// Changes a share's turns; one that has no jobs is forgotten.
    fn note(&mut self, share: &Share, change: impl FnOnce(&mut ShareLoad)) {
        if let Some(turns) = self.shares.get_mut(share) {
            change(turns);
            if turns.waiting == 0 && turns.running == 0 {
                self.shares.remove(share);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::work::tests::share;

    fn job(number: u8, work: &'static str, is_large: bool) -> Job<&'static str> {
        Job { share: share(number), is_large, cancel: CancelToken::new(), work }
    }

    /// What is begun until nothing can be, if nothing ends.
    fn begun(schedule: &mut Schedule<&'static str>) -> Vec<&'static str> {
        std::iter::from_fn(|| schedule.next()).map(|job| job.work).collect()
    }

    #[test]
    fn shares_take_turns() {
        let mut schedule = Schedule::new(2);
        for (number, work) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            schedule.push(job(number, work, false));
        }
        assert_eq!(begun(&mut schedule), ["a1", "b1", "c1", "a2", "b2", "a3"]);
        assert_eq!((schedule.running(), schedule.waiting()), (6, 0));
        for number in [1, 1, 1, 2, 2, 3] {
            schedule.done(&share(number), false);
        }
        assert!(schedule.shares.is_empty());
    }

    #[test]
    fn one_at_a_time_alternates_between_shares() {
        let mut schedule = Schedule::new(1);
        for (number, work) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (2, "b2")] {
            schedule.push(job(number, work, true));
        }
        let mut order = Vec::new();
        while let Some(job) = schedule.next() {
            assert!(schedule.next().is_none());
            order.push(job.work);
            schedule.done(&job.share, true);
        }
        assert_eq!(order, ["a1", "b1", "a2", "b2", "a3"]);
    }

    #[test]
    fn large_jobs_leave_a_thread() {
        let mut schedule = Schedule::new(3);
        for work in ["l1", "l2", "l3", "l4"] {
            schedule.push(job(1, work, true));
        }
        assert_eq!(begun(&mut schedule), ["l1", "l2"]);
        schedule.push(job(1, "s1", false));
        assert_eq!(begun(&mut schedule), ["s1"]);
        schedule.done(&share(1), true);
        assert_eq!(begun(&mut schedule), ["l3"]);
    }

    #[test]
    fn what_nobody_waits_for_is_taken_out() {
        let mut schedule = Schedule::new(2);
        let jobs = ["a", "b", "c"].map(|work| job(1, work, false));
        jobs[1].cancel.cancel();
        jobs.into_iter().for_each(|job| schedule.push(job));
        assert_eq!(schedule.take_cancelled().iter().map(|job| job.work).collect::<Vec<_>>(), ["b"]);
        assert!(schedule.take_cancelled().is_empty());
        assert_eq!(begun(&mut schedule), ["a", "c"]);
    }
}
