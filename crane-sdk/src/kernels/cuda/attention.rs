//! Attention of sequences that go on by a token each.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, DeviceRepr, PushKernelArg};
use candle_core::{Error, Result, Tensor};

use super::{THREADS, blocks, device, function, tensor, with_views};

/// Sequences of one launch, as `kernels.cu` has it.
const SEQUENCES: usize = 32;
/// Tokens from which on a block has all the threads that it can have.
const LONG: usize = 512;
const MOST_THREADS: u32 = 1024;
/// The widest head that [`decode_attention`] takes.
pub(crate) const WIDEST_HEAD: usize = 256;

/// The sequences of a launch, as `kernels.cu` reads them.
#[repr(C)]
#[derive(Clone, Copy)]
struct Sequences {
    keys: [u64; SEQUENCES],
    values: [u64; SEQUENCES],
    position: [i32; SEQUENCES],
    room: [i32; SEQUENCES],
    row: [i32; SEQUENCES],
}

// SAFETY: plain numbers, laid out as the kernel's struct.
unsafe impl DeviceRepr for Sequences {}

/// A sequence of which one token is evaluated.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The token's row among q, k and v.
    pub row: usize,
    /// How many tokens are cached.
    pub position: usize,
    /// `[kv_heads, room, head_dim]`.
    pub keys: &'a Tensor,
    /// `[kv_heads, room, head_dim]`.
    pub values: &'a Tensor,
}

/// The shape of the heads, and what they see.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heads {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    pub window: Option<usize>,
}

/// Attention of one token of each sequence, before RoPE: rotates q and k, writes k and v to the caches, and attends.
/// q and the result are `[rows, heads · head_dim]`, k and v `[rows, kv_heads · head_dim]`; every row is of one job.
///
/// # Errors
/// As [`add_rms_norm`].
pub(crate) fn decode_attention(
    [q, k, v]: [&Tensor; 3],
    (cos, sin): (&Tensor, &Tensor),
    jobs: &[Job<'_>],
    shape: Heads,
) -> Result<Tensor> {
    let device = device(q)?;
    let stream = device.cuda_stream();
    let kernel = function(&device, "decode_attention")?;
    let Heads { heads, kv_heads, head_dim, window } = shape;
    let scale = 1.0 / (head_dim as f32).sqrt();
    let window = window.unwrap_or(0) as i32;
    // SAFETY: the kernel writes the row of every job, and every row is of one.
    let mut out = unsafe { device.alloc::<f32>(q.elem_count())? };
    with_views([q, k, v, cos, sin], |[q, k, v, cos, sin]| {
        for jobs in jobs.chunks(SEQUENCES) {
            let mut sequences = Sequences {
                keys: [0; SEQUENCES],
                values: [0; SEQUENCES],
                position: [0; SEQUENCES],
                room: [0; SEQUENCES],
                row: [0; SEQUENCES],
            };
            for (index, job) in jobs.iter().enumerate() {
                let room = job.keys.dim(1)?;
                if job.position >= room
                    || job.keys.dims() != [kv_heads, room, head_dim]
                    || job.values.dims() != job.keys.dims()
                {
                    return Err(Error::Msg(format!("{job:?} has no room for its token")));
                }
                let address =
                    |cache: &Tensor| with_views([cache], |[cache]| Ok(cache.device_ptr(&stream).0));
                sequences.keys[index] = address(job.keys)?;
                sequences.values[index] = address(job.values)?;
                sequences.position[index] = job.position as i32;
                sequences.room[index] = room as i32;
                sequences.row[index] = job.row as i32;
            }
            let (kv_heads, width) = (kv_heads as i32, head_dim as i32);
            let longest = jobs.iter().map(|job| job.position).max().unwrap_or(0);
            let threads = if longest < LONG { THREADS } else { MOST_THREADS };
            let warps = threads as usize / 32;
            let shared = (2 + warps) * head_dim + 2 * warps;
            let mut launch = stream.launch_builder(&kernel);
            launch.arg(&mut out).arg(&q).arg(&k).arg(&v).arg(&cos).arg(&sin).arg(&sequences);
            launch.arg(&kv_heads).arg(&width).arg(&window).arg(&scale);
            // SAFETY: the arguments are those of the kernel; rows, positions and widths lie within the tensors, and the
            // caches live as long as `jobs`, whose work the stream does in order.
            unsafe { launch.launch(blocks([heads, jobs.len()], threads, shared)) }.w()?;
        }
        Ok(())
    })?;
    tensor(out, q.shape(), device)
}
