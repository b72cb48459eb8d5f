//! A checkpoint's tensors as plain floats, for networks that run without a tensor library.

use std::cell::RefCell;
use std::collections::BTreeSet;

use super::convert;
use crate::finite::{NOT_FINITE, all_finite};
use crate::source::{Checkpoint, StoredType, TensorInfo};
use crate::{Error, Result};

/// A checkpoint whose tensors are read as f32; what is taken is noted, as in [`Weights`](super::Weights).
pub(crate) struct Floats<'a> {
    checkpoint: &'a dyn Checkpoint,
    taken: RefCell<BTreeSet<String>>,
}

impl<'a> Floats<'a> {
    pub(crate) fn new(checkpoint: &'a dyn Checkpoint) -> Self {
        Self { checkpoint, taken: RefCell::default() }
    }

    fn info(&self, name: &str) -> Result<&'a TensorInfo> {
        let info = self.checkpoint.tensors().get(name);
        info.ok_or_else(|| {
            self.misfit(name, "the model needs it, but the checkpoint does not have it")
        })
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.checkpoint.tensors().get(name).is_some()
    }

    /// A shape of `N` dimensions, none of them 0: networks divide by them.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is no such tensor or it has another number of dimensions.
    pub(crate) fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let shape = &self.info(name)?.shape;
        if shape.contains(&0) {
            return Err(
                self.misfit(name, format_args!("its shape is {shape:?}, so that it is empty"))
            );
        }
        <[usize; N]>::try_from(shape.as_slice()).map_err(|_| {
            self.misfit(name, format_args!("its shape is {shape:?}, {N} dimensions are expected"))
        })
    }

    /// The numbers of a tensor of this shape.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is none, it has another shape or holds NaN, [`Error::Unsupported`] for a type that is not
    /// plain numbers.
    pub(crate) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let info = self.info(name)?;
        if info.shape != shape {
            return Err(self.misfit(
                name,
                format_args!("its shape is {:?}, the model needs {shape:?}", info.shape),
            ));
        }
        let StoredType::Known(dtype) = info.dtype else {
            return Err(Error::Unsupported {
                what: format!("tensor {name} of type {}", info.dtype),
                hint: "convert the checkpoint to f32, f16 or bf16".to_owned(),
            });
        };
        self.taken.borrow_mut().insert(name.to_owned());
        let values = convert::to_f32(&self.checkpoint.read(name)?, dtype, name)?;
        if !all_finite(&values) {
            return Err(self.misfit(name, NOT_FINITE));
        }
        Ok(values)
    }

    /// `name.weight` of this shape, be it stored whole or as a length and a direction for each index of the first dimension
    /// (weight normalisation, Salimans and Kingma 2016): w = g · v / ‖v‖.
    ///
    /// # Errors
    /// As [`Floats::tensor`].
    pub(crate) fn weight(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let new = format!("{name}.parametrizations.weight.original");
        let (length, direction) = match self.has(&format!("{new}0")) {
            true => (format!("{new}0"), format!("{new}1")),
            false => (format!("{name}.weight_g"), format!("{name}.weight_v")),
        };
        if !self.has(&length) {
            return self.tensor(&format!("{name}.weight"), shape);
        }
        let first = shape.first().copied().unwrap_or(1);
        let mut ones = vec![1; shape.len()];
        ones.first_mut().into_iter().for_each(|one| *one = first);
        let lengths = self.tensor(&length, &ones)?;
        let mut weight = self.tensor(&direction, shape)?;
        let size = weight.len() / first.max(1);
        for (part, length) in weight.chunks_exact_mut(size.max(1)).zip(lengths) {
            let square: f64 = part.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
            let scale = f64::from(length) / square.sqrt();
            part.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
        }
        // A direction of length 0 has made NaN.
        if !all_finite(&weight) {
            return Err(self.misfit(&direction, NOT_FINITE));
        }
        Ok(weight)
    }

    /// The shape of `name.weight` as [`Floats::weight`] reads it.
    ///
    /// # Errors
    /// As [`Floats::shape`].
    pub(crate) fn weight_shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let places = [
            format!("{name}.parametrizations.weight.original1"),
            format!("{name}.weight_v"),
            format!("{name}.weight"),
        ];
        let [.., plain] = &places;
        self.shape(places.iter().find(|place| self.has(place)).unwrap_or(plain))
    }

    /// Checks that every tensor has found its place but those whose names begin with one of `others`.
    ///
    /// # Errors
    /// [`Error::Weights`] that names the first one left over.
    pub(crate) fn finish(&self, others: &[&str]) -> Result<()> {
        let taken = self.taken.borrow();
        let left = self.checkpoint.tensors().iter().map(|(name, _)| name).find(|name| {
            !taken.contains(*name) && !others.iter().any(|other| name.starts_with(other))
        });
        match left {
            Some(name) => {
                Err(self.misfit(name, "the model that the config describes has no place for it"))
            }
            None => Ok(()),
        }
    }

    /// A tensor that does not fit.
    pub(crate) fn misfit(&self, name: &str, reason: impl std::fmt::Display) -> Error {
        Error::Weights {
            name: name.to_owned(),
            file: self.checkpoint.label().to_owned(),
            reason: reason.to_string(),
        }
    }
}
