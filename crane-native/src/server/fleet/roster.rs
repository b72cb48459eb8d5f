//! Which models are in memory, which one comes next and which one makes room for it: decisions, without the deeds.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many models stay in memory, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keeping {
    /// At most so many at a time; without it as many as memory allows.
    pub most: Option<usize>,
    /// One that nobody has used for so long goes; without it models stay until their place is needed.
    pub idle: Option<Duration>,
}

/// For how long one model stays that nobody uses, where a request has said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Until its place is needed.
    ForGood,
    /// So long after its last user left.
    For(Duration),
}

/// Where a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not in memory.
    Unloaded,
    /// On its way into it.
    Loading,
    /// In memory.
    Loaded,
    /// On its way out of it.
    Unloading,
    /// Not in memory, since it could not be loaded. The next request tries again.
    Failed,
}

impl State {
    /// As clients read it.
    pub fn word(self) -> &'static str {
        match self {
            State::Unloaded => "unloaded",
            State::Loading => "loading",
            State::Loaded => "loaded",
            State::Unloading => "unloading",
            State::Failed => "failed",
        }
    }
}

/// Somebody who waits for a model.
pub(super) trait Waiter {
    /// Whether nobody waits any more.
    fn is_gone(&self) -> bool;
}

/// What is to be done.
#[derive(Debug, PartialEq)]
pub(super) enum Deed<M, W> {
    /// Load it, then tell [`Roster::loaded`] or [`Roster::failed`].
    Load(usize),
    /// Drop it, then tell [`Roster::left`].
    Unload(usize, M),
    /// Give it to those who have waited for it; each is counted as a user.
    Admit(usize, M, Vec<W>),
}

/// All models of a server.
#[derive(Debug)]
pub(super) struct Roster<M, W> {
    seats: Vec<Seat<M, W>>,
    /// The models that are waited for, in the order in which the first who waits came.
    turns: VecDeque<usize>,
    keeping: Keeping,
    /// Counts uses: tells which of two was later.
    clock: u64,
}

#[derive(Debug)]
struct Seat<M, W> {
    state: State,
    /// There while it is loaded.
    model: Option<M>,
    users: usize,
    waiters: Vec<W>,
    /// When its last user came, by the roster's clock.
    used: u64,
    /// When its last user left.
    idle_since: Instant,
    /// Another one needs its place: who asks for it now waits.
    makes_room: bool,
    /// It did not fit beside the others.
    cramped: bool,
    /// Why it could not be loaded when that was last tried.
    failure: Option<String>,
    /// What its last user said of how long it stays; without it the roster's keeping counts.
    stay: Option<Stay>,
}

impl<M, W> Seat<M, W> {
    fn new() -> Self {
        Self {
            state: State::Unloaded,
            model: None,
            users: 0,
            waiters: Vec::new(),
            used: 0,
            idle_since: Instant::now(),
            makes_room: false,
            cramped: false,
            failure: None,
            stay: None,
        }
    }

    fn is_idle(&self) -> bool {
        self.state == State::Loaded && self.users == 0
    }
}

impl<M: Clone, W: Waiter> Roster<M, W> {
    pub(super) fn new(models: usize, keeping: Keeping) -> Self {
        let seats = (0..models).map(|_| Seat::new()).collect();
        Self { seats, turns: VecDeque::new(), keeping, clock: 0 }
    }

    pub(super) fn state(&self, index: usize) -> State {
        let seat = &self.seats[index];
        match seat.state {
            State::Unloaded if seat.failure.is_some() => State::Failed,
            state => state,
        }
    }

    /// Why a model that is not in memory could not be loaded.
    pub(super) fn failure(&self, index: usize) -> Option<&str> {
        let seat = &self.seats[index];
        seat.failure.as_deref().filter(|_| seat.state == State::Unloaded)
    }

    /// Notes that a model could not be loaded, before anybody has asked for it.
    pub(super) fn fail(&mut self, index: usize, reason: String) {
        self.seats[index].failure = Some(reason);
    }

    /// Says for how long a model stays once nobody uses it, until its next user comes.
    pub(super) fn keep(&mut self, index: usize, stay: Stay) {
        self.seats[index].stay = Some(stay);
    }

    /// When a model goes that is in memory, if nobody comes from now on; `None` if it stays.
    pub(super) fn expires(&self, index: usize, now: Instant) -> Option<Instant> {
        let seat = &self.seats[index];
        let idle = match seat.stay {
            Some(Stay::For(idle)) => idle,
            Some(Stay::ForGood) => return None,
            None => self.keeping.idle?,
        };
        let since = if seat.users == 0 { seat.idle_since } else { now };
        // A time beyond the clock's end never comes.
        since.checked_add(idle).filter(|_| seat.state == State::Loaded)
    }

    pub(super) fn model(&self, index: usize) -> Option<&M> {
        self.seats[index].model.as_ref()
    }

    pub(super) fn waiting(&self, index: usize) -> usize {
        self.seats[index].waiters.iter().filter(|waiter| !waiter.is_gone()).count()
    }

    /// All that are loaded.
    pub(super) fn models(&self) -> impl Iterator<Item = &M> {
        self.seats.iter().filter_map(|seat| seat.model.as_ref())
    }

    /// A model that can be used at once; it has one user more.
    pub(super) fn take(&mut self, index: usize) -> Option<M> {
        self.clock += 1;
        let seat = &mut self.seats[index];
        let model = seat.model.clone().filter(|_| !seat.makes_room)?;
        seat.users += 1;
        (seat.used, seat.stay) = (self.clock, None);
        Some(model)
    }

    /// Waits for a model, if fewer than `most` do.
    ///
    /// # Errors
    /// That there is no room.
    pub(super) fn wait(&mut self, index: usize, waiter: W, most: usize) -> Result<(), ()> {
        let seat = &mut self.seats[index];
        seat.waiters.retain(|waiter| !waiter.is_gone());
        if seat.waiters.len() >= most {
            return Err(());
        }
        seat.waiters.push(waiter);
        if seat.state != State::Loading && !self.turns.contains(&index) {
            self.turns.push_back(index);
        }
        Ok(())
    }

    /// A user has left.
    pub(super) fn release(&mut self, index: usize, now: Instant) {
        let seat = &mut self.seats[index];
        seat.users = seat.users.saturating_sub(1);
        seat.idle_since = now;
    }

    /// A model is in memory. All who wait for it are to get it, and are its users.
    pub(super) fn loaded(&mut self, index: usize, model: M, now: Instant) -> Vec<W> {
        let seat = &mut self.seats[index];
        (seat.state, seat.cramped, seat.idle_since) = (State::Loaded, false, now);
        (seat.model, seat.failure) = (Some(model), None);
        self.admitted(index)
    }

    fn admitted(&mut self, index: usize) -> Vec<W> {
        self.clock += 1;
        let seat = &mut self.seats[index];
        (seat.used, seat.stay) = (self.clock, None);
        let waiters = std::mem::take(&mut seat.waiters);
        seat.users += waiters.len();
        waiters
    }

    /// A model could not be loaded. Those who wait for it are to be told, unless it lacked memory that another one
    /// can give up: then it is tried again.
    pub(super) fn failed(&mut self, index: usize, reason: &str, lacked_memory: bool) -> Vec<W> {
        self.seats[index].state = State::Unloaded;
        let others = self.seats.iter().any(|seat| seat.state != State::Unloaded);
        let seat = &mut self.seats[index];
        seat.cramped = lacked_memory && others;
        if seat.cramped {
            self.turns.push_front(index);
            return Vec::new();
        }
        seat.failure = Some(reason.to_owned());
        std::mem::take(&mut seat.waiters)
    }

    /// A model is no longer in memory.
    pub(super) fn left(&mut self, index: usize) {
        self.seats[index].state = State::Unloaded;
        self.seats.iter_mut().for_each(|seat| seat.cramped = false);
    }

    /// Nobody waits any longer: those who did are to be told.
    pub(super) fn dismiss(&mut self) -> Vec<W> {
        self.turns.clear();
        self.seats.iter_mut().flat_map(|seat| std::mem::take(&mut seat.waiters)).collect()
    }

    /// What is to be done now, and when to look again if nothing happens before.
    pub(super) fn advance(&mut self, now: Instant) -> (Vec<Deed<M, W>>, Option<Instant>) {
        let mut deeds = Vec::new();
        for seat in &mut self.seats {
            seat.waiters.retain(|waiter| !waiter.is_gone());
            seat.makes_room = false;
        }
        self.turns.retain(|&index| !self.seats[index].waiters.is_empty());
        while let Some(&next) = self.turns.front() {
            match (self.seats[next].state, self.seats[next].model.clone()) {
                (State::Loaded, Some(model)) => {
                    let waiters = self.admitted(next);
                    deeds.push(Deed::Admit(next, model, waiters));
                }
                // One at a time, so that each knows what memory the others have left.
                (State::Unloaded, _) if self.is_loading() => break,
                (State::Unloaded, _) if self.has_room_for(next) => {
                    self.seats[next].state = State::Loading;
                    deeds.push(Deed::Load(next));
                }
                (State::Unloaded, _) => {
                    deeds.extend(self.make_room());
                    break;
                }
                (State::Loading, _) => {}
                // It comes back once it is gone.
                _ => break,
            }
            self.turns.pop_front();
        }
        let next = self.expire(now, &mut deeds);
        (deeds, next)
    }

    fn is_loading(&self) -> bool {
        self.seats.iter().any(|seat| seat.state == State::Loading)
    }

    fn has_room_for(&self, index: usize) -> bool {
        let taken = self.seats.iter().filter(|seat| seat.state != State::Unloaded).count();
        let cramped = self.seats[index].cramped && taken > 0;
        !cramped && self.keeping.most.is_none_or(|most| taken < most)
    }

    /// Lets go of the model that has been idle for longest. Where all are in use, the one that was asked for longest
    /// ago takes no new users until it can go.
    fn make_room(&mut self) -> Option<Deed<M, W>> {
        if self.seats.iter().any(|seat| seat.state == State::Unloading) {
            return None;
        }
        let seats = || self.seats.iter().enumerate();
        let idle = seats().filter(|(_, seat)| seat.is_idle());
        if let Some((index, _)) = idle.min_by_key(|(_, seat)| seat.idle_since) {
            return self.unload(index);
        }
        let loaded = self.seats.iter_mut().filter(|seat| seat.state == State::Loaded);
        if let Some(oldest) = loaded.min_by_key(|seat| seat.used) {
            oldest.makes_room = true;
        }
        None
    }

    fn unload(&mut self, index: usize) -> Option<Deed<M, W>> {
        let seat = &mut self.seats[index];
        let model = seat.model.take()?;
        seat.state = State::Unloading;
        Some(Deed::Unload(index, model))
    }

    /// Lets go of what has been idle for too long; when the next one will have been.
    fn expire(&mut self, now: Instant, deeds: &mut Vec<Deed<M, W>>) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        for index in 0..self.seats.len() {
            let is_idle = self.seats[index].is_idle();
            let Some(end) = self.expires(index, now).filter(|_| is_idle) else { continue };
            match end <= now {
                true => deeds.extend(self.unload(index)),
                false => next = Some(next.map_or(end, |next| next.min(end))),
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Somebody who may leave.
    #[derive(Debug, Clone, Default, PartialEq)]
    struct Someone(Rc<Cell<bool>>);

    impl Waiter for Someone {
        fn is_gone(&self) -> bool {
            self.0.get()
        }
    }

    type Models = Roster<char, Someone>;

    fn models(most: Option<usize>, idle: Option<Duration>) -> Models {
        Roster::new(3, Keeping { most, idle })
    }

    /// What is to be done, in short: `+0` load, `-a` unload, `a2` admit two.
    fn deeds(models: &mut Models) -> String {
        let (deeds, _) = models.advance(Instant::now());
        let words = deeds.into_iter().map(|deed| match deed {
            Deed::Load(index) => format!("+{index}"),
            Deed::Unload(_, model) => format!("-{model}"),
            Deed::Admit(_, model, waiters) => format!("{model}{}", waiters.len()),
        });
        words.collect::<Vec<_>>().join(" ")
    }

    fn ask(models: &mut Models, index: usize) -> Someone {
        let someone = Someone::default();
        models.wait(index, someone.clone(), 2).unwrap();
        someone
    }

    /// Loads a model for one user.
    fn load(models: &mut Models, index: usize, model: char) {
        ask(models, index);
        assert_eq!(deeds(models), format!("+{index}"));
        assert_eq!(models.loaded(index, model, Instant::now()).len(), 1);
    }

    #[test]
    fn who_waits_is_admitted_once_the_model_is_loaded() {
        let mut models = models(None, None);
        assert_eq!(models.take(0), None);
        ask(&mut models, 0);
        ask(&mut models, 0);
        assert_eq!(models.wait(0, Someone::default(), 2), Err(()));
        assert_eq!((deeds(&mut models), models.state(0)), ("+0".to_owned(), State::Loading));
        assert_eq!(deeds(&mut models), "");
        assert_eq!(models.loaded(0, 'a', Instant::now()).len(), 2);
        assert_eq!((models.take(0), models.state(0)), (Some('a'), State::Loaded));
        // Without a bound the others stay.
        load(&mut models, 1, 'b');
        load(&mut models, 2, 'c');
        assert_eq!(models.models().collect::<String>(), "abc");
    }

    #[test]
    fn the_one_that_has_been_idle_for_longest_makes_room() {
        let mut models = models(Some(2), None);
        load(&mut models, 0, 'a');
        load(&mut models, 1, 'b');
        models.release(1, Instant::now());
        models.release(0, Instant::now());
        ask(&mut models, 2);
        assert_eq!((deeds(&mut models), models.state(1)), ("-b".to_owned(), State::Unloading));
        assert_eq!(deeds(&mut models), "");
        models.left(1);
        assert_eq!(deeds(&mut models), "+2");
    }

    #[test]
    fn where_all_are_in_use_one_takes_no_new_users() {
        let mut models = models(Some(1), None);
        load(&mut models, 0, 'a');
        let impatient = ask(&mut models, 1);
        assert_eq!((deeds(&mut models), models.take(0)), (String::new(), None));
        ask(&mut models, 0);
        // Nobody wants the other one any more.
        impatient.0.set(true);
        assert_eq!((deeds(&mut models), models.take(0)), ("a1".to_owned(), Some('a')));
        // The turns are kept, so that neither starves.
        ask(&mut models, 1);
        deeds(&mut models);
        ask(&mut models, 0);
        for _ in 0..3 {
            assert_eq!(deeds(&mut models), "");
            models.release(0, Instant::now());
        }
        assert_eq!(deeds(&mut models), "-a");
        models.left(0);
        assert_eq!(deeds(&mut models), "+1");
        models.loaded(1, 'b', Instant::now());
        assert_eq!((deeds(&mut models), models.take(1)), (String::new(), None));
        models.release(1, Instant::now());
        assert_eq!(deeds(&mut models), "-b");
        models.left(1);
        assert_eq!(deeds(&mut models), "+0");
    }

    #[test]
    fn models_are_loaded_one_at_a_time() {
        let mut models = models(Some(2), None);
        ask(&mut models, 0);
        ask(&mut models, 1);
        assert_eq!(deeds(&mut models), "+0");
        assert_eq!(deeds(&mut models), "");
        models.loaded(0, 'a', Instant::now());
        assert_eq!(deeds(&mut models), "+1");
    }

    #[test]
    fn what_does_not_fit_beside_others_waits_for_their_memory() {
        let mut models = models(None, None);
        load(&mut models, 0, 'a');
        ask(&mut models, 1);
        assert_eq!(deeds(&mut models), "+1");
        assert!(models.failed(1, "large", true).is_empty());
        assert_eq!(deeds(&mut models), "");
        models.release(0, Instant::now());
        assert_eq!(deeds(&mut models), "-a");
        models.left(0);
        assert_eq!(deeds(&mut models), "+1");
        // Now nobody can help.
        assert_eq!(models.failed(1, "large", true).len(), 1);
        assert_eq!(deeds(&mut models), "");
        ask(&mut models, 1);
        assert_eq!(deeds(&mut models), "+1");
        assert_eq!(models.failed(1, "broken", false).len(), 1);
    }

    #[test]
    fn idle_models_go_after_a_while() {
        let while_ = Duration::from_secs(60);
        let mut models = models(None, Some(while_));
        load(&mut models, 0, 'a');
        let now = Instant::now();
        assert_eq!(models.advance(now + 2 * while_), (Vec::new(), None));
        models.release(0, now);
        assert_eq!(models.advance(now), (Vec::new(), Some(now + while_)));
        assert_eq!(models.take(0), Some('a'));
        models.release(0, now + while_);
        assert_eq!(models.advance(now + while_).1, Some(now + 2 * while_));
        let (deeds, next) = models.advance(now + 2 * while_);
        assert_eq!((deeds, next), (vec![Deed::Unload(0, 'a')], None));
        assert_eq!(models.take(0), None);
    }

    #[test]
    fn a_model_that_could_not_be_loaded_says_so_until_it_can() {
        let mut models = models(None, None);
        models.fail(0, "cut short".to_owned());
        assert_eq!((models.state(0), models.failure(0)), (State::Failed, Some("cut short")));
        let _waits = ask(&mut models, 1);
        assert_eq!(deeds(&mut models), "+1");
        assert_eq!(models.failed(1, "no tensor", false).len(), 1);
        assert_eq!((models.state(1), models.failure(1)), (State::Failed, Some("no tensor")));
        // It is tried again, and is a model like another one once that goes well.
        let _again = ask(&mut models, 1);
        assert_eq!(deeds(&mut models), "+1");
        assert_eq!((models.state(1), models.failure(1)), (State::Loading, None));
        models.loaded(1, 'b', Instant::now());
        assert_eq!((models.state(1), models.failure(1)), (State::Loaded, None));
    }

    #[test]
    fn the_last_user_says_how_long_a_model_stays() {
        let hour = Duration::from_secs(3600);
        let mut models = models(None, Some(hour));
        let now = Instant::now();
        models.loaded(0, 'a', now);
        assert_eq!(models.expires(0, now), models.expires(0, now + hour));
        models.take(0);
        models.keep(0, Stay::For(Duration::ZERO));
        assert_eq!(models.expires(0, now), Some(now));
        assert!(models.advance(now).0.is_empty(), "it is in use");
        models.release(0, now);
        assert_eq!(deeds(&mut models), "-a");
        models.left(0);
        // Who says nothing means the server's own time.
        models.loaded(0, 'a', now);
        models.keep(0, Stay::ForGood);
        assert_eq!(models.expires(0, now), None);
        models.take(0);
        assert_eq!(models.expires(0, now), Some(now + hour));
    }
}
