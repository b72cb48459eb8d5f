//! Words in no dictionary: a small transformer reads their letters.
//!
//! Each letter gives four slots, each slot a phoneme or nothing; repeats are one (connectionist temporal
//! classification, Graves et al. 2006).

use std::collections::HashMap;

use serde::Deserialize;

use crate::Result;
use crate::nn::slices::{EncoderLayer, Int8, LayerNorm, Linear};
use crate::source::OnnxCheckpoint;

const LAYERS: usize = 4;
const HEADS: usize = 4;
/// Slots a letter.
const SLOTS: usize = 4;

/// What `oov.json` says of the network.
#[derive(Debug, Deserialize)]
pub(super) struct Alphabet {
    #[serde(rename = "in")]
    letters: Vec<String>,
    #[serde(rename = "out")]
    phonemes: Vec<String>,
    /// Letters that are read; what follows is cut off.
    #[serde(rename = "maxlen")]
    most: usize,
}

/// The network with its alphabets.
#[derive(Debug)]
pub(super) struct Speller {
    ids: HashMap<String, usize>,
    phonemes: Vec<String>,
    most: usize,
    width: usize,
    /// `[letters + 1, width]`.
    embeddings: Vec<f32>,
    /// `[most, width]`.
    positions: Vec<f32>,
    layers: Vec<EncoderLayer>,
    norm: LayerNorm,
    head: Linear,
}

impl Speller {
    pub(super) fn new(weights: &OnnxCheckpoint, alphabet: Alphabet) -> Result<Self> {
        let [rows, width] = weights.shape("m.emb.weight")?;
        let [places, _] = weights.shape("m.pos")?;
        let ids: HashMap<String, usize> = alphabet
            .letters
            .into_iter()
            .enumerate()
            .map(|(index, letter)| (letter, index + 1))
            .collect();
        if ids.len() >= rows || places < alphabet.most {
            return Err(
                weights.misfit("m.emb.weight", "it has fewer rows than oov.json has letters")
            );
        }
        let layer = |index| {
            let name = format!("m.layers.{index}");
            EncoderLayer::load(weights, &name, width, HEADS, Int8::Widened)
        };
        let outputs = SLOTS * (alphabet.phonemes.len() + 1);
        Ok(Self {
            ids,
            most: alphabet.most,
            width,
            embeddings: weights.tensor("m.emb.weight", &[rows, width])?.to_vec(),
            positions: weights.tensor("m.pos", &[places, width])?.to_vec(),
            layers: (0..LAYERS).map(layer).collect::<Result<_>>()?,
            norm: LayerNorm::load(weights, "m.norm", width)?,
            head: Linear::load(weights, "m.head", [outputs, width], Int8::Widened)?,
            phonemes: alphabet.phonemes,
        })
    }

    pub(super) fn knows(&self, letter: char) -> bool {
        self.ids.contains_key(letter.encode_utf8(&mut [0; 4]) as &str)
    }

    /// The most letters that are read at a time.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// The phonemes of a word; letters outside of the alphabet are left out.
    pub(super) fn spell(&self, word: &str) -> Result<String> {
        let ids: Vec<usize> = word
            .chars()
            .filter_map(|letter| self.ids.get(letter.encode_utf8(&mut [0; 4])).copied())
            .take(self.most)
            .collect();
        if ids.is_empty() {
            return Ok(String::new());
        }
        let row = |table: &[f32], index: usize| {
            table.get(index * self.width..(index + 1) * self.width).unwrap_or_default().to_vec()
        };
        let mut x: Vec<f32> = Vec::with_capacity(ids.len() * self.width); // [letters, width]
        for (place, id) in ids.into_iter().enumerate() {
            let position = row(&self.positions, place);
            x.extend(
                row(&self.embeddings, id)
                    .iter()
                    .zip(position)
                    .map(|(letter, place)| letter + place),
            );
        }
        for layer in &self.layers {
            layer.forward(&mut x)?;
        }
        let scores = self.head.forward(&self.norm.forward(&x))?; // [letters * slots, phonemes + 1]
        let mut out = String::new();
        let mut before = 0;
        for slot in scores.chunks_exact(self.phonemes.len() + 1) {
            let mut best = 0;
            for (class, score) in slot.iter().enumerate() {
                if slot.get(best).is_some_and(|most| score > most) {
                    best = class;
                }
            }
            if best != before
                && let Some(phoneme) =
                    best.checked_sub(1).and_then(|index| self.phonemes.get(index))
            {
                out.push_str(phoneme);
            }
            before = best;
        }
        Ok(out)
    }
}
