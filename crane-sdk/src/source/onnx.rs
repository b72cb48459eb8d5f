//! ONNX files as checkpoints: their weights by the names that the network had before it was exported.
//!
//! The graph is not run. Exporters name biases, norms and convolutions as the network did but not matrices; those are found
//! through the product that uses them: the bias that is added to it names it. Quantised matrices (`MatMulInteger`, one scale a
//! matrix or a column) become floats. The format is `onnx.proto3` in protocol buffers.

mod message;

use std::collections::{BTreeMap, HashMap};

use super::Blob;
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
    tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
    uses: BTreeMap<String, usize>,
    /// The int8 numbers behind those tensors that have one scale.
    bytes: BTreeMap<String, (Vec<i8>, f32)>,
}

impl OnnxCheckpoint {
    /// Reads a file. Matrices come as `[outputs, inputs]` under the name of their bias with `weight` in its place; other
    /// float tensors as they are stored; whole-number constants of the graph are left out.
    ///
    /// # Errors
    /// [`Error::InvalidFile`] if it is truncated or not ONNX, [`Error::Unsupported`] for weights outside of the file,
    /// [`Error::Io`] if it cannot be read.
    pub fn read(blob: &dyn Blob) -> Result<Self> {
        let bytes = blob.read_all()?;
        let graph =
            message::graph(&bytes).map_err(|reason| Error::invalid_file(blob.label(), reason))?;
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
            bytes: BTreeMap::new(),
        };
        let stored: HashMap<&str, &Tensor<'_>> =
            graph.tensors.iter().map(|tensor| (tensor.name, tensor)).collect();
        checkpoint.bind_matrices(&graph.nodes, &stored)?;
        for tensor in &graph.tensors {
            if let Some(Numbers::Floats(values)) =
                tensor.numbers().map_err(|reason| checkpoint.misfit(tensor.name, reason))?
            {
                checkpoint.tensors.insert(tensor.name.to_owned(), (tensor.shape.clone(), values));
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
            (next.kind == kind).then_some(next)
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
                            makers.get(name).filter(|maker| maker.kind == "Mul")
                        })?;
                        maker.inputs.iter().find_map(|name| stored.get(name))
                    });
                    let Some(scale) = scale else {
                        return Err(
                            self.misfit(matrix.name, "its scale was not found in the graph")
                        );
                    };
                    if let Some(zero) = node.inputs.get(3).and_then(|name| stored.get(name))
                        && !matches!(zero.numbers(), Ok(Some(Numbers::Bytes(zeros))) if zeros.iter().all(|zero| *zero == 0))
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
            if !self.tensors.contains_key(&name) {
                let values = self.matrix(matrix, scale)?;
                let scales = scale.map(|scale| scale.numbers());
                if let (Ok(Some(Numbers::Bytes(bytes))), Some(Ok(Some(Numbers::Floats(scales))))) =
                    (matrix.numbers(), scales)
                    && let [scale] = *scales.as_slice()
                {
                    let outputs = values.0.first().copied().unwrap_or_default();
                    let rows = (0..outputs).flat_map(|row| bytes.iter().skip(row).step_by(outputs));
                    self.bytes.insert(name.clone(), (rows.copied().collect(), scale));
                }
                self.tensors.insert(name, values);
            }
        }
        Ok(())
    }

    /// A stored `[inputs, outputs]` as floats `[outputs, inputs]`.
    fn matrix(
        &self,
        matrix: &Tensor<'_>,
        scale: Option<&Tensor<'_>>,
    ) -> Result<(Vec<usize>, Vec<f32>)> {
        let wrong = |reason: String| self.misfit(matrix.name, reason);
        let [inputs, outputs] = *matrix.shape.as_slice() else {
            return Err(wrong(format!("its shape is {:?}, a matrix is expected", matrix.shape)));
        };
        if inputs == 0 || outputs == 0 {
            return Err(wrong(format!("its shape is {:?}: it is empty", matrix.shape)));
        }
        let values: Vec<f32> = match matrix.numbers().map_err(wrong)? {
            Some(Numbers::Floats(values)) => values,
            Some(Numbers::Bytes(bytes)) => bytes.into_iter().map(f32::from).collect(),
            None => return Err(wrong("its type is neither f32 nor int8".to_owned())),
        };
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
        let mut out = Vec::with_capacity(values.len());
        for column in 0..outputs {
            let scale = scales.get(column).or(scales.first()).copied().unwrap_or(1.0);
            out.extend(values.iter().skip(column).step_by(outputs).map(|value| value * scale));
        }
        Ok((vec![outputs, inputs], out))
    }

    /// A tensor's numbers, which must be of a shape.
    ///
    /// # Errors
    /// [`Error::Weights`] if there is none of this name, or of another shape.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Result<&[f32]> {
        let (found, values) = self.entry(name)?;
        if found != shape {
            return Err(self.misfit(name, format!("its shape is {found:?}, {shape:?} is expected")));
        }
        Ok(values)
    }

    /// The numbers of a matrix that is stored as int8 times one scale, in the order of [`OnnxCheckpoint::tensor`], and the
    /// scale.
    pub fn bytes(&self, name: &str) -> Option<(&[i8], f32)> {
        self.bytes.get(name).map(|(numbers, scale)| (numbers.as_slice(), *scale))
    }

    /// A tensor's shape, which must have `N` axes.
    ///
    /// # Errors
    /// As [`OnnxCheckpoint::tensor`].
    pub fn shape<const N: usize>(&self, name: &str) -> Result<[usize; N]> {
        let (found, _) = self.entry(name)?;
        let wrong = || self.misfit(name, format!("its shape is {found:?}, {N} axes are expected"));
        found.as_slice().try_into().map_err(|_| wrong())
    }

    /// How many products use a matrix: a layer that is applied several times is stored once.
    pub fn uses(&self, name: &str) -> usize {
        self.uses.get(name).copied().unwrap_or_default()
    }

    fn entry(&self, name: &str) -> Result<&(Vec<usize>, Vec<f32>)> {
        self.tensors
            .get(name)
            .ok_or_else(|| self.misfit(name, "it is missing (another model, or truncated)"))
    }

    /// An error that names a tensor of this file.
    pub(crate) fn misfit(&self, name: &str, reason: impl Into<String>) -> Error {
        Error::Weights { name: name.to_owned(), file: self.label.clone(), reason: reason.into() }
    }
}

#[cfg(test)]
mod tests;
