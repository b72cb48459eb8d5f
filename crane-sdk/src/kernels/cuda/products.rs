//! Products with weights of 16 bits whose sums stay in f32.

use std::ffi::c_void;

use candle_core::cuda_backend::cudarc::cublas::result::gemm_ex;
use candle_core::cuda_backend::cudarc::cublas::sys::{
    cublasComputeType_t, cublasGemmAlgo_t, cublasOperation_t, cudaDataType_t,
};
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DevicePtrMut};
use candle_core::{DType, Error, Result, Storage, Tensor};
use half::{bf16, f16};

use super::{device, tensor};

/// x · weightᵀ for `[rows, width]` and `[outputs, width]`, both bf16 or both f16: f32 `[rows, outputs]`. candle's own
/// product rounds its sums to the type of the weights, which makes ties of logits.
///
/// # Errors
/// If the tensors are not such ones on a GPU, or cuBLAS refuses them.
pub(crate) fn product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let device = device(x)?;
    let stream = device.cuda_stream();
    let ((rows, width), outputs) = (x.dims2()?, weight.dim(0)?);
    let kind = match (x.dtype(), weight.dtype()) {
        (DType::BF16, DType::BF16) => cudaDataType_t::CUDA_R_16BF,
        (DType::F16, DType::F16) => cudaDataType_t::CUDA_R_16F,
        (x, weight) => {
            return Err(Error::Msg(format!("{x:?} and {weight:?} are not one type of 16 bits")));
        }
    };
    if weight.dims() != [outputs, width] || !weight.is_contiguous() {
        return Err(Error::Msg(format!("{x:?} does not go with {weight:?}")));
    }
    let x = x.contiguous()?;
    // SAFETY: the product writes every element (beta is 0).
    let mut y = unsafe { device.alloc::<f32>(rows * outputs)? };
    {
        let (y, _written) = y.device_ptr_mut(&stream);
        let (a, b) = (address(weight, &stream)?, address(&x, &stream)?);
        let (one, zero) = (1f32, 0f32);
        let [m, n, k] = [outputs, rows, width].map(|size| size as i32);
        // SAFETY: in cuBLAS's order of columns this is weightᵀ · x, `[outputs, rows]`; the sizes are the tensors', which
        // live until the stream is done with them, as candle's allocations do.
        let done = unsafe {
            gemm_ex(
                *device.cublas_handle().handle(),
                cublasOperation_t::CUBLAS_OP_T,
                cublasOperation_t::CUBLAS_OP_N,
                m,
                n,
                k,
                (&raw const one).cast::<c_void>(),
                a as *const c_void,
                kind,
                k,
                b as *const c_void,
                kind,
                k,
                (&raw const zero).cast::<c_void>(),
                y as *mut c_void,
                cudaDataType_t::CUDA_R_32F,
                m,
                cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
            )
        };
        done.map_err(|error| {
            Error::Msg(format!("cuBLAS refuses a product of {rows} rows: {error}"))
        })?;
    }
    tensor(y, (rows, outputs), device)
}

/// Where a tensor's numbers begin on the GPU.
fn address(
    x: &Tensor,
    stream: &candle_core::cuda_backend::cudarc::driver::CudaStream,
) -> Result<u64> {
    let (storage, layout) = x.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(Error::Msg("the tensor is not on an NVIDIA GPU".to_owned()));
    };
    let start = layout.start_offset();
    Ok(match x.dtype() {
        DType::BF16 => storage.as_cuda_slice::<bf16>()?.slice(start..).device_ptr(stream).0,
        _ => storage.as_cuda_slice::<f16>()?.slice(start..).device_ptr(stream).0,
    })
}
