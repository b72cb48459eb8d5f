//! Kernels for NVIDIA GPUs: what lies between the matrix products, one launch where candle takes several.
//!
//! `kernels.cu` is compiled by NVRTC when the first of them runs, for the GPU that is there. Everything is f32 and
//! contiguous, as the decoder's activations are.

use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaSlice, CudaView, LaunchConfig};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::cuda_backend::{CudaDevice, CudaStorageSlice};
use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Error, Result, Shape, Storage, Tensor};

mod attention;
mod products;
mod steps;

pub(crate) use attention::{Heads, Job, WIDEST_HEAD, decode_attention};
pub(crate) use products::product;
pub(crate) use steps::{add_rms_norm, silu_mul};

const SOURCE: &str = include_str!("kernels.cu");
/// Threads of a block, as `kernels.cu` has it.
const THREADS: u32 = 256;

/// Sets a kernel of `kernels.cu` up.
fn function(device: &CudaDevice, name: &str) -> Result<CudaFunction> {
    static COMPILED: OnceLock<std::result::Result<String, String>> = OnceLock::new();
    let compile =
        || compile_ptx(SOURCE).map(|ptx| ptx.to_src()).map_err(|error| format!("{error:?}"));
    match COMPILED.get_or_init(compile) {
        Ok(ptx) => Ok(device.get_or_load_custom_func(name, "crane", ptx)?.into_cuda_function()),
        Err(error) => Err(Error::Msg(format!("NVRTC does not compile Crane's kernels: {error}"))),
    }
}

/// The device of a tensor that lies on one.
fn device(x: &Tensor) -> Result<CudaDevice> {
    match x.device() {
        Device::Cuda(device) => Ok(device.clone()),
        _ => Err(Error::Msg("the tensor is not on an NVIDIA GPU".to_owned())),
    }
}

/// Calls `f` with the numbers of f32 tensors.
fn with_views<const N: usize, R>(
    tensors: [&Tensor; N],
    f: impl FnOnce([CudaView<'_, f32>; N]) -> Result<R>,
) -> Result<R> {
    let tensors = tensors.map(Tensor::contiguous);
    let held: Vec<_> =
        tensors.iter().map(|tensor| tensor.as_ref().map(Tensor::storage_and_layout)).collect();
    let mut views = Vec::with_capacity(N);
    for held in &held {
        let (storage, layout) = held.as_ref().map_err(|error| Error::Msg(error.to_string()))?;
        let Storage::Cuda(storage) = &**storage else {
            return Err(Error::Msg("the tensor is not on an NVIDIA GPU".to_owned()));
        };
        let start = layout.start_offset();
        let slice = storage.as_cuda_slice::<f32>()?;
        views.push(slice.slice(start..start + layout.shape().elem_count()));
    }
    match views.try_into() {
        Ok(views) => f(views),
        Err(_) => Err(Error::Msg("a view is missing".to_owned())),
    }
}

/// A tensor of what a kernel wrote.
fn tensor(slice: CudaSlice<f32>, shape: impl Into<Shape>, device: CudaDevice) -> Result<Tensor> {
    let storage = CudaStorage { slice: CudaStorageSlice::F32(slice), device };
    Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
}

/// A launch of so many blocks of so many threads, with room for so many numbers that a block's threads share.
fn blocks([x, y]: [usize; 2], threads: u32, shared: usize) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (x as u32, y as u32, 1),
        block_dim: (threads, 1, 1),
        shared_mem_bytes: (shared * size_of::<f32>()) as u32,
    }
}
