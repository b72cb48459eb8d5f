//! Continuous batching: one thread owns the sessions, and replies join and leave between its steps.
//!
//! A step is one pass over the weights: a token for every reply that is being written and a chunk of one prompt
//! that is being read, so that a long prompt delays the others by a chunk, not by its whole length. What one reply has
//! evaluated, later ones that begin alike find: pages of keys and values are held by any number of sessions. What a
//! reply says does not depend on which others are under way: on a CPU every token's numbers are the same to the last
//! bit however many are computed beside it.

mod admission;
mod queue;
mod slots;
mod turns;

use std::convert::Infallible;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crane_sdk::generate::{
    CancelToken, GenerationConfig, Output, Piece, PrefixCache, PrefixSalt, Session,
};
use crane_sdk::models::CausalLm;
use crane_sdk::text::Tokenizer;
use tokio::sync::mpsc::{Receiver, UnboundedReceiver, channel, unbounded_channel};

use queue::{Job, Shared};
use slots::Slots;
pub use turns::Client;

use super::metrics::ModelMetrics;
use super::wire::ApiError;

/// How much is done at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Replies that are generated together.
    pub parallel: usize,
    /// Tokens of each, prompt and reply.
    pub context: usize,
    /// Replies that may wait for a slot.
    pub queue: usize,
}

impl Limits {
    /// Places in a full queue for those who have nothing under way and nothing waiting.
    pub fn kept(&self) -> usize {
        (self.queue / 4).max(1)
    }
}

/// A model that answers many at a time.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    metrics: ModelMetrics,
    limits: Limits,
    thread: Option<JoinHandle<()>>,
}

/// What comes of a reply: `Started`, pieces, and one of the other two at the end.
#[derive(Debug)]
pub enum Event {
    /// It has a slot, which holds so many tokens of its prompt.
    Started(usize),
    /// A token and its text.
    Piece(Piece),
    /// The end, with the whole.
    Done(Box<Output>),
    /// It ended without being whole.
    Failed(ApiError),
}

/// The replies of one request. Dropping it gives them up, and their slots are free before the next step.
#[derive(Debug)]
pub struct Ticket {
    events: UnboundedReceiver<(usize, Event)>,
    work: Option<UnderWay>,
    cancel: CancelToken,
    shared: Arc<Shared>,
}

/// The work for a request's replies, apart from what has come of it.
#[derive(Debug)]
pub struct UnderWay {
    /// Closed once no reply waits or is under way.
    under_way: Receiver<Infallible>,
    cancel: CancelToken,
    shared: Arc<Shared>,
}

impl Engine {
    /// Starts the thread; memory for keys and values is taken as it is used.
    ///
    /// # Errors
    /// As [`Session::new`]; the system's words if it gives no thread.
    pub fn start(
        model: &Arc<dyn CausalLm>,
        tokenizer: &Arc<Tokenizer>,
        limits: Limits,
        metrics: ModelMetrics,
    ) -> crate::Result<Self> {
        let sessions: crane_sdk::Result<Vec<Session>> = (0..limits.parallel)
            .map(|_| Session::new(model.clone(), tokenizer.clone(), limits.context))
            .collect();
        let slots = Slots::new(sessions?, PrefixCache::new(model.clone()), metrics.clone());
        let shared = Arc::new(Shared::new(limits));
        let thread = std::thread::Builder::new().name("engine".to_owned()).spawn({
            let shared = shared.clone();
            move || work(&shared, slots)
        });
        let thread = thread.map_err(|error| crane_sdk::Error::Unsupported {
            what: "a thread for the engine".to_owned(),
            hint: format!("the system refuses it: {error}"),
        })?;
        Ok(Self { shared, metrics, limits, thread: Some(thread) })
    }

    /// How much it does at a time.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// Replies under way, and replies that wait or were put aside for others.
    pub fn load(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.running.len(), state.paused.len() + state.waiting.len())
    }

    /// Tokens whose keys and values there is memory for, of replies under way and of earlier ones.
    pub fn held_tokens(&self) -> usize {
        self.shared.lock().held_tokens
    }

    /// Whether its thread lives: it ends only when it is closed.
    pub fn is_alive(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Gives up every reply that is under way or waits; each is told so.
    pub fn abandon(&self) {
        self.shared.lock().abandoned = true;
        self.shared.wake();
    }

    /// Asks for replies, one for each prompt and config; all are taken or none.
    ///
    /// # Errors
    /// 429 with the seconds after which to try again if too many wait.
    pub fn submit(
        &self,
        client: &Client,
        salt: &PrefixSalt,
        replies: Vec<(Arc<[u32]>, GenerationConfig)>,
    ) -> Result<Ticket, ApiError> {
        if !self.is_alive() {
            return Err(ApiError::internal("the engine has stopped; restart the server"));
        }
        let (events, receiver) = unbounded_channel();
        let (reply, under_way) = channel(1);
        let cancel = CancelToken::new();
        let asked = Instant::now();
        let job = |(index, (prompt, config))| Job {
            index,
            prompt,
            config,
            cancel: cancel.clone(),
            events: events.clone(),
            _under_way: reply.clone(),
            client: client.clone(),
            salt: salt.clone(),
            asked,
        };
        let jobs = replies.into_iter().enumerate().map(job).collect();
        self.shared.push(jobs).map_err(|seconds| {
            self.metrics.refuse();
            ApiError::busy(self.limits.queue, seconds)
        })?;
        let shared = self.shared.clone();
        let work = UnderWay { under_way, cancel: cancel.clone(), shared: shared.clone() };
        Ok(Ticket { events: receiver, work: Some(work), cancel, shared })
    }
}

impl Drop for Engine {
    /// Lets what is under way end, and waits for it.
    fn drop(&mut self) {
        self.shared.lock().closing = true;
        self.shared.wake();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was told when it happened.
            let _ = thread.join();
        }
    }
}

impl Ticket {
    /// The next event and the index of its reply; `None` after the last one, or if the engine has stopped.
    pub async fn next(&mut self) -> Option<(usize, Event)> {
        self.events.recv().await
    }

    /// Gives the replies up, as dropping the ticket does.
    pub fn give_up(&self) {
        self.cancel.cancel();
        self.shared.wake();
    }

    /// The work itself, for who looks after it while what comes of it is read. There is one.
    pub fn take_work(&mut self) -> Option<UnderWay> {
        self.work.take()
    }

    /// As [`Ticket::next`], for streams.
    pub fn poll_next(
        &mut self,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<(usize, Event)>> {
        self.events.poll_recv(context)
    }
}

impl UnderWay {
    /// Ends when no reply waits or is under way any longer, whether what came of them was read or not.
    pub async fn ended(&mut self) {
        while self.under_way.recv().await.is_some() {}
    }

    /// Gives the replies up, as [`Ticket::give_up`] does.
    pub fn give_up(&self) {
        self.cancel.cancel();
        self.shared.wake();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// The thread: takes jobs while there is room, steps, and sleeps where there is nothing to do.
fn work(shared: &Shared, mut slots: Slots) {
    let _ending = Ending(shared);
    loop {
        slots.release_cancelled();
        let mut state = shared.lock();
        if state.abandoned {
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            waiting.iter().for_each(|job| job.send(Event::Failed(ApiError::ending())));
            slots.fail_all(&ApiError::ending());
        } else {
            drop(state);
        }
        slots.admit(shared);
        let state = shared.lock();
        if state.running.is_empty() {
            if !state.waiting.is_empty() || !state.paused.is_empty() {
                continue;
            }
            if state.closing {
                return;
            }
            drop(shared.wait(state));
            continue;
        }
        drop(state);
        let took = slots.step();
        let mut state = shared.lock();
        slots.report(&mut state);
        took.into_iter().for_each(|seconds| state.took(seconds));
    }
}

/// However the thread ends, nobody waits for it any longer.
struct Ending<'a>(&'a Shared);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.waiting.clear();
        state.running.clear();
        state.paused.clear();
    }
}
