//! The models of a server: what they are called, which of them are in memory, and who gets one when.
//!
//! A model is loaded when the first request asks for it, or before the server listens. The roster decides which one
//! makes room where not all can stay; the shelf does it and hands out leases.

mod about;
mod roster;
mod shelf;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Instant;

use axum::http::StatusCode;
use crane_sdk::generate::GenerationConfig;

use super::engine::Limits;
use super::metrics::{Metrics, Work};
use super::models::{EmbeddingModel, Loaded, TextModel};
use super::voice::VoiceModel;
use super::wire::ApiError;
use super::work::{Preparing, Stuck};
pub use about::About;
pub use roster::{Keeping, State, Stay};
pub use shelf::{Kept, LoadError, Loader};
use shelf::{Lease, Shelf};

/// What is known of a model before it is loaded.
#[derive(Debug)]
pub struct Card {
    /// What clients may call it; the first one is what answers call it.
    pub names: Vec<String>,
    /// What it does.
    pub kind: Kind,
    /// How its authors want replies to be generated, if it writes.
    pub defaults: GenerationConfig,
    /// What its files say of it.
    pub about: About,
    /// Why its files could not be read when the server began.
    pub failure: Option<String>,
}

/// What a model does.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// It writes.
    Text {
        /// How much is done at a time.
        limits: Limits,
    },
    /// It reads texts aloud.
    Voice {
        /// Texts that may wait for their turn.
        queue: usize,
    },
    /// It makes vectors of texts.
    Embedding {
        /// Requests that may wait for it to be loaded.
        queue: usize,
    },
    /// Nobody knows: its files could not be read.
    Unknown,
}

impl Card {
    /// What answers call it.
    pub fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// Whether this is one of its names.
    fn is_called(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }

    fn is_text(&self) -> bool {
        matches!(self.kind, Kind::Text { .. })
    }

    fn is_voice(&self) -> bool {
        matches!(self.kind, Kind::Voice { .. })
    }

    fn is_embedding(&self) -> bool {
        matches!(self.kind, Kind::Embedding { .. })
    }

    /// How many may wait for the model to be loaded.
    fn most(&self) -> usize {
        match self.kind {
            Kind::Text { limits, .. } => limits.parallel + limits.queue,
            Kind::Voice { queue } | Kind::Embedding { queue } => queue + 1,
            Kind::Unknown => 0,
        }
    }
}

/// A name without the tag that names have in Ollama where none is given.
fn untagged(name: &str) -> &str {
    name.strip_suffix(":latest").unwrap_or(name)
}

/// A model that a request has chosen.
#[derive(Debug, Clone, Copy)]
pub struct Choice<'a> {
    /// Its number.
    pub index: usize,
    /// What is known of it.
    pub card: &'a Card,
}

/// All models of a server.
pub struct Fleet {
    cards: Vec<Card>,
    shelf: Arc<Shelf<Loaded>>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("cards", &self.cards).finish_non_exhaustive()
    }
}

/// A model in use: it stays in memory for as long as this lives.
pub struct InUse<M> {
    // Given back after the model itself is let go.
    model: Arc<M>,
    lease: Lease<Loaded>,
}

/// A model that writes, in use.
pub type TextLease = InUse<TextModel>;

/// A model that speaks, in use.
pub type VoiceLease = InUse<VoiceModel>;

impl EmbeddingLease {
    /// As [`InUse::keep`].
    pub(super) fn keep(&self, stay: Stay) {
        match self {
            EmbeddingLease::Encoder(model) => model.keep(stay),
            EmbeddingLease::Text(model) => model.keep(stay),
        }
    }
}

/// A model that makes vectors of texts, in use.
pub enum EmbeddingLease {
    /// One that does nothing else.
    Encoder(InUse<EmbeddingModel>),
    /// One that writes, too.
    Text(TextLease),
}

impl<M> InUse<M> {
    /// The model, which others may use as well.
    pub(super) fn model(&self) -> &Arc<M> {
        &self.model
    }

    /// Says for how long the model stays once nobody uses it, until its next user comes.
    pub(super) fn keep(&self, stay: Stay) {
        self.lease.keep(stay);
    }
}

impl<M> Deref for InUse<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.model
    }
}

/// How a model is just now.
#[derive(Debug, Clone)]
pub struct Standing<'a> {
    /// What is known of it anyway.
    pub card: &'a Card,
    /// Where it is.
    pub state: State,
    /// What it does.
    pub work: Work,
    /// Whether its engine lives, if it is loaded.
    pub is_well: bool,
    /// The threads of its voice that do not end a text that was given up.
    pub stuck: Stuck,
    /// Why it could not be loaded, if it has failed.
    pub failure: Option<String>,
    /// Bytes that it takes, or may take once its slots are full, if it is loaded.
    pub bytes: u64,
    /// Whether they are a GPU's.
    pub on_gpu: bool,
    /// When it goes if nobody comes from now on; `None` if it stays.
    pub expires: Option<Instant>,
}

impl Standing<'_> {
    /// Whether one more reply would find a slot or a place in the queue, of who has nothing here yet.
    pub fn has_room(&self) -> bool {
        let kept = match self.card.kind {
            Kind::Text { limits, .. } => limits.kept(),
            Kind::Voice { .. } | Kind::Embedding { .. } | Kind::Unknown => 0,
        };
        self.work.running + self.work.waiting < self.card.most() + kept
    }
}

impl Fleet {
    /// Models that are not loaded yet, each with what loads it.
    pub fn new(
        models: Vec<(Card, Loader<Loaded>)>,
        keeping: Keeping,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (cards, loaders): (Vec<Card>, Vec<Loader<Loaded>>) = models.into_iter().unzip();
        let timed = cards.iter().map(Card::name).zip(loaders).map(|(name, load)| {
            let (name, metrics) = (name.to_owned(), metrics.clone());
            let timed = move |promised| {
                let start = Instant::now();
                let loaded = load(promised)?;
                metrics.load(&name, start.elapsed());
                Ok(loaded)
            };
            Box::new(timed) as Loader<Loaded>
        });
        let shelf = Arc::new(Shelf::new(timed.collect(), keeping));
        for (index, card) in cards.iter().enumerate() {
            if let Some(reason) = &card.failure {
                shelf.fail(index, reason.clone());
            }
        }
        Self { cards, shelf, metrics }
    }

    /// Puts a model there that was loaded before the server listens.
    pub fn put(&self, index: usize, model: Loaded) {
        self.shelf.put(index, model);
    }

    /// Notes that a model could not be loaded before the server listens. The first request for it tries again.
    pub fn fail(&self, index: usize, reason: String) {
        self.shelf.fail(index, reason);
    }

    /// Bytes that those which are loaded may still take.
    pub fn promised(&self) -> u64 {
        self.shelf.promised()
    }

    /// Loads and unloads models for as long as it is waited for.
    pub async fn keep(&self) {
        self.shelf.clone().keep().await;
    }

    /// Gives up everything that is under way or waits.
    pub fn abandon(&self) {
        self.shelf.abandon();
    }

    /// All names of all models, each with how that model is.
    pub fn names(&self) -> impl Iterator<Item = (&str, Standing<'_>)> {
        self.standings().zip(&self.cards).flat_map(|(standing, card)| {
            card.names.iter().map(move |name| (name.as_str(), standing.clone()))
        })
    }

    /// The model that is called so, whatever it does. Ollama's clients write `:latest` behind a name without a tag, and leave it
    /// out of one that has it; a name that is spelt exactly so comes first.
    pub fn find(&self, name: &str) -> Option<(&str, Standing<'_>)> {
        let (index, card) = self.named(name)?;
        let known = card.names.iter().find(|known| *known == name);
        let known =
            known.or_else(|| card.names.iter().find(|known| untagged(known) == untagged(name)))?;
        Some((known, self.standing(index, card)))
    }

    fn named(&self, name: &str) -> Option<(usize, &Card)> {
        let cards = || self.cards.iter().enumerate();
        let is_meant =
            |card: &Card| card.names.iter().any(|known| untagged(known) == untagged(name));
        cards()
            .find(|(_, card)| card.is_called(name))
            .or_else(|| cards().find(|(_, card)| is_meant(card)))
    }

    /// Says for how long a model stays that is not asked for anything: with no time at all it goes once nobody uses it.
    pub fn keep_for(&self, index: usize, stay: Stay) {
        self.shelf.keep_for(index, stay);
    }

    /// The refusal of a name that no model has.
    pub fn unknown(&self, name: &str) -> ApiError {
        let names = self.cards.iter().flat_map(|card| &card.names);
        let names = names.map(String::as_str).collect::<Vec<_>>().join(", ");
        no_model(&format!("there is no model {name:?} here; there is {names}"))
    }

    /// How each model is.
    pub fn standings(&self) -> impl Iterator<Item = Standing<'_>> {
        self.cards.iter().enumerate().map(|(index, card)| self.standing(index, card))
    }

    fn standing<'a>(&'a self, index: usize, card: &'a Card) -> Standing<'a> {
        let (mut work, mut is_well, mut stuck) = (Work::default(), true, Stuck::default());
        let (mut bytes, mut on_gpu) = (card.about.bytes, false);
        match self.shelf.glance(index) {
            Some(Loaded::Text(model)) => {
                let (running, waiting) = model.engine.load();
                work = Work { slots: model.engine.limits().parallel, running, waiting };
                is_well = model.engine.is_alive();
                bytes = model.plan.weights.saturating_add(model.plan.caches());
                on_gpu = !model.model.device().is_cpu();
            }
            Some(Loaded::Voice(model)) => stuck = model.stuck(),
            Some(Loaded::Embedding(_)) | None => {}
        }
        work.waiting += self.shelf.waiting(index);
        let (state, failure) = (self.shelf.state(index), self.shelf.failure(index));
        let expires = self.shelf.expires(index);
        Standing { card, state, work, is_well, stuck, failure, bytes, on_gpu, expires }
    }

    /// What is counted and timed, as Prometheus reads it.
    ///
    /// # Errors
    /// 500 if it cannot be written.
    pub fn metrics(&self, preparing: Preparing) -> Result<String, ApiError> {
        let now = self.standings().map(|standing| {
            let work = standing.card.is_text().then_some(standing.work);
            (standing.card.name(), standing.state == State::Loaded, work)
        });
        self.metrics.text(preparing, now).map_err(ApiError::internal)
    }

    /// Notes a request to this path that took too long.
    pub fn late(&self, path: &'static str) {
        self.metrics.late(path);
    }

    /// The model that writes and is called so; the only one, if no name is given.
    ///
    /// # Errors
    /// 404 for a name that no such model has, 400 if there are several and none is named.
    pub fn text(&self, name: Option<&str>) -> Result<Choice<'_>, ApiError> {
        self.choose(name, Card::is_text, "writes").map_err(|there| match there {
            None => no_model("no model writes here"),
            Some(reason) => reason,
        })
    }

    /// The model that speaks and is called so; the only one, if no name is given.
    ///
    /// # Errors
    /// As [`Fleet::text`].
    pub fn voice(&self, name: Option<&str>) -> Result<Choice<'_>, ApiError> {
        self.choose(name, Card::is_voice, "speaks").map_err(|there| match there {
            None => no_model("no model speaks here; start the server with --speech hibari"),
            Some(reason) => reason,
        })
    }

    /// The model that makes vectors of texts and is called so. If no name is given it is the only one that does nothing else, or
    /// the only one that writes.
    ///
    /// # Errors
    /// As [`Fleet::text`].
    pub fn embedding(&self, name: Option<&str>) -> Result<Choice<'_>, ApiError> {
        let specialists = self.cards.iter().filter(|card| card.is_embedding()).count();
        let is_meant = |card: &Card| match (name, specialists) {
            (None, 1..) => card.is_embedding(),
            _ => card.is_embedding() || card.is_text(),
        };
        self.choose(name, is_meant, "embeds").map_err(|there| match there {
            None => no_model("no model makes vectors of texts here; there are only voices"),
            Some(reason) => reason,
        })
    }

    /// `Err(None)` if there is no model of the kind at all.
    fn choose(
        &self,
        name: Option<&str>,
        is_meant: impl Fn(&Card) -> bool,
        does: &str,
    ) -> Result<Choice<'_>, Option<ApiError>> {
        let cards = self.cards.iter().enumerate().filter(|(_, card)| is_meant(card));
        let cards: Vec<Choice<'_>> = cards.map(|(index, card)| Choice { index, card }).collect();
        let known = || {
            let names = cards.iter().flat_map(|choice| &choice.card.names);
            names.map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        // One whose files could not be read might do anything.
        if let Some((_, card)) = name.and_then(|name| self.named(name))
            && let (Kind::Unknown, Some(reason)) = (card.kind, &card.failure)
        {
            return Err(Some(ApiError::not_loaded(reason)));
        }
        match (cards.as_slice(), name) {
            ([], None) => Err(self
                .cards
                .iter()
                .find_map(|card| card.failure.as_deref().map(ApiError::not_loaded))),
            ([], _) => Err(None),
            ([only], None) => Ok(*only),
            (_, None) => Err(Some(ApiError::field(
                "model",
                "missing_required_parameter",
                format_args!("is missing, and more than one model {does} here: {}", known()),
            ))),
            (_, Some(name)) => match self.named(name) {
                Some((index, card)) if is_meant(card) => Ok(Choice { index, card }),
                Some(_) => Err(Some(no_model(&format!(
                    "{name:?} is not one that {does} here; there is {}",
                    known()
                )))),
                None => Err(Some(no_model(&format!(
                    "there is no model {name:?} here; there is {}",
                    known()
                )))),
            },
        }
    }

    fn card(&self, index: usize) -> Result<&Card, ApiError> {
        self.cards.get(index).ok_or_else(|| no_model("there is no such model here"))
    }

    /// A model that writes, as soon as it is in memory; by its number.
    ///
    /// # Errors
    /// 429 if too many wait for it, 503 if it cannot be loaded.
    pub async fn lease_text(&self, index: usize) -> Result<TextLease, ApiError> {
        let card = self.card(index)?;
        let lease = self.shelf.lease(index, card.most()).await.inspect_err(|error| {
            if error.status == StatusCode::TOO_MANY_REQUESTS {
                self.metrics.of(card.name()).refuse();
            }
        })?;
        match lease.model() {
            Some(Loaded::Text(model)) => Ok(InUse { model: model.clone(), lease }),
            _ => Err(no_model("the model does not write")),
        }
    }

    /// A model that makes vectors of texts, as soon as it is in memory.
    ///
    /// # Errors
    /// As [`Fleet::lease_text`].
    pub async fn lease_embedding(&self, index: usize) -> Result<EmbeddingLease, ApiError> {
        let card = self.card(index)?;
        if card.is_text() {
            return self.lease_text(index).await.map(EmbeddingLease::Text);
        }
        let lease = self.shelf.lease(index, card.most()).await?;
        match lease.model() {
            Some(Loaded::Embedding(model)) => {
                let model = model.clone();
                Ok(EmbeddingLease::Encoder(InUse { model, lease }))
            }
            _ => Err(no_model("the model makes no vectors")),
        }
    }

    /// A model that speaks, as soon as it is in memory.
    ///
    /// # Errors
    /// As [`Fleet::lease_text`].
    pub async fn lease_voice(&self, index: usize) -> Result<VoiceLease, ApiError> {
        let lease = self.shelf.lease(index, self.card(index)?.most()).await?;
        match lease.model() {
            Some(Loaded::Voice(model)) => Ok(InUse { model: model.clone(), lease }),
            _ => Err(no_model("the model does not speak")),
        }
    }
}

fn no_model(reason: &str) -> ApiError {
    ApiError::field("model", "model_not_found", reason).with(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        "model_not_found",
    )
}
