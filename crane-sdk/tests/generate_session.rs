//! A session against a naive loop, through everything that can happen to it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use crane_sdk::Error;
use crane_sdk::generate::{
    CancelToken, ContextPolicy, FinishReason, GenerationConfig, Piece, PrefixCache, PrefixSalt,
    Session, Step, step_together,
};
use crane_sdk::kernels::attention::BLOCK;
use crane_sdk::sample::{Sampler, SamplingParams};
use futures_core::Stream;
use generate_support::history_model::HistoryModel;
use proptest::prelude::*;

const VOCABULARY: usize = 50;

fn sampled(max: usize) -> GenerationConfig {
    GenerationConfig {
        sampling: SamplingParams {
            seed: Some(9),
            top_p: 0.9,
            presence_penalty: 0.5,
            ..SamplingParams::default()
        },
        max_new_tokens: Some(max),
        prefill_chunk: 4,
        ..GenerationConfig::default()
    }
}

/// The reply without a cache or a session.
fn naive(model: &HistoryModel, prompt: &[u32], config: &GenerationConfig) -> Vec<u32> {
    let mut sampler = Sampler::new(config.sampling.clone(), model.vocab_size).unwrap();
    let mut tokens = prompt.to_vec();
    for _ in 0..config.max_new_tokens.unwrap() {
        let id = sampler.sample(&mut model.logits(&tokens), &tokens).unwrap().id;
        tokens.push(id);
    }
    tokens.split_off(prompt.len())
}

fn session(model: &Arc<HistoryModel>, context: usize) -> Session {
    Session::without_text(model.clone(), context).unwrap()
}

fn complete(session: &mut Session, prompt: &[u32], config: &GenerationConfig) -> Vec<u32> {
    session.generate(prompt, config, &CancelToken::new()).unwrap().complete().unwrap().ids
}

/// What may happen to a turn before the one that is checked.
#[derive(Debug, Clone)]
enum Event {
    Complete,
    Drop(usize),
    Cancel(usize),
    Break(usize),
    Fail(usize),
    Nan(usize),
    Refused,
    BatchFails(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        Just(Event::Complete),
        (0usize..6).prop_map(Event::Drop),
        (0usize..6).prop_map(Event::Cancel),
        (1usize..6).prop_map(Event::Break),
        (0usize..8).prop_map(Event::Fail),
        (0usize..8).prop_map(Event::Nan),
        Just(Event::Refused),
        (0usize..8).prop_map(Event::BatchFails),
    ]
}

fn happen(event: &Event, model: &HistoryModel, session: &mut Session, prompt: &[u32]) {
    let config = sampled(7);
    let cancel = CancelToken::new();
    match event {
        Event::Complete => drop(complete(session, prompt, &config)),
        Event::Drop(after) => {
            let generation = session.generate(prompt, &config, &cancel).unwrap();
            for piece in generation.take(*after) {
                piece.unwrap();
            }
        }
        Event::Cancel(after) => {
            let mut generation = session.generate(prompt, &config, &cancel).unwrap();
            for _ in 0..*after {
                generation.step().unwrap();
            }
            cancel.cancel();
            assert!(generation.next().is_none());
            assert_eq!(generation.finish().finish_reason, FinishReason::Cancelled);
        }
        Event::Break(after) => {
            let mut left = *after;
            let generation = session.generate(prompt, &config, &cancel).unwrap();
            let output = generation.run(|_| {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            let output = output.unwrap();
            assert_eq!((output.ids.len(), output.finish_reason), (*after, FinishReason::Cancelled));
        }
        Event::Fail(after) | Event::Nan(after) => {
            let fails = matches!(event, Event::Fail(_));
            let counter = if fails { &model.fails_in } else { &model.breaks_in };
            counter.store(*after, Ordering::Relaxed);
            let mut generation = session.generate(prompt, &config, &cancel).unwrap();
            let results: Vec<_> = (&mut generation).collect();
            let failed = results.iter().filter(|result| result.is_err()).count();
            let output = generation.finish();
            counter.store(usize::MAX, Ordering::Relaxed);
            // A NaN in a row that nobody reads, or a countdown longer than the reply, is no failure.
            assert_eq!(output.finish_reason == FinishReason::Error, failed == 1);
            assert!(failed <= 1 && results.iter().rev().skip(1).all(Result::is_ok));
        }
        Event::Refused => {
            let before = (session.tokens().to_vec(), session.cached());
            assert!(session.generate(&[], &config, &cancel).is_err());
            assert!(session.generate(&[VOCABULARY as u32], &config, &cancel).is_err());
            assert!(session.generate(&[0; 1000], &config, &cancel).is_err());
            assert_eq!((session.tokens().to_vec(), session.cached()), before);
        }
        Event::BatchFails(after) => {
            session.begin(prompt, &config, &cancel).unwrap();
            model.fails_in.store(*after, Ordering::Relaxed);
            let mut failed = 0;
            while session.is_running() {
                failed += usize::from(step_together(&mut [session]).is_err());
            }
            model.fails_in.store(usize::MAX, Ordering::Relaxed);
            // A batch that failed is as it was, so that the step can be tried again.
            assert!(failed <= 1);
            assert_eq!(session.finish().unwrap().ids, naive(model, prompt, &config));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever happened before, a turn's reply is that of a fresh start.
    #[test]
    fn a_session_stays_of_use(
        turns in proptest::collection::vec(
            (event(), 0usize..30, proptest::collection::vec(0u32..VOCABULARY as u32, 1..12)),
            1..8,
        ),
    ) {
        let model = HistoryModel::new(VOCABULARY);
        let mut session = session(&model, 60);
        let mut prompt = Vec::new();
        for (event, shared, new) in &turns {
            // Some turns go on from what was said, some from a part of it.
            let history = session.tokens();
            prompt = history[..(*shared).min(history.len()).min(30)].to_vec();
            prompt.extend(new);
            happen(event, &model, &mut session, &prompt);
        }
        let config = sampled(8);
        let expected = naive(&model, &prompt, &config);
        prop_assert_eq!(complete(&mut session, &prompt, &config), expected);
    }
}

#[test]
fn the_common_beginning_is_not_evaluated_again() {
    let model = HistoryModel::new(VOCABULARY);
    let mut session = session(&model, 100);
    let config = sampled(5);
    let first: Vec<u32> = (0..20).collect();
    let reply = complete(&mut session, &first, &config);
    // The last token of a reply is never fed.
    assert_eq!(model.fed.swap(0, Ordering::Relaxed), 24);
    assert_eq!((session.tokens().len(), session.cached()), (25, 24));

    let second: Vec<u32> = first.iter().chain(&reply).copied().chain([1, 2, 3]).collect();
    let generation = session.generate(&second, &config, &CancelToken::new()).unwrap();
    let output = generation.complete().unwrap();
    assert_eq!((output.stats.prompt_tokens, output.stats.cached_tokens), (28, 24));
    assert_eq!(output.stats.generated_tokens, 5);
    assert!(output.stats.time_to_first_token.is_some());
    assert_eq!(model.fed.swap(0, Ordering::Relaxed), 8);
    assert_eq!(output.ids, naive(&model, &second, &config));

    // The same prompt again: all but its last token is there.
    complete(&mut session, &second, &sampled(1));
    assert_eq!(model.fed.load(Ordering::Relaxed), 1);
    session.reset();
    assert_eq!((session.tokens().len(), session.cached()), (0, 0));
}

#[test]
fn a_beginning_is_taken_from_another_session() {
    let model = HistoryModel::new(VOCABULARY);
    let config = sampled(5);
    // More than a page.
    let prompt: Vec<u32> = (0..150).map(|id| id % 50).collect();
    let mut first = session(&model, 200);
    let mut prefixes = PrefixCache::new(first.model().clone());
    let salt = PrefixSalt::default();
    complete(&mut first, &prompt, &config);
    assert!(first.leave_prefix(&mut prefixes, &salt));
    assert_eq!(prefixes.pages(), first.cached().div_ceil(BLOCK));
    for tokens in [2, 64, 65, 66, 150] {
        let mut second = session(&model, 200);
        // What it held before is gone, also where it was longer.
        complete(&mut second, &[7; 160], &config);
        let other = [&prompt[..tokens], &[49; 9]].concat();
        assert_eq!(second.take_prefix(&mut prefixes, &salt, &other), tokens);
        assert_eq!((second.tokens(), second.cached()), (&prompt[..tokens], tokens));
        let generation = second.generate(&other, &config, &CancelToken::new()).unwrap();
        let output = generation.complete().unwrap();
        assert_eq!(
            (output.stats.cached_tokens, output.ids),
            (tokens, naive(&model, &other, &config))
        );
        // Which has changed nothing for the one who evaluated it first.
        let mut third = session(&model, 200);
        assert_eq!(third.take_prefix(&mut prefixes, &salt, &prompt), 149);
        assert_eq!(complete(&mut third, &prompt, &config), naive(&model, &prompt, &config));
    }
    // Nothing is taken of another model, nor what does not fit, nor into a reply under way.
    let other = HistoryModel::new(VOCABULARY);
    assert_eq!(session(&other, 200).take_prefix(&mut prefixes, &salt, &prompt), 0);
    assert!(!session(&other, 200).leave_prefix(&mut prefixes, &salt));
    let mut small = session(&model, 40);
    assert_eq!(small.take_prefix(&mut prefixes, &salt, &prompt), 0);
    small.begin(&[1, 2, 3], &config, &CancelToken::new()).unwrap();
    assert_eq!(small.take_prefix(&mut prefixes, &salt, &prompt[..30]), 0);
    assert_eq!(small.tokens(), [1, 2, 3]);
}

#[test]
fn salts_that_differ_share_nothing() {
    let model = HistoryModel::new(VOCABULARY);
    let prompt: Vec<u32> = (0..150).map(|id| id % 50).collect();
    let everybody = PrefixSalt::default();
    let salts = [
        everybody.clone(),
        everybody.with("key", "1"),
        everybody.with("key", "12"),
        everybody.with("key", "1").with("user", "2"),
        everybody.with("user", "1"),
    ];
    let mut prefixes = PrefixCache::new(session(&model, 200).model().clone());
    for (index, salt) in salts.iter().enumerate() {
        assert_eq!(prefixes.longest(salt, &prompt), 0);
        let mut own = session(&model, 200);
        assert_eq!(own.take_prefix(&mut prefixes, salt, &prompt), 0);
        complete(&mut own, &prompt, &sampled(1));
        assert!(own.leave_prefix(&mut prefixes, salt));
        assert_eq!(prefixes.pages(), (index + 1) * 150usize.div_ceil(BLOCK));
    }
    for salt in &salts {
        assert_eq!(session(&model, 200).take_prefix(&mut prefixes, salt, &prompt), 149);
    }
    prefixes.trim(0);
    assert_eq!(prefixes.pages(), 0);
    assert_eq!(prefixes.longest(&everybody, &prompt), 0);
}

#[test]
fn a_reply_goes_on_where_its_cache_was_given_up() {
    let model = HistoryModel::new(VOCABULARY);
    let prompt: Vec<u32> = (0..100).map(|id| id % 50).collect();
    let config = sampled(40);
    for evicted in [0, 1, 17, 39] {
        let mut session = session(&model, 200);
        session.begin(&prompt, &config, &CancelToken::new()).unwrap();
        let (mut pieces, mut is_evicted) = (0, false);
        while session.is_running() {
            if pieces == evicted && !is_evicted {
                session.evict();
                is_evicted = true;
                assert_eq!((session.own_pages(), session.cached()), (0, 0));
            }
            if let Step::Piece(_) = session.step().unwrap() {
                pieces += 1;
            }
        }
        let output = session.finish().unwrap();
        assert_eq!(output.ids, naive(&model, &prompt, &config));
        assert_eq!(output.stats.prefill_tokens, 100);
    }
}

#[test]
fn pages_that_a_session_holds_outlive_the_cache_of_prefixes() {
    let model = HistoryModel::new(VOCABULARY);
    let config = sampled(3);
    let prompts: Vec<Vec<u32>> = (0..4).map(|id| vec![id; 100]).collect();
    let mut first = session(&model, 200);
    let mut prefixes = PrefixCache::new(first.model().clone());
    let salt = PrefixSalt::default();
    for prompt in &prompts {
        complete(&mut first, prompt, &config);
        assert!(first.leave_prefix(&mut prefixes, &salt));
        first.release();
        assert_eq!((first.cached(), first.own_pages()), (0, 0));
    }
    assert_eq!(prefixes.pages(), 8);
    // The first prompt is used again, so the second is the oldest.
    assert_eq!(first.take_prefix(&mut prefixes, &salt, &prompts[0]), 99);
    prefixes.trim(6);
    let longest = |prefixes: &PrefixCache| -> Vec<usize> {
        prompts.iter().map(|prompt| prefixes.longest(&PrefixSalt::default(), prompt)).collect()
    };
    assert_eq!(longest(&prefixes), [100, 0, 100, 100]);
    // What the session holds would free nothing.
    prefixes.trim(0);
    assert_eq!((longest(&prefixes), prefixes.pages()), (vec![100, 0, 0, 0], 2));
    assert_eq!(first.own_pages(), 0);
    assert_eq!(complete(&mut first, &prompts[0], &config), naive(&model, &prompts[0], &config));
    // The second page was written to, and is now its own.
    assert_eq!(first.own_pages(), 1);
    first.release();
    prefixes.trim(0);
    assert_eq!(prefixes.pages(), 0);
}

#[test]
fn a_chunk_can_be_made_smaller_on_the_way() {
    let model = HistoryModel::new(VOCABULARY);
    let (prompt, config) = ([7; 20], sampled(5));
    let mut session = session(&model, 100);
    session.begin(&prompt, &config, &CancelToken::new()).unwrap();
    session.set_prefill_chunk(6);
    assert_eq!(session.step().unwrap(), Step::Prefill { done: 6, total: 20 });
    session.set_prefill_chunk(0);
    assert_eq!(session.step().unwrap(), Step::Prefill { done: 7, total: 20 });
    session.set_prefill_chunk(100);
    while session.is_running() {
        session.step().unwrap();
    }
    assert_eq!(session.finish().unwrap().ids, naive(&model, &prompt, &config));
}

#[test]
fn cancelling_between_chunks_keeps_what_was_evaluated() {
    let model = HistoryModel::new(VOCABULARY);
    let mut session = session(&model, 100);
    let (prompt, cancel) = ([7; 20], CancelToken::new());
    let mut generation = session.generate(&prompt, &sampled(5), &cancel).unwrap();
    assert_eq!(generation.step().unwrap(), Step::Prefill { done: 4, total: 20 });
    assert_eq!(generation.step().unwrap(), Step::Prefill { done: 8, total: 20 });
    cancel.cancel();
    assert_eq!(generation.step().unwrap(), Step::Done);
    let output = generation.finish();
    assert_eq!((output.finish_reason, output.ids.len()), (FinishReason::Cancelled, 0));
    assert_eq!(output.stats.time_to_first_token, None);
    // The speed is that of the chunks which were evaluated.
    let stats = output.stats;
    assert_eq!(stats.prefill_tokens, 8);
    let speed = stats.prefill_tokens as f64 / stats.prefill_time.as_secs_f64();
    assert_eq!(stats.prefill_tokens_per_second(), speed);
    assert_eq!(session.cached(), 8);
    assert_eq!(complete(&mut session, &prompt, &sampled(5)), naive(&model, &prompt, &sampled(5)));
}

#[test]
fn every_face_gives_the_same_pieces() {
    let model = HistoryModel::new(VOCABULARY);
    let (prompt, cancel) = ([3, 1, 4, 1, 5, 9, 2, 6], CancelToken::new());
    let config = GenerationConfig { logprobs: Some(3), ..sampled(6) };
    let mut session = session(&model, 100);

    let mut generation = session.generate(&prompt, &config, &cancel).unwrap();
    let iterated: Vec<Piece> = generation.by_ref().map(Result::unwrap).collect();
    let whole = generation.finish();
    assert_eq!(iterated.iter().filter_map(|piece| piece.id).collect::<Vec<_>>(), whole.ids);
    assert!(iterated.iter().all(|piece| piece.logprobs.as_ref().unwrap().top.len() == 3));

    let mut called = Vec::new();
    let generation = session.generate(&prompt, &config, &cancel).unwrap();
    let output = generation.run(|piece| {
        called.push(piece);
        ControlFlow::Continue(())
    });
    assert_eq!(output.unwrap().ids, whole.ids);
    assert_eq!(called, iterated);

    session.reset();
    let mut stream = session.generate(&prompt, &config, &cancel).unwrap().into_stream();
    let (mut streamed, mut pending) = (Vec::new(), 0);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut stream).poll_next(&mut context) {
            Poll::Ready(Some(piece)) => streamed.push(piece.unwrap()),
            Poll::Ready(None) => break,
            Poll::Pending => pending += 1,
        }
    }
    // One chunk of the prompt of two is not the last one.
    assert_eq!((streamed, pending), (iterated, 1));
    assert_eq!(stream.finish().finish_reason, FinishReason::Length);
}

#[test]
fn the_end_of_the_window() {
    let model = HistoryModel::new(VOCABULARY);
    let mut session = session(&model, 16);
    let long: Vec<u32> = (0..40).collect();
    let cancel = CancelToken::new();
    let unlimited = GenerationConfig { max_new_tokens: None, ..sampled(1) };

    let error = session.generate(&long, &unlimited, &cancel).unwrap_err();
    assert!(matches!(error, Error::ContextOverflow { prompt: 40, context: 16 }), "{error}");
    // A full window still gives one token, for which no place is needed.
    let output = session.generate(&long[..16], &unlimited, &cancel).unwrap().complete().unwrap();
    assert_eq!((output.ids.len(), output.finish_reason), (1, FinishReason::Length));
    let output = session.generate(&long[..10], &unlimited, &cancel).unwrap().complete().unwrap();
    assert_eq!((output.ids.len(), output.finish_reason), (7, FinishReason::Length));
    assert_eq!(output.ids, naive(&model, &long[..10], &sampled(7)));

    let context = ContextPolicy::TruncateOldest { keep: 4 };
    let config = GenerationConfig { context, ..unlimited.clone() };
    let output = session.generate(&long, &config, &cancel).unwrap().complete().unwrap();
    assert_eq!(output.finish_reason, FinishReason::Length);
    let left = 40 - output.dropped_tokens;
    assert_eq!(output.stats.prompt_tokens, left);
    assert!(left < 16 && output.ids.len() == 17 - left, "{left}");
    let kept: Vec<u32> = long[..4].iter().chain(&long[4 + 40 - left..]).copied().collect();
    assert_eq!(output.ids, naive(&model, &kept, &sampled(output.ids.len())));
    // The next turn of the same conversation drops the same tokens and finds the rest.
    let next: Vec<u32> = long.iter().copied().chain([output.ids[0]]).collect();
    let again = session.generate(&next, &config, &cancel).unwrap().finish();
    assert_eq!(again.dropped_tokens, output.dropped_tokens);
    assert_eq!(again.stats.cached_tokens, left);

    let context = ContextPolicy::Shift { keep: 4 };
    let config = GenerationConfig { context, ..sampled(30) };
    let output = session.generate(&long, &config, &cancel).unwrap().complete().unwrap();
    assert_eq!((output.ids.len(), output.finish_reason), (30, FinishReason::Length));
    assert_eq!(session.tokens()[..4], long[..4]);
    assert_eq!(output.dropped_tokens + session.tokens().len(), 70);
    assert!(session.tokens().ends_with(&output.ids[25..]));
}

#[test]
fn options_that_cannot_act_are_refused() {
    let model = HistoryModel::new(VOCABULARY);
    let mut session = session(&model, 16);
    let mut refused = |change: fn(&mut GenerationConfig)| {
        let mut config = sampled(3);
        change(&mut config);
        match session.generate(&[1], &config, &CancelToken::new()) {
            Err(Error::InvalidArgument { name, .. }) => name,
            other => format!("{other:?}"),
        }
    };
    assert_eq!(refused(|c| c.max_new_tokens = Some(0)), "max_new_tokens");
    assert_eq!(refused(|c| c.min_new_tokens = 4), "min_new_tokens");
    assert_eq!(refused(|c| c.prefill_chunk = 0), "prefill_chunk");
    assert_eq!(refused(|c| c.sampling.top_p = 2.0), "top_p");
    assert_eq!(refused(|c| c.stop = vec!["a".to_owned()]), "stop");
    assert_eq!(refused(|c| c.context = ContextPolicy::Shift { keep: 9 }), "context policy");
    assert!(Session::without_text(model.clone(), 0).is_err());
    assert!(Session::without_text(model.clone(), 5000).is_err());

    let other = HistoryModel::new(VOCABULARY);
    let mut other = Session::without_text(other, 16).unwrap();
    let mut one = Session::without_text(model, 16).unwrap();
    assert!(step_together(&mut [&mut one, &mut other]).is_err());
    assert_eq!(step_together(&mut [&mut one]).unwrap()[0].as_ref().unwrap(), &Step::Done);
}
