//! What an instruction set must be able to do with bytes: every kernel of this folder is written over it once.

use crate::kernels::vector::Vector;

/// Vectors with one lane for each row of a panel.
///
/// Results are the same to the last bit on every instruction set: integers are exact, and for floats see
/// [`Vector`].
///
/// # Safety
/// As [`Vector`] says.
pub(super) trait Lanes: Vector {
    /// log₂ of what [`Lanes::dot`] adds to each 8-bit number, for instructions that want them unsigned.
    const BYTE_ZERO: Option<u32>;
    /// Whether a weight is asked for ahead by reading it, where there is no instruction for asking.
    const READS_AHEAD: bool = false;
    /// Four columns of every row.
    type Bytes: Copy;
    /// A 32-bit integer for every row.
    type Ints: Copy;

    /// Reads 4 · LANES bytes.
    unsafe fn load(at: *const u8) -> Self::Bytes;
    /// The low four bits of each byte.
    unsafe fn low(x: Self::Bytes) -> Self::Bytes;
    /// The high four bits of each byte.
    unsafe fn high(x: Self::Bytes) -> Self::Bytes;
    /// x with the bits of `plane` that `mask << from` covers, put from bit 4 on.
    unsafe fn with_bits(x: Self::Bytes, plane: Self::Bytes, from: u32, mask: u8) -> Self::Bytes;
    /// first + Σ w·x over 4 · `N` columns: `w` of `bits` bits (8-bit numbers are signed), `x` in −127 ..= 127. `N` is
    /// 4 or 8.
    unsafe fn dot<const N: usize>(
        first: i32,
        w: &[Self::Bytes; N],
        x: *const i8,
        bits: usize,
    ) -> Self::Ints;
    /// [`Lanes::dot`] of two panels with the same `x`.
    #[inline(always)]
    unsafe fn dot_pair<const N: usize>(
        first: i32,
        w: [&[Self::Bytes; N]; 2],
        x: *const i8,
        bits: usize,
    ) -> [Self::Ints; 2] {
        // SAFETY: as the caller says.
        unsafe { [Self::dot(first, w[0], x, bits), Self::dot(first, w[1], x, bits)] }
    }
    /// Whether [`Lanes::dot_tokens`] is faster than [`Lanes::dot`] twice.
    const TOKEN_PAIRS: bool = false;
    /// [`Lanes::dot`] of a panel with the `x` of two tokens.
    #[inline(always)]
    unsafe fn dot_tokens<const N: usize>(
        first: [i32; 2],
        w: &[Self::Bytes; N],
        x: [*const i8; 2],
        bits: usize,
    ) -> [Self::Ints; 2] {
        // SAFETY: as the caller says.
        unsafe { [Self::dot(first[0], w, x[0], bits), Self::dot(first[1], w, x[1], bits)] }
    }
    /// Every lane as the nearest float.
    unsafe fn to_floats(x: Self::Ints) -> Self::Floats;
    /// Reads unsigned bytes.
    unsafe fn unsigned(at: *const u8) -> Self::Floats;
}
