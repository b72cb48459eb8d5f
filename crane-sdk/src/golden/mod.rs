//! Compares a model with recorded tensors of the original implementation.
//!
//! A golden folder is a checkpoint with two more files: `golden.safetensors` holds inputs and expected
//! tensors, `golden.json` says what each means and how far an f32 implementation may be from it. The
//! same code runs natively and in wasm.

mod cases;
mod record;
mod snac;

use candle_core::{DType, Device};
use serde::Serialize;

use crate::Result;
use crate::codec::is_snac;
use crate::models::{LoadOptions, load_decoder};
use crate::source::Source;
use record::Record;

/// How one recorded tensor compares.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// The tensor's name in the record.
    pub name: String,
    /// |x − golden| of the element that is furthest out of its tolerance (or closest to its edge).
    pub worst: f64,
    /// The tolerance of the same element.
    pub allowed: f64,
    /// Whether every element is within its tolerance.
    pub passed: bool,
    /// What is wrong, where a number does not say it.
    pub note: String,
}

/// Runs the model of `source` on every recorded input and compares every recorded tensor.
///
/// # Errors
/// What loading the model or the record may give. A tensor that is out of tolerance, that no
/// comparison knows, or that is described and not recorded is no error but a [`Check`] that did not pass.
pub fn compare(source: &dyn Source) -> Result<Vec<Check>> {
    compare_on(source, &Device::Cpu)
}

/// [`compare`], with a language model on a device of the caller's choice (codecs run on the CPU).
///
/// # Errors
/// As [`compare`].
pub fn compare_on(source: &dyn Source, device: &Device) -> Result<Vec<Check>> {
    let record = Record::open(source)?;
    let mut checks = match is_snac(source) {
        true => snac::run(source, &record)?,
        false => {
            // A GPU multiplies 16-bit weights with activations rounded to 16 bits, which no tolerance here is made for:
            // there f32 copies of the weights show whether the arithmetic is right.
            let dtype = (!device.is_cpu()).then_some(DType::F32);
            let options = LoadOptions { device: device.clone(), dtype, ..LoadOptions::default() };
            let (decoder, _) = load_decoder(source, &options)?;
            cases::run(&decoder, &record)?
        }
    };
    checks.extend(record.absent());
    Ok(checks)
}
