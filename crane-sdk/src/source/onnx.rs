//! ONNX files as checkpoints: their weights by the names that the network had before it was exported.
//!
//! The graph is not run. Exporters name biases, norms and convolutions as the network did but not matrices; those are found
//! through the product that uses them: the bias that is added to it names it. Quantised matrices (`MatMulInteger`, one scale a
//! matrix or a column) become floats. The format is `onnx.proto3` in protocol buffers.

mod message;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{Blob, impostor};
use crate::finite::all_finite;
use crate::{Error, Result};
use message::{Node, Numbers, Tensor};

/// The weights of an ONNX file.
///
/// ```no_run
/// # fn example(source: &dyn crane_sdk::source::Source) -> crane_sdk::Result<()> {
/// use crane_sdk::source::OnnxCheckpoint;
///
/// let weights = OnnxCheckpoint::read(source.open("hibari.onnx")?.as_ref())?;
/// let bias = weights.tensor("m.head.bias", &[3005])?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct OnnxCheckpoint {
    label: String,
    /// Several names may share one: biases of products with one matrix.
    tensors: BTreeMap<String, Arc<Array>>,
    uses: BTreeMap<String, usize>,
}

/// A tensor's numbers.
#[derive(Debug)]
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
    /// The int8 numbers behind them if they have one scale, and that.
    bytes: Option<(Vec<i8>, f32)>,
}

/// The matrices that were expanded, by their names in the graph, each with the name of its scale.
type Expanded<'a> = HashMap<&'a str, (Option<&'a str>, Arc<Array>)>;

impl OnnxCheckpoint {
    /// Reads a file. Matrices come as `[outputs, inputs]` under the name of their bias with `weight` in its place; other
    /// float tensors as they are stored; whole-number constants of the graph are left out.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is truncated or not ONNX, [`Error::Unsupported`] for weights outside of the file,
    /// [`Error::Io`] if it cannot be read.
    pub fn read(blob: &dyn Blob) -> Result<Self> {
        let bytes = blob.read_all()?;
        let graph = message::graph(&bytes).map_err(|reason| impostor::refuse(blob, reason))?;
        if graph.tensors.is_empty() {
            return Err(Error::invalid_file(
                blob.label(),
                "it has no weights (truncated, or not ONNX)",
            ));
        }
        if let Some(tensor) = graph.tensors.iter().find(|tensor| tensor.external) {
            return Err(Error::Unsupported {
                what: format!("{}: weights in another file ({})", blob.label(), tensor.name),
                hint: "export the model with its weights inside".to_owned(),
            });
        }
        let mut checkpoint = Self {
            label: blob.label().to_owned(),
            tensors: BTreeMap::new(),
            uses: BTreeMap::new(),
        };
        let stored: HashMap<&str, &Tensor<'_>> =
            graph.tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        checkpoint.bind_matrices(&graph.nodes, &stored)?;
        for tensor in graph.tensors {
            let (name, shape) = (tensor.name.to_owned(), tensor.shape.clone());
            let numbers = tensor.into_numbers();
            if let Some(Numbers::Floats(values)) =
                numbers.map_err(|reason| checkpoint.misfit(&name, reason))?
            {
                checkpoint.tensors.insert(name, Arc::new(Array { shape, values, bytes: None }));
            }
        }
        Ok(checkpoint)
    }

    /// Finds each product's weight matrix, scale and bias.
    fn bind_matrices(
        &mut self,
        nodes: &[Node<'_>],
        stored: &HashMap<&str, &Tensor<'_>>,
    ) -> Result<()> {
        let mut expanded = Expanded::new();
        let mut zeros: HashMap<&str, bool> = HashMap::new();
        let mut readers: HashMap<&str, &Node<'_>> = HashMap::new();
        let mut makers: HashMap<&str, &Node<'_>> = HashMap::new();
        for node in nodes {
            for input in &node.inputs {
                readers.entry(input).or_insert(node);
            }
            makers.extend(node.outputs.iter().map(|output| (*output, node)));
        }
        let reader = |node: &Node<'_>, kind: &str| -> Option<&Node<'_>> {
            let next = *readers.get(node.outputs.first()?)?;
            // A cast has one input, a sum or product of two has two: a list of thousands is never looked through.
            (next.kind == kind && next.inputs.len() <= 2).then_some(next)
        };
        for node in nodes {
            let Some(matrix) = node.inputs.get(1).and_then(|name| stored.get(name)) else {
                continue;
            };
            let (add, scale) = match node.kind {
                "MatMul" => (reader(node, "Add"), None),
                "MatMulInteger" => {
                    let scaled = reader(node, "Cast").and_then(|cast| reader(cast, "Mul"));
                    // The product's scale is the activations' times the weights'; the latter is stored.
                    let scale = scaled.and_then(|mul| {
                        let maker = mul.inputs.iter().find_map(|name| {
                            let is_product =
                                |maker: &&&Node<'_>| maker.kind == "Mul" && maker.inputs.len() == 2;
                            makers.get(name).filter(is_product)
                        })?;
                        maker.inputs.iter().find_map(|name| stored.get(name))
                    });
                    let Some(scale) = scale else {
                        return Err(
                            self.misfit(matrix.name, "its scale was not found in the graph")
                        );
                    };
                    if let Some(zero) = node.inputs.get(3).and_then(|name| stored.get(name))
                        && !*zeros.entry(zero.name).or_insert_with(|| zero.is_zero())
                    {
                        return Err(self.misfit(
                            matrix.name,
                            "its zero point is not 0, which is not supported",
                        ));
                    }
                    (scaled.and_then(|mul| reader(mul, "Add")), Some(*scale))
                }
                _ => continue,
            };
            let bias = add.and_then(|add| {
                add.inputs.iter().find(|name| name.ends_with("bias") && stored.contains_key(*name))
            });
            let Some(name) =
                bias.and_then(|bias| Some(format!("{}weight", bias.strip_suffix("bias")?)))
            else {
                continue;
            };
            *self.uses.entry(name.clone()).or_default() += 1;
            if self.tensors.contains_key(&name) {
                continue;
            }
            let scale_name = scale.map(|scale| scale.name);
            let array = match expanded.entry(matrix.name) {
                Entry::Occupied(known) if known.get().0 == scale_name => Arc::clone(&known.get().1),
                // One copy of a matrix is as large as it says; a copy for each of many scales would not be.
                Entry::Occupied(_) => {
                    return Err(self.misfit(matrix.name, "it is used with several scales"));
                }
                Entry::Vacant(place) => {
                    let array = Arc::new(self.matrix(matrix, scale)?);
                    place.insert((scale_name, Arc::clone(&array)));
                    array
                }
            };
            self.tensors.insert(name, array);
        }
        Ok(())
    }

    /// A stored `[inputs, outputs]` as floats `[outputs, inputs]`.
    fn matrix(&self, matrix: &Tensor<'_>, scale: Option<&Tensor<'_>>) -> Result<Array> {
        let wrong = |reason: String| self.misfit(matrix.name, reason);
        let [inputs, outputs] = *matrix.shape.as_slice() else {
            return Err(wrong(format!("its shape is {:?}, a matrix is expected", matrix.shape)));
        };
        if inputs == 0 || outputs == 0 {
            return Err(wrong(format!("its shape is {:?}: it is empty", matrix.shape)));
        }
        let Some(numbers) = matrix.numbers().map_err(wrong)? else {
            return Err(wrong("its type is neither f32 nor int8".to_owned()));
        };
        let scale_is_given = scale.is_some();
        let scales = match scale.map(|scale| scale.numbers()).transpose().map_err(wrong)?.flatten()
        {
            Some(Numbers::Floats(scales)) if scales.len() == 1 || scales.len() == outputs => scales,
            None if scale.is_none() => vec![1.0],
            _ => {
                return Err(wrong(
                    "its scales are not floats, one a matrix or a column".to_owned(),
                ));
            }
        };
        let scale_of = |column: usize| scales.get(column).or(scales.first()).copied();
        let mut values = Vec::with_capacity(inputs.saturating_mul(outputs));
        for column in 0..outputs {
            let scale = scale_of(column).unwrap_or(1.0);
            match &numbers {
                Numbers::Floats(floats) => values
                    .extend(floats.iter().skip(column).step_by(outputs).map(|value| value * scale)),
                Numbers::Bytes(bytes) => values.extend(
                    bytes.iter().skip(column).step_by(outputs).map(|byte| f32::from(*byte) * scale),
                ),
            }
        }
        let bytes = match (numbers, scales.as_slice()) {
            (Numbers::Bytes(bytes), [scale]) if scale_is_given => {
                let rows = (0..outputs).flat_map(|row| bytes.iter().skip(row).step_by(outputs));
                Some((rows.copied().collect(), *scale))
            }
            _ => None,
        };
        Ok(Array { shape: vec![outputs, inputs], values, bytes })
    }

    /// A tensor's numbers, which must be of a shape.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is none of this name, if it has another shape, or if a number of it is NaN or infinite.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let Array { shape: found, values, .. } = self.entry(name)?;
        if found != shape {
            return Err(self.misfit(name, format!("its shape is {found:?}, {shape:?} is expected")));
        }
        if !all_finite(values) {
            return Err(self.misfit(name, crate::finite::NOT_FINITE));
        }
        Ok(values)
    }

    /// The numbers of a matrix that is stored as int8 times one scale, in the order of [`OnnxCheckpoint::tensor`], and the
    /// scale.
    pub fn bytes(&self, name: &str) -> Option<(&[i8], f32)> {
        let (numbers, scale) = self.tensors.get(name)?.bytes.as_ref()?;
        Some((numbers.as_slice(), *scale))
    }

    /// A tensor's shape, which must have `N` axes, none of them 0: networks divide by them.
    ///
    /// # Errors
    /// As [`OnnxCheckpoint::tensor`].
    pub fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let found = &self.entry(name)?.shape;
        let wrong = |what: &str| self.misfit(name, format!("its shape is {found:?}, {what}"));
        if found.contains(&0) {
            return Err(wrong("so that it is empty"));
        }
        found.as_slice().try_into().map_err(|_| wrong(&format!("{N} axes are expected")))
    }

    /// How many products use a matrix: a layer that is applied several times is stored once.
    pub fn uses(&self, name: &str) -> usize {
        self.uses.get(name).copied().unwrap_or_default()
    }

    fn entry(&self, name: &str) -> Result<&Array> {
        self.tensors
            .get(name)
            .map(Arc::as_ref)
            .ok_or_else(|| self.misfit(name, "it is missing (another model, or truncated)"))
    }

    /// An error that names a tensor of this file.
    pub(crate) fn misfit(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::Weights { name: name.to_owned(), file: self.label.clone(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
