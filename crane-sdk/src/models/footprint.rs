//! How much memory a model's weights will take, known from the checkpoint's head alone.

use candle_core::DType;
use candle_core::quantized::GgmlDType;

use super::LoadOptions;
use crate::source::{Checkpoint, StoredType, TensorInfo};

/// The memory that loading a checkpoint takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of the weights as they will be held.
    pub weights: u64,
    /// Whether matrices will be held in quantised blocks.
    pub quantised: bool,
}

impl Footprint {
    /// What `options` make of a checkpoint. A type that cannot be loaded counts nothing.
    pub(super) fn of(checkpoint: &dyn Checkpoint, options: &LoadOptions) -> Self {
        let mut this = Self { weights: 0, quantised: false };
        let tensors = checkpoint.tensors();
        let tied = tensors.get("lm_head.weight").is_none();
        for (name, info) in tensors.iter() {
            let head = name == "lm_head.weight" || (tied && name == "model.embed_tokens.weight");
            let dtype = held_as(info, options, head);
            this.quantised |= dtype.block_size() > 1;
            let blocks = (info.elements() / dtype.block_size()) as u64;
            let bytes = blocks.saturating_mul(dtype.type_size() as u64);
            if matches!(info.dtype, StoredType::Known(_)) {
                this.weights = this.weights.saturating_add(bytes);
            }
        }
        this
    }
}

/// The type that a tensor is held in once it is loaded.
fn held_as(info: &TensorInfo, options: &LoadOptions, head: bool) -> GgmlDType {
    let StoredType::Known(stored) = &info.dtype else { return GgmlDType::F32 };
    let &[_, width] = info.shape.as_slice() else { return GgmlDType::F32 };
    let target = options.quantize.and_then(|quantization| match head {
        true => quantization.for_head_rows_of(width),
        false => quantization.for_rows_of(width),
    });
    match (target, options.dtype) {
        (Some(target), _) => target,
        (None, Some(DType::F16)) => GgmlDType::F16,
        (None, Some(DType::BF16)) => GgmlDType::BF16,
        (None, Some(_)) => GgmlDType::F32,
        (None, None) => *stored,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load_within;
    use super::*;
    use crate::source::MemorySource;
    use crate::weights::Quantization;
    use crate::{Error, Result};

    fn tiny() -> MemorySource {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/qwen2_tied/");
        let read = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap();
        ["config.json", "model.safetensors"]
            .into_iter()
            .fold(MemorySource::new("tiny"), |source, name| source.with(name, read(name)))
    }

    #[test]
    fn the_estimate_is_what_is_held() {
        for (dtype, quantize) in [
            (None, None),
            (Some(DType::BF16), None),
            (None, Some(Quantization::Q8_0)),
            (None, Some(Quantization::Q4_0)),
            (None, Some(Quantization::Q4K)),
        ] {
            let options = LoadOptions { dtype, quantize, ..LoadOptions::default() };
            let mut told = None;
            let mut note = |footprint: Footprint| -> Result<()> {
                told = Some(footprint);
                Ok(())
            };
            let held = load_within(&tiny(), &options, &mut note).unwrap().info.weight_bytes as f64;
            let told = told.unwrap();
            assert_eq!(told.quantised, quantize.is_some());
            // Packed rows are filled up to whole panels.
            let share = told.weights as f64 / held;
            assert!((0.9..=1.0).contains(&share), "{options:?}: {} of {held}", told.weights);
        }
    }

    #[test]
    fn nothing_is_loaded_where_there_is_no_room() {
        let refuse = &mut |footprint: Footprint| {
            let (what, hint) = ("a test".to_owned(), String::new());
            Err(Error::OutOfMemory { what, bytes: footprint.weights, hint })
        };
        let refused = load_within(&tiny(), &LoadOptions::default(), refuse);
        assert!(matches!(refused, Err(Error::OutOfMemory { bytes: 1.., .. })));
    }
}
