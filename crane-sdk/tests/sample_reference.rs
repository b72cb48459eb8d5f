//! The sampler's chain against a naive one that sorts everything and computes in f64.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use crane_sdk::sample::{LogprobsOf, Sampler, SamplingParams};
use proptest::prelude::*;

/// Every step as its definition says: ids and probabilities, best first.
fn naive(params: &SamplingParams, logits: &[f32], history: &[u32]) -> Vec<(u32, f64)> {
    let mut logits: Vec<f64> = logits.iter().map(|&logit| f64::from(logit)).collect();
    let window = params.penalty_last_n.unwrap_or(history.len()).min(history.len());
    let mut counts = BTreeMap::<u32, f64>::new();
    for &id in &history[history.len() - window..] {
        *counts.entry(id).or_default() += 1.0;
    }
    for (id, count) in counts {
        let logit = &mut logits[id as usize];
        let repetition = f64::from(params.repetition_penalty);
        *logit = if *logit > 0.0 { *logit / repetition } else { *logit * repetition };
        *logit -= count * f64::from(params.frequency_penalty) + f64::from(params.presence_penalty);
    }
    for (&id, &bias) in &params.logit_bias {
        logits[id as usize] += f64::from(bias);
    }
    let mut list: Vec<(u32, f64)> = logits
        .iter()
        .enumerate()
        .map(|(id, logit)| (id as u32, (logit / f64::from(params.temperature)).exp()))
        .collect();
    let normalise = |list: &mut Vec<(u32, f64)>| {
        let sum: f64 = list.iter().map(|entry| entry.1).sum();
        list.iter_mut().for_each(|entry| entry.1 /= sum);
    };
    let run = |list: &mut Vec<(u32, f64)>, goal: f64| {
        let mut sum = 0.0;
        let end = list.iter().position(|entry| {
            sum += entry.1;
            sum >= goal
        });
        list.truncate(end.map_or(list.len(), |end| end + 1));
    };
    normalise(&mut list);
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    if params.top_k > 0 {
        list.truncate(params.top_k);
    }
    normalise(&mut list);
    if params.top_p < 1.0 {
        run(&mut list, f64::from(params.top_p));
    }
    let best = list[0].1;
    list.retain(|entry| entry.1 >= best * f64::from(params.min_p));
    normalise(&mut list);
    if params.typical_p < 1.0 {
        let entropy: f64 = list.iter().map(|entry| -entry.1 * entry.1.ln()).sum();
        list.sort_by(|a, b| (-a.1.ln() - entropy).abs().total_cmp(&(-b.1.ln() - entropy).abs()));
        run(&mut list, f64::from(params.typical_p));
    }
    normalise(&mut list);
    list.sort_by(|a, b| b.1.total_cmp(&a.1));
    list
}

fn params() -> impl Strategy<Value = SamplingParams> {
    let filters = (
        0.2f32..3.0,
        prop_oneof![Just(0usize), 1usize..400],
        prop_oneof![Just(1.0f32), 0.05f32..1.0],
        prop_oneof![Just(0.0f32), 0.0f32..0.5],
        prop_oneof![Just(1.0f32), 0.05f32..1.0],
    );
    let shape = (
        prop_oneof![Just(1.0f32), 0.5f32..2.0],
        prop_oneof![Just(0.0f32), -1.0f32..1.0],
        prop_oneof![Just(0.0f32), -1.0f32..1.0],
        prop_oneof![Just(None), (1usize..20).prop_map(Some)],
        proptest::collection::btree_map(0u32..300, -4.0f32..4.0, 0..4),
    );
    (filters, shape).prop_map(|(filters, shape)| {
        let mut params = SamplingParams::default();
        (params.temperature, params.top_k, params.top_p, params.min_p, params.typical_p) = filters;
        (params.repetition_penalty, params.presence_penalty, params.frequency_penalty, ..) = shape;
        params.penalty_last_n = shape.3;
        params.logit_bias = shape.4;
        params.seed = Some(1);
        params
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_distribution_is_the_naive_one(
        params in params(),
        seed in any::<u64>(),
        size in prop_oneof![Just(300usize), Just(3000usize)],
        spread in 0.3f32..4.0,
        history in proptest::collection::vec(0u32..300, 0..40),
    ) {
        let logits = noise(seed, size, spread);
        let expected = naive(&params, &logits, &history);
        let mut sampler = Sampler::new(params.clone(), size).unwrap();
        let found = sampler.distribution(&mut logits.clone(), &history).unwrap();
        // Equal up to the f32 rounding of the logits: at a filter's edge a token may come or go for
        // another of the same weight.
        let edge = expected.last().map_or(0.0, |entry| entry.1);
        let shifted = distance(&expected, &found);
        prop_assert!(shifted <= 1e-5 + 2.0 * edge, "{shifted}");
        if expected.len() == found.len() && expected.iter().zip(&found).all(|(a, b)| a.0 == b.0) {
            prop_assert!(shifted <= 1e-5, "{shifted}");
        }

        // What is drawn is in the distribution, and its log-probability is the one told.
        let mut sampler = Sampler::new(params, size).unwrap().with_logprobs(5, LogprobsOf::Sampled);
        for _ in 0..4 {
            let drawn = sampler.sample(&mut logits.clone(), &history).unwrap();
            let entry = found.iter().find(|entry| entry.0 == drawn.id);
            let probability = entry.expect("a drawn token is in the distribution").1;
            let told = f64::from(drawn.logprob.unwrap());
            prop_assert!((told - probability.ln()).abs() < 1e-4 || probability < 1e-7);
            prop_assert_eq!(drawn.top.len(), found.len().min(5));
            for (top, entry) in drawn.top.iter().zip(&found) {
                prop_assert_eq!(top.id, entry.0);
                prop_assert!((f64::from(top.logprob) - entry.1.ln()).abs() < 1e-4);
            }
        }
    }
}

/// Half the sum of the absolute differences of two distributions.
fn distance(a: &[(u32, f64)], b: &[(u32, f64)]) -> f64 {
    let mut sum = BTreeMap::<u32, f64>::new();
    for &(id, p) in a {
        *sum.entry(id).or_default() += p;
    }
    for &(id, p) in b {
        *sum.entry(id).or_default() -= p;
    }
    sum.values().map(|difference| difference.abs()).sum::<f64>() / 2.0
}

/// Normal-looking logits from a linear congruential generator.
fn noise(seed: u64, size: usize, spread: f32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut uniform = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    (0..size).map(|_| spread * ((0..6).map(|_| uniform()).sum::<f32>() - 3.0)).collect()
}

#[test]
fn draws_follow_the_distribution() {
    let logits = noise(3, 2500, 2.0);
    let mut params = SamplingParams { seed: Some(11), ..SamplingParams::default() };
    for (top_k, top_p) in [(0, 1.0), (8, 1.0), (0, 0.6)] {
        (params.top_k, params.top_p) = (top_k, top_p);
        let mut sampler = Sampler::new(params.clone(), logits.len()).unwrap();
        let expected = sampler.distribution(&mut logits.clone(), &[]).unwrap();
        let draws = 20_000;
        let mut counts = BTreeMap::<u32, f64>::new();
        for _ in 0..draws {
            let id = sampler.sample(&mut logits.clone(), &[]).unwrap().id;
            *counts.entry(id).or_default() += 1.0;
        }
        for &(id, p) in expected.iter().take(8) {
            let found = counts.get(&id).copied().unwrap_or(0.0) / f64::from(draws);
            let deviation = (p * (1.0 - p) / f64::from(draws)).sqrt();
            assert!((found - p).abs() < 5.0 * deviation, "token {id}: {found} for {p}");
        }
    }
}
