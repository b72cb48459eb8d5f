//! Panels of weight rows times activation rows: the loops that every instruction set shares.

use super::format::{Format, GROUP, Layout, NESTED_GROUPS};
use super::lanes::Lanes;

/// Activation rows that one pass over a panel serves: their sums stay in the L1 cache.
pub(super) const TOKENS: usize = 64;
/// How far ahead of its use a weight is asked for, in bytes.
const AHEAD: usize = 4096;
/// Lanes of the widest instruction set.
pub(super) const MOST_ROWS: usize = 16;

/// A share of a matrix product. The pointers are good for what the counts say.
pub(super) struct Work {
    /// The first panel.
    pub panels: *const u8,
    /// Bytes from panel to panel.
    pub panel_bytes: usize,
    /// How many panels.
    pub count: usize,
    /// Weight rows of these panels; the last panel may be padded.
    pub rows: usize,
    /// Groups of a row.
    pub groups: usize,
    /// Activations `[groups, tokens]`.
    pub x: Columns,
    /// Activation rows.
    pub tokens: usize,
    /// Where the first token's result for the first row goes.
    pub out: *mut f32,
    /// Floats from token to token in `out`.
    pub out_stride: usize,
}

/// Quantised activations, each `[groups, tokens]`.
#[derive(Clone, Copy)]
pub(super) struct Columns {
    /// 32 numbers each.
    pub q: *const i8,
    /// The scale.
    pub scales: *const f32,
    /// scale · Σ q.
    pub sums: *const f32,
    /// Σ q over both halves together, and over each: three numbers each.
    pub counts: *const [i32; 3],
}

/// Multiplies every panel with every token.
///
/// # Safety
/// As [`Lanes`] says, and the pointers of `work` must be good; nobody else may write its part of `out`.
#[inline(always)]
pub(super) unsafe fn multiply<L: Lanes, F: Format>(work: &Work) {
    let mut sums = [0f32; 2 * TOKENS * MOST_ROWS];
    let mut first = 0;
    while first < work.tokens {
        let count = if work.tokens - first < TOKENS { work.tokens - first } else { TOKENS };
        let mut panel = 0;
        while panel < work.count {
            // SAFETY: panel, token and row lie within the counts of `work`; `sums` holds two runs of TOKENS
            // times at most MOST_ROWS floats.
            unsafe {
                let weights = work.panels.add(panel * work.panel_bytes);
                if count == 1 {
                    one_token::<L, F>(weights, work, first, sums.as_mut_ptr());
                } else {
                    many_tokens::<L, F>(weights, work, first, count, &mut sums);
                }
                let row = panel * L::LANES;
                let rows = if work.rows - row < L::LANES { work.rows - row } else { L::LANES };
                let mut token = 0;
                while token < count {
                    let out = work.out.add((first + token) * work.out_stride + row);
                    let sums = sums.as_ptr().add(token * L::LANES);
                    if rows == L::LANES {
                        L::write(out, L::read(sums));
                    } else {
                        std::ptr::copy_nonoverlapping(sums, out, rows);
                    }
                    token += 1;
                }
            }
            panel += 1;
        }
        first += count;
    }
}

/// A group's numbers, scales (of both halves, or the first alone) and offsets, of every row.
struct Group<L: Lanes> {
    q: [L::Bytes; 8],
    scales: [L::Floats; 2],
    offset: L::Floats,
}

/// The f16 scales (and offsets) of a block.
#[inline(always)]
unsafe fn heads<L: Lanes>(at: *const u8, layout: &Layout) -> [L::Floats; 2] {
    // SAFETY: a block begins with its f16 numbers.
    unsafe {
        let scale = L::read_f16(at.cast());
        [scale, if layout.offsets { L::read_f16(at.add(2 * L::LANES).cast()) } else { scale }]
    }
}

/// Group `index` of a block whose heads were read; `factors` are its 8-bit factors.
#[inline(always)]
unsafe fn group<L: Lanes>(
    numbers: *const u8,
    [scale, offset]: [L::Floats; 2],
    factors: *const u8,
    layout: &Layout,
) -> Group<L> {
    // SAFETY: the caller's pointers are good for a group.
    unsafe {
        let q = unpack::<L>(numbers, layout.bits);
        if !layout.nested {
            return Group { q, scales: [scale; 2], offset };
        }
        let second = factors.add(L::LANES);
        if layout.halves {
            let scales = [
                L::mul(scale, L::read_i8(factors.cast())),
                L::mul(scale, L::read_i8(second.cast())),
            ];
            return Group { q, scales, offset };
        }
        let scale = L::mul(scale, L::unsigned(factors));
        let offset = if layout.offsets { L::mul(offset, L::unsigned(second)) } else { offset };
        Group { q, scales: [scale; 2], offset }
    }
}

/// The numbers of a group, four columns in each vector.
#[inline(always)]
unsafe fn unpack<L: Lanes>(at: *const u8, bits: usize) -> [L::Bytes; 8] {
    let step = 4 * L::LANES;
    // SAFETY: a group holds `bits` such vectors.
    unsafe {
        let mut q = [L::load(at); 8];
        if bits == 8 {
            for (i, q) in q.iter_mut().enumerate().skip(1) {
                *q = L::load(at.add(i * step));
            }
            return q;
        }
        for i in 0..4 {
            let packed = L::load(at.add(i * step));
            q[i] = L::low(packed);
            q[4 + i] = L::high(packed);
        }
        if bits == 5 {
            let plane = L::load(at.add(4 * step));
            for (i, q) in q.iter_mut().enumerate() {
                *q = L::with_bits(*q, plane, i as u32, 1);
            }
        }
        if bits == 6 {
            for half in 0..2 {
                let plane = L::load(at.add((4 + half) * step));
                for i in 0..4 {
                    q[4 * half + i] = L::with_bits(q[4 * half + i], plane, 2 * i as u32, 3);
                }
            }
        }
        q
    }
}

/// Adds a group's products with the activations at `at` to the two sums: the second takes what the second half
/// or the offset brings.
#[inline(always)]
unsafe fn accumulate<L: Lanes, F: Format>(
    group: &Group<L>,
    x: &Columns,
    at: usize,
    [mut sum, mut second]: [L::Floats; 2],
) -> [L::Floats; 2] {
    let layout = F::LAYOUT;
    // SAFETY: `at` lies within the activations.
    unsafe {
        let q = x.q.add(at * GROUP);
        let scale = L::splat(*x.scales.add(at));
        let [whole, low, high] = *x.counts.add(at);
        if layout.halves {
            let [a, b, c, d, e, f, g, h] = group.q;
            let mut first = L::dot(&[a, b, c, d], q, layout.bits);
            let mut last = L::dot(&[e, f, g, h], q.add(GROUP / 2), layout.bits);
            if let Some(zero) = layout.zero {
                first = L::subtract(first, low, zero);
                last = L::subtract(last, high, zero);
            }
            let [first_scale, last_scale] = group.scales;
            sum = L::add(sum, L::mul(L::to_floats(first), L::mul(first_scale, scale)));
            second = L::add(second, L::mul(L::to_floats(last), L::mul(last_scale, scale)));
            return [sum, second];
        }
        let mut products = L::dot(&group.q, q, layout.bits);
        let zero = if layout.bits == 8 { L::BYTE_ZERO } else { layout.zero };
        if let Some(zero) = zero {
            products = L::subtract(products, whole, zero);
        }
        sum = L::add(sum, L::mul(L::to_floats(products), L::mul(group.scales[0], scale)));
        if layout.offsets {
            second = L::add(second, L::mul(group.offset, L::splat(*x.sums.add(at))));
        }
        [sum, second]
    }
}

/// Calls `$body` with each group of a panel as `$group` and its index as `$index`.
macro_rules! each_group {
    ($lanes:ident, $format:ident, $weights:expr, $work:expr, |$index:ident, $group:ident| $body:expr) => {{
        let layout = $format::LAYOUT;
        let group_bytes = layout.group_bytes($lanes::LANES);
        let per_block = if layout.nested { NESTED_GROUPS } else { 1 };
        let mut numbers: *const u8 = $weights;
        let mut scales = numbers.add($work.groups * group_bytes);
        let mut first = 0;
        while first < $work.groups {
            let heads = heads::<$lanes>(scales, &layout);
            let mut factors = scales.add(layout.head_bytes($lanes::LANES));
            let mut i = 0;
            while i < per_block {
                let $group = group::<$lanes>(numbers, heads, factors, &layout);
                let $index = first + i;
                $body;
                numbers = numbers.add(group_bytes);
                factors = factors.add(layout.factor_bytes($lanes::LANES));
                i += 1;
            }
            scales = scales.add(layout.scale_bytes($lanes::LANES));
            first += per_block;
        }
    }};
}

/// Token number `token` times one panel: the sums stay in registers.
#[inline(always)]
unsafe fn one_token<L: Lanes, F: Format>(
    weights: *const u8,
    work: &Work,
    token: usize,
    out: *mut f32,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [L::splat(0.0); 2];
        let group_bytes = F::LAYOUT.group_bytes(L::LANES);
        each_group!(L, F, weights, work, |index, group| {
            let ahead = weights.wrapping_add(index * group_bytes + AHEAD);
            let mut line = 0;
            while line < group_bytes {
                L::prefetch(ahead.wrapping_add(line));
                line += 64;
            }
            sums = accumulate::<L, F>(&group, &work.x, index * work.tokens + token, sums);
        });
        let two = F::LAYOUT.offsets || F::LAYOUT.halves;
        L::write(out, if two { L::add(sums[0], sums[1]) } else { sums[0] });
    }
}

/// `count` tokens from `first` on times one panel: a group is unpacked once for all of them.
#[inline(always)]
unsafe fn many_tokens<L: Lanes, F: Format>(
    weights: *const u8,
    work: &Work,
    first: usize,
    count: usize,
    sums: &mut [f32; 2 * TOKENS * MOST_ROWS],
) {
    let two = F::LAYOUT.offsets || F::LAYOUT.halves;
    let sums = sums.as_mut_ptr();
    // SAFETY: as the caller says; `count` is at most TOKENS.
    unsafe {
        let seconds = sums.add(TOKENS * MOST_ROWS);
        let zero = L::splat(0.0);
        let mut token = 0;
        while token < count {
            L::write(sums.add(token * L::LANES), zero);
            L::write(seconds.add(token * L::LANES), zero);
            token += 1;
        }
        each_group!(L, F, weights, work, |index, group| {
            let at = index * work.tokens + first;
            let mut token = 0;
            while token < count {
                let (sum, second) = (sums.add(token * L::LANES), seconds.add(token * L::LANES));
                let before = [L::read(sum), if two { L::read(second) } else { zero }];
                let after = accumulate::<L, F>(&group, &work.x, at + token, before);
                L::write(sum, after[0]);
                if two {
                    L::write(second, after[1]);
                }
                token += 1;
            }
        });
        if two {
            let mut token = 0;
            while token < count {
                let (sum, second) = (sums.add(token * L::LANES), seconds.add(token * L::LANES));
                L::write(sum, L::add(L::read(sum), L::read(second)));
                token += 1;
            }
        }
    }
}
