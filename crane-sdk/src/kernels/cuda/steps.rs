//! The steps between two matrix products.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::PushKernelArg;
use candle_core::{Error, Result, Tensor};

use super::{THREADS, blocks, device, function, tensor, with_views};

/// x + y and its root-mean-square norm, `[rows, width]` each.
///
/// # Errors
/// If the tensors are no f32 tensors of one shape on a GPU, or the driver refuses the launch.
pub(crate) fn add_rms_norm(
    x: &Tensor,
    y: &Tensor,
    weight: &Tensor,
    eps: f32,
) -> Result<(Tensor, Tensor)> {
    let device = device(x)?;
    let stream = device.cuda_stream();
    let width = weight.elem_count();
    let (count, kernel) = (x.elem_count(), function(&device, "add_rms_norm")?);
    if y.elem_count() != count || count % width.max(1) != 0 {
        return Err(Error::Msg(format!("{x:?} and {y:?} are not rows of {width}")));
    }
    // SAFETY: the kernel writes every element before anything reads them.
    let (mut sum, mut normed) =
        unsafe { (device.alloc::<f32>(count)?, device.alloc::<f32>(count)?) };
    with_views([x, y, weight], |[x, y, weight]| {
        let row = width as i32;
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&mut sum).arg(&mut normed).arg(&x).arg(&y).arg(&weight).arg(&eps).arg(&row);
        // SAFETY: the arguments are those of the kernel, and it stays within `count` elements of each.
        unsafe { launch.launch(blocks([count / width.max(1), 1], THREADS, 0)) }.w()?;
        Ok(())
    })?;
    Ok((tensor(sum, x.shape(), device.clone())?, tensor(normed, x.shape(), device)?))
}

/// gate · sigmoid(gate) · up, element by element.
///
/// # Errors
/// As [`add_rms_norm`].
pub(crate) fn silu_mul(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let device = device(gate)?;
    let stream = device.cuda_stream();
    let (count, kernel) = (gate.elem_count(), function(&device, "silu_mul")?);
    if up.elem_count() != count {
        return Err(Error::Msg(format!("{gate:?} and {up:?} differ")));
    }
    // SAFETY: the kernel writes every element before anything reads them.
    let mut y = unsafe { device.alloc::<f32>(count)? };
    with_views([gate, up], |[gate, up]| {
        let numbers = count as i32;
        let mut launch = stream.launch_builder(&kernel);
        launch.arg(&mut y).arg(&gate).arg(&up).arg(&numbers);
        // SAFETY: the arguments are those of the kernel, and it stays within `count` elements of each.
        unsafe { launch.launch(blocks([count.div_ceil(THREADS as usize), 1], THREADS, 0)) }.w()?;
        Ok(())
    })?;
    tensor(y, gate.shape(), device)
}
