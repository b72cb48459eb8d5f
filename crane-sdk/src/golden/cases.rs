//! What is run for each kind of recorded tensor.

use candle_core::Tensor;

use super::Check;
use super::record::{Record, exact};
use crate::kernels::rows::RotaryTable;
use crate::models::{CausalLm, LogitsRows, Segment};
use crate::nn::{Decoder, KvCache};
use crate::{Error, Result};

/// Runs every recorded case of a decoder.
pub(super) fn run(decoder: &Decoder, record: &Record) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    for case in groups(record) {
        let kind = case.trim_end_matches(|c: char| c.is_ascii_digit());
        checks.extend(match kind {
            "prompt" => prompt(decoder, record, &case)?,
            "greedy" => vec![greedy(decoder, record, &case)?],
            "batch" => batch(decoder, record)?,
            "rope" => rope(decoder, record),
            _ => vec![exact(&case, false, || "no comparison knows this kind of tensor".to_owned())],
        });
    }
    Ok(checks)
}

/// The distinct first parts of all names.
pub(super) fn groups(record: &Record) -> Vec<String> {
    let parts = record.names().map(|name| name.split('.').next().unwrap_or(name).to_owned());
    let mut groups: Vec<String> = parts.collect();
    groups.dedup();
    groups
}

fn floats(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

fn forward(
    decoder: &Decoder,
    cache: &mut KvCache,
    ids: &[u32],
    logits: LogitsRows,
) -> Result<Vec<f32>> {
    floats(&decoder.forward(&mut [Segment { tokens: ids, cache, logits }])?)
}

fn prompt(decoder: &Decoder, record: &Record, case: &str) -> Result<Vec<Check>> {
    let ids = record.ids(&format!("{case}.input_ids"))?;
    let mut cache = decoder.new_cache(ids.len())?;
    let mut hidden = Vec::new();
    let mut observe = |_: usize, state: &Tensor| {
        hidden.push(floats(state)?);
        Ok(())
    };
    let mut batch = [Segment { tokens: &ids, cache: &mut cache, logits: LogitsRows::All }];
    let logits = floats(&decoder.forward_observed(&mut batch, &mut observe)?)?;

    let mut checks = Vec::new();
    for name in record.names().filter(|name| name.split('.').next() == Some(case)) {
        let part = name.get(case.len() + 1..).unwrap_or_default();
        let values = match part.split_once('.') {
            None if part == "input_ids" => continue,
            None if part == "logits" => logits.clone(),
            None if part == "logits_incremental" => incremental(decoder, &ids)?,
            Some(("hidden", index)) => {
                let index: Option<usize> = index.parse().ok();
                index.and_then(|index| hidden.get(index).cloned()).unwrap_or_default()
            }
            Some((layer, which @ ("k_cache" | "v_cache"))) => {
                let layer = layer.strip_prefix("layer").and_then(|index| index.parse().ok());
                match cache.layer(layer.unwrap_or(usize::MAX))? {
                    Some(held) if which == "k_cache" => floats(&held.keys)?,
                    Some(held) => floats(&held.values)?,
                    None => Vec::new(),
                }
            }
            _ => {
                checks.push(exact(name, false, || "no comparison knows it".to_owned()));
                continue;
            }
        };
        checks.push(record.check(name, &values));
    }
    Ok(checks)
}

/// The logits of every position, one token at a time.
fn incremental(decoder: &Decoder, ids: &[u32]) -> Result<Vec<f32>> {
    let mut cache = decoder.new_cache(ids.len())?;
    let mut logits = Vec::new();
    for id in ids {
        logits.extend(forward(decoder, &mut cache, &[*id], LogitsRows::Last)?);
    }
    Ok(logits)
}

/// Greedy tokens after a prompt, or after its beginning, as the description says.
fn greedy(decoder: &Decoder, record: &Record, case: &str) -> Result<Check> {
    let name = format!("{case}.tokens");
    let description = record.description(&name);
    let unclear = || Error::invalid_file(&name, "its description names no prompt");
    let words: Vec<&str> = description.split([' ', ',', ';']).collect();
    let prompt = words
        .iter()
        .find(|word| word.strip_prefix("prompt").is_some_and(|n| n.parse::<usize>().is_ok()));
    let mut ids = record.ids(&format!("{}.input_ids", prompt.ok_or_else(unclear)?))?;
    if let Some(at) = words.iter().position(|word| *word == "first") {
        let count = words.get(at + 1).and_then(|word| word.parse().ok());
        ids.truncate(count.ok_or_else(unclear)?);
    }
    let count = record.ids(&name)?.len();
    let mut cache = decoder.new_cache(ids.len() + count)?;
    let mut tokens = Vec::new();
    let mut feed = ids;
    while tokens.len() < count {
        let logits = forward(decoder, &mut cache, &feed, LogitsRows::Last)?;
        let best = logits.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
        let best = best.map_or(0, |(id, _)| id as u32);
        tokens.push(best);
        feed = vec![best];
    }
    record.check_ids(&name, &tokens)
}

/// A left-padded batch: here rows of different lengths, run together without padding.
fn batch(decoder: &Decoder, record: &Record) -> Result<Vec<Check>> {
    let ids = record.ids("batch.input_ids")?;
    let (mask, shape) = record.integers("batch.attention_mask")?;
    let width = shape.last().copied().unwrap_or(1).max(1);
    let rows: Vec<Vec<u32>> = ids
        .chunks(width)
        .zip(mask.chunks(width))
        .map(|(ids, mask)| {
            ids.iter().zip(mask).filter(|(_, m)| **m == 1).map(|(id, _)| *id).collect()
        })
        .collect();
    let mut caches = Vec::new();
    for row in &rows {
        caches.push(decoder.new_cache(row.len().max(1))?);
    }
    let mut segments: Vec<Segment<'_>> = rows
        .iter()
        .zip(&mut caches)
        .map(|(row, cache)| Segment { tokens: row, cache, logits: LogitsRows::Last })
        .collect();
    let logits = floats(&decoder.forward(&mut segments)?)?;
    let positions: Vec<u32> = mask
        .chunks(width)
        .flat_map(|mask| {
            mask.iter().scan(0u32, |count, &m| {
                *count += u32::from(m == 1);
                Some(count.saturating_sub(1))
            })
        })
        .collect();
    Ok(vec![
        record.check_ids("batch.position_ids", &positions)?,
        record.check("batch.last_logits", &logits),
    ])
}

fn rope(decoder: &Decoder, record: &Record) -> Vec<Check> {
    let frequencies = decoder.inv_freq();
    let mut checks = vec![record.check("rope.inv_freq", frequencies)];
    let positions = record.rows("rope.cos");
    let table = RotaryTable::new(&(0..positions).collect::<Vec<_>>(), frequencies);
    // The record repeats the half table.
    let twice = |half: &[f32]| -> Vec<f32> {
        half.chunks(frequencies.len().max(1)).flat_map(|row| [row, row].concat()).collect()
    };
    checks.push(record.check("rope.cos", &twice(&table.cos)));
    checks.push(record.check("rope.sin", &twice(&table.sin)));
    checks
}
