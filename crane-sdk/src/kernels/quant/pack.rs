//! Rows of ggml blocks to panels, and a packed row back to floats.

use super::format::{GROUP, Kind, Layout, NESTED_GROUPS};
use super::unpack::{Nested, Small, float, nested, small};

/// Writes a row's blocks into lane `lane` of `panel`, which has `rows` lanes.
pub(super) fn pack_row(
    kind: Kind,
    row: &[u8],
    block_bytes: usize,
    panel: &mut [u8],
    lane: usize,
    rows: usize,
) {
    let layout = kind.layout();
    let blocks = row.len() / block_bytes;
    let (group_bytes, per_block) = (layout.group_bytes(rows), layout.columns() / GROUP);
    let (numbers, scales) = panel.split_at_mut(blocks * per_block * group_bytes);
    let numbers = numbers.chunks_exact_mut(per_block * group_bytes);
    let scales = scales.chunks_exact_mut(layout.scale_bytes(rows));
    for (block, (numbers, scales)) in row.chunks_exact(block_bytes).zip(numbers.zip(scales)) {
        let (head, factors) = scales.split_at_mut(layout.head_bytes(rows));
        if layout.nested {
            let Nested { q, scale, offset, scale_factors, offset_factors } = nested(kind, block);
            put_heads(head, [scale, offset], lane, rows);
            let groups = numbers.chunks_exact_mut(group_bytes);
            let factors = factors.chunks_exact_mut(layout.factor_bytes(rows));
            for (j, (group, factors)) in groups.zip(factors).enumerate() {
                if let Some(q) = q.as_chunks::<GROUP>().0.get(j) {
                    put_numbers(group, q, lane, rows, layout.bits);
                }
                if layout.halves {
                    factors[lane] = scale_factors[2 * j];
                    factors[rows + lane] = scale_factors[2 * j + 1];
                } else {
                    factors[lane] = scale_factors[j];
                    factors[rows + lane] = offset_factors[j];
                }
            }
        } else {
            let Small { q, scale, offset } = small(kind, block);
            put_heads(head, [scale, offset], lane, rows);
            put_numbers(numbers, &q, lane, rows, layout.bits);
        }
    }
}

fn put_heads(head: &mut [u8], values: [u16; 2], lane: usize, rows: usize) {
    // Layouts without offsets have room for the scales alone.
    for (chunk, value) in head.chunks_exact_mut(2 * rows).zip(values) {
        chunk[2 * lane..2 * lane + 2].copy_from_slice(&value.to_le_bytes());
    }
}

/// Writes the numbers of one row of a group, four columns to each of its vectors.
#[inline(always)]
fn put_numbers(group: &mut [u8], q: &[u8; GROUP], lane: usize, rows: usize, bits: usize) {
    let mut put = |vector: usize, bytes: [u8; 4]| {
        let at = 4 * (vector * rows + lane);
        group[at..at + 4].copy_from_slice(&bytes);
    };
    let (fours, _) = q.as_chunks::<4>();
    if bits == 8 {
        fours.iter().enumerate().for_each(|(i, four)| put(i, *four));
        return;
    }
    let word = |i: usize| u32::from_le_bytes(fours[i]);
    const LOW: u32 = 0x0f0f_0f0f;
    for i in 0..4 {
        put(i, ((word(i) & LOW) | (word(4 + i) & LOW) << 4).to_le_bytes());
    }
    if bits == 5 {
        let plane = (0..8).fold(0, |plane, i| plane | ((word(i) >> 4) & 0x0101_0101) << i);
        put(4, plane.to_le_bytes());
    }
    if bits == 6 {
        for half in 0..2 {
            let two = |i: usize| (word(4 * half + i) >> 4) & 0x0303_0303;
            let plane = (0..4).fold(0, |plane, i| plane | two(i) << (2 * i));
            put(4 + half, plane.to_le_bytes());
        }
    }
}

/// Reads lane `lane` of `panel` as floats, the same as ggml's own expansion gives.
pub(super) fn unpack_row(layout: &Layout, panel: &[u8], lane: usize, rows: usize, out: &mut [f32]) {
    let groups = out.len() / GROUP;
    let (group_bytes, per_block) = (layout.group_bytes(rows), layout.columns() / GROUP);
    let (numbers, scales) = panel.split_at(groups * group_bytes);
    let out = out.as_chunks_mut::<GROUP>().0;
    for (index, (out, numbers)) in out.iter_mut().zip(numbers.chunks_exact(group_bytes)).enumerate()
    {
        let (block, j) = (index / per_block, index % per_block);
        let scales = &scales[block * layout.scale_bytes(rows)..];
        let scale = float(scales, 2 * lane);
        let mut pair = [scale; 2];
        let mut offset = if layout.offsets { float(scales, 2 * (rows + lane)) } else { 0.0 };
        if layout.nested {
            debug_assert!(j < NESTED_GROUPS);
            let factors = &scales[layout.head_bytes(rows) + j * layout.factor_bytes(rows)..];
            if layout.halves {
                let signed = |at: usize| f32::from(factors[at].cast_signed());
                pair = [scale * signed(lane), scale * signed(rows + lane)];
            } else {
                pair = [scale * f32::from(factors[lane]); 2];
                offset *= f32::from(factors[rows + lane]);
            }
        }
        let zero = layout.zero.map_or(0, |zero| 1i32 << zero);
        for (i, out) in out.iter_mut().enumerate() {
            let q = number(numbers, i, lane, rows, layout.bits) - zero;
            *out = q as f32 * pair[i / 16] + offset;
        }
    }
}

/// Number `column` of a row within a packed group.
fn number(group: &[u8], column: usize, lane: usize, rows: usize, bits: usize) -> i32 {
    let byte = |vector: usize| group[4 * (vector * rows + lane) + column % 4];
    let four = column / 4;
    if bits == 8 {
        return i32::from(byte(four).cast_signed());
    }
    let low = byte(four % 4) >> (4 * (four / 4)) & 15;
    let high = match bits {
        5 => byte(4) >> four & 1,
        6 => byte(4 + four / 4) >> (2 * (four % 4)) & 3,
        _ => 0,
    };
    i32::from(low | high << 4)
}
