//! What ends a reply: end tokens, stop strings, limits; and what comes out of it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use std::sync::Arc;

use crane_sdk::generate::{CancelToken, FinishReason, GenerationConfig, Output, Piece, Session};
use crane_sdk::sample::SamplingParams;
use crane_sdk::text::Tokenizer;
use generate_support::{folder, history_model::HistoryModel};
use proptest::prelude::*;

struct Speaker {
    session: Session,
    tokenizer: Arc<Tokenizer>,
}

impl Speaker {
    fn new() -> Self {
        let tokenizer = Arc::new(Tokenizer::from_source(&folder("qwen2_tied")).unwrap());
        let model = HistoryModel::new(448);
        let session = Session::new(model, tokenizer.clone(), 512).unwrap();
        Self { session, tokenizer }
    }

    fn say(&mut self, config: &GenerationConfig) -> (Vec<Piece>, Output) {
        let mut generation =
            self.session.generate(&[1, 2, 3], config, &CancelToken::new()).unwrap();
        let pieces = generation.by_ref().map(Result::unwrap).collect();
        (pieces, generation.finish())
    }
}

fn config(seed: u64, max: usize) -> GenerationConfig {
    GenerationConfig {
        sampling: SamplingParams { seed: Some(seed), ..SamplingParams::default() },
        max_new_tokens: Some(max),
        ..GenerationConfig::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// The text with a stop string is the text without it, cut before its first appearance.
    #[test]
    fn a_stop_string_never_leaks(seed in any::<u64>(), at in 0usize..100, len in 1usize..8) {
        let mut speaker = Speaker::new();
        let (_, free) = speaker.say(&config(seed, 40));
        let characters: Vec<char> = free.text.chars().collect();
        let stop: String = characters.iter().skip(at % characters.len()).take(len).collect();
        let stopping = GenerationConfig { stop: vec![stop.clone()], ..config(seed, 40) };
        let (pieces, output) = speaker.say(&stopping);
        let before = free.text.find(&stop).unwrap();
        prop_assert_eq!(&output.text, &free.text[..before]);
        prop_assert_eq!(output.finish_reason, FinishReason::Stop);
        prop_assert_eq!(output.stop, Some(stop));
        let said: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        prop_assert_eq!(said, output.text);
        prop_assert!(free.ids.starts_with(&output.ids));
    }
}

#[test]
fn pieces_are_the_decoded_text() {
    let mut speaker = Speaker::new();
    for seed in 0..20 {
        let (pieces, output) = speaker.say(&config(seed, 60));
        let said: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        assert_eq!(said, output.text);
        // A last character that the limit has cut is left out.
        let whole = speaker.tokenizer.decode(&output.ids, true).unwrap();
        assert!([Some(&*whole), whole.strip_suffix('\u{FFFD}')].contains(&Some(&*output.text)));
        assert_eq!(pieces.len(), 60);
    }
}

#[test]
fn end_tokens_end() {
    let mut speaker = Speaker::new();
    let (_, free) = speaker.say(&config(4, 40));
    // Any of several ends, the first to come; its text is not part of the reply.
    let (early, late) = (free.ids[9], free.ids[20]);
    let first = free.ids.iter().position(|id| [early, late].contains(id)).unwrap();
    let ending = GenerationConfig { eos_ids: vec![late, early], ..config(4, 40) };
    let (pieces, output) = speaker.say(&ending);
    assert_eq!(output.finish_reason, FinishReason::Eos);
    assert_eq!(output.ids, free.ids[..=first]);
    assert_eq!(pieces.last().unwrap().id, output.ids.last().copied());
    assert_eq!(output.text, speaker.tokenizer.decode(&free.ids[..first], true).unwrap());

    let ignoring = GenerationConfig { ignore_eos: true, ..ending.clone() };
    let (_, output) = speaker.say(&ignoring);
    assert_eq!((output.ids, output.finish_reason), (free.ids.clone(), FinishReason::Length));

    let patient = GenerationConfig { min_new_tokens: 30, ..ending };
    let (_, output) = speaker.say(&patient);
    assert!(output.ids.len() > 30);
    assert!(!output.ids[..30].iter().any(|id| [early, late].contains(id)));

    // A special token as a stop string ends although its text is hidden.
    let mut special = config(4, 200);
    special.sampling.logit_bias = [(401, 5.0)].into();
    special.stop = vec!["<|im_start|>".to_owned()];
    let (_, output) = speaker.say(&special);
    assert_eq!((output.finish_reason, output.ids.last()), (FinishReason::Stop, Some(&401)));
    assert_eq!(output.stop.as_deref(), Some("<|im_start|>"));
    assert!(!output.text.contains("im_start"));
    special.skip_special_tokens = false;
    let (_, shown) = speaker.say(&special);
    assert_eq!((shown.ids, shown.text), (output.ids, output.text));
}

#[test]
fn a_total_length_ends_where_no_other_limit_is_given() {
    let mut speaker = Speaker::new();
    let total = GenerationConfig { max_new_tokens: None, max_length: Some(10), ..config(1, 1) };
    assert_eq!(speaker.say(&total).1.ids.len(), 7);
    let both = GenerationConfig { max_new_tokens: Some(12), ..total };
    assert_eq!(speaker.say(&both).1.ids.len(), 12);
}

#[test]
fn the_seed_is_told() {
    let mut speaker = Speaker::new();
    let mut fresh = config(0, 20);
    fresh.sampling.seed = None;
    let (_, output) = speaker.say(&fresh);
    assert_eq!(speaker.say(&config(output.seed, 20)).1.ids, output.ids);
}
