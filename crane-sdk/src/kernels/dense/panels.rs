//! Panels of dense weight rows times activation rows: the loops that every instruction set shares.

use std::cell::RefCell;

use super::super::number::{Number, Single};
use super::super::vector::Vector;

/// Rows of a panel.
pub(super) const PANEL: usize = 16;
/// Panels that are shared out together.
pub(super) const UNIT: usize = 4;
/// Columns that go through all tokens before the next: with [`UNIT`] panels they stay in the L2 cache.
const COLUMNS: usize = 512;
/// From so many tokens on, narrow weights are widened once for all of them.
const MANY: usize = 12;
/// How far ahead of its use a weight is asked for, in bytes.
const AHEAD: usize = 4096;

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
    /// Columns.
    pub width: usize,
    /// Activations, `width` for each token.
    pub x: *const f32,
    /// Floats from token to token in `x`: those of neighbours may overlap.
    pub x_stride: usize,
    /// Activation rows.
    pub tokens: usize,
    /// What sums start from, for each row; 0 if there is none.
    pub bias: Option<&'a [f32]>,
    /// Where the first token's result for the first row goes.
    pub out: *mut f32,
    /// Floats from token to token in `out`.
    pub out_stride: usize,
}

/// A few panels, some of their columns.
struct Block<T> {
    /// The first column of the first panel.
    weights: *const T,
    /// Numbers from panel to panel.
    stride: usize,
    /// The first column of the first token.
    x: *const f32,
    columns: usize,
    /// The first row, within the work's.
    row: usize,
    /// Whether sums start here.
    begins: bool,
    /// Whether weights come from far away.
    far: bool,
}

thread_local! {
    /// Widened weights: kept from call to call.
    static WIDENED: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Multiplies every panel with every token.
///
/// # Safety
/// The processor must have the instructions of `V`, and the pointers of `work` must be good; nobody else may
/// write its part of `out`.
#[inline(always)]
pub(super) unsafe fn multiply<V: Vector, N: Number>(work: &Work<'_>) {
    let mut panel = 0;
    while panel < work.count {
        let count = if work.count - panel < UNIT { work.count - panel } else { UNIT };
        // SAFETY: the panels and columns lie within the counts of `work`.
        unsafe {
            let weights = work.panels.add(panel * work.panel_bytes).cast::<N::Stored>();
            let stride = work.panel_bytes / size_of::<N::Stored>();
            let mut first = 0;
            while first < work.width {
                let left = work.width - first;
                // Few tokens read each weight once, wherever it lies: they need no blocks.
                let columns = if work.tokens < MANY || left < COLUMNS { left } else { COLUMNS };
                let weights = weights.add(first * PANEL);
                let (x, row, begins) = (work.x.add(first), panel * PANEL, first == 0);
                if work.tokens >= MANY && size_of::<N::Stored>() < size_of::<f32>() {
                    let mut wide = WIDENED.take();
                    wide.resize(UNIT * PANEL * COLUMNS, 0.0);
                    let mut p = 0;
                    while p < count {
                        let to = wide.as_mut_ptr().add(p * PANEL * columns);
                        widen::<V, N>(weights.add(p * stride), columns, to);
                        p += 1;
                    }
                    let (weights, stride) = (wide.as_ptr(), PANEL * columns);
                    let block = Block { weights, stride, x, columns, row, begins, far: false };
                    tokens::<V, Single>(work, &block, count);
                    WIDENED.set(wide);
                } else {
                    let far = work.tokens < MANY;
                    let block = Block { weights, stride, x, columns, row, begins, far };
                    tokens::<V, N>(work, &block, count);
                }
                first += columns;
            }
        }
        panel += count;
    }
}

/// `columns` columns of a panel as floats.
#[inline(always)]
unsafe fn widen<V: Vector, N: Number>(from: *const N::Stored, columns: usize, to: *mut f32) {
    let mut i = 0;
    while i < PANEL * columns {
        // SAFETY: as the caller says; a panel is a whole number of vectors.
        unsafe { V::write(to.add(i), N::read::<V>(from.add(i))) };
        i += V::LANES;
    }
}

/// Every token times a block of `panels` panels, with as many sums at a time as the registers hold.
#[inline(always)]
unsafe fn tokens<V: Vector, N: Number>(work: &Work<'_>, block: &Block<N::Stored>, panels: usize) {
    // SAFETY: as the caller says.
    unsafe {
        if V::LANES == 16 {
            // 32 registers: four panels by six tokens.
            if panels == 4 {
                rows_of::<V, N, 4, 6>(work, block, 0);
            } else {
                let mut p = 0;
                while p < panels {
                    rows_of::<V, N, 1, 6>(work, block, p);
                    p += 1;
                }
            }
        } else {
            // 16 registers: one panel by six tokens, or two by one, so that sums need not wait for each other.
            let mut p = 0;
            while p < panels {
                if V::LANES == 8 {
                    if work.tokens == 1 && panels - p >= 2 {
                        rows_of::<V, N, 4, 1>(work, block, p);
                        p += 1;
                    } else {
                        rows_of::<V, N, 2, 6>(work, block, p);
                    }
                } else {
                    rows_of::<V, N, 4, 2>(work, block, p);
                }
                p += 1;
            }
        }
    }
}

/// Every token times `W` vectors of rows from panel `panel` on, `T` tokens at a time.
#[inline(always)]
unsafe fn rows_of<V: Vector, N: Number, const W: usize, const T: usize>(
    work: &Work<'_>,
    block: &Block<N::Stored>,
    panel: usize,
) {
    let mut token = 0;
    while token < work.tokens {
        let left = work.tokens - token;
        // SAFETY: as the caller says.
        unsafe {
            if left >= T {
                tile::<V, N, W, T>(work, block, panel, token);
                token += T;
            } else if T > 4 && left >= 4 {
                tile::<V, N, W, 4>(work, block, panel, token);
                token += 4;
            } else if T > 2 && left >= 2 {
                tile::<V, N, W, 2>(work, block, panel, token);
                token += 2;
            } else {
                tile::<V, N, W, 1>(work, block, panel, token);
                token += 1;
            }
        }
    }
}

/// `T` tokens times `W` vectors of rows.
#[inline(always)]
unsafe fn tile<V: Vector, N: Number, const W: usize, const T: usize>(
    work: &Work<'_>,
    block: &Block<N::Stored>,
    panel: usize,
    token: usize,
) {
    let row = block.row + panel * PANEL;
    let lanes = W * V::LANES;
    let rows = if work.rows - row < lanes { work.rows - row } else { lanes };
    // Room for what a last, padded panel lacks.
    let mut room = [0f32; MOST_SUMS];
    // SAFETY: tokens, rows and columns lie within the counts of `work`; the room holds T times W vectors.
    unsafe {
        let out = work.out.add(token * work.out_stride + row);
        let (mut from, mut from_stride) = match work.bias {
            _ if !block.begins => (out.cast_const(), work.out_stride),
            Some(bias) => (bias.as_ptr().add(row), 0),
            None => (ZEROS.as_ptr(), 0),
        };
        let (mut to, mut to_stride) = (out, work.out_stride);
        if rows < lanes {
            to = room.as_mut_ptr();
            to_stride = lanes;
            let mut t = 0;
            while t < T {
                std::ptr::copy_nonoverlapping(from.add(t * from_stride), to.add(t * lanes), rows);
                t += 1;
            }
            from = to;
            from_stride = lanes;
        }
        let weights = block.weights.add(panel * block.stride);
        let x = block.x.add(token * work.x_stride);
        let sums = Sums { from, from_stride, to, to_stride };
        run_tile::<V, N, W, T>(weights, block, x, work.x_stride, &sums);
        if rows < lanes {
            let mut t = 0;
            while t < T {
                let to = out.add(t * work.out_stride);
                std::ptr::copy_nonoverlapping(room.as_ptr().add(t * lanes), to, rows);
                t += 1;
            }
        }
    }
}

/// The most sums of a tile: six tokens by four vectors of sixteen.
const MOST_SUMS: usize = 6 * 4 * 16;
/// What sums start from where there is no bias.
static ZEROS: [f32; 4 * 16] = [0.0; 4 * 16];

/// Where sums come from and go to, token by token.
struct Sums {
    from: *const f32,
    from_stride: usize,
    to: *mut f32,
    to_stride: usize,
}

/// The innermost loop: the sums stay in registers, so nothing here may make the compiler think of them as memory.
#[inline(always)]
unsafe fn run_tile<V: Vector, N: Number, const W: usize, const T: usize>(
    weights: *const N::Stored,
    block: &Block<N::Stored>,
    x: *const f32,
    x_stride: usize,
    sums: &Sums,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut total = [[V::splat(0.0); W]; T];
        let mut t = 0;
        while t < T {
            let mut w = 0;
            while w < W {
                total[t][w] = V::read(sums.from.add(t * sums.from_stride + w * V::LANES));
                w += 1;
            }
            t += 1;
        }
        let mut column = 0;
        while column < block.columns {
            let mut now = [V::splat(0.0); W];
            let mut w = 0;
            while w < W {
                let lane = w * V::LANES;
                let at = weights.add(lane / PANEL * block.stride + column * PANEL + lane % PANEL);
                if block.far && lane % PANEL == 0 {
                    V::prefetch(at.cast::<u8>().wrapping_add(AHEAD));
                }
                now[w] = N::read::<V>(at);
                w += 1;
            }
            let mut t = 0;
            while t < T {
                let x = V::splat(*x.add(t * x_stride + column));
                let mut w = 0;
                while w < W {
                    total[t][w] = V::mul_add(now[w], x, total[t][w]);
                    w += 1;
                }
                t += 1;
            }
            column += 1;
        }
        let mut t = 0;
        while t < T {
            let mut w = 0;
            while w < W {
                V::write(sums.to.add(t * sums.to_stride + w * V::LANES), total[t][w]);
                w += 1;
            }
            t += 1;
        }
    }
}
