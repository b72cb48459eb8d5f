//! ggml blocks to bytes, scales and offsets. Block layouts as in ggml's `ggml-common.h`.

use super::Row;

/// A block type, by the way its bytes are unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::upper_case_acronyms, reason = "ggml's own names")]
pub(super) enum Unpack {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q4K,
    Q5K,
    Q6K,
}

// Macros and not functions that take a block's function: a call through a function value would be compiled
// without the caller's instruction set, and stay a call.

/// Unpacks blocks of 32 numbers with one scale and one offset.
macro_rules! small {
    ($block:ident, $bytes:expr, $row:expr) => {{
        let blocks = $bytes.as_chunks().0.iter().zip($row.q.as_chunks_mut::<32>().0);
        let scales = $row.scales.iter_mut().zip(&mut $row.offsets);
        for ((bytes, q), (scale, offset)) in blocks.zip(scales) {
            (*q, *scale, *offset) = $block(bytes);
        }
    }};
}

/// Unpacks blocks of 256 numbers with `$groups` scales and offsets.
macro_rules! super_blocks {
    ($block:ident, $groups:literal, $bytes:expr, $row:expr) => {{
        let blocks = $bytes.as_chunks().0.iter().zip($row.q.as_chunks_mut::<256>().0);
        let scales = $row.scales.as_chunks_mut::<$groups>().0.iter_mut();
        let offsets = $row.offsets.as_chunks_mut::<$groups>().0;
        for ((bytes, q), (scales, offsets)) in blocks.zip(scales.zip(offsets)) {
            (*q, *scales, *offsets) = $block(bytes);
        }
    }};
}

impl Unpack {
    /// Unpacks a row whose arrays already have their lengths.
    #[inline(always)]
    pub(super) fn run(self, bytes: &[u8], row: &mut Row) {
        match self {
            Unpack::Q4_0 => small!(q4_0, bytes, row),
            Unpack::Q4_1 => small!(q4_1, bytes, row),
            Unpack::Q5_0 => small!(q5_0, bytes, row),
            Unpack::Q5_1 => small!(q5_1, bytes, row),
            Unpack::Q8_0 => small!(q8_0, bytes, row),
            Unpack::Q4K => super_blocks!(q4_k, 8, bytes, row),
            Unpack::Q5K => super_blocks!(q5_k, 8, bytes, row),
            Unpack::Q6K => super_blocks!(q6_k, 16, bytes, row),
        }
    }
}

/// Numbers, scales and offsets of a block. They are returned by value: a compiler that need not ask
/// whether output and input overlap turns these loops into vector instructions.
type Block<const NUMBERS: usize, const GROUPS: usize> =
    ([u8; NUMBERS], [f32; GROUPS], [f32; GROUPS]);

/// `N` bytes from `at` on.
#[inline(always)]
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
}

#[inline(always)]
fn q4_0(bytes: &[u8; 18]) -> ([u8; 32], f32, f32) {
    let d = float(bytes, 0);
    (nibbles(part(bytes, 2)), d, -8.0 * d)
}

#[inline(always)]
fn q4_1(bytes: &[u8; 20]) -> ([u8; 32], f32, f32) {
    (nibbles(part(bytes, 4)), float(bytes, 0), float(bytes, 2))
}

#[inline(always)]
fn q5_0(bytes: &[u8; 22]) -> ([u8; 32], f32, f32) {
    let d = float(bytes, 0);
    let fifths = u32::from_le_bytes(part(bytes, 2));
    (with_fifth_bits(nibbles(part(bytes, 6)), fifths), d, -16.0 * d)
}

#[inline(always)]
fn q5_1(bytes: &[u8; 24]) -> ([u8; 32], f32, f32) {
    let fifths = u32::from_le_bytes(part(bytes, 4));
    (with_fifth_bits(nibbles(part(bytes, 8)), fifths), float(bytes, 0), float(bytes, 2))
}

#[inline(always)]
fn q8_0(bytes: &[u8; 34]) -> ([u8; 32], f32, f32) {
    (part(bytes, 2), float(bytes, 0), 0.0)
}

/// The half-precision number at byte `at`: exact for all finite values, without a branch.
#[inline(always)]
pub(super) fn float(bytes: &[u8], at: usize) -> f32 {
    let bits = u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    // The exponent's bias changes from 15 to 127: a product with 2^112.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// Low halves are numbers 0..16, high halves numbers 16..32.
#[inline(always)]
fn nibbles(packed: [u8; 16]) -> [u8; 32] {
    let mut q = [0; 32];
    for i in 0..16 {
        q[i] = packed[i] & 15;
        q[16 + i] = packed[i] >> 4;
    }
    q
}

/// Bit i of `bits` is the fifth bit of number i.
///
/// Eight numbers at a time in a 64-bit word: byte j keeps bit j, and adding 128 − 2^j carries it to the
/// byte's top.
#[inline(always)]
fn with_fifth_bits(mut q: [u8; 32], bits: u32) -> [u8; 32] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const DIAGONAL: u64 = 0x8040_2010_0804_0201;
    const LIFT: u64 = 0x0040_6070_787c_7e7f;
    for (q, bits) in q.as_chunks_mut::<8>().0.iter_mut().zip(bits.to_le_bytes()) {
        let spread = (u64::from(bits) * EACH) & DIAGONAL;
        let fifths = ((spread + LIFT) & (EACH << 7)) >> 3;
        *q = (u64::from_le_bytes(*q) | fifths).to_le_bytes();
    }
    q
}

/// Scale and minimum number j of the twelve bytes of 6-bit numbers that Q4_K and Q5_K share.
#[inline(always)]
fn six_bits(packed: &[u8], j: usize) -> (f32, f32) {
    let (scale, minimum) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (
            (packed[j + 4] & 15) | ((packed[j - 4] >> 6) << 4),
            (packed[j + 4] >> 4) | ((packed[j] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(minimum))
}

#[inline(always)]
fn six_bit_groups(bytes: &[u8]) -> ([f32; 8], [f32; 8]) {
    let (d, least) = (float(bytes, 0), float(bytes, 2));
    let packed: [u8; 12] = part(bytes, 4);
    let (mut scales, mut offsets) = ([0.0; 8], [0.0; 8]);
    for j in 0..8 {
        let (s, m) = six_bits(&packed, j);
        (scales[j], offsets[j]) = (d * s, -least * m);
    }
    (scales, offsets)
}

#[inline(always)]
fn q4_k(bytes: &[u8; 144]) -> Block<256, 8> {
    let (scales, offsets) = six_bit_groups(bytes);
    let mut q = [0; 256];
    for j in 0..4 {
        let packed: [u8; 32] = part(bytes, 16 + 32 * j);
        for i in 0..32 {
            q[64 * j + i] = packed[i] & 15;
            q[64 * j + 32 + i] = packed[i] >> 4;
        }
    }
    (q, scales, offsets)
}

#[inline(always)]
fn q5_k(bytes: &[u8; 176]) -> Block<256, 8> {
    let (scales, offsets) = six_bit_groups(bytes);
    let fifths: [u8; 32] = part(bytes, 16);
    let mut q = [0; 256];
    for j in 0..4 {
        let packed: [u8; 32] = part(bytes, 48 + 32 * j);
        for i in 0..32 {
            q[64 * j + i] = (packed[i] & 15) | ((fifths[i] >> (2 * j)) & 1) << 4;
            q[64 * j + 32 + i] = (packed[i] >> 4) | ((fifths[i] >> (2 * j + 1)) & 1) << 4;
        }
    }
    (q, scales, offsets)
}

#[inline(always)]
fn q6_k(bytes: &[u8; 210]) -> Block<256, 16> {
    let d = float(bytes, 208);
    let packed: [u8; 16] = part(bytes, 192);
    let scales = packed.map(|scale| d * f32::from(scale as i8));
    let mut q = [0; 256];
    for half in 0..2 {
        let low: [u8; 64] = part(bytes, 64 * half);
        let high: [u8; 32] = part(bytes, 128 + 32 * half);
        for i in 0..32 {
            q[128 * half + i] = (low[i] & 15) | (high[i] & 3) << 4;
            q[128 * half + 32 + i] = (low[32 + i] & 15) | ((high[i] >> 2) & 3) << 4;
            q[128 * half + 64 + i] = (low[i] >> 4) | ((high[i] >> 4) & 3) << 4;
            q[128 * half + 96 + i] = (low[32 + i] >> 4) | (high[i] >> 6) << 4;
        }
    }
    (q, scales, scales.map(|scale| -32.0 * scale))
}
