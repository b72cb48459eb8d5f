//! Where a candle tensor lies, and its elements as a slice, for kernels that work beside candle's operations.

use candle_core::{CpuStorage, Device, Storage, Tensor, WithDType};

use crate::Result;

/// Whether a device is the processor. In WebAssembly there is no other: the compiler knows, and leaves out what only a GPU needs.
#[inline]
pub(super) fn is_host(device: &Device) -> bool {
    cfg!(target_arch = "wasm32") || device.is_cpu()
}

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
