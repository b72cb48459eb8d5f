//! The loop on real architectures: the tiny checkpoints give the tokens that transformers gave.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::generate::{
    CancelToken, ContextPolicy, FinishReason, GenerationConfig, Session, Step, step_together,
};
use crane_sdk::sample::SamplingParams;
use generate_support::{FIXTURES, drive, fixture, folder};

/// The prompts and tokens of the greedy records.
fn goldens(name: &str) -> Vec<(Vec<u32>, Vec<u32>)> {
    use crane_sdk::source::Source;
    let source = folder(name);
    let json = source.open("golden.json").unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json.read_all().unwrap()).unwrap();
    let prompt = |n: usize| -> Vec<u32> {
        serde_json::from_value(json["values"]["prompt_ids"][n].clone()).unwrap()
    };
    let tensors = source.open("golden.safetensors").unwrap();
    let bytes = tensors.read_all().unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let tokens = |name: &str| -> Vec<u32> {
        let data = tensors.tensor(name).unwrap();
        let ids = data.data().chunks(8).map(|id| i64::from_le_bytes(id.try_into().unwrap()) as u32);
        ids.collect()
    };
    vec![(prompt(0), tokens("greedy0.tokens")), (prompt(4)[..9].to_vec(), tokens("greedy1.tokens"))]
}

fn greedy(max: usize) -> GenerationConfig {
    GenerationConfig {
        sampling: SamplingParams::greedy(),
        max_new_tokens: Some(max),
        ..GenerationConfig::default()
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for name in FIXTURES {
        let fixture = fixture(name);
        // One session for all: nothing of one turn reaches the next.
        let mut session = fixture.session(256);
        for prefill_chunk in [1, 5, 256] {
            for (prompt, expected) in goldens(name) {
                let config = GenerationConfig { prefill_chunk, ..greedy(expected.len()) };
                let generation = session.generate(&prompt, &config, &CancelToken::new()).unwrap();
                let output = generation.complete().unwrap();
                assert_eq!(output.ids, expected, "{name}, chunks of {prefill_chunk}");
                assert_eq!(output.finish_reason, FinishReason::Length);
                let text = fixture.tokenizer.decode(&output.ids, true).unwrap();
                // A last character that the limit has cut is left out.
                let texts = [Some(&*text), text.strip_suffix('\u{FFFD}')];
                assert!(texts.contains(&Some(&*output.text)), "{name}: {:?}", output.text);
            }
        }
    }
}

#[test]
fn published_defaults_are_greedy_and_end_at_eos() {
    let fixture = fixture("qwen2_tied");
    assert_eq!(fixture.config.eos_ids, [402]);
    assert!(fixture.config.sampling.is_greedy());
    assert_eq!(fixture.config.warnings, [""; 0]);
}

#[test]
fn together_is_as_alone() {
    for name in ["qwen2_tied", "llama32", "qwen3"] {
        let fixture = fixture(name);
        let prompts: Vec<Vec<u32>> =
            (0..5u32).map(|n| (0..4 + 9 * n).map(|i| (i * 37 + n * 11) % 380).collect()).collect();
        let config = |n: usize| {
            let sampling = match n {
                0 => SamplingParams::greedy(),
                _ => {
                    SamplingParams { seed: Some(n as u64), top_k: 50, ..SamplingParams::default() }
                }
            };
            let max_new_tokens = Some(10 + 5 * n);
            GenerationConfig { sampling, max_new_tokens, prefill_chunk: 8, ..Default::default() }
        };
        let begin = |session: &mut Session, n: usize| {
            session.begin(&prompts[n], &config(n), &CancelToken::new()).unwrap();
        };
        let alone: Vec<_> = (0..5)
            .map(|n| {
                let mut session = fixture.session(128);
                begin(&mut session, n);
                drive(&mut session)
            })
            .collect();

        // One more joins every third step; each leaves when it is done.
        let mut waiting: Vec<usize> = (0..5).rev().collect();
        let mut running: Vec<(usize, Session)> = Vec::new();
        let mut done = 0;
        for step in 0.. {
            if step % 3 == 0
                && let Some(n) = waiting.pop()
            {
                let mut session = fixture.session(128);
                begin(&mut session, n);
                running.push((n, session));
            }
            let mut sessions: Vec<&mut Session> =
                running.iter_mut().map(|(_, session)| session).collect();
            for result in step_together(&mut sessions).unwrap() {
                assert_ne!(result.unwrap(), Step::Done);
            }
            running.retain_mut(|(n, session)| {
                if session.is_running() {
                    return true;
                }
                let output = session.finish().unwrap();
                assert_eq!((output.ids, output.finish_reason), alone[*n], "{name}, sequence {n}");
                done += 1;
                false
            });
            if done == 5 {
                break;
            }
        }
    }
}

/// After a shift, the tokens are those of a fresh session that begins with what is left.
#[test]
fn a_shift_is_exact() {
    let fixture = fixture("qwen3");
    let prompt: Vec<u32> = (0..20).map(|i| (i * 31 + 7) % 380).collect();
    let shift = ContextPolicy::Shift { keep: 4 };
    let mut session = fixture.session(32);
    let config = GenerationConfig { context: shift, ..greedy(40) };
    let generation = session.generate(&prompt, &config, &CancelToken::new()).unwrap();
    let output = generation.complete().unwrap();
    assert_eq!((output.ids.len(), output.finish_reason), (40, FinishReason::Length));
    assert!(output.dropped_tokens > 0);

    let mut window = prompt;
    let mut dropped = 0;
    for &id in &output.ids {
        let mut fresh = fixture.session(64);
        let one = fresh.generate(&window, &greedy(1), &CancelToken::new()).unwrap();
        assert_eq!(one.complete().unwrap().ids, [id]);
        window.push(id);
        if window.len() > 32 {
            let half = (window.len() - 4).div_ceil(2);
            window.drain(4..4 + half);
            dropped += half;
        }
    }
    assert_eq!(output.dropped_tokens, dropped);
}
