//! Every option of the sampler acts or is refused; none is ignored.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use crane_sdk::sample::{LogprobsOf, SEED_VERSION, Sampled, Sampler, SamplingParams};
use crane_sdk::{Error, Result};
use proptest::prelude::*;

const LOGITS: [f32; 10] = [2.0, 1.7, 1.1, 0.4, -0.2, -0.9, -1.4, -2.0, -2.2, -3.0];
const HISTORY: [u32; 6] = [7, 0, 0, 1, 4, 1];

fn with(change: impl FnOnce(&mut SamplingParams)) -> SamplingParams {
    let mut params = SamplingParams { seed: Some(5), ..SamplingParams::default() };
    change(&mut params);
    params
}

fn distribution(params: SamplingParams, logits: &[f32]) -> Result<Vec<(u32, f64)>> {
    Sampler::new(params, logits.len())?.distribution(&mut logits.to_vec(), &HISTORY)
}

type Flip = (&'static str, fn(&mut SamplingParams, f32));

/// Each option away from neutral, by an amount from 0 to 1.
const FLIPS: [Flip; 11] = [
    ("temperature", |p, x| p.temperature = 0.2 + 0.7 * x),
    ("temperature", |p, _| p.temperature = 0.0),
    ("top_k", |p, x| p.top_k = 1 + (x * 8.0) as usize),
    ("top_p", |p, x| p.top_p = 0.95 * x),
    ("min_p", |p, x| p.min_p = 0.1 + 0.9 * x),
    ("typical_p", |p, x| p.typical_p = 0.01 + 0.9 * x),
    ("repetition_penalty", |p, x| p.repetition_penalty = 1.05 + x),
    ("presence_penalty", |p, x| p.presence_penalty = 0.05 + x),
    ("frequency_penalty", |p, x| p.frequency_penalty = -0.05 - x),
    ("logit_bias", |p, x| p.logit_bias = [(3, 0.1 + x)].into()),
    ("logit_bias", |p, _| p.logit_bias = [(0, f32::NEG_INFINITY)].into()),
];

proptest! {
    /// From neutral, each option alone changes the distribution.
    #[test]
    fn each_option_changes_the_distribution(
        amount in 0.0f32..1.0,
        scale in 0.5f32..1.5,
    ) {
        let logits = LOGITS.map(|logit| logit * scale);
        let neutral = distribution(with(|_| ()), &logits).unwrap();
        for (name, flip) in FLIPS {
            let flipped = distribution(with(|params| flip(params, amount)), &logits).unwrap();
            prop_assert_ne!(&flipped, &neutral, "{} had no effect", name);
        }
        // The window acts through the penalties.
        for n in [1, 2, 4] {
            let penalty = |p: &mut SamplingParams| p.frequency_penalty = 0.1 + amount;
            let all = distribution(with(penalty), &logits).unwrap();
            let few = distribution(
                with(|p| { penalty(p); p.penalty_last_n = Some(n) }), &logits,
            ).unwrap();
            prop_assert_ne!(&few, &all, "penalty_last_n {} had no effect", n);
        }
    }

    /// Any value of any option is sound or refused by name; nothing panics.
    #[test]
    fn wild_values_are_sound_or_refused(
        which in 0usize..8,
        value in any::<f32>(),
        wild in proptest::collection::vec(any::<f32>(), 1..50),
    ) {
        let names = [
            "temperature", "top_p", "min_p", "typical_p", "repetition_penalty",
            "presence_penalty", "frequency_penalty", "logit_bias[0]",
        ];
        let params = with(|p| match which {
            0 => p.temperature = value,
            1 => p.top_p = value,
            2 => p.min_p = value,
            3 => p.typical_p = value,
            4 => p.repetition_penalty = value,
            5 => p.presence_penalty = value,
            6 => p.frequency_penalty = value,
            _ => p.logit_bias = [(0, value)].into(),
        });
        match Sampler::new(params, wild.len()) {
            Err(Error::InvalidArgument { name, .. }) => prop_assert_eq!(name, names[which]),
            Err(other) => prop_assert!(false, "{}", other),
            Ok(mut sampler) => match sampler.sample(&mut wild.clone(), &[0]) {
                Ok(sampled) => prop_assert!((sampled.id as usize) < wild.len()),
                Err(Error::InvalidArgument { name, .. }) => prop_assert_eq!(name, "logits"),
                Err(other) => prop_assert!(false, "{}", other),
            },
        }
    }
}

fn refused(params: SamplingParams) -> String {
    match Sampler::new(params, LOGITS.len()) {
        Err(Error::InvalidArgument { name, .. }) => name,
        other => panic!("not refused: {other:?}"),
    }
}

#[test]
fn no_option_makes_a_finite_logit_infinite() {
    let huge = f32::MAX;
    for params in [
        with(|p| p.repetition_penalty = f32::MIN_POSITIVE),
        with(|p| p.repetition_penalty = huge),
        with(|p| p.presence_penalty = -huge),
        with(|p| p.frequency_penalty = -huge),
        with(|p| p.frequency_penalty = huge),
        with(|p| p.logit_bias = [(0, huge)].into()),
        with(|p| (p.frequency_penalty, p.logit_bias) = (-huge, [(0, -huge)].into())),
    ] {
        for first in [huge, 1.0, -1.0, -huge, f32::NEG_INFINITY] {
            let mut sampler = Sampler::new(params.clone(), 2).unwrap();
            let sampled = sampler.sample(&mut [first, 0.5], &[0, 0, 0]);
            let id = sampled.unwrap_or_else(|error| panic!("{first}, {params:?}: {error}")).id;
            // What is banned stays banned.
            assert!(first > f32::NEG_INFINITY || id == 1, "{params:?}");
        }
    }
}

#[test]
fn out_of_range_is_refused_by_name() {
    for value in [-0.1, f32::NAN, f32::INFINITY] {
        assert_eq!(refused(with(|p| p.temperature = value)), "temperature");
        assert_eq!(refused(with(|p| p.repetition_penalty = value)), "repetition_penalty");
    }
    for value in [-0.1, 1.1, f32::NAN] {
        assert_eq!(refused(with(|p| p.top_p = value)), "top_p");
        assert_eq!(refused(with(|p| p.min_p = value)), "min_p");
        assert_eq!(refused(with(|p| p.typical_p = value)), "typical_p");
    }
    assert_eq!(refused(with(|p| p.typical_p = 0.0)), "typical_p");
    assert_eq!(refused(with(|p| p.presence_penalty = f32::NAN)), "presence_penalty");
    assert_eq!(refused(with(|p| p.frequency_penalty = f32::INFINITY)), "frequency_penalty");
    assert_eq!(refused(with(|p| p.penalty_last_n = Some(0))), "penalty_last_n");
    assert_eq!(refused(with(|p| p.logit_bias = [(10, 1.0)].into())), "logit_bias[10]");
    assert_eq!(refused(with(|p| p.logit_bias = [(1, f32::INFINITY)].into())), "logit_bias[1]");
}

#[test]
fn unknown_fields_are_refused() {
    let error = serde_json::from_str::<SamplingParams>(r#"{ "topk": 3 }"#).unwrap_err();
    assert!(error.to_string().contains("topk"), "{error}");
    let text = r#"{ "top_k": 3, "logit_bias": { "7": -1.5 }, "seed": 18446744073709551615 }"#;
    let params: SamplingParams = serde_json::from_str(text).unwrap();
    assert_eq!((params.top_k, params.logit_bias[&7], params.seed), (3, -1.5, Some(u64::MAX)));
    let again = serde_json::from_str(&serde_json::to_string(&params).unwrap()).unwrap();
    assert_eq!(params, again);
}

#[test]
fn unsound_rows_are_errors() {
    const BANNED: f32 = f32::NEG_INFINITY;
    for params in [with(|_| ()), SamplingParams::greedy(), with(|p| p.top_k = 2)] {
        let mut sampler = Sampler::new(params, 3).unwrap();
        for row in [[0.0, f32::NAN, 1.0], [0.0, f32::INFINITY, 1.0], [BANNED; 3]] {
            let error = sampler.sample(&mut row.clone(), &[]).unwrap_err();
            let is_finite = row.iter().all(|logit| !logit.is_nan() && *logit < f32::INFINITY);
            match error {
                Error::InvalidArgument { .. } => assert!(is_finite, "{error}"),
                Error::NotFinite { .. } => assert!(!is_finite, "{error}"),
                error => panic!("{error}"),
            }
        }
        assert!(sampler.sample(&mut [0.0; 2], &[]).is_err());
        // It is still of use afterwards.
        assert_eq!(sampler.sample(&mut [BANNED, 1.0, BANNED], &[]).unwrap().id, 1);
    }
    let mut sampler = Sampler::new(with(|p| p.presence_penalty = 1.0), 3).unwrap();
    assert!(sampler.sample(&mut [0.0; 3], &[0, 3]).is_err());
    assert!(sampler.sample(&mut [0.0; 3], &[0, 2]).is_ok());
}

#[test]
fn filters_keep_what_they_say() {
    let kept = |change: fn(&mut SamplingParams)| -> Vec<u32> {
        let list = distribution(with(change), &LOGITS).unwrap();
        list.iter().map(|entry| entry.0).collect()
    };
    assert_eq!(kept(|p| p.top_k = 3), [0, 1, 2]);
    assert_eq!(kept(|p| p.top_p = 0.0), [0]);
    assert_eq!(kept(|p| p.min_p = 1.0), [0]);
    assert_eq!(kept(|p| p.min_p = 0.4), [0, 1, 2]);
    assert_eq!(kept(|p| p.top_k = 1000).len(), 10);
    // A banned token is never drawn.
    assert!(!kept(|p| p.logit_bias = [(0, f32::NEG_INFINITY)].into()).contains(&0));
    // Of equal logits the lower id comes first.
    let list = distribution(
        with(|p| {
            p.top_k = 2;
            p.seed = Some(0)
        }),
        &[1.0; 8],
    )
    .unwrap();
    assert_eq!(list.iter().map(|entry| entry.0).collect::<Vec<_>>(), [0, 1]);
}

fn draw(params: &SamplingParams, n: usize) -> Vec<u32> {
    let logits: Vec<f32> = (0..5000).map(|i| ((i * 7919) % 5000) as f32 / 500.0).collect();
    let mut sampler = Sampler::new(params.clone(), logits.len()).unwrap();
    (0..n).map(|_| sampler.sample(&mut logits.clone(), &[]).unwrap().id).collect()
}

#[test]
fn a_seed_is_a_text() {
    let params = with(|p| p.seed = Some(42));
    assert_eq!(draw(&params, 40), draw(&params, 40));
    assert_ne!(draw(&params, 40), draw(&with(|p| p.seed = Some(43)), 40));
    // Without a seed two runs differ, and the seed that was taken repeats the run.
    let fresh = with(|p| p.seed = None);
    assert_ne!(draw(&fresh, 40), draw(&fresh, 40));
    let logits = LOGITS.to_vec();
    let mut first = Sampler::new(fresh, 10).unwrap();
    let mut again = Sampler::new(with(|p| p.seed = Some(first.seed())), 10).unwrap();
    for _ in 0..20 {
        let ids = (first.sample(&mut logits.clone(), &[]), again.sample(&mut logits.clone(), &[]));
        assert_eq!(ids.0.unwrap(), ids.1.unwrap());
    }
}

/// Frozen, as an independent program computed them from the text of `SEED_VERSION`: these ids may
/// change only together with it.
#[test]
fn seeds_are_frozen() {
    assert_eq!(SEED_VERSION, "chacha8-1");
    let top_k = |p: &mut SamplingParams| (p.top_k, p.temperature) = (40, 0.7);
    let top_p = |p: &mut SamplingParams| (p.top_p, p.typical_p) = (0.9, 0.9);
    assert_eq!(draw(&with(|_| ()), 6), [4200, 1569, 1108, 1442, 3941, 2021]);
    assert_eq!(draw(&with(top_k), 6), [4272, 1605, 1235, 1593, 3926, 2136]);
    assert_eq!(draw(&with(top_p), 6), [4200, 1569, 1115, 1449, 3943, 2021]);
}

#[test]
fn logprobs_of_the_model_and_of_the_sample() {
    let params = with(|p| (p.temperature, p.top_k) = (0.5, 2));
    let sample = |of| -> Sampled {
        Sampler::new(params.clone(), 10)
            .unwrap()
            .with_logprobs(3, of)
            .sample(&mut LOGITS.clone(), &[])
            .unwrap()
    };
    let (sampled, model) = (sample(LogprobsOf::Sampled), sample(LogprobsOf::Model));
    assert_eq!(sampled.id, model.id);
    assert_eq!((sampled.top.len(), model.top.len()), (2, 3));
    let sum: f64 = LOGITS.iter().map(|&logit| f64::from(logit).exp()).sum();
    let raw = |id: u32| (f64::from(LOGITS[id as usize]) - sum.ln()) as f32;
    assert!((model.logprob.unwrap() - raw(model.id)).abs() < 1e-5);
    for top in &model.top {
        assert!((top.logprob - raw(top.id)).abs() < 1e-5);
    }
    let two = (1.0 / (1.0 + f64::exp(-0.3 / 0.5))).ln() as f32;
    assert!((sampled.top[0].logprob - two).abs() < 1e-5, "{:?}", sampled.top);

    // Greedy tells the softmax of the logits after penalties and bias.
    let mut greedy =
        Sampler::new(SamplingParams::greedy(), 10).unwrap().with_logprobs(2, LogprobsOf::Sampled);
    let chosen = greedy.sample(&mut LOGITS.clone(), &[]).unwrap();
    assert!((chosen.logprob.unwrap() - raw(0)).abs() < 1e-5);
    assert_eq!(chosen.top.iter().map(|top| top.id).collect::<Vec<_>>(), [0, 1]);
}
