//! What a server counts and times, for Prometheus.

use std::time::Duration;

use crane_sdk::generate::{FinishReason, Output};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Seconds that a first token, and a whole reply, may take.
const LONG: [f64; 12] = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0];
/// Seconds between two tokens.
const SHORT: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0];

/// How a reply ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ending {
    reason: &'static str,
}

/// The numbers of an engine since it began.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    slots: Gauge,
    running: Gauge,
    waiting: Gauge,
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

impl Default for Metrics {
    fn default() -> Self {
        let mut all = Self {
            registry: Registry::with_prefix("crane"),
            slots: Gauge::default(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            refused: Counter::default(),
            replies: Family::default(),
            prompt_tokens: Counter::default(),
            cached_tokens: Counter::default(),
            generated_tokens: Counter::default(),
            queued: Histogram::new(LONG),
            first_token: Histogram::new(LONG),
            between_tokens: Histogram::new(SHORT),
            reply: Histogram::new(LONG),
        };
        let registry = &mut all.registry;
        registry.register("slots", "Replies that can be under way", all.slots.clone());
        registry.register("replies_running", "Replies under way", all.running.clone());
        registry.register("replies_waiting", "Replies that wait for a slot", all.waiting.clone());
        registry.register(
            "requests_refused",
            "Requests that found the queue full",
            all.refused.clone(),
        );
        registry.register("replies", "Replies that ended, by why", all.replies.clone());
        registry.register("prompt_tokens", "Tokens of prompts", all.prompt_tokens.clone());
        registry.register(
            "cached_tokens",
            "Tokens of prompts that a slot held already",
            all.cached_tokens.clone(),
        );
        registry.register(
            "generated_tokens",
            "Tokens that were generated",
            all.generated_tokens.clone(),
        );
        for (name, help, histogram) in [
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
        self.replies.get_or_create(&Ending { reason }).inc();
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

    /// All of it as text, with how it is just now.
    ///
    /// # Errors
    /// If it cannot be written, which is a mistake of this program.
    pub fn text(
        &self,
        slots: usize,
        running: usize,
        waiting: usize,
    ) -> Result<String, std::fmt::Error> {
        for (gauge, count) in
            [(&self.slots, slots), (&self.running, running), (&self.waiting, waiting)]
        {
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
