//! What is run for each kind of tensor that was recorded of a SNAC codec.

use std::collections::BTreeMap;

use super::Check;
use super::cases::groups;
use super::record::{Record, exact};
use crate::codec::{Codec, Drawn, Noise, Snac, SnacConfig, SnacEncoder, first_transposed};
use crate::source::Source;
use crate::{Error, Result};

/// Runs every recorded case of a codec.
pub(super) fn run(source: &dyn Source, record: &Record) -> Result<Vec<Check>> {
    let codec = Snac::from_source(source)?;
    let mut checks = Vec::new();
    for case in groups(record) {
        let observed = match case.as_str() {
            "decode" => decode(&codec, record, &case, Vec::new())?,
            "noise_case" => {
                let blocks = 0..codec.config().decoder_rates.len();
                let noise = blocks.map(|block| {
                    let recorded = record.floats(&format!("{case}.noise.{block}"))?;
                    Ok(Some(Drawn::recorded(recorded.to_vec())))
                });
                decode(&codec, record, &case, noise.collect::<Result<_>>()?)?
            }
            "encode" => {
                checks.extend(encode(source, codec.config(), record, &case)?);
                continue;
            }
            "roundtrip" => {
                let wav = record.floats("encode.wav")?;
                let codes = SnacEncoder::from_source(source)?.encode(wav)?;
                let mut audio = codec.decode(&codes, Noise::Off)?;
                audio.truncate(wav.len());
                [("audio".to_owned(), audio)].into()
            }
            "weight_norm" => [("convtranspose_first".to_owned(), first_transposed(source)?)].into(),
            _ => BTreeMap::new(),
        };
        for name in record.names().filter(|name| name.split('.').next() == Some(&case)) {
            let part = name.get(case.len() + 1..).unwrap_or_default();
            if part.starts_with("codes.") || part.starts_with("noise.") {
                continue;
            }
            checks.push(match observed.get(part) {
                Some(values) => record.check(name, values),
                None => exact(name, false, || "no comparison knows it".to_owned()),
            });
        }
    }
    Ok(checks)
}

/// Recorded codes of each level as frames.
fn frames(config: &SnacConfig, record: &Record, case: &str) -> Result<Vec<u32>> {
    let mut levels = Vec::new();
    for level in 0..config.vq_strides.len() {
        levels.push(record.ids(&format!("{case}.codes.{level}"))?);
    }
    let count = |level: usize| config.frame_steps() / config.vq_strides.get(level).unwrap_or(&1);
    let frames = levels.first().map_or(0, |codes| codes.len() / count(0));
    let codes = (0..frames).flat_map(|frame| {
        levels.iter().enumerate().flat_map(move |(level, codes)| {
            codes.iter().skip(frame * count(level)).take(count(level)).copied()
        })
    });
    Ok(codes.collect())
}

fn decode(
    codec: &Snac,
    record: &Record,
    case: &str,
    noise: Vec<Option<Drawn>>,
) -> Result<BTreeMap<String, Vec<f32>>> {
    let mut observed = BTreeMap::new();
    let frames = frames(codec.config(), record, case)?;
    let audio = codec.observed(&frames, noise, |name, rows| {
        // The record has channels first.
        let width = record.rows(&format!("{case}.{name}")).max(1);
        observed.insert(name.to_owned(), channels_first(rows, width));
    })?;
    observed.insert("audio".to_owned(), audio);
    Ok(observed)
}

fn encode(
    source: &dyn Source,
    config: &SnacConfig,
    record: &Record,
    case: &str,
) -> Result<Vec<Check>> {
    let wav = record.floats(&format!("{case}.wav"))?;
    let padded = wav.len().next_multiple_of(config.frame_steps() * config.hop());
    let mut checks = Vec::new();
    let found = SnacEncoder::from_source(source)?.observed(wav, |level, rows| {
        let (name, width) = match level {
            None => (format!("{case}.z"), config.latent()),
            Some(level) => (format!("{case}.z_e.{level}"), config.codebook_dim),
        };
        checks.push(record.check(&name, &channels_first(rows, width)));
    })?;
    let expected = frames(config, record, case)?;
    let note = || format!("{found:?}, the record has {expected:?}");
    checks.push(exact(&format!("{case}.codes"), found == expected, note));
    let padded = u32::try_from(padded).map_err(|error| Error::argument("padded_len", error))?;
    checks.push(record.check_ids(&format!("{case}.padded_len"), &[padded])?);
    Ok(checks)
}

fn channels_first(rows: &[f32], width: usize) -> Vec<f32> {
    (0..width).flat_map(|channel| rows.iter().skip(channel).step_by(width).copied()).collect()
}
