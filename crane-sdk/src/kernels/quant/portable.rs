//! Eight rows a panel in plain Rust: the definition of every instruction set's loops.

use super::activations::{Numbers, quantize_group};
use super::format::Kind;
use super::lanes::Lanes;
use super::panels::{Work, multiply};
use super::{Set, with_format};
use crate::kernels::isa::portable::Portable;
use crate::kernels::vector::Vector;

pub(super) const SET: Set = Set { name: "portable", rows: Portable::LANES, run, quantize };

/// # Safety
/// `work` must be sound as [`multiply`] says.
#[allow(
    clippy::undocumented_unsafe_blocks,
    reason = "the lint does not see comments through macros"
)]
unsafe fn run(kind: Kind, work: &Work<'_>) {
    // SAFETY: as the caller says.
    with_format!(kind, F => unsafe { multiply::<Portable, F>(work) })
}

const ROWS: usize = 8;

/// # Safety
/// As [`quantize_group`] says.
unsafe fn quantize(x: *const f32, q: *mut i8) -> Numbers {
    // SAFETY: as the caller says.
    unsafe { quantize_group::<Portable>(x, q) }
}

impl Lanes for Portable {
    const BYTE_ZERO: Option<u32> = None;
    type Bytes = [u8; 4 * ROWS];
    type Ints = [i32; ROWS];

    #[inline(always)]
    unsafe fn load(at: *const u8) -> [u8; 4 * ROWS] {
        // SAFETY: the caller's pointer is good for as many bytes; bytes need no alignment.
        unsafe { *at.cast() }
    }

    #[inline(always)]
    unsafe fn low(x: [u8; 4 * ROWS]) -> [u8; 4 * ROWS] {
        x.map(|x| x & 15)
    }

    #[inline(always)]
    unsafe fn high(x: [u8; 4 * ROWS]) -> [u8; 4 * ROWS] {
        x.map(|x| x >> 4)
    }

    #[inline(always)]
    unsafe fn with_bits(
        x: [u8; 4 * ROWS],
        plane: [u8; 4 * ROWS],
        from: u32,
        mask: u8,
    ) -> [u8; 4 * ROWS] {
        std::array::from_fn(|i| x[i] | ((plane[i] >> from) & mask) << 4)
    }

    #[inline(always)]
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[[u8; 4 * ROWS]; N],
        x: *const i8,
        bits: usize,
    ) -> [i32; ROWS] {
        let mut sums = [first; ROWS];
        for (i, w) in w.iter().enumerate() {
            // SAFETY: the caller's pointer is good for 4 · N bytes; bytes need no alignment.
            let x: [i8; 4] = unsafe { *x.add(4 * i).cast() };
            for (sum, w) in sums.iter_mut().zip(w.as_chunks::<4>().0) {
                for (&w, &x) in w.iter().zip(&x) {
                    let w = if bits == 8 { i32::from(w.cast_signed()) } else { i32::from(w) };
                    *sum += w * i32::from(x);
                }
            }
        }
        sums
    }

    #[inline(always)]
    unsafe fn to_floats(x: [i32; ROWS]) -> [f32; ROWS] {
        x.map(|x| x as f32)
    }

    #[inline(always)]
    unsafe fn unsigned(at: *const u8) -> [f32; ROWS] {
        // SAFETY: the caller's pointer is good for as many bytes; bytes need no alignment.
        let bytes: [u8; ROWS] = unsafe { *at.cast() };
        bytes.map(f32::from)
    }
}
