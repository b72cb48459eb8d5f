//! What ends when it is cancelled: between two layers of a pass, two words of a text, two pieces of sound.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;
#[path = "support/orpheus.rs"]
mod orpheus;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Tensor};
use crane_sdk::Result;
use crane_sdk::generate::{
    CancelToken, FinishReason, GenerationConfig, Pooling, Session, Step, embed, step_together,
};
use crane_sdk::models::{CausalLm, Observer, Segment};
use crane_sdk::nn::KvCache;
use crane_sdk::pipeline::{Task, Voice, pipeline};
use crane_sdk::source::MemorySource;
use generate_support::{drive, fixture};

/// A model that cancels something in the middle of a pass, and counts the states that it shows.
struct Interrupted {
    model: Arc<dyn CausalLm>,
    cancel: CancelToken,
    /// After so many states.
    after: AtomicUsize,
    shown: AtomicUsize,
}

impl Interrupted {
    fn new(after: usize) -> (Arc<Self>, CancelToken) {
        let (model, cancel) = (fixture("qwen2_tied").model, CancelToken::new());
        let (after, shown) = (after.into(), 0.into());
        (Arc::new(Self { model, cancel: cancel.clone(), after, shown }), cancel)
    }

    fn show(&self, number: usize, x: &Tensor, observe: &mut Observer<'_>) -> Result<()> {
        if self.shown.fetch_add(1, Ordering::Relaxed) + 1 == self.after.load(Ordering::Relaxed) {
            self.cancel.cancel();
        }
        observe(number, x)
    }
}

impl CausalLm for Interrupted {
    fn vocab_size(&self) -> usize {
        self.model.vocab_size()
    }

    fn context_length(&self) -> usize {
        self.model.context_length()
    }

    fn device(&self) -> &Device {
        self.model.device()
    }

    fn new_cache(&self, capacity: usize) -> Result<KvCache> {
        self.model.new_cache(capacity)
    }

    fn hidden_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        self.model.hidden_observed(batch, &mut |number, x| self.show(number, x, observe))
    }

    fn forward_observed(
        &self,
        batch: &mut [Segment<'_>],
        observe: &mut Observer<'_>,
    ) -> Result<Tensor> {
        self.model.forward_observed(batch, &mut |number, x| self.show(number, x, observe))
    }
}

fn greedy() -> GenerationConfig {
    let mut config = GenerationConfig { max_new_tokens: Some(12), ..GenerationConfig::default() };
    config.ignore_eos = true;
    config.sampling.temperature = 0.0;
    config
}

fn prompt(first: u32, tokens: u32) -> Vec<u32> {
    (0..tokens).map(|n| (first + n * 37) % 380).collect()
}

/// What a session says that is left alone.
fn alone(prompt: &[u32]) -> Vec<u32> {
    let mut session = Session::without_text(fixture("qwen2_tied").model, 256).unwrap();
    session.begin(prompt, &greedy(), &CancelToken::new()).unwrap();
    drive(&mut session).0
}

#[test]
fn a_prompt_is_left_between_two_layers() {
    // Three layers show three states where no logits are wanted; the second pass is left after its second state.
    let (model, cancel) = Interrupted::new(3 + 2);
    let mut session = Session::without_text(model.clone(), 256).unwrap();
    let config = GenerationConfig { prefill_chunk: 50, ..greedy() };
    session.begin(&prompt(3, 120), &config, &cancel).unwrap();
    assert_eq!(session.step().unwrap(), Step::Prefill { done: 50, total: 120 });
    assert_eq!(session.step().unwrap(), Step::Done);
    assert_eq!((model.shown.load(Ordering::Relaxed), session.cached()), (5, 50));
    assert_eq!(session.finish().unwrap().finish_reason, FinishReason::Cancelled);
    // What was evaluated counts, and what comes next is as if nothing had happened.
    session.begin(&prompt(3, 120), &config, &CancelToken::new()).unwrap();
    let (ids, reason) = drive(&mut session);
    assert_eq!((ids, reason), (alone(&prompt(3, 120)), FinishReason::Length));
}

#[test]
fn who_leaves_a_common_pass_changes_nothing_for_the_others() {
    for after in 1..=8 {
        let (model, cancel) = Interrupted::new(after);
        let mut stays = Session::without_text(model.clone(), 256).unwrap();
        let mut leaves = Session::without_text(model.clone(), 256).unwrap();
        stays.begin(&prompt(5, 60), &greedy(), &CancelToken::new()).unwrap();
        leaves.begin(&prompt(9, 90), &greedy(), &cancel).unwrap();
        while stays.is_running() {
            for step in step_together(&mut [&mut stays, &mut leaves]).unwrap() {
                step.unwrap();
            }
        }
        assert_eq!(stays.finish().unwrap().ids, alone(&prompt(5, 60)), "{after}");
        assert_eq!(leaves.finish().unwrap().finish_reason, FinishReason::Cancelled);
    }
}

#[test]
fn a_pass_that_nobody_waits_for_is_left() {
    let (model, cancel) = Interrupted::new(2);
    let mut sessions: Vec<Session> =
        (0..2).map(|_| Session::without_text(model.clone(), 256).unwrap()).collect();
    for (session, first) in sessions.iter_mut().zip([5, 9]) {
        session.begin(&prompt(first, 70), &greedy(), &cancel).unwrap();
    }
    let mut both: Vec<&mut Session> = sessions.iter_mut().collect();
    let steps: Vec<Step> =
        step_together(&mut both).unwrap().into_iter().map(|step| step.unwrap()).collect();
    assert_eq!(steps, [Step::Done, Step::Done]);
    assert_eq!(model.shown.load(Ordering::Relaxed), 2);
    for (session, first) in sessions.iter_mut().zip([5, 9]) {
        assert_eq!(session.cached(), 0);
        assert_eq!(session.finish().unwrap().finish_reason, FinishReason::Cancelled);
        session.begin(&prompt(first, 70), &greedy(), &CancelToken::new()).unwrap();
        assert_eq!(drive(session).0, alone(&prompt(first, 70)));
    }
}

#[test]
fn an_embedding_is_left_between_two_layers() {
    let (model, cancel) = Interrupted::new(3);
    let error = embed(model.as_ref(), &prompt(1, 100), Pooling::Last, &cancel).unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert_eq!(model.shown.load(Ordering::Relaxed), 3);
}

#[test]
fn a_speech_ends_with_the_next_piece() {
    let empty = MemorySource::new("orpheus");
    let files = orpheus::files().into_iter();
    let source = files.fold(empty, |source, (name, bytes)| source.with(name, bytes));
    let tts = pipeline(Task::TextToSpeech, &source).unwrap();
    let (cancel, voice) = (CancelToken::new(), Voice::default());
    let text = "Hello there, <laugh> my name is Leo.";
    let whole = tts.speak(text, &voice).unwrap().count();
    let mut speech = tts.speak_until(text, &voice, &cancel).unwrap();
    assert!(whole > 2 && speech.next().unwrap().is_ok());
    cancel.cancel();
    let error = speech.next().unwrap().unwrap_err();
    assert!(error.to_string().contains("cancelled"), "{error}");
    assert!(tts.speak_until(text, &voice, &cancel).is_err());
}
