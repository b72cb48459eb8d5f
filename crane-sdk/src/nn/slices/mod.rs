//! Layers of small networks over slices of f32, rows one after the other, without tensors or devices.
//!
//! A voice's acoustic network has thousands of rows of a few hundred numbers: what a tensor library would spend on each
//! operation would count. Products run on the dense kernels; results do not depend on how rows are cut into calls.

mod conv;
mod convnext;
mod depthwise;
mod encoder_layer;
mod layer_norm;
mod linear;
mod local_attention;
mod snake;
mod upsample;
mod window;

pub(crate) use conv::Conv;
pub(crate) use convnext::ConvNeXt;
pub(crate) use depthwise::Depthwise;
pub(crate) use encoder_layer::{EncoderLayer, softmax};
pub(crate) use layer_norm::LayerNorm;
pub(crate) use linear::{Int8, Linear};
pub(crate) use local_attention::LocalAttention;
pub(crate) use snake::Snake;
pub(crate) use upsample::{Held, Upsample};
pub(crate) use window::Window;

/// x + y, element by element.
pub(crate) fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
