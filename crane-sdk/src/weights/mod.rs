//! From names and bytes of a checkpoint to checked tensors: converted, quantised, put on the device.

mod convert;
mod finite;
mod floats;
mod matrix;
mod names;
mod quantize;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use candle_core::quantized::GgmlDType;
use candle_core::{DType, Device, Tensor};

use crate::finite::{NOT_FINITE, all_finite};
use crate::kernels::attention::KvType;
use crate::models::LoadOptions;
use crate::nn::{Linear, Matrix};
use crate::source::{Checkpoint, StoredType, TensorInfo};
use crate::{Error, Result};

pub(crate) use floats::Floats;
pub use names::Naming;
pub use quantize::Quantization;

/// A checkpoint seen through Hugging Face names, with the wishes of the one who loads it.
///
/// Every tensor that is taken is noted, so that [`Weights::finish`] can report what a model has no
/// place for: a checkpoint that is only half used gives wrong answers, not slow ones.
pub struct Weights<'a> {
    checkpoint: &'a dyn Checkpoint,
    naming: Naming,
    options: &'a LoadOptions,
    taken: RefCell<BTreeSet<String>>,
    held_bytes: Cell<usize>,
    held_types: RefCell<BTreeMap<String, usize>>,
}

/// What a matrix is for, where that decides its type.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Inner,
    /// An output head (or a table that is one as well): every logit passes through it.
    Head,
}

impl<'a> Weights<'a> {
    /// Looks at `checkpoint` as `options` say.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the options contradict each other or the checkpoint.
    pub fn new(
        checkpoint: &'a dyn Checkpoint,
        naming: Naming,
        options: &'a LoadOptions,
    ) -> Result<Self> {
        if options.kv_type != KvType::F32 && !options.device.is_cpu() {
            let reason =
                format_args!("{} is for the CPU; a GPU's cache holds f32", options.kv_type);
            return Err(Error::argument("kv_type", reason));
        }
        if let Some(dtype) = options.dtype {
            if !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
                let reason = format_args!("{dtype:?} cannot hold weights; f32, f16 and bf16 can");
                return Err(Error::argument("dtype", reason));
            }
            if options.quantize.is_some() {
                return Err(Error::argument("dtype", "it contradicts quant; give one of them"));
            }
        }
        let quantised = checkpoint.tensors().iter().any(|(_, info)| is_blocks(info));
        if let (true, Some(quant)) = (quantised, options.quantize) {
            let label = checkpoint.label();
            let reason = format_args!(
                "{label} is quantised already, {quant} would only lose more; leave the option out"
            );
            return Err(Error::argument("quant", reason));
        }
        Ok(Self {
            checkpoint,
            naming,
            options,
            taken: RefCell::default(),
            held_bytes: Cell::new(0),
            held_types: RefCell::default(),
        })
    }

    /// The checkpoint's name in messages.
    pub fn label(&self) -> &str {
        self.checkpoint.label()
    }

    /// Where tensors are put.
    pub fn device(&self) -> &Device {
        &self.options.device
    }

    /// How caches of the model hold keys and values.
    pub fn kv_type(&self) -> KvType {
        self.options.kv_type
    }

    /// A linear layer: `name.weight` `[outputs, inputs]` and, if `bias`, `name.bias` `[outputs]`.
    ///
    /// # Errors
    /// [`Error::Weights`] if a tensor is missing or has another shape.
    pub fn linear(&self, name: &str, outputs: usize, inputs: usize, bias: bool) -> Result<Linear> {
        let weight = self.matrix(&format!("{name}.weight"), [outputs, inputs], Role::Inner)?;
        let bias = match bias {
            true => Some(self.vector(&format!("{name}.bias"), outputs)?),
            false => None,
        };
        Ok(Linear::new(weight, bias))
    }

    /// An output head `[vocab, hidden]`.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is missing or has another shape.
    pub fn head(&self, name: &str, vocab: usize, hidden: usize) -> Result<Matrix> {
        self.matrix(name, [vocab, hidden], Role::Head)
    }

    /// An embedding table `[vocab, hidden]`; `is_head` if it serves as the output head as well.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is missing or has another shape.
    pub fn embedding(
        &self,
        name: &str,
        vocab: usize,
        hidden: usize,
        is_head: bool,
    ) -> Result<Matrix> {
        self.matrix(name, [vocab, hidden], if is_head { Role::Head } else { Role::Inner })
    }

    /// A vector `[width]` in f32: a norm's weight, a bias.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is missing, has another shape or holds NaN.
    pub fn vector(&self, name: &str, width: usize) -> Result<Tensor> {
        let (stored, info) = self.take(name, &[width])?;
        let dtype = self.known_type(&stored, info)?;
        let bytes = self.checkpoint.read(&stored)?;
        let bytes = self.naming.reorder(name, bytes, width)?;
        let values = convert::to_f32(&bytes, dtype, &stored)?;
        if !all_finite(&values) {
            return Err(self.not_finite(&stored));
        }
        self.hold(values.len() * 4, "F32");
        Ok(Tensor::from_vec(values, width, self.device())?)
    }

    /// The divisors of rotary frequencies that a GGUF file may carry as a tensor.
    ///
    /// # Errors
    /// [`Error::Weights`] if the tensor is of a type that cannot be read.
    pub fn rope_factors(&self) -> Result<Option<Vec<f32>>> {
        const NAME: &str = "rope_freqs.weight";
        let Some(info) = self.checkpoint.tensors().get(NAME) else {
            return Ok(None);
        };
        self.ignore(NAME);
        let dtype = self.known_type(NAME, info)?;
        Ok(Some(convert::to_f32(&self.checkpoint.read(NAME)?, dtype, NAME)?))
    }

    /// Whether the checkpoint has a tensor.
    pub fn has(&self, name: &str) -> bool {
        self.checkpoint.tensors().get(&self.naming.stored(name)).is_some()
    }

    /// Notes that the model knows the tensors that the checkpoint has under such names, and does not need them.
    pub fn ignore_those(&self, is_known: impl Fn(&str) -> bool) {
        let names = self.checkpoint.tensors().iter().map(|(name, _)| name);
        self.taken.borrow_mut().extend(names.filter(|name| is_known(name)).map(str::to_owned));
    }

    /// Notes that the model knows a tensor and does not need it.
    pub fn ignore(&self, name: &str) {
        self.taken.borrow_mut().insert(self.naming.stored(name));
    }

    /// Checks that every tensor of the checkpoint has found its place.
    ///
    /// # Errors
    /// [`Error::Weights`] that names the first one left over, and how many there are.
    pub fn finish(&self) -> Result<()> {
        let taken = self.taken.borrow();
        let mut left = self
            .checkpoint
            .tensors()
            .iter()
            .map(|(name, _)| name)
            .filter(|name| !taken.contains(*name) && !names::derived(name));
        let Some(first) = left.next() else {
            return Ok(());
        };
        Err(Error::Weights {
            name: first.to_owned(),
            file: self.label().to_owned(),
            reason: format!(
                "the model that the config describes has no place for it, nor for {} others; is \
                 the config of another model?",
                left.count()
            ),
        })
    }

    /// Elements of the checkpoint's tensors under such names.
    pub fn elements(&self, of: impl Fn(&str) -> bool) -> usize {
        let tensors = self.checkpoint.tensors().iter().filter(|(name, _)| of(name));
        tensors.map(|(_, info)| info.elements()).fold(0, usize::saturating_add)
    }

    /// Bytes of all tensors taken so far, as they are held.
    pub fn held_bytes(&self) -> usize {
        self.held_bytes.get()
    }

    /// The types of the tensors taken so far with the number of each, the most frequent first.
    pub fn held_types(&self) -> Vec<(String, usize)> {
        let mut types: Vec<_> = self.held_types.borrow().clone().into_iter().collect();
        types.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
        types
    }

    /// Finds a tensor and checks its shape; returns its name in the checkpoint.
    fn take(&self, name: &str, shape: &[usize]) -> Result<(String, &'a TensorInfo)> {
        let stored = self.naming.stored(name);
        let mismatch = |reason: String| Error::Weights {
            name: stored.clone(),
            file: self.label().to_owned(),
            reason,
        };
        let info = self.checkpoint.tensors().get(&stored).ok_or_else(|| {
            mismatch("the model needs it, but the checkpoint does not have it".to_owned())
        })?;
        if info.shape != shape {
            return Err(mismatch(format!(
                "its shape is {:?}, the config calls for {shape:?}",
                info.shape
            )));
        }
        self.taken.borrow_mut().insert(stored.clone());
        Ok((stored, info))
    }

    fn known_type(&self, stored: &str, info: &TensorInfo) -> Result<GgmlDType> {
        match &info.dtype {
            StoredType::Known(dtype) => Ok(*dtype),
            StoredType::Other(other) => Err(Error::Unsupported {
                what: format!("the type {other} of tensor {stored} in {}", self.label()),
                hint: "F32, F16, BF16 and ggml's Q4_0 to Q8_1 and Q2_K to Q8_K are".to_owned(),
            }),
        }
    }

    fn not_finite(&self, stored: &str) -> Error {
        self.wrong(stored, NOT_FINITE)
    }

    fn too_large(&self, stored: &str) -> Error {
        self.wrong(
            stored,
            "a number of it is too large for f16; load it as bf16, f32 or as it is stored",
        )
    }

    fn wrong(&self, stored: &str, reason: &str) -> Error {
        let (name, file) = (stored.to_owned(), self.label().to_owned());
        Error::Weights { name, file, reason: reason.to_owned() }
    }

    fn hold(&self, bytes: usize, dtype: &str) {
        self.held_bytes.set(self.held_bytes.get() + bytes);
        *self.held_types.borrow_mut().entry(dtype.to_owned()).or_default() += 1;
    }
}

fn is_blocks(info: &TensorInfo) -> bool {
    matches!(info.dtype, StoredType::Known(dtype) if dtype.block_size() > 1)
}
