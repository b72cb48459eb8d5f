//! Whose turn it is: shares of the server take turns by what they have used of it.
//!
//! Every share that has work counts the passes over the weights that were made for it. A slot that becomes free goes to the
//! share with the fewest replies under way, and of equals to the one that has used the least. A share that comes anew begins
//! at the least that the others have used, so that nobody saves up turns by staying away.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use crate::server::share::Share;

/// Passes after which a reply is put aside for another share, where there are more shares than slots.
const SLICE: i64 = 32;
/// Shares that are remembered after their last reply.
const REMEMBERED: usize = 256;
/// Tokens of a prompt that cost as much as one token of a reply.
const PROMPT_TOKENS: usize = 16;

/// Who asks: a share, and the `user` that a request names, who divides the share with its other users.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client {
    /// Whose share.
    pub share: Share,
    /// Whose part of it.
    pub user: Option<Arc<str>>,
}

/// What each share has used.
#[derive(Debug, Default)]
pub(super) struct Turns {
    shares: HashMap<Share, Account>,
    /// When a user was served last, counted in replies.
    users: HashMap<Client, u64>,
    served: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Account {
    /// Passes over the weights that were made for it.
    used: i64,
    /// Whether it has replies under way or waiting.
    is_active: bool,
    /// Up to which number of passes it need not wait for a slice to end: it asked for little of late.
    prompt_until: i64,
}

impl Turns {
    /// Notes which shares have replies under way or waiting.
    pub(super) fn attend(&mut self, active: &HashSet<Share>) {
        let at_work = active.iter().filter_map(|share| self.shares.get(share));
        let floor = at_work.filter(|account| account.is_active).map(|account| account.used).min();
        for share in active {
            let account = self.shares.entry(*share).or_default();
            if account.is_active {
                continue;
            }
            account.is_active = true;
            // Who has used more than others of late is not prompt, however often it comes anew.
            if let Some(floor) = floor {
                account.used = account.used.max(floor);
                account.prompt_until = floor + SLICE;
            }
        }
        for (share, account) in &mut self.shares {
            account.is_active = active.contains(share);
        }
        if self.shares.len() > REMEMBERED + active.len() {
            self.shares.retain(|_, account| account.is_active);
        }
    }

    /// Counts a pass in which `tokens` tokens of a reply of this share took part.
    pub(super) fn note_pass(&mut self, share: Share, tokens: usize) {
        let passes = 1 + tokens.saturating_sub(1).div_ceil(PROMPT_TOKENS);
        self.shares.entry(share).or_default().used += passes as i64;
    }

    /// Of shares that wait, the one whose turn it is.
    pub(super) fn next(
        &self,
        waiting: impl Iterator<Item = Share>,
        running_of: impl Fn(Share) -> usize,
    ) -> Option<Share> {
        waiting.min_by_key(|share| (running_of(*share), self.used(*share)))
    }

    /// Whether a reply of the share `running`, the only one of it under way, is put aside for one of `waiting`, of which
    /// none is: `held` tokens may have to be evaluated again for it.
    pub(super) fn is_over(&self, running: Share, waiting: Share, held: usize) -> bool {
        let prompt = self.shares.get(&waiting).is_some_and(|it| it.used < it.prompt_until);
        let slice = SLICE.max((held / PROMPT_TOKENS) as i64);
        prompt || self.used(running) >= self.used(waiting) + slice
    }

    fn used(&self, share: Share) -> i64 {
        self.shares.get(&share).map_or(0, |account| account.used)
    }

    /// Notes that a reply of this user has begun.
    pub(super) fn note_reply(&mut self, client: &Client, waiting: usize) {
        self.served += 1;
        self.users.insert(client.clone(), self.served);
        // Users who do not wait any more are forgotten, the longest first.
        if self.users.len() > 2 * (waiting + REMEMBERED) {
            let oldest = self.served.saturating_sub((waiting + REMEMBERED) as u64);
            self.users.retain(|_, served| *served > oldest);
        }
    }

    /// When the user's last reply began; 0 if that is unknown.
    pub(super) fn served(&self, client: &Client) -> u64 {
        self.users.get(client).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: Share = Share::Key(0);
    const QUIET: Share = Share::Key(1);

    fn both() -> HashSet<Share> {
        HashSet::from([BUSY, QUIET])
    }

    #[test]
    fn who_comes_anew_has_its_turn_at_once_and_no_credit() {
        let mut turns = Turns::default();
        turns.attend(&HashSet::from([BUSY]));
        turns.note_pass(BUSY, 1000);
        turns.attend(&both());
        assert_eq!(
            turns.next([BUSY, QUIET].into_iter(), |share| usize::from(share == BUSY)),
            Some(QUIET)
        );
        assert!(turns.is_over(BUSY, QUIET, 0));
        // What it may use before the other's slice counts again is bounded.
        (0..SLICE).for_each(|_| turns.note_pass(QUIET, 1));
        assert!(!turns.is_over(BUSY, QUIET, 0));
        (0..2 * SLICE).for_each(|_| turns.note_pass(BUSY, 1));
        assert!(turns.is_over(BUSY, QUIET, 0));
        // What the other holds makes its slice longer.
        assert!(!turns.is_over(BUSY, QUIET, 10_000));
    }

    #[test]
    fn two_that_always_wait_share_alike() {
        let mut turns = Turns::default();
        let mut passes = [0i64, 0];
        let mut running = BUSY;
        for _ in 0..10_000 {
            turns.attend(&both());
            let other = if running == BUSY { QUIET } else { BUSY };
            if turns.is_over(running, other, 0) {
                running = other;
            }
            turns.note_pass(running, 1);
            passes[usize::from(running == QUIET)] += 1;
        }
        assert!((passes[0] - passes[1]).abs() <= 4 * SLICE, "{passes:?}");
    }

    #[test]
    fn many_small_requests_win_nothing() {
        let mut turns = Turns::default();
        let mut passes = [0i64, 0];
        turns.attend(&HashSet::from([BUSY]));
        turns.note_pass(BUSY, 1);
        // One that comes anew after every four tokens, as soon as it may.
        let mut left = 0;
        for _ in 0..10_000 {
            let active = if left > 0 { both() } else { HashSet::from([BUSY]) };
            turns.attend(&active);
            if left == 0 {
                turns.attend(&both());
                left = 4;
            }
            let now = if turns.is_over(BUSY, QUIET, 0) { QUIET } else { BUSY };
            left -= i64::from(now == QUIET);
            turns.note_pass(now, 1);
            passes[usize::from(now == QUIET)] += 1;
        }
        assert!(passes[1] <= passes[0] + 2 * SLICE, "{passes:?}");
    }

    #[test]
    fn staying_away_saves_nothing_up() {
        let mut turns = Turns::default();
        turns.attend(&both());
        turns.note_pass(QUIET, 1);
        turns.attend(&HashSet::from([BUSY]));
        (0..500).for_each(|_| turns.note_pass(BUSY, 1));
        turns.attend(&both());
        assert_eq!(turns.used(QUIET), turns.used(BUSY));
    }

    #[test]
    fn made_up_names_are_forgotten() {
        let mut turns = Turns::default();
        for number in 0..10_000 {
            let user = Some(number.to_string().into());
            turns.note_reply(&Client { share: BUSY, user }, 4);
            turns.attend(&HashSet::from([Share::Key(number)]));
        }
        assert!(turns.users.len() <= 2 * (4 + REMEMBERED), "{}", turns.users.len());
        assert!(turns.shares.len() <= REMEMBERED + 2, "{}", turns.shares.len());
    }
}
