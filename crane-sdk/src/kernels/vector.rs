//! What an instruction set must be able to do with floats: loops written over it once serve every set.

use half::{bf16, f16};

use super::scalar::{EXP, EXP_MAX, EXP_MIN, LN_2_HIGH, LN_2_LOW, LOG2_E};

/// Vectors of a few f32.
///
/// Results are the same to the last bit on every instruction set: numbers are multiplied and added lane by lane
/// and not fused (wasm has no fused multiply-add). Only [`Vector::mul_add`] is another matter.
///
/// # Safety
/// Implementations may use instructions that not every processor has: each method may only be called
/// where they are there. Pointers must be good for what a method reads or writes; none needs alignment.
pub(super) trait Vector {
    /// Floats in a vector: 4, 8 or 16.
    const LANES: usize;
    /// One vector.
    type Floats: Copy;

    /// Asks for the cache line at `at`, which need not be memory of ours.
    unsafe fn prefetch(at: *const u8);
    /// The same number in every lane.
    unsafe fn splat(x: f32) -> Self::Floats;
    /// Reads floats.
    unsafe fn read(at: *const f32) -> Self::Floats;
    /// Writes floats.
    unsafe fn write(at: *mut f32, x: Self::Floats);
    /// Reads half-precision numbers.
    unsafe fn read_f16(at: *const f16) -> Self::Floats;
    /// Reads numbers in bf16.
    unsafe fn read_bf16(at: *const bf16) -> Self::Floats;
    /// Reads signed bytes.
    unsafe fn read_i8(at: *const i8) -> Self::Floats;
    /// Writes whole numbers from −128 to 127 as bytes.
    unsafe fn write_i8(at: *mut i8, x: Self::Floats);
    /// The sum of the lanes, in any order: for whole numbers, whose sums are exact.
    unsafe fn total(x: Self::Floats) -> f32;
    /// The greatest lane.
    unsafe fn greatest(x: Self::Floats) -> f32;
    /// x + y.
    unsafe fn add(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// x − y.
    unsafe fn sub(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// x · y.
    unsafe fn mul(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// x / y.
    unsafe fn div(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// x · y + z, with one rounding where there is an instruction for it: for dense weights alone, whose results
    /// need not be the same on every instruction set.
    unsafe fn mul_add(x: Self::Floats, y: Self::Floats, z: Self::Floats) -> Self::Floats;
    /// The greater of x and y.
    unsafe fn max(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// The lesser of x and y.
    unsafe fn min(x: Self::Floats, y: Self::Floats) -> Self::Floats;
    /// The nearest whole number, ties to even.
    unsafe fn round(x: Self::Floats) -> Self::Floats;
    /// 2ⁿ for whole n from −126 to 127.
    unsafe fn power_of_two(n: Self::Floats) -> Self::Floats;
    /// y, but 0 where x < least.
    unsafe fn zero_below(x: Self::Floats, least: Self::Floats, y: Self::Floats) -> Self::Floats;
}

/// [`super::scalar::exp`] in every lane.
///
/// # Safety
/// The processor must have the instructions of `V`.
#[inline(always)]
pub(super) unsafe fn exp<V: Vector>(x: V::Floats) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let least = V::splat(EXP_MIN);
        let held = V::min(V::max(x, least), V::splat(EXP_MAX));
        let n = V::round(V::mul(held, V::splat(LOG2_E)));
        let r = V::sub(held, V::mul(n, V::splat(LN_2_HIGH)));
        let r = V::sub(r, V::mul(n, V::splat(LN_2_LOW)));
        let mut p = V::splat(EXP[0]);
        let mut i = 1;
        while i < EXP.len() {
            p = V::add(V::mul(p, r), V::splat(EXP[i]));
            i += 1;
        }
        let y = V::add(V::add(V::mul(p, V::mul(r, r)), r), V::splat(1.0));
        V::zero_below(x, least, V::mul(y, V::power_of_two(n)))
    }
}
