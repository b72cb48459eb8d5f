//! The sessions: which one a reply goes to, what is cached of its prompt, and who takes part in the next step.

use std::time::Instant;

use crane_sdk::generate::{Output, PrefixCache, PrefixSalt, Session, Step, step_together};
use crane_sdk::kernels::attention::BLOCK;

use super::Event;
use super::queue::{Job, State};
use super::turns::{Client, Turns};
use crate::server::metrics::ModelMetrics;
use crate::server::share::Share;
use crate::server::wire::ApiError;

/// Tokens of a prompt that are evaluated in one pass while others wait for their next token: their pause is as
/// long as this takes.
const CHUNK_AMONG_OTHERS: usize = 64;
/// The same where nobody waits.
const CHUNK_ALONE: usize = 512;
/// Every so many chunks the oldest prompt has its turn, however long it is.
const TURN_OF_THE_OLDEST: u64 = 4;

/// All sessions of a model.
#[derive(Debug)]
pub(super) struct Slots {
    pub(super) slots: Vec<Slot>,
    /// Replies that were put aside for others, the oldest first.
    pub(super) paused: Vec<Slot>,
    /// Sessions that took the places of those, and are not needed now.
    pub(super) spare: Vec<Session>,
    pub(super) turns: Turns,
    /// What was evaluated, by these sessions or by earlier replies.
    pub(super) prefixes: PrefixCache,
    /// How many pages the sessions and the prefixes may hold together.
    pages: usize,
    metrics: ModelMetrics,
    /// Counts replies: tells which of two came first.
    count: u64,
    chunks: u64,
}

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) session: Session,
    pub(super) job: Option<Running>,
    /// With whom the reply that used it last may share what was evaluated.
    salt: PrefixSalt,
    /// The number of that reply; 0 if there was none.
    pub(super) used: u64,
    /// Whether its reply has begun or gone on since the last step.
    pub(super) is_new: bool,
}

#[derive(Debug)]
pub(super) struct Running {
    pub(super) job: Job,
    began: Instant,
    /// When its last token was chosen.
    said: Option<Instant>,
}

impl Slot {
    /// The tokens that need not be evaluated again.
    fn cached(&self) -> &[u32] {
        let tokens = self.session.tokens();
        &tokens[..self.session.cached().min(tokens.len())]
    }

    /// Tokens that are to be evaluated before the next one is chosen.
    fn remaining(&self) -> usize {
        self.session.tokens().len().saturating_sub(self.session.cached())
    }

    /// How many pages a step of so many tokens may take at most: of one that it shares a slot gets its own.
    fn next_pages(&self, chunk: usize) -> usize {
        let cached = self.session.cached();
        (cached + chunk.min(self.remaining())).div_ceil(BLOCK) - cached / BLOCK
    }

    /// A session without a reply.
    pub(super) fn idle(session: Session) -> Self {
        Self { session, job: None, salt: PrefixSalt::default(), used: 0, is_new: false }
    }

    pub(super) fn client(&self) -> Option<&Client> {
        self.job.as_ref().map(|running| &running.job.client)
    }

    pub(super) fn share(&self) -> Option<Share> {
        self.client().map(|client| client.share)
    }

    /// How many tokens of the prompt this session has, and may use for it.
    fn shared(&self, job: &Job) -> usize {
        if self.salt == job.salt { common(&job.prompt, self.cached()) } else { 0 }
    }
}

/// How many tokens both begin with, the prompt's last one left out: it is always evaluated.
fn common(prompt: &[u32], tokens: &[u32]) -> usize {
    let most = prompt.len().saturating_sub(1);
    prompt.iter().take(most).zip(tokens).take_while(|(a, b)| a == b).count()
}

impl Slots {
    pub(super) fn new(
        sessions: Vec<Session>,
        prefixes: PrefixCache,
        metrics: ModelMetrics,
    ) -> Self {
        let pages = sessions.iter().map(|session| session.context().div_ceil(BLOCK)).sum();
        Self {
            slots: sessions.into_iter().map(Slot::idle).collect(),
            paused: Vec::new(),
            spare: Vec::new(),
            turns: Turns::default(),
            prefixes,
            pages,
            metrics,
            count: 0,
            chunks: 0,
        }
    }

    /// Tells what is under way.
    pub(super) fn report(&self, state: &mut State) {
        state.running.clear();
        state.running.extend(self.slots.iter().filter_map(Slot::share));
        state.paused.clear();
        state.paused.extend(self.paused.iter().filter_map(Slot::share));
        state.held_tokens = self.held_tokens();
    }

    fn held_tokens(&self) -> usize {
        (self.own_pages() + self.prefixes.pages()) * BLOCK
    }

    /// Pages that one session alone holds.
    fn own_pages(&self) -> usize {
        self.slots.iter().chain(&self.paused).map(|slot| slot.session.own_pages()).sum()
    }

    pub(super) fn running_of(&self, share: Share) -> usize {
        self.slots.iter().filter(|slot| slot.share() == Some(share)).count()
    }

    pub(super) fn running_for(&self, client: &Client) -> usize {
        self.slots.iter().filter(|slot| slot.client() == Some(client)).count()
    }

    pub(super) fn has_room(&self) -> bool {
        self.slots.iter().any(|slot| slot.job.is_none())
    }

    /// Whether a job should begin now: not while another evaluates the beginning of the same prompt, which it can
    /// then have too.
    pub(super) fn is_ready(&self, job: &Job) -> bool {
        if !self.prefixes.can_hold() {
            return true;
        }
        let cached = self.prefixes.longest(&job.salt, &job.prompt);
        // Those of other salts evaluate it for themselves, and so tell nothing by the time that they take.
        let alike = |slot: &&Slot| slot.job.is_some() && slot.salt == job.salt;
        let running = self.slots.iter().filter(alike);
        let coming = running.map(|slot| common(&job.prompt, slot.session.tokens())).max();
        coming.unwrap_or(0) < cached + BLOCK
    }

    /// Begins a reply in an idle session.
    pub(super) fn begin(&mut self, job: Job) {
        let Some(index) = self.choose(&job) else {
            job.send(Event::Failed(ApiError::internal("no slot is free")));
            return;
        };
        self.count += 1;
        let Some(slot) = self.slots.get_mut(index) else { return };
        if slot.salt != job.salt {
            // What an earlier reply left here is not for this one.
            slot.session.release();
            slot.salt = job.salt.clone();
        }
        slot.session.take_prefix(&mut self.prefixes, &job.salt, &job.prompt);
        (slot.used, slot.is_new) = (self.count, true);
        match slot.session.begin(&job.prompt, &job.config, &job.cancel) {
            Ok(()) => {
                job.send(Event::Started(slot.session.cached()));
                self.metrics.begin(job.asked.elapsed());
                slot.job = Some(Running { job, began: Instant::now(), said: None });
            }
            Err(error) => {
                self.metrics.give_up("error");
                job.send(Event::Failed(error.into()));
                slot.leave(&mut self.prefixes);
            }
        }
    }

    /// The idle session that holds most of the prompt's beginning, unless most of what it holds would be lost;
    /// else the one that was used longest ago.
    fn choose(&self, job: &Job) -> Option<usize> {
        let idle = || self.slots.iter().enumerate().filter(|(_, slot)| slot.job.is_none());
        let shared = |slot: &Slot| slot.shared(job);
        idle()
            .filter(|(_, slot)| shared(slot) > 0 && 2 * shared(slot) >= slot.cached().len())
            .max_by_key(|(_, slot)| (shared(slot), slot.used))
            .or_else(|| idle().min_by_key(|(_, slot)| slot.used))
            .map(|(index, _)| index)
    }

    /// Frees the sessions of replies that nobody waits for.
    pub(super) fn release_cancelled(&mut self) {
        for slot in self.slots.iter_mut().chain(&mut self.paused) {
            if slot.job.as_ref().is_some_and(|running| running.job.cancel.is_cancelled()) {
                match slot.session.finish() {
                    Some(output) => slot.note(&output, &self.metrics),
                    None => self.metrics.give_up("cancelled"),
                }
                slot.job = None;
                slot.leave(&mut self.prefixes);
            }
        }
        self.paused.retain(|slot| slot.job.is_some());
    }

    /// Ends every reply with an error.
    pub(super) fn fail_all(&mut self, error: &ApiError) {
        for slot in self.slots.iter_mut().chain(&mut self.paused) {
            slot.fail(error.clone(), &self.metrics);
            slot.leave(&mut self.prefixes);
        }
        self.paused.clear();
    }

    /// Frees pages for a step that may take as many as `needed`: of replies that nobody may need again, then of those
    /// that are put aside, the last first.
    fn free_pages(&mut self, needed: usize) {
        self.prefixes.trim(self.pages.saturating_sub(self.own_pages() + needed));
        while self.own_pages() + needed > self.pages {
            let holds = |slot: &&mut Slot| slot.session.own_pages() > 0;
            match self.paused.iter_mut().rev().find(holds) {
                Some(slot) => slot.session.evict(),
                None => return,
            }
        }
    }

    /// One pass over the weights: a token for every reply that is being written, and a chunk of one prompt.
    /// Returns how many seconds each reply took that has ended.
    pub(super) fn step(&mut self) -> Vec<f64> {
        let prefill = self.next_prompt();
        let writes = |slot: &Slot| slot.job.is_some() && slot.remaining() <= 1;
        let others = self.slots.iter().any(writes);
        let taking_part: Vec<bool> = (0..)
            .zip(&self.slots)
            .map(|(index, slot)| writes(slot) || prefill == Some(index))
            .collect();
        let chunk = if others { CHUNK_AMONG_OTHERS } else { CHUNK_ALONE };
        let parts = self.slots.iter().zip(&taking_part).filter(|(_, part)| **part);
        let needed: usize = parts.map(|(slot, _)| slot.next_pages(chunk)).sum();
        self.free_pages(needed);
        let mut sessions = Vec::new();
        for ((index, slot), takes_part) in self.slots.iter_mut().enumerate().zip(&taking_part) {
            if prefill == Some(index) {
                slot.session.set_prefill_chunk(chunk);
            }
            if *takes_part {
                if let Some(share) = slot.share() {
                    self.turns.note_pass(share, chunk.min(slot.remaining()));
                }
                sessions.push(&mut slot.session);
            }
            slot.is_new = false;
        }
        let steps = step_together(&mut sessions);
        drop(sessions);
        let slots = self.slots.iter_mut().zip(&taking_part).filter(|(_, part)| **part);
        let slots = slots.map(|(slot, _)| slot);
        let metrics = &self.metrics;
        let took = match steps {
            Ok(steps) => {
                slots.zip(steps).filter_map(|(slot, step)| slot.tell(step, metrics)).collect()
            }
            // The pass failed as a whole, and would fail again.
            Err(error) => {
                let error = ApiError::from(error);
                slots.filter_map(|slot| slot.fail(error.clone(), metrics)).collect()
            }
        };
        for (index, slot) in self.slots.iter_mut().enumerate() {
            // What was read of a prompt is there for others at once; what was written, once it is whole.
            if slot.job.is_some() && prefill == Some(index) {
                slot.session.leave_prefix(&mut self.prefixes, &slot.salt);
            } else if slot.job.is_none() && taking_part.get(index) == Some(&true) {
                slot.leave(&mut self.prefixes);
            }
        }
        took
    }

    /// The prompt of which a chunk is evaluated next: the one with the least to go, and now and then the oldest.
    fn next_prompt(&mut self) -> Option<usize> {
        let reads = |slot: &&Slot| slot.job.is_some() && slot.remaining() > 1;
        let prompts = self.slots.iter().enumerate().filter(|(_, slot)| reads(slot));
        self.chunks += 1;
        let chosen = match self.chunks % TURN_OF_THE_OLDEST {
            0 => prompts.min_by_key(|(_, slot)| slot.used),
            _ => prompts.min_by_key(|(_, slot)| (slot.remaining(), slot.used)),
        };
        chosen.map(|(index, _)| index)
    }
}

impl Slot {
    /// After a reply: leaves what it evaluated for others. On a GPU the session itself keeps it.
    fn leave(&mut self, prefixes: &mut PrefixCache) {
        if self.session.leave_prefix(prefixes, &self.salt) {
            self.session.release();
        }
    }

    /// Sends on what a step gave; the time of the reply if it has ended.
    fn tell(&mut self, step: crane_sdk::Result<Step>, metrics: &ModelMetrics) -> Option<f64> {
        match step {
            Ok(Step::Prefill { .. }) => return None,
            Ok(Step::Piece(piece)) => {
                if piece.id.is_some() {
                    self.tick(metrics);
                }
                self.send(Event::Piece(piece));
                if self.session.is_running() {
                    return None;
                }
            }
            Ok(Step::Done) => {}
            Err(error) => return self.fail(error.into(), metrics),
        }
        match self.session.finish() {
            Some(output) => {
                self.note(&output, metrics);
                self.end(Event::Done(Box::new(output)))
            }
            None => self.end(Event::Failed(ApiError::internal("the reply was lost"))),
        }
    }

    /// Times a token.
    fn tick(&mut self, metrics: &ModelMetrics) {
        let Some(running) = &mut self.job else { return };
        match running.said {
            None => metrics.first_token(running.job.asked.elapsed()),
            Some(last) => metrics.next_token(last.elapsed()),
        }
        running.said = Some(Instant::now());
    }

    /// Counts a reply that has ended.
    fn note(&self, output: &Output, metrics: &ModelMetrics) {
        if let Some(running) = &self.job {
            metrics.end(output, running.job.asked.elapsed());
        }
    }

    fn fail(&mut self, error: ApiError, metrics: &ModelMetrics) -> Option<f64> {
        if self.job.is_some() {
            metrics.give_up("error");
        }
        self.session.finish();
        self.end(Event::Failed(error))
    }

    fn end(&mut self, event: Event) -> Option<f64> {
        self.send(event);
        self.job.take().map(|running| running.began.elapsed().as_secs_f64())
    }

    fn send(&self, event: Event) {
        if let Some(Running { job, .. }) = &self.job {
            job.send(event);
        }
    }
}
