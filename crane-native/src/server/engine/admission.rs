//! Who gets a slot, and who is put aside for another: replies of one share never keep those of others waiting.

use std::collections::HashSet;

use crane_sdk::generate::Session;

use super::queue::Shared;
use super::slots::{Slot, Slots};
use crate::server::share::Share;

impl Slots {
    /// Begins and resumes replies while there are slots for them. Where all are taken, a share that has none under way takes
    /// the place of one that has several, or whose slice is over.
    pub(super) fn admit(&mut self, shared: &Shared) {
        loop {
            let mut state = shared.lock();
            state.waiting.retain(|job| !job.cancel.is_cancelled());
            self.report(&mut state);
            self.turns.attend(&state.shares());
            let has_room = self.has_room();
            let may_begin = |share: Share| has_room || self.running_of(share) == 0;
            let mut shares: HashSet<Share> = self.paused.iter().filter_map(Slot::share).collect();
            shares.extend(
                state.waiting_shares(|job| may_begin(job.client.share) && self.is_ready(job)),
            );
            let shares = shares.into_iter().filter(|share| may_begin(*share));
            let Some(share) = self.turns.next(shares, |share| self.running_of(share)) else {
                return;
            };
            if !has_room && !self.make_room(share) {
                return;
            }
            let aside = self.paused.iter().position(|slot| slot.share() == Some(share));
            if let Some(aside) = aside {
                drop(state);
                let slot = self.paused.remove(aside);
                self.resume(slot);
                continue;
            }
            let running_for = |client: &_| self.running_for(client);
            let job = state.take(share, &self.turns, running_for, |job| self.is_ready(job));
            let Some(job) = job else { return };
            self.turns.note_reply(&job.client, state.waiting.len());
            // Until the reply is in its slot nobody may take it for gone.
            state.running.push(share);
            drop(state);
            self.begin(job);
        }
    }

    /// Frees a slot for a share that has none, if it is its turn.
    fn make_room(&mut self, waiting: Share) -> bool {
        // On a GPU a further session has memory of its own, which was not planned.
        if !self.prefixes.can_hold() {
            return false;
        }
        let running = self.slots.iter().enumerate().filter_map(|(index, slot)| {
            // Who has just begun makes a step first: two shares cannot displace each other for ever.
            let share = slot.share().filter(|_| !slot.is_new)?;
            Some((self.running_of(share), slot.used, index, share))
        });
        // Of the share with the most replies the youngest: it has the least to lose.
        let Some((count, _, index, share)) = running.max() else { return false };
        let Some(slot) = self.slots.get_mut(index) else { return false };
        if count < 2 && !self.turns.is_over(share, waiting, slot.session.tokens().len()) {
            return false;
        }
        let spare = self.spare.pop().map_or_else(|| another(&slot.session), Ok);
        // Without a session for it the reply goes on where it is.
        let Ok(spare) = spare else { return false };
        let aside = std::mem::replace(slot, Slot::idle(spare));
        self.paused.push(aside);
        self.paused.sort_by_key(|slot| slot.used);
        true
    }

    /// Goes on with a reply that was put aside.
    fn resume(&mut self, aside: Slot) {
        let idle = self.slots.iter_mut().filter(|slot| slot.job.is_none());
        match idle.min_by_key(|slot| slot.used) {
            Some(slot) => {
                let mut session = std::mem::replace(slot, aside).session;
                slot.is_new = true;
                session.release();
                self.spare.push(session);
            }
            None => self.paused.push(aside),
        }
    }
}

/// A session like this one, without tokens.
fn another(session: &Session) -> crane_sdk::Result<Session> {
    let (model, context) = (session.model().clone(), session.context());
    match session.tokenizer() {
        Some(tokenizer) => Session::new(model, tokenizer.clone(), context),
        None => Session::without_text(model, context),
    }
}
