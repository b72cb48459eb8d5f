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

impl Unpack {
    /// Unpacks a row whose arrays already have their lengths.
    #[inline(always)]
    pub(super) fn run(self, bytes: &[u8], row: &mut Row) {
        match self {
            Unpack::Q4_0 => small::<18>(bytes, row, |b, q| {
                nibbles(&b[2..], q);
                let d = float(b, 0);
                (d, -8.0 * d)
            }),
            Unpack::Q4_1 => small::<20>(bytes, row, |b, q| {
                nibbles(&b[4..], q);
                (float(b, 0), float(b, 2))
            }),
            Unpack::Q5_0 => small::<22>(bytes, row, |b, q| {
                nibbles(&b[6..], q);
                fifth_bits(u32::from_le_bytes([b[2], b[3], b[4], b[5]]), q);
                let d = float(b, 0);
                (d, -16.0 * d)
            }),
            Unpack::Q5_1 => small::<24>(bytes, row, |b, q| {
                nibbles(&b[8..], q);
                fifth_bits(u32::from_le_bytes([b[4], b[5], b[6], b[7]]), q);
                (float(b, 0), float(b, 2))
            }),
            Unpack::Q8_0 => small::<34>(bytes, row, |b, q| {
                q.copy_from_slice(&b[2..34]);
                (float(b, 0), 0.0)
            }),
            Unpack::Q4K => super_blocks::<144, 8>(bytes, row, q4_k),
            Unpack::Q5K => super_blocks::<176, 8>(bytes, row, q5_k),
            Unpack::Q6K => super_blocks::<210, 16>(bytes, row, q6_k),
        }
    }
}

/// Blocks of 32 numbers with one scale and one offset.
#[inline(always)]
fn small<const BYTES: usize>(
    bytes: &[u8],
    row: &mut Row,
    block: impl Fn(&[u8; BYTES], &mut [u8; 32]) -> (f32, f32),
) {
    let blocks = bytes.as_chunks::<BYTES>().0.iter().zip(row.q.as_chunks_mut::<32>().0);
    for ((bytes, q), (scale, offset)) in blocks.zip(row.scales.iter_mut().zip(&mut row.offsets)) {
        (*scale, *offset) = block(bytes, q);
    }
}

/// Blocks of 256 numbers with `GROUPS` scales and offsets.
#[inline(always)]
fn super_blocks<const BYTES: usize, const GROUPS: usize>(
    bytes: &[u8],
    row: &mut Row,
    block: impl Fn(&[u8; BYTES], &mut [u8; 256], &mut [f32; GROUPS], &mut [f32; GROUPS]),
) {
    let blocks = bytes.as_chunks::<BYTES>().0.iter().zip(row.q.as_chunks_mut::<256>().0);
    let scales = row.scales.as_chunks_mut::<GROUPS>().0.iter_mut();
    let offsets = row.offsets.as_chunks_mut::<GROUPS>().0;
    for ((bytes, q), (scales, offsets)) in blocks.zip(scales.zip(offsets)) {
        block(bytes, q, scales, offsets);
    }
}

/// The half-precision number at byte `at`: exact for all finite values, without a branch.
#[inline(always)]
fn float(bytes: &[u8], at: usize) -> f32 {
    let bits = u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    // The exponent's bias changes from 15 to 127: a product with 2^112.
    let magnitude = f32::from_bits((bits & 0x7fff) << 13) * f32::from_bits(0x7780_0000);
    f32::from_bits(magnitude.to_bits() | (bits & 0x8000) << 16)
}

/// Sixteen bytes: low halves are numbers 0..16, high halves numbers 16..32.
#[inline(always)]
fn nibbles(packed: &[u8], q: &mut [u8; 32]) {
    let (low, high) = q.split_at_mut(16);
    for ((packed, low), high) in packed[..16].iter().zip(low).zip(high) {
        *low = packed & 15;
        *high = packed >> 4;
    }
}

/// Bit i of `bits` is the fifth bit of number i.
#[inline(always)]
fn fifth_bits(bits: u32, q: &mut [u8; 32]) {
    let bytes = bits.to_le_bytes();
    for (i, q) in q.iter_mut().enumerate() {
        *q |= ((bytes[i / 8] >> (i % 8)) & 1) << 4;
    }
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
fn six_bit_groups(bytes: &[u8], scales: &mut [f32; 8], offsets: &mut [f32; 8]) {
    let (d, least) = (float(bytes, 0), float(bytes, 2));
    for (j, (scale, offset)) in scales.iter_mut().zip(offsets).enumerate() {
        let (s, m) = six_bits(&bytes[4..16], j);
        (*scale, *offset) = (d * s, -least * m);
    }
}

#[inline(always)]
fn q4_k(bytes: &[u8; 144], q: &mut [u8; 256], scales: &mut [f32; 8], offsets: &mut [f32; 8]) {
    six_bit_groups(bytes, scales, offsets);
    for (packed, q) in bytes[16..].chunks_exact(32).zip(q.as_chunks_mut::<64>().0) {
        let (low, high) = q.split_at_mut(32);
        for ((packed, low), high) in packed.iter().zip(low).zip(high) {
            *low = packed & 15;
            *high = packed >> 4;
        }
    }
}

#[inline(always)]
fn q5_k(bytes: &[u8; 176], q: &mut [u8; 256], scales: &mut [f32; 8], offsets: &mut [f32; 8]) {
    six_bit_groups(bytes, scales, offsets);
    let fifths = &bytes[16..48];
    for (j, packed) in bytes[48..].chunks_exact(32).enumerate() {
        let (low, high) = q[64 * j..64 * j + 64].split_at_mut(32);
        for (((packed, fifth), low), high) in packed.iter().zip(fifths).zip(low).zip(high) {
            *low = (packed & 15) | ((fifth >> (2 * j)) & 1) << 4;
            *high = (packed >> 4) | ((fifth >> (2 * j + 1)) & 1) << 4;
        }
    }
}

#[inline(always)]
fn q6_k(bytes: &[u8; 210], q: &mut [u8; 256], scales: &mut [f32; 16], offsets: &mut [f32; 16]) {
    let d = float(bytes, 208);
    for ((scale, offset), byte) in scales.iter_mut().zip(offsets).zip(&bytes[192..208]) {
        *scale = d * f32::from(*byte as i8);
        *offset = -32.0 * *scale;
    }
    for half in 0..2 {
        let low = &bytes[64 * half..64 * half + 64];
        let high = &bytes[128 + 32 * half..128 + 32 * half + 32];
        let q = &mut q[128 * half..128 * half + 128];
        for i in 0..32 {
            q[i] = (low[i] & 15) | (high[i] & 3) << 4;
            q[32 + i] = (low[32 + i] & 15) | ((high[i] >> 2) & 3) << 4;
            q[64 + i] = (low[i] >> 4) | ((high[i] >> 4) & 3) << 4;
            q[96 + i] = (low[32 + i] >> 4) | (high[i] >> 6) << 4;
        }
    }
}
