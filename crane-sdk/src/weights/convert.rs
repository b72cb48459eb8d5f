//! Stored bytes to tensors.

use std::borrow::Cow;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};

use crate::kernels::dense::DenseType;
use crate::{Error, Result};

/// Elements of any stored type as f32.
pub(super) fn to_f32(bytes: &[u8], dtype: GgmlDType, name: &str) -> Result<Vec<f32>> {
    let size = dtype.type_size();
    if !bytes.len().is_multiple_of(size) {
        let reason = format_args!("{} bytes are not whole {dtype:?} blocks", bytes.len());
        return Err(Error::invalid_file(name, reason));
    }
    Ok(match dtype {
        GgmlDType::F32 => elements(bytes, f32::from_le_bytes),
        GgmlDType::F16 => elements(bytes, |b| f16::from_le_bytes(b).to_f32()),
        GgmlDType::BF16 => elements(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        _ => {
            let storage = to_blocks(bytes, dtype, &Device::Cpu)?;
            let len = bytes.len() / size * dtype.block_size();
            QTensor::new(storage, len)?.dequantize(&Device::Cpu)?.to_vec1()?
        }
    })
}

fn elements<const N: usize, T>(bytes: &[u8], parse: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|chunk| parse(*chunk)).collect()
}

/// Floats as little-endian numbers of another type, rounded to the nearest.
pub(super) fn to_bytes(values: &[f32], kind: DenseType) -> Vec<u8> {
    match kind {
        DenseType::F32 => values.iter().flat_map(|x| x.to_le_bytes()).collect(),
        DenseType::F16 => values.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
        DenseType::BF16 => values.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
    }
}

/// A dense tensor of type `target`.
pub(super) fn to_tensor(
    bytes: &[u8],
    dtype: GgmlDType,
    shape: [usize; 2],
    target: DType,
    device: &Device,
    name: &str,
) -> Result<Tensor> {
    let shape = (shape[0], shape[1]);
    let tensor = match (dtype, target) {
        (GgmlDType::BF16, DType::BF16) => {
            Tensor::from_vec(elements(bytes, bf16::from_le_bytes), shape, &Device::Cpu)?
        }
        (GgmlDType::F16, DType::F16) => {
            Tensor::from_vec(elements(bytes, f16::from_le_bytes), shape, &Device::Cpu)?
        }
        _ => {
            Tensor::from_vec(to_f32(bytes, dtype, name)?, shape, &Device::Cpu)?.to_dtype(target)?
        }
    };
    Ok(tensor.to_device(device)?)
}

/// ggml blocks on a device.
pub(super) fn to_blocks(bytes: &[u8], dtype: GgmlDType, device: &Device) -> Result<QStorage> {
    // candle looks at the blocks in place before it copies them, so they must be aligned; tensors in
    // a file need not be.
    const ALIGNMENT: usize = 8;
    if (bytes.as_ptr() as usize).is_multiple_of(ALIGNMENT) {
        return Ok(QStorage::from_data(Cow::Borrowed(bytes), device, dtype)?);
    }
    let mut room = vec![0u8; bytes.len() + ALIGNMENT];
    let start = room.as_ptr().align_offset(ALIGNMENT);
    let room = &mut room[start..start + bytes.len()];
    room.copy_from_slice(bytes);
    Ok(QStorage::from_data(Cow::Borrowed(room), device, dtype)?)
}
