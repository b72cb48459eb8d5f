//! What a server counts and times, model by model, for Prometheus.

use std::time::Duration;

use crane_sdk::generate::{FinishReason, Output};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::work::Preparing;

/// Seconds that a first token, a whole reply, and loading a model may take.
const LONG: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Seconds between two tokens.
const SHORT: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0];

/// Which model.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    model: String,
}

/// To which route.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct To {
    path: &'static str,
}

/// How a reply ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    model: String,
    reason: &'static str,
}

/// The numbers of a server since it began.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    late: Family<To, Counter>,
    preparing_running: Gauge,
    preparing_waiting: Gauge,
    loaded: Family<Of, Gauge>,
    load: Family<Of, Histogram>,
    slots: Family<Of, Gauge>,
    running: Family<Of, Gauge>,
    waiting: Family<Of, Gauge>,
    refused: Family<Of, Counter>,
    replies: Family<Ending, Counter>,
    prompt_tokens: Family<Of, Counter>,
    cached_tokens: Family<Of, Counter>,
    generated_tokens: Family<Of, Counter>,
    queued: Family<Of, Histogram>,
    first_token: Family<Of, Histogram>,
    between_tokens: Family<Of, Histogram>,
    reply: Family<Of, Histogram>,
}

/// The numbers of a model that writes. Clones are the same numbers: they go on when the model is loaded again.
#[derive(Debug, Clone)]
pub struct ModelMetrics {
    model: String,
    refused: Counter,
    replies: Family<Ending, Counter>,
    prompt_tokens: Counter,
    cached_tokens: Counter,
    generated_tokens: Counter,
    queued: Histogram,
    first_token: Histogram,
    between_tokens: Histogram,
    reply: Histogram,
}

/// How a model that writes is just now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Replies that can be under way.
    pub slots: usize,
    /// Replies under way.
    pub running: usize,
    /// Replies that wait for a slot or for the model.
    pub waiting: usize,
}

impl Default for Metrics {
    fn default() -> Self {
        let long = || Family::new_with_constructor((|| Histogram::new(LONG)) as fn() -> Histogram);
        let short = Family::new_with_constructor((|| Histogram::new(SHORT)) as fn() -> Histogram);
        let mut all = Self {
            registry: Registry::with_prefix("crane"),
            late: Family::default(),
            preparing_running: Gauge::default(),
            preparing_waiting: Gauge::default(),
            loaded: Family::default(),
            load: long(),
            slots: Family::default(),
            running: Family::default(),
            waiting: Family::default(),
            refused: Family::default(),
            replies: Family::default(),
            prompt_tokens: Family::default(),
            cached_tokens: Family::default(),
            generated_tokens: Family::default(),
            queued: long(),
            first_token: long(),
            between_tokens: short,
            reply: long(),
        };
        let registry = &mut all.registry;
        for (name, help, gauge) in [
            ("model_loaded", "Whether the model is in memory", &all.loaded),
            ("slots", "Replies that can be under way", &all.slots),
            ("replies_running", "Replies under way", &all.running),
            ("replies_waiting", "Replies that wait for a slot or for the model", &all.waiting),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, gauge) in [
            ("requests_preparing", "Requests that are being prepared", &all.preparing_running),
            ("requests_unprepared", "Requests that wait to be prepared", &all.preparing_waiting),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "requests_timed_out",
            "Requests that took longer than --timeout, by route",
            all.late.clone(),
        );
        registry.register("replies", "Replies that ended, by why", all.replies.clone());
        for (name, help, counter) in [
            ("requests_refused", "Requests that found the queue full", &all.refused),
            ("prompt_tokens", "Tokens of prompts", &all.prompt_tokens),
            ("cached_tokens", "Tokens of prompts that a slot held already", &all.cached_tokens),
            ("generated_tokens", "Tokens that were generated", &all.generated_tokens),
        ] {
            registry.register(name, help, counter.clone());
        }
        for (name, help, histogram) in [
            ("model_load", "How long loading the model took", &all.load),
            ("queue", "From a request to its slot", &all.queued),
            ("time_to_first_token", "From a request to its reply's first token", &all.first_token),
            ("inter_token", "From one token of a reply to the next", &all.between_tokens),
            ("reply", "From a request to the end of its reply", &all.reply),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, histogram.clone());
        }
        all
    }
}

impl Metrics {
    /// The numbers of one model that writes.
    pub fn of(&self, model: &str) -> ModelMetrics {
        let model = model.to_owned();
        let of = Of { model: model.clone() };
        ModelMetrics {
            model,
            refused: self.refused.get_or_create_owned(&of),
            replies: self.replies.clone(),
            prompt_tokens: self.prompt_tokens.get_or_create_owned(&of),
            cached_tokens: self.cached_tokens.get_or_create_owned(&of),
            generated_tokens: self.generated_tokens.get_or_create_owned(&of),
            queued: self.queued.get_or_create_owned(&of),
            first_token: self.first_token.get_or_create_owned(&of),
            between_tokens: self.between_tokens.get_or_create_owned(&of),
            reply: self.reply.get_or_create_owned(&of),
        }
    }

    /// Notes a request to a route that took too long.
    pub(super) fn late(&self, path: &'static str) {
        self.late.get_or_create(&To { path }).inc();
    }

    /// Notes how long it took to load a model of any kind.
    pub fn load(&self, model: &str, took: Duration) {
        let of = Of { model: model.to_owned() };
        self.load.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// All of it as text, with how many requests are being prepared and how every model is just now: whether it is loaded and, if
    /// it writes, at what work.
    ///
    /// # Errors
    /// If it cannot be written, which is a mistake of this program.
    pub fn text<'a>(
        &self,
        preparing: Preparing,
        now: impl IntoIterator<Item = (&'a str, bool, Option<Work>)>,
    ) -> Result<String, std::fmt::Error> {
        let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
        self.preparing_running.set(count(preparing.running));
        self.preparing_waiting.set(count(preparing.waiting));
        for (model, loaded, work) in now {
            let of = Of { model: model.to_owned() };
            self.loaded.get_or_create(&of).set(i64::from(loaded));
            let Some(Work { slots, running, waiting }) = work else { continue };
            for (gauge, number) in
                [(&self.slots, slots), (&self.running, running), (&self.waiting, waiting)]
            {
                gauge.get_or_create(&of).set(count(number));
            }
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl ModelMetrics {
    /// Notes a request for which there was no room.
    pub(super) fn refuse(&self) {
        self.refused.inc();
    }

    /// Notes that a reply has its slot, so long after it was asked for.
    pub(super) fn begin(&self, after: Duration) {
        self.queued.observe(after.as_secs_f64());
    }

    /// Notes a reply's first token, so long after it was asked for.
    pub(super) fn first_token(&self, after: Duration) {
        self.first_token.observe(after.as_secs_f64());
    }

    /// Notes a further token, so long after the one before it.
    pub(super) fn next_token(&self, after: Duration) {
        self.between_tokens.observe(after.as_secs_f64());
    }

    /// Notes a reply that was given up or failed.
    pub(super) fn give_up(&self, reason: &'static str) {
        self.replies.get_or_create(&Ending { model: self.model.clone(), reason }).inc();
    }

    /// Notes a reply's end.
    pub(super) fn end(&self, output: &Output, after: Duration) {
        let stats = &output.stats;
        self.prompt_tokens.inc_by(stats.prompt_tokens as u64);
        self.cached_tokens.inc_by(stats.cached_tokens as u64);
        self.generated_tokens.inc_by(stats.generated_tokens as u64);
        self.reply.observe(after.as_secs_f64());
        self.give_up(match output.finish_reason {
            FinishReason::Length => "length",
            FinishReason::Cancelled => "cancelled",
            FinishReason::Error => "error",
            _ => "stop",
        });
    }
}
