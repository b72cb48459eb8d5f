//! Where a model's numbers stop being finite: its layers one by one, once a reply has failed.

use candle_core::Tensor;

use crate::finite::all_finite;
use crate::models::{CausalLm, LogitsRows, Segment};
use crate::{Error, Result};

/// Tokens that are run again, of the begin and of the end of a sequence.
const TOKENS: usize = 256;

/// An error as it is or, of numbers that are not finite, with the layer of the model that gives the first ones for these tokens.
pub(super) fn located(error: Error, model: &dyn CausalLm, tokens: &[u32]) -> Error {
    let Error::NotFinite { .. } = error else { return error };
    let first = tokens.get(..TOKENS).unwrap_or(tokens);
    let last = tokens.get(tokens.len().saturating_sub(TOKENS)..).unwrap_or(tokens);
    let place = [first, last].into_iter().find_map(|tokens| place(model, tokens));
    place.map_or(error, |place| Error::NotFinite { place })
}

/// The first part of a model that gives such numbers for tokens; `None` if all are finite, or where the model cannot tell.
fn place(model: &dyn CausalLm, tokens: &[u32]) -> Option<String> {
    let mut cache = model.new_cache(tokens.len().min(model.context_length()).max(1)).ok()?;
    let tokens = tokens.get(..cache.capacity()).unwrap_or(tokens);
    let mut found = None;
    let segment = Segment { tokens, cache: &mut cache, logits: LogitsRows::Last };
    let logits = model.forward_observed(&mut [segment], &mut |number, states| {
        if is_finite(states)? {
            return Ok(());
        }
        found = Some(number);
        // Ends the pass.
        Err(Error::NotFinite { place: String::new() })
    });
    match (found, logits) {
        (Some(0), _) => Some("the table of token embeddings".to_owned()),
        // Counted as the names of its tensors are: model.layers.0, blk.0.
        (Some(number), _) => Some(format!("layer {} of the model", number - 1)),
        (None, Ok(logits)) if !is_finite(&logits).ok()? => Some("the output head".to_owned()),
        (None, _) => None,
    }
}

fn is_finite(tensor: &Tensor) -> Result<bool> {
    Ok(all_finite(&tensor.flatten_all()?.to_vec1::<f32>()?))
}
