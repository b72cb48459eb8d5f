//! Embeddings against the hidden states that the golden tests check.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generate_support;

use crane_sdk::Error;
use crane_sdk::generate::{CancelToken, Pooling, embed};
use crane_sdk::models::{LogitsRows, Segment};
use generate_support::{FIXTURES, fixture, history_model::HistoryModel};

/// The last hidden states as a forward pass shows them: one row a token.
fn states(name: &str, tokens: &[u32]) -> Vec<Vec<f32>> {
    let model = fixture(name).model;
    let mut cache = model.new_cache(tokens.len()).unwrap();
    let mut last = Vec::new();
    let segment = Segment { tokens, cache: &mut cache, logits: LogitsRows::All };
    model
        .forward_observed(&mut [segment], &mut |_, x| {
            last = x.to_vec2::<f32>()?;
            Ok(())
        })
        .unwrap();
    last
}

#[test]
fn they_are_pooled_hidden_states_of_length_one() {
    // Longer than a chunk.
    let tokens: Vec<u32> = (0..300).map(|n| (n * 37 + 11) % 380).collect();
    for name in FIXTURES {
        let states = states(name, &tokens);
        assert_eq!(states.len(), tokens.len());
        let width = states[0].len();
        let mean: Vec<f64> =
            (0..width).map(|i| states.iter().map(|row| f64::from(row[i])).sum::<f64>()).collect();
        let last: Vec<f64> = states[299].iter().map(|&x| f64::from(x)).collect();
        for (pooling, expected) in [(Pooling::Mean, mean), (Pooling::Last, last)] {
            let model = fixture(name).model;
            let found = embed(model.as_ref(), &tokens, pooling, &CancelToken::new()).unwrap();
            let length = expected.iter().map(|x| x * x).sum::<f64>().sqrt();
            for (found, expected) in found.iter().zip(&expected) {
                let off = (f64::from(*found) - expected / length).abs();
                assert!(off < 1e-5, "{name} {pooling:?}: {off}");
            }
            assert_eq!(found.len(), width);
        }
    }
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let fixture = fixture("qwen2_tied");
    let embed = |tokens: &[u32], cancel: &CancelToken| {
        embed(fixture.model.as_ref(), tokens, Pooling::Mean, cancel).unwrap_err()
    };
    let cancel = CancelToken::new();
    assert!(matches!(embed(&[], &cancel), Error::InvalidArgument { .. }));
    assert!(matches!(embed(&[999_999], &cancel), Error::InvalidArgument { .. }));
    assert!(matches!(embed(&[1; 1_000_000], &cancel), Error::ContextOverflow { .. }));
    cancel.cancel();
    assert!(embed(&[1], &cancel).to_string().contains("cancelled"));
    let model = HistoryModel::new(50);
    let shows_none = crane_sdk::generate::embed(&*model, &[1], Pooling::Last, &CancelToken::new());
    assert!(shows_none.unwrap_err().to_string().contains("hidden states"));
}
