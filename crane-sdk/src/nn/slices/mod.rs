//! Layers of small networks over slices of f32, rows one after the other, without tensors or devices.
//!
//! A voice's acoustic network has thousands of rows of a few hundred numbers: what a tensor library would spend on each
//! operation would count. Products run on the dense kernels; results do not depend on how rows are cut into calls.

mod conv;
mod encoder_layer;
mod layer_norm;
mod linear;

pub(crate) use conv::{Conv, ConvNeXt, Window};
pub(crate) use encoder_layer::EncoderLayer;
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::Linear;
