//! The elements of a candle tensor as a slice, for kernels that work beside candle's operations.

use candle_core::{CpuStorage, Storage, Tensor, WithDType};

use crate::Result;

/// Calls `body` with the elements of a CPU tensor in row-major order.
pub(crate) fn with_slice<T: WithDType, R>(
    tensor: &Tensor,
    body: impl FnOnce(&[T]) -> R,
) -> Result<R> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Err(candle_core::Error::Msg("a CPU kernel was given a GPU tensor".into()).into());
    };
    let elements = cpu_slice::<T>(storage)?;
    let start = layout.start_offset();
    Ok(body(elements.get(start..start + tensor.elem_count()).unwrap_or_default()))
}

fn cpu_slice<T: WithDType>(storage: &CpuStorage) -> Result<&[T]> {
    Ok(storage.as_slice::<T>()?)
}
