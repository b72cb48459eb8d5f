//! Panels of weight rows times activation rows: the loops that every instruction set shares.

use super::format::{Format, GROUP, Layout, NESTED_GROUPS};
use super::lanes::Lanes;

/// Activation rows that one pass over a panel serves: their sums stay in the L1 cache.
pub(super) const TOKENS: usize = 64;
/// How far ahead of its use a weight is asked for, in bytes.
const AHEAD: usize = 8192;
/// The same where only a read can ask: a read that waits holds up what comes after it, so it is nearer.
const READ_AHEAD: usize = 2048;
/// Lanes of the widest instruction set.
pub(super) const MOST_ROWS: usize = 16;

/// A share of a matrix product. The pointers are good for what the counts say.
pub(super) struct Work<'a> {
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
    /// What is added to the result of each row.
    pub bias: Option<&'a [f32]>,
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
    /// What products start from.
    pub starts: *const Starts,
}

/// −2^zero · Σ q for each zero that a format has: what is taken from every number of a row is taken from
/// the products at once.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
pub(super) struct Starts {
    /// −8 · Σ q.
    three: i32,
    /// −16 · Σ q.
    four: i32,
    /// −128 · Σ q.
    seven: i32,
    /// −32 · Σ q of each half.
    halves: [i32; 2],
}

impl Starts {
    /// Of a group whose halves have the sums `low` and `high`.
    pub(super) fn new(low: i32, high: i32) -> Self {
        let all = low + high;
        Self {
            three: -8 * all,
            four: -16 * all,
            seven: -128 * all,
            halves: [-32 * low, -32 * high],
        }
    }
}

/// Multiplies every panel with every token.
///
/// # Safety
/// As [`Lanes`] says, and the pointers of `work` must be good; nobody else may write its part of `out`.
#[inline(always)]
pub(super) unsafe fn multiply<L: Lanes, F: Format>(work: &Work<'_>) {
    let mut sums = [0f32; 2 * TOKENS * MOST_ROWS];
    let mut first = 0;
    while first < work.tokens {
        let count = if work.tokens - first < TOKENS { work.tokens - first } else { TOKENS };
        let mut panel = 0;
        while panel < work.count {
            // Two panels need as many registers again.
            let pair = L::LANES == 16 && count > 1 && work.count - panel > 1;
            let panels = if pair { 2 } else { 1 };
            // SAFETY: panel, token and row lie within the counts of `work`; `sums` holds TOKENS times two times at
            // most MOST_ROWS floats; a bias has as many numbers as there are rows.
            unsafe {
                let weights = work.panels.add(panel * work.panel_bytes);
                if pair {
                    many_tokens::<L, F, 2>(weights, work, first, count, &mut sums);
                } else if count > 1 {
                    many_tokens::<L, F, 1>(weights, work, first, count, &mut sums);
                } else {
                    one_token::<L, F>(weights, work, first, sums.as_mut_ptr());
                }
                let row = panel * L::LANES;
                let lanes = panels * L::LANES;
                let rows = if work.rows - row < lanes { work.rows - row } else { lanes };
                let bias = work.bias.map_or(std::ptr::null(), |bias| bias.as_ptr().add(row));
                let mut token = 0;
                while token < count {
                    let out = work.out.add((first + token) * work.out_stride + row);
                    let sums = sums.as_ptr().add(token * lanes);
                    if bias.is_null() {
                        std::ptr::copy_nonoverlapping(sums, out, rows);
                    } else {
                        let mut i = 0;
                        while i < rows {
                            *out.add(i) = *sums.add(i) + *bias.add(i);
                            i += 1;
                        }
                    }
                    token += 1;
                }
            }
            panel += panels;
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

// Derived, they would ask for an instruction set that can be copied.
impl<L: Lanes> Clone for Group<L> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<L: Lanes> Copy for Group<L> {}

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

/// Adds the products of a group of each panel with the activations at `at` to the panels' sums.
#[inline(always)]
unsafe fn accumulate<L: Lanes, F: Format, const P: usize>(
    groups: &[Group<L>; P],
    x: &Columns,
    at: usize,
    mut sums: [L::Floats; P],
) -> [L::Floats; P] {
    let layout = F::LAYOUT;
    // SAFETY: `at` lies within the activations.
    unsafe {
        let q = x.q.add(at * GROUP);
        let starts = x.starts.add(at);
        let mut p = 0;
        if layout.halves {
            let [low, high] = (*starts).halves;
            let low = products::<L, 4, P>(low, groups, 0, q, layout.bits);
            let high = products::<L, 4, P>(high, groups, 4, q.add(GROUP / 2), layout.bits);
            while p < P {
                sums[p] = add_halves::<L>(&groups[p], [low[p], high[p]], x, at, sums[p]);
                p += 1;
            }
            return sums;
        }
        let products = products::<L, 8, P>(start::<L, F>(starts), groups, 0, q, layout.bits);
        while p < P {
            sums[p] = add_scaled::<L, F>(&groups[p], products[p], x, at, sums[p]);
            p += 1;
        }
        sums
    }
}

/// [`accumulate`] of one panel with the activations of two tokens, at `at` and after it.
#[inline(always)]
unsafe fn accumulate_tokens<L: Lanes, F: Format>(
    group: &Group<L>,
    x: &Columns,
    at: usize,
    sums: [L::Floats; 2],
) -> [L::Floats; 2] {
    let layout = F::LAYOUT;
    let [q0, q1, q2, q3, q4, q5, q6, q7] = group.q;
    // SAFETY: both lie within the activations.
    unsafe {
        let q = [x.q.add(at * GROUP), x.q.add((at + 1) * GROUP)];
        let starts = [x.starts.add(at), x.starts.add(at + 1)];
        if layout.halves {
            let [first, second] = [(*starts[0]).halves, (*starts[1]).halves];
            let behind = [q[0].add(GROUP / 2), q[1].add(GROUP / 2)];
            let (low, high) = ([first[0], second[0]], [first[1], second[1]]);
            let low = L::dot_tokens::<4>(low, &[q0, q1, q2, q3], q, layout.bits);
            let high = L::dot_tokens::<4>(high, &[q4, q5, q6, q7], behind, layout.bits);
            return [
                add_halves::<L>(group, [low[0], high[0]], x, at, sums[0]),
                add_halves::<L>(group, [low[1], high[1]], x, at + 1, sums[1]),
            ];
        }
        let first = [start::<L, F>(starts[0]), start::<L, F>(starts[1])];
        let products = L::dot_tokens::<8>(first, &group.q, q, layout.bits);
        [
            add_scaled::<L, F>(group, products[0], x, at, sums[0]),
            add_scaled::<L, F>(group, products[1], x, at + 1, sums[1]),
        ]
    }
}

/// What the products of a group start from.
#[inline(always)]
unsafe fn start<L: Lanes, F: Format>(starts: *const Starts) -> i32 {
    let layout = F::LAYOUT;
    // SAFETY: as the caller says.
    unsafe {
        match if layout.bits == 8 { L::BYTE_ZERO } else { layout.zero } {
            None => 0,
            Some(3) => (*starts).three,
            Some(4) => (*starts).four,
            Some(_) => (*starts).seven,
        }
    }
}

/// `sum` and a group's products with the activations at `at`, scaled.
#[inline(always)]
unsafe fn add_scaled<L: Lanes, F: Format>(
    group: &Group<L>,
    products: L::Ints,
    x: &Columns,
    at: usize,
    sum: L::Floats,
) -> L::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let scale = L::mul(group.scales[0], L::splat(*x.scales.add(at)));
        let sum = L::add(sum, L::mul(L::to_floats(products), scale));
        if F::LAYOUT.offsets {
            return L::add(sum, L::mul(group.offset, L::splat(*x.sums.add(at))));
        }
        sum
    }
}

/// [`add_scaled`] where halves of a group have scales of their own.
#[inline(always)]
unsafe fn add_halves<L: Lanes>(
    group: &Group<L>,
    [low, high]: [L::Ints; 2],
    x: &Columns,
    at: usize,
    sum: L::Floats,
) -> L::Floats {
    let [first, last] = group.scales;
    // SAFETY: as the caller says.
    unsafe {
        let scale = L::splat(*x.scales.add(at));
        let low = L::mul(L::to_floats(low), L::mul(first, scale));
        let high = L::mul(L::to_floats(high), L::mul(last, scale));
        L::add(L::add(sum, low), high)
    }
}

/// `first` and the products of `N` vectors of each group, from number `from` on, with `x`.
#[inline(always)]
unsafe fn products<L: Lanes, const N: usize, const P: usize>(
    first: i32,
    groups: &[Group<L>; P],
    from: usize,
    x: *const i8,
    bits: usize,
) -> [L::Ints; P] {
    // SAFETY: as the caller says.
    unsafe {
        let mut w = [[groups[0].q[0]; N]; P];
        let mut p = 0;
        while p < P {
            let mut i = 0;
            while i < N {
                w[p][i] = groups[p].q[from + i];
                i += 1;
            }
            p += 1;
        }
        if P == 2 {
            let pair = L::dot_pair(first, [&w[0], &w[P - 1]], x, bits);
            let mut out = [pair[0]; P];
            out[P - 1] = pair[1];
            out
        } else {
            [L::dot(first, &w[0], x, bits); P]
        }
    }
}

/// Calls `$body` with each group of `$panels` panels as `$groups` and its index as `$index`.
macro_rules! each_group {
    ($lanes:ident, $format:ident, $panels:expr, $weights:expr, $work:expr, |$index:ident, $groups:ident| $body:expr) => {{
        let layout = $format::LAYOUT;
        let group_bytes = layout.group_bytes($lanes::LANES);
        let per_block = if layout.nested { NESTED_GROUPS } else { 1 };
        let mut numbers: *const u8 = $weights;
        let mut scales = numbers.add($work.groups * group_bytes);
        let mut first = 0;
        while first < $work.groups {
            let mut blocks = [heads::<$lanes>(scales, &layout); $panels];
            if $panels > 1 {
                blocks[$panels - 1] = heads::<$lanes>(scales.add($work.panel_bytes), &layout);
            }
            let mut factors = scales.add(layout.head_bytes($lanes::LANES));
            let mut i = 0;
            while i < per_block {
                let mut $groups = [group::<$lanes>(numbers, blocks[0], factors, &layout); $panels];
                if $panels > 1 {
                    let (numbers, factors) =
                        (numbers.add($work.panel_bytes), factors.add($work.panel_bytes));
                    $groups[$panels - 1] =
                        group::<$lanes>(numbers, blocks[$panels - 1], factors, &layout);
                }
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

/// Asks for the `len` bytes that come [`AHEAD`] of `at`, or where that takes a read, [`READ_AHEAD`]: what is read once comes
/// from far away, and the processor by itself does not look beyond a page. Several tokens give it time enough for reads.
#[inline(always)]
unsafe fn ask_ahead<L: Lanes>(work: &Work<'_>, at: *const u8, len: usize) {
    if L::READS_AHEAD {
        let ahead = at.wrapping_add(READ_AHEAD);
        let end = work.panels.wrapping_add(work.count * work.panel_bytes);
        if work.tokens == 1 && ahead.wrapping_add(len) < end {
            let mut line = 0;
            while line < len {
                // SAFETY: the byte lies in the panels. Volatile, since nobody uses it.
                unsafe { ahead.add(line).read_volatile() };
                line += 64;
            }
        }
        return;
    }
    let ahead = at.wrapping_add(AHEAD);
    let mut line = 0;
    while line < len {
        // SAFETY: a prefetch may go anywhere.
        unsafe { L::prefetch(ahead.wrapping_add(line)) };
        line += 64;
    }
}

/// Token number `token` times one panel: the sum stays in a register.
#[inline(always)]
unsafe fn one_token<L: Lanes, F: Format>(
    weights: *const u8,
    work: &Work<'_>,
    token: usize,
    out: *mut f32,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut sum = [L::splat(0.0)];
        let share = F::LAYOUT.share_bytes(L::LANES);
        each_group!(L, F, 1, weights, work, |index, groups| {
            let at = index * work.tokens + token;
            sum = accumulate::<L, F, 1>(&groups, &work.x, at, sum);
            ask_ahead::<L>(work, weights.wrapping_add(index * share), share);
        });
        L::write(out, sum[0]);
    }
}

/// `count` tokens from `first` on times `P` panels: a group is unpacked once for all of them. Leaves the sums of
/// each token side by side.
#[inline(always)]
unsafe fn many_tokens<L: Lanes, F: Format, const P: usize>(
    weights: *const u8,
    work: &Work<'_>,
    first: usize,
    count: usize,
    sums: &mut [f32; 2 * TOKENS * MOST_ROWS],
) {
    let sums = sums.as_mut_ptr();
    // SAFETY: as the caller says; `count` is at most TOKENS.
    unsafe {
        let zero = L::splat(0.0);
        let mut i = 0;
        while i < count * P {
            L::write(sums.add(i * L::LANES), zero);
            i += 1;
        }
        let share = F::LAYOUT.share_bytes(L::LANES);
        each_group!(L, F, P, weights, work, |index, groups| {
            let mut p = 0;
            while p < P {
                let panel = weights.wrapping_add(p * work.panel_bytes);
                ask_ahead::<L>(work, panel.wrapping_add(index * share), share);
                p += 1;
            }
            let at = index * work.tokens + first;
            let mut token = 0;
            while L::TOKEN_PAIRS && P == 1 && token + 1 < count {
                let at_sums = [sums.add(token * L::LANES), sums.add((token + 1) * L::LANES)];
                let now = [L::read(at_sums[0]), L::read(at_sums[1])];
                let now = accumulate_tokens::<L, F>(&groups[0], &work.x, at + token, now);
                L::write(at_sums[0], now[0]);
                L::write(at_sums[1], now[1]);
                token += 2;
            }
            while token < count {
                let sum = sums.add(token * P * L::LANES);
                let mut now = [zero; P];
                let mut p = 0;
                while p < P {
                    now[p] = L::read(sum.add(p * L::LANES));
                    p += 1;
                }
                now = accumulate::<L, F, P>(&groups, &work.x, at + token, now);
                let mut p = 0;
                while p < P {
                    L::write(sum.add(p * L::LANES), now[p]);
                    p += 1;
                }
                token += 1;
            }
        });
    }
}
