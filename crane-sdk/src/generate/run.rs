//! One generation's own state: how tokens are chosen, what was said, when it ends.

use std::sync::Arc;

use super::stats::Clock;
use super::{
    CancelToken, FinishReason, GenerationConfig, Output, Piece, PieceLogprobs, StopMatcher,
};
use crate::grammar::Follower;
use crate::sample::Sampler;
use crate::text::tools::{Span, Splitter};
use crate::text::{StreamDecoder, Tokenizer};
use crate::{Error, Result};

/// What a generation knows beside its tokens.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) config: GenerationConfig,
    pub(super) cancel: CancelToken,
    sampler: Sampler,
    /// Where the reply is in the form that it must have.
    form: Option<Follower>,
    text: Option<Text>,
    /// Special tokens that the caller gave as stop strings, and their place in the list.
    stop_ids: Vec<(u32, usize)>,
    clock: Clock,
    end: Option<FinishReason>,
    output: Output,
}

/// From ids to text that may come out.
#[derive(Debug)]
struct Text {
    decoder: StreamDecoder,
    stops: StopMatcher,
    /// Divides the reply where it may hold calls.
    calls: Option<Splitter>,
}

impl Run {
    /// A run that has not begun.
    pub(super) fn new(
        config: &GenerationConfig,
        cancel: &CancelToken,
        tokenizer: Option<&Arc<Tokenizer>>,
        vocab_size: usize,
    ) -> Result<Self> {
        config.validate()?;
        let mut sampler = Sampler::new(config.sampling.clone(), vocab_size)?;
        if let Some(top) = config.logprobs {
            sampler = sampler.with_logprobs(top, config.logprobs_of);
        }
        let form = config.constraint.as_ref().map(|form| form.follow(vocab_size)).transpose()?;
        let mut stop_ids = Vec::new();
        let text = match tokenizer {
            Some(tokenizer) => {
                for (index, stop) in config.stop.iter().enumerate() {
                    // The mark of a call is none of the reply's own text.
                    let is_mark =
                        config.calls.as_ref().is_some_and(|format| format.trigger() == stop);
                    let id = tokenizer.token_to_id(stop);
                    let id = id.filter(|&id| tokenizer.is_special(id) && !is_mark);
                    stop_ids.extend(id.map(|id| (id, index)));
                }
                Some(Text {
                    decoder: StreamDecoder::new(tokenizer.clone(), config.skip_special_tokens),
                    stops: StopMatcher::new(config.stop.clone())?,
                    calls: config.calls.clone().map(Splitter::new),
                })
            }
            None if config.stop.is_empty() => None,
            None => {
                return Err(Error::argument(
                    "stop",
                    "cannot act: this session generates tokens without text",
                ));
            }
        };
        let output = Output::nothing(sampler.seed());
        let (config, cancel, clock) = (config.clone(), cancel.clone(), Clock::start());
        Ok(Self { config, cancel, sampler, form, text, stop_ids, clock, end: None, output })
    }

    /// Notes the prompt's numbers.
    pub(super) fn prompt(&mut self, tokens: usize, cached: usize, dropped: usize) {
        self.output.stats.prompt_tokens = tokens;
        self.output.stats.cached_tokens = cached;
        self.output.dropped_tokens = dropped;
    }

    /// Notes how many tokens are in the cache after a forward pass, while the prompt is evaluated.
    pub(super) fn evaluated(&mut self, cached: usize) {
        let stats = &mut self.output.stats;
        if stats.generated_tokens == 0 {
            stats.prefill_tokens = cached.saturating_sub(stats.cached_tokens);
        }
    }

    /// Notes tokens that left the window.
    pub(super) fn dropped(&mut self, tokens: usize) {
        self.output.dropped_tokens += tokens;
    }

    /// Whether it goes on.
    pub(super) fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Chooses the next token from a row of logits, which is changed, and tells what it says; ends the
    /// run if it was the last one.
    pub(super) fn choose(&mut self, logits: &mut [f32], tokens: &mut Vec<u32>) -> Result<Piece> {
        if self.output.ids.len() < self.config.min_new_tokens {
            for &id in &self.config.eos_ids {
                if let Some(logit) = logits.get_mut(id as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let ends = if self.config.ignore_eos { &[][..] } else { &self.config.eos_ids };
        let sampled = match &mut self.form {
            None => self.sampler.sample(logits, tokens)?,
            Some(form) => self.sampler.sample_among(logits, tokens, form.allowed(ends)?)?,
        };
        let id = sampled.id;
        tokens.push(id);
        self.output.ids.push(id);
        self.output.stats.generated_tokens += 1;
        self.clock.tick(&mut self.output.stats, true);

        let mut piece = Piece { id: Some(id), ..Piece::default() };
        piece.logprobs = sampled.logprob.map(|logprob| PieceLogprobs { logprob, top: sampled.top });
        if !self.config.ignore_eos && self.config.eos_ids.contains(&id) {
            self.finish(FinishReason::Eos, &mut piece)?;
        } else if let Some(index) = self.stops_at(id) {
            self.output.stop = self.config.stop.get(index).cloned();
            self.finish(FinishReason::Stop, &mut piece)?;
        } else {
            let whole = match &mut self.form {
                Some(form) => form.take(id)?,
                None => false,
            };
            if let Some(text) = &mut self.text {
                let decoded = text.decoder.push(id)?;
                let _ = self.say(&decoded, &mut piece);
            }
            if self.is_running() && whole {
                self.finish(FinishReason::Complete, &mut piece)?;
            }
            if self.is_running() && self.is_full() {
                self.finish(FinishReason::Length, &mut piece)?;
            }
        }
        self.output.text.push_str(&piece.text);
        Ok(piece)
    }

    /// Whether the caller's limit is reached.
    fn is_full(&self) -> bool {
        let stats = &self.output.stats;
        match (self.config.max_new_tokens, self.config.max_length) {
            (Some(most), _) => stats.generated_tokens >= most,
            (None, Some(most)) => stats.prompt_tokens + stats.generated_tokens >= most,
            (None, None) => false,
        }
    }

    /// The stop string that is this very token, where it stands outside of a call.
    fn stops_at(&self, id: u32) -> Option<usize> {
        let calls = self.text.as_ref().and_then(|text| text.calls.as_ref());
        if calls.is_some_and(Splitter::is_in_call) {
            return None;
        }
        self.stop_ids.iter().find(|(stop, _)| *stop == id).map(|(_, index)| *index)
    }

    /// Passes text through the stop strings into the piece; whether one of them ended it.
    fn say(&mut self, decoded: &str, piece: &mut Piece) -> bool {
        let Some(text) = &mut self.text else { return false };
        let Some(calls) = &mut text.calls else { return self.show(decoded, piece) };
        let spans = calls.push(decoded);
        self.say_spans(spans, piece)
    }

    fn say_spans(&mut self, spans: Vec<Span>, piece: &mut Piece) -> bool {
        for span in spans {
            match span {
                Span::Text(seen) if self.show(&seen, piece) => return true,
                Span::Text(_) => {}
                Span::Syntax(hidden) | Span::Name(hidden) | Span::Arguments(hidden, _) => {
                    // What waits to become a stop string comes out: a call stands behind it.
                    if let Some(text) = &mut self.text {
                        piece.text.push_str(&text.stops.finish());
                    }
                    piece.text.push_str(&hidden);
                }
            }
        }
        false
    }

    /// Passes what is seen through the stop strings.
    fn show(&mut self, seen: &str, piece: &mut Piece) -> bool {
        let Some(text) = &mut self.text else { return false };
        let (said, stopped) = text.stops.push(seen);
        piece.text.push_str(&said);
        if let Some(index) = stopped {
            // Nothing waits in the matcher after a stop string.
            self.output.stop = self.config.stop.get(index).cloned();
            self.end = Some(FinishReason::Stop);
        }
        stopped.is_some()
    }

    /// Ends the run; text that waited comes out, but for a character that was cut.
    fn finish(&mut self, reason: FinishReason, piece: &mut Piece) -> Result<()> {
        self.end = Some(reason);
        let cut = matches!(reason, FinishReason::Length | FinishReason::Cancelled);
        let mut stopped = false;
        if let Some(text) = &mut self.text {
            let decoder = &mut text.decoder;
            let rest = if cut { decoder.finish_cut()? } else { decoder.finish()? };
            stopped = self.say(&rest, piece);
        }
        // After a stop string nothing of what was held is said.
        let spans = self.text.as_mut().and_then(|text| text.calls.as_mut()).map(Splitter::finish);
        if let Some(spans) = spans.filter(|_| !stopped) {
            self.say_spans(spans, piece);
        }
        if let Some(text) = &mut self.text {
            piece.text.push_str(&text.stops.finish());
        }
        Ok(())
    }

    /// Ends the run without a chosen token; the text that waited, if there is any.
    pub(super) fn end(&mut self, reason: FinishReason) -> Result<Option<Piece>> {
        if !self.is_running() {
            return Ok(None);
        }
        let mut piece = Piece::default();
        let finished = self.finish(reason, &mut piece);
        self.clock.tick(&mut self.output.stats, false);
        self.output.text.push_str(&piece.text);
        finished.map(|()| Some(piece).filter(|piece| !piece.text.is_empty()))
    }

    /// Ends the run because a step failed.
    pub(super) fn fail(&mut self) {
        self.clock.tick(&mut self.output.stats, false);
        self.end = Some(FinishReason::Error);
    }

    /// The whole, as far as it came.
    pub(super) fn into_output(self) -> Output {
        let finish_reason = self.end.unwrap_or(FinishReason::Cancelled);
        Output { finish_reason, ..self.output }
    }
}
