//! Reads a record: tensors, tolerances, meanings.

use std::collections::BTreeMap;

use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;

use super::Check;
use crate::source::Source;
use crate::{Error, Result};

const TENSORS: &str = "golden.safetensors";
const MEANINGS: &str = "golden.json";

/// The recorded tensors of a golden folder.
pub(super) struct Record {
    entries: BTreeMap<String, Entry>,
    /// Names that `golden.json` describes and that have no tensor.
    absent: Vec<String>,
}

struct Entry {
    shape: Vec<usize>,
    data: Data,
    about: About,
}

enum Data {
    Floats(Vec<f32>),
    Integers(Vec<i64>),
}

#[derive(Deserialize)]
struct Meanings {
    tensors: BTreeMap<String, About>,
}

#[derive(Deserialize)]
struct About {
    #[serde(default)]
    desc: String,
    tolerance: Tolerance,
}

#[derive(Deserialize)]
struct Tolerance {
    #[serde(default)]
    atol: f64,
    #[serde(default)]
    rtol: f64,
}

impl Record {
    pub(super) fn open(source: &dyn Source) -> Result<Self> {
        let meanings = source.open(MEANINGS)?;
        let Meanings { mut tensors } = serde_json::from_slice(&meanings.read_all()?)
            .map_err(|error| Error::invalid_file(MEANINGS, error))?;
        let blob = source.open(TENSORS)?;
        let bytes = blob.read_all()?;
        let stored = SafeTensors::deserialize(&bytes)
            .map_err(|error| Error::invalid_file(TENSORS, error))?;
        let mut entries = BTreeMap::new();
        for (name, view) in stored.tensors() {
            let about = tensors.remove(&name).ok_or_else(|| {
                Error::invalid_file(MEANINGS, format_args!("it does not describe tensor {name}"))
            })?;
            let data = match view.dtype() {
                Dtype::F32 => {
                    let chunks = view.data().as_chunks::<4>().0;
                    Data::Floats(chunks.iter().map(|b| f32::from_le_bytes(*b)).collect())
                }
                Dtype::I64 => {
                    let chunks = view.data().as_chunks::<8>().0;
                    Data::Integers(chunks.iter().map(|b| i64::from_le_bytes(*b)).collect())
                }
                other => {
                    let reason = format_args!("tensor {name} is {other:?}, not F32 or I64");
                    return Err(Error::invalid_file(TENSORS, reason));
                }
            };
            entries.insert(name, Entry { shape: view.shape().to_vec(), data, about });
        }
        Ok(Self { entries, absent: tensors.into_keys().collect() })
    }

    /// A failure for each description without a tensor: what it promises was never compared.
    pub(super) fn absent(&self) -> impl Iterator<Item = Check> {
        let note = || format!("{MEANINGS} describes it, {TENSORS} does not have it");
        self.absent.iter().map(move |name| exact(name, false, note))
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The description of a tensor.
    pub(super) fn description(&self, name: &str) -> &str {
        self.entries.get(name).map_or("", |entry| &entry.about.desc)
    }

    /// The first dimension of a tensor; 0 if it is not recorded.
    pub(super) fn rows(&self, name: &str) -> usize {
        self.entries.get(name).and_then(|entry| entry.shape.first()).copied().unwrap_or(0)
    }

    /// Recorded floats, for inputs.
    pub(super) fn floats(&self, name: &str) -> Result<&[f32]> {
        match self.entries.get(name) {
            Some(Entry { data: Data::Floats(values), .. }) => Ok(values),
            _ => Err(Error::invalid_file(TENSORS, format_args!("it has no floats {name}"))),
        }
    }

    /// A tensor of ids or flags, with its shape.
    pub(super) fn integers(&self, name: &str) -> Result<(&[i64], &[usize])> {
        match self.entries.get(name) {
            Some(Entry { data: Data::Integers(values), shape, .. }) => Ok((values, shape)),
            _ => Err(Error::invalid_file(TENSORS, format_args!("it has no integers {name}"))),
        }
    }

    /// A tensor of token ids.
    pub(super) fn ids(&self, name: &str) -> Result<Vec<u32>> {
        let (values, _) = self.integers(name)?;
        values
            .iter()
            .map(|&id| u32::try_from(id))
            .collect::<Result<_, _>>()
            .map_err(|_| Error::invalid_file(TENSORS, format_args!("{name} has a negative id")))
    }

    /// Compares floats elementwise: |x − golden| ≤ atol + rtol·|golden|.
    pub(super) fn check(&self, name: &str, values: &[f32]) -> Check {
        let mut check = Check {
            name: name.to_owned(),
            worst: 0.0,
            allowed: 0.0,
            passed: true,
            note: String::new(),
        };
        let Some(Entry { data: Data::Floats(golden), about, .. }) = self.entries.get(name) else {
            check.passed = false;
            check.note = "the record has no such floats".to_owned();
            return check;
        };
        if golden.len() != values.len() {
            check.passed = false;
            check.note = format!("{} elements, the record has {}", values.len(), golden.len());
            return check;
        }
        let Tolerance { atol, rtol } = about.tolerance;
        let mut furthest = f64::NEG_INFINITY;
        for (&value, &golden) in values.iter().zip(golden) {
            let error = (f64::from(value) - f64::from(golden)).abs();
            let allowed = atol + rtol * f64::from(golden).abs();
            let excess = if error.is_nan() { f64::INFINITY } else { error - allowed };
            if excess > furthest {
                (furthest, check.worst, check.allowed) = (excess, error, allowed);
            }
        }
        check.passed = furthest <= 0.0 || golden.is_empty();
        check
    }

    /// Compares ids exactly.
    pub(super) fn check_ids(&self, name: &str, ids: &[u32]) -> Result<Check> {
        let golden = self.ids(name)?;
        Ok(exact(name, golden == ids, || format!("{ids:?}, the record has {golden:?}")))
    }
}

/// A check that passes or does not, without a number.
pub(super) fn exact(name: &str, passed: bool, note: impl FnOnce() -> String) -> Check {
    let note = if passed { String::new() } else { note() };
    Check { name: name.to_owned(), worst: 0.0, allowed: 0.0, passed, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(golden: Vec<f32>) -> Record {
        let tolerance = Tolerance { atol: 0.1, rtol: 0.5 };
        let about = About { desc: String::new(), tolerance };
        let entry = Entry { shape: vec![golden.len()], data: Data::Floats(golden), about };
        Record { entries: [("x".to_owned(), entry)].into(), absent: vec!["y".to_owned()] }
    }

    #[test]
    fn error_and_tolerance_are_those_of_one_element() {
        // The largest error is far within its tolerance; the small one is not.
        let check = record(vec![100.0, 0.0]).check("x", &[110.0, 1.0]);
        assert_eq!((check.worst, check.allowed, check.passed), (1.0, 0.1, false));
        let check = record(vec![100.0, 0.0]).check("x", &[110.0, 0.05]);
        assert!(check.passed && check.worst < check.allowed, "{check:?}");
        let check = record(vec![1.0, 2.0, 3.0]).check("x", &[1.0, f32::NAN, 9.0]);
        assert!(!check.passed && check.worst.is_nan(), "{check:?}");
    }

    #[test]
    fn a_description_without_a_tensor_is_a_failure() {
        let absent: Vec<Check> = record(Vec::new()).absent().collect();
        assert_eq!(absent.len(), 1);
        assert!(!absent[0].passed && absent[0].name == "y", "{absent:?}");
    }
}
