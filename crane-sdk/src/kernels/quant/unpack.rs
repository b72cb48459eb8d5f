//! Blocks as ggml stores them, taken apart. Layouts as in ggml's `ggml-common.h`.

use super::format::Kind;

/// A block of 32 numbers: the numbers, and the scale's and the offset's f16 bits.
pub(super) struct Small {
    pub q: [u8; 32],
    pub scale: u16,
    pub offset: u16,
}

/// A block of 256 numbers: f16 bits that each group's factors are multiplied with.
pub(super) struct Nested {
    pub q: [u8; 256],
    pub scale: u16,
    /// What offsets are products of: ggml's minimum, negated.
    pub offset: u16,
    /// One for each 32 numbers (unsigned), or for each 16 (signed).
    pub scale_factors: [u8; 16],
    pub offset_factors: [u8; 8],
}

/// Takes a block of a small type apart.
#[inline(always)]
pub(super) fn small(kind: Kind, bytes: &[u8]) -> Small {
    match kind {
        Kind::Q4_0 => Small { q: nibbles(part(bytes, 2)), scale: half(bytes, 0), offset: 0 },
        Kind::Q4_1 => {
            Small { q: nibbles(part(bytes, 4)), scale: half(bytes, 0), offset: half(bytes, 2) }
        }
        Kind::Q5_0 => {
            let q = with_fifth_bits(nibbles(part(bytes, 6)), u32::from_le_bytes(part(bytes, 2)));
            Small { q, scale: half(bytes, 0), offset: 0 }
        }
        Kind::Q5_1 => {
            let q = with_fifth_bits(nibbles(part(bytes, 8)), u32::from_le_bytes(part(bytes, 4)));
            Small { q, scale: half(bytes, 0), offset: half(bytes, 2) }
        }
        _ => Small { q: part(bytes, 2), scale: half(bytes, 0), offset: 0 },
    }
}

/// Takes a block of a nested type apart.
#[inline(always)]
pub(super) fn nested(kind: Kind, bytes: &[u8]) -> Nested {
    match kind {
        Kind::Q4K => q4_k(bytes),
        Kind::Q5K => q5_k(bytes),
        _ => q6_k(bytes),
    }
}

/// `N` bytes from `at` on.
#[inline(always)]
fn part<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&bytes[at..at + N]);
    out
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

/// Bits of the half-precision number at byte `at`.
#[inline(always)]
fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(part(bytes, at))
}

/// The twelve bytes of 6-bit scale and offset factors that Q4_K and Q5_K share.
#[inline(always)]
fn six_bit_factors(packed: [u8; 12]) -> ([u8; 16], [u8; 8]) {
    let (mut scales, mut offsets) = ([0; 16], [0; 8]);
    for j in 0..4 {
        (scales[j], offsets[j]) = (packed[j] & 63, packed[j + 4] & 63);
        scales[j + 4] = (packed[j + 8] & 15) | (packed[j] >> 6) << 4;
        offsets[j + 4] = (packed[j + 8] >> 4) | (packed[j + 4] >> 6) << 4;
    }
    (scales, offsets)
}

#[inline(always)]
fn q4_k(bytes: &[u8]) -> Nested {
    let (scale_factors, offset_factors) = six_bit_factors(part(bytes, 4));
    let mut q = [0; 256];
    for j in 0..4 {
        let packed: [u8; 32] = part(bytes, 16 + 32 * j);
        for i in 0..32 {
            q[64 * j + i] = packed[i] & 15;
            q[64 * j + 32 + i] = packed[i] >> 4;
        }
    }
    let (scale, offset) = (half(bytes, 0), half(bytes, 2) ^ 0x8000);
    Nested { q, scale, offset, scale_factors, offset_factors }
}

#[inline(always)]
fn q5_k(bytes: &[u8]) -> Nested {
    let (scale_factors, offset_factors) = six_bit_factors(part(bytes, 4));
    let fifths: [u8; 32] = part(bytes, 16);
    let mut q = [0; 256];
    for j in 0..4 {
        let packed: [u8; 32] = part(bytes, 48 + 32 * j);
        for i in 0..32 {
            q[64 * j + i] = (packed[i] & 15) | ((fifths[i] >> (2 * j)) & 1) << 4;
            q[64 * j + 32 + i] = (packed[i] >> 4) | ((fifths[i] >> (2 * j + 1)) & 1) << 4;
        }
    }
    let (scale, offset) = (half(bytes, 0), half(bytes, 2) ^ 0x8000);
    Nested { q, scale, offset, scale_factors, offset_factors }
}

#[inline(always)]
fn q6_k(bytes: &[u8]) -> Nested {
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
    let scale = half(bytes, 208);
    Nested { q, scale, offset: 0, scale_factors: part(bytes, 192), offset_factors: [0; 8] }
}
