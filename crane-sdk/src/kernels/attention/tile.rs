//! A few queries of heads that share keys and values, over the cache: the loops of every instruction set.
//!
//! One pass over the cache with a running maximum (Milakov and Gimelshein, 2018; Dao et al., 2022): for each
//! block of tokens scores, their exponentials, and the values weighted by them; what was summed before is
//! scaled when the maximum grows. Every sum is taken in the order of tokens, or in sixteen parts by the token's
//! number, so that a query's result does not depend on what is computed beside it, nor on the width of vectors.

use super::super::vector::{Vector, exp};
use super::blocks::{BLOCK, Layout};
use super::stored::{Element, SCALED};

/// Partial sums of exponentials: the lanes of the widest vectors.
pub(super) const SUMS: usize = 16;

/// How far ahead of their use the keys and values of a single query are asked for, in bytes: as in products, what is read
/// once comes from far away.
const AHEAD: usize = 4096;

/// Queries over a cache. The pointers are good for what the counts say.
pub(super) struct Tile {
    /// Where the head begins in each block of the cache.
    pub blocks: *const *const u8,
    pub layout: Layout,
    pub head_dim: usize,
    /// Queries; each has `group` rows, one for each head that shares the keys.
    pub queries: usize,
    pub group: usize,
    /// The position of the first query.
    pub position: usize,
    /// A query sees itself and the `window - 1` tokens before it.
    pub window: usize,
    /// The number of tokens that every query sees to the last; else each sees none behind itself.
    pub behind: Option<usize>,
    /// Rotated and scaled queries, `[rows, head_dim]`.
    pub q: *const f32,
    /// Room for scores, `[rows, BLOCK]`, and as much for weights.
    pub scores: *mut f32,
    pub weights: *mut f32,
    /// The greatest score of each row; −∞ to begin with.
    pub max: *mut f32,
    /// Sums of exponentials, `[rows, SUMS]`; 0 to begin with.
    pub sums: *mut f32,
    /// Weighted sums of values, `[rows, padded]`; 0 to begin with.
    pub out: *mut f32,
}

impl Tile {
    /// The first token that query `query` sees.
    fn first(&self, query: usize) -> usize {
        (self.position + query + 1).saturating_sub(self.window)
    }

    /// The first token that query `query` does not see any more.
    fn end(&self, query: usize) -> usize {
        self.behind.unwrap_or(self.position + query + 1)
    }
}

/// Runs a tile: `sums` and `out` are complete afterwards.
///
/// # Safety
/// The processor must have the instructions of `V`; the tile's pointers must be good.
#[inline(always)]
pub(super) unsafe fn attend<V: Vector, E: Element>(tile: &Tile) {
    let last = tile.end(tile.queries - 1) - 1;
    let mut block = tile.first(0) / BLOCK;
    while block <= last / BLOCK {
        let begin = block * BLOCK;
        // Queries that see some of the block.
        let from = match tile.behind {
            Some(_) => 0,
            None => begin.saturating_sub(tile.position),
        };
        let mut to = tile.queries;
        while to > from && tile.first(to - 1) >= begin + BLOCK {
            to -= 1;
        }
        if to > from {
            // SAFETY: rows and tokens lie within the tile.
            unsafe { attend_block::<V, E>(tile, block, from, to) };
        }
        block += 1;
    }
}

#[inline(always)]
unsafe fn attend_block<V: Vector, E: Element>(tile: &Tile, block: usize, from: usize, to: usize) {
    let begin = block * BLOCK;
    let rows = (to - from) * tile.group;
    let first_row = from * tile.group;
    // Tokens of the block that any of these queries sees.
    let low = tile.first(from).max(begin) - begin;
    let high = tile.end(to - 1).min(begin + BLOCK) - begin;
    // SAFETY: as the caller says; `low..high` holds tokens that were written.
    unsafe {
        let start = *tile.blocks.add(block);
        let scores = tile.scores;
        let q = tile.q.add(first_row * tile.head_dim);
        let mut row = 0;
        while row < rows {
            let (q, s) = (q.add(row * tile.head_dim), scores.add(row * BLOCK));
            row += match rows - row {
                1 => score_rows::<V, E, 1>(tile, start, q, low, high, s),
                2 => score_rows::<V, E, 2>(tile, start, q, low, high, s),
                3 => score_rows::<V, E, 3>(tile, start, q, low, high, s),
                _ => score_rows::<V, E, 4>(tile, start, q, low, high, s),
            };
        }
        let mut row = 0;
        while row < rows {
            let query = from + row / tile.group;
            let seen = tile.first(query).max(begin) - begin;
            let end = tile.end(query).min(begin + BLOCK) - begin;
            let s = scores.add(row * BLOCK);
            let mut token = 0;
            while token < BLOCK {
                if token == seen {
                    token = end;
                    continue;
                }
                *s.add(token) = f32::NEG_INFINITY;
                token += 1;
            }
            let at = first_row + row;
            let out = tile.out.add(at * tile.layout.padded);
            soften::<V>(s, tile.max.add(at), tile.sums.add(at * SUMS), out, tile.layout.padded);
            row += 1;
        }
        let mut ahead = Ahead { wanted: tile.queries == 1, turn: BLOCK, further: 0 };
        if ahead.wanted && high == BLOCK && tile.end(0) > begin + BLOCK {
            // What lies behind a head's values is another head: what comes next is the next block's keys.
            let next = *tile.blocks.add(block + 1);
            let behind = start.wrapping_add(tile.layout.head);
            ahead.turn -= (AHEAD / (tile.layout.padded * size_of::<E::Stored>())).min(BLOCK);
            ahead.further =
                AHEAD as isize + (next.addr().wrapping_sub(behind.addr())).cast_signed();
        }
        add_values::<V, E>(tile, start, first_row, rows, low, high, &ahead);
    }
}

/// What is asked for while values are read.
struct Ahead {
    wanted: bool,
    /// From which token on that lies in the next block.
    turn: usize,
    /// How far away it lies there, in bytes.
    further: isize,
}

/// Scores of `R` rows with the tokens `low..high` of a block (and of whole vectors around them); returns `R`.
#[inline(always)]
unsafe fn score_rows<V: Vector, E: Element, const R: usize>(
    tile: &Tile,
    start: *const u8,
    q: *const f32,
    low: usize,
    high: usize,
    scores: *mut f32,
) -> usize {
    // SAFETY: as the caller says.
    unsafe {
        if V::LANES == 16 {
            // Of a block that is not full only what was written comes from memory.
            match high {
                ..=16 => score_columns::<V, E, R, 1>(tile, start, q, low, high, scores),
                17..=32 => score_columns::<V, E, R, 2>(tile, start, q, low, high, scores),
                _ => score_columns::<V, E, R, 4>(tile, start, q, low, high, scores),
            }
        } else {
            score_columns::<V, E, R, 2>(tile, start, q, low, high, scores);
        }
    }
    R
}

#[inline(always)]
unsafe fn score_columns<V: Vector, E: Element, const R: usize, const T: usize>(
    tile: &Tile,
    start: *const u8,
    q: *const f32,
    low: usize,
    high: usize,
    scores: *mut f32,
) {
    let step = T * V::LANES;
    let mut token = low / step * step;
    // SAFETY: tokens lie within the block, numbers within the head.
    unsafe {
        while token < high {
            let keys = start.cast::<E::Stored>().add(token);
            let line = step * size_of::<E::Stored>();
            let mut first = 0;
            while first < tile.head_dim {
                let mut last = tile.head_dim;
                if E::SCALES && last - first > SCALED {
                    last = first + SCALED;
                }
                let mut sums = [[V::splat(0.0); T]; R];
                let mut d = first;
                while d < last {
                    if tile.queries == 1 {
                        ask::<V>(keys.add(d * BLOCK).cast::<u8>().wrapping_add(AHEAD), line);
                    }
                    let mut k = [V::splat(0.0); T];
                    let mut t = 0;
                    while t < T {
                        k[t] = E::read::<V>(keys.add(d * BLOCK + t * V::LANES));
                        t += 1;
                    }
                    let mut r = 0;
                    while r < R {
                        let x = V::splat(*q.add(r * tile.head_dim + d));
                        let mut t = 0;
                        while t < T {
                            sums[r][t] = V::add(sums[r][t], V::mul(x, k[t]));
                            t += 1;
                        }
                        r += 1;
                    }
                    d += 1;
                }
                let scales = start.add(tile.layout.key_scales).cast::<f32>();
                let scales = scales.wrapping_add(first / SCALED * BLOCK + token);
                let mut r = 0;
                while r < R {
                    let mut t = 0;
                    while t < T {
                        let at = scores.add(r * BLOCK + token + t * V::LANES);
                        let mut sum = sums[r][t];
                        if E::SCALES {
                            sum = V::mul(sum, V::read(scales.add(t * V::LANES)));
                            if first > 0 {
                                sum = V::add(V::read(at), sum);
                            }
                        }
                        V::write(at, sum);
                        t += 1;
                    }
                    r += 1;
                }
                first = last;
            }
            token += step;
        }
    }
}

/// Asks for the lines of `len` bytes.
#[inline(always)]
unsafe fn ask<V: Vector>(at: *const u8, len: usize) {
    let mut line = 0;
    while line < len {
        // SAFETY: a prefetch may go anywhere.
        unsafe { V::prefetch(at.wrapping_add(line)) };
        line += 64;
    }
}

/// Turns a row of scores into exponentials, adds them to the sums, and scales what was summed before.
#[inline(always)]
unsafe fn soften<V: Vector>(
    scores: *mut f32,
    max: *mut f32,
    sums: *mut f32,
    out: *mut f32,
    padded: usize,
) {
    // SAFETY: as the caller says.
    unsafe {
        let mut most = V::read(scores);
        let mut i = V::LANES;
        while i < BLOCK {
            most = V::max(most, V::read(scores.add(i)));
            i += V::LANES;
        }
        let before = *max;
        let most = V::greatest(most);
        let now = if most > before { most } else { before };
        if now > before {
            *max = now;
            let factor = V::splat(super::super::scalar::exp(before - now));
            let mut i = 0;
            while i < padded {
                V::write(out.add(i), V::mul(V::read(out.add(i)), factor));
                i += V::LANES;
            }
            let mut i = 0;
            while i < SUMS {
                V::write(sums.add(i), V::mul(V::read(sums.add(i)), factor));
                i += V::LANES;
            }
        }
        let now = V::splat(now);
        let mut i = 0;
        while i < BLOCK {
            let weight = exp::<V>(V::sub(V::read(scores.add(i)), now));
            V::write(scores.add(i), weight);
            let sum = sums.add(i % SUMS);
            V::write(sum, V::add(V::read(sum), weight));
            i += V::LANES;
        }
    }
}

/// Adds the values of tokens `low..high`, weighted by the exponentials of each row.
#[inline(always)]
unsafe fn add_values<V: Vector, E: Element>(
    tile: &Tile,
    start: *const u8,
    first_row: usize,
    rows: usize,
    low: usize,
    high: usize,
    ahead: &Ahead,
) {
    let padded = tile.layout.padded;
    let columns = if E::SCALES { SCALED } else { padded };
    // SAFETY: as the caller says.
    unsafe {
        let mut first = 0;
        while first < padded {
            let mut weights = tile.scores.cast_const();
            if E::SCALES {
                let scales = start.add(tile.layout.value_scales).cast::<f32>();
                let scales = scales.add(first / SCALED * BLOCK);
                let mut i = 0;
                while i < rows * BLOCK {
                    let scale = V::read(scales.add(i % BLOCK));
                    V::write(tile.weights.add(i), V::mul(V::read(weights.add(i)), scale));
                    i += V::LANES;
                }
                weights = tile.weights;
            }
            let mut column = first;
            while column < first + columns {
                let values = start.add(tile.layout.values).cast::<E::Stored>().add(column);
                // Two vectors and four rows of sums are what sixteen registers hold.
                let most = if V::LANES == 16 { 4 } else { 2 };
                let left = (first + columns - column) / V::LANES;
                let wide = if left >= most { most } else { 1 };
                let mut row = 0;
                while row < rows {
                    let out = tile.out.add((first_row + row) * padded + column);
                    let weights = weights.add(row * BLOCK);
                    row += match wide {
                        1 => weigh_rows::<V, E, 1>(
                            rows - row,
                            values,
                            padded,
                            weights,
                            low,
                            high,
                            out,
                            ahead,
                        ),
                        2 => weigh_rows::<V, E, 2>(
                            rows - row,
                            values,
                            padded,
                            weights,
                            low,
                            high,
                            out,
                            ahead,
                        ),
                        _ => weigh_rows::<V, E, 4>(
                            rows - row,
                            values,
                            padded,
                            weights,
                            low,
                            high,
                            out,
                            ahead,
                        ),
                    };
                }
                column += V::LANES * wide;
            }
            first += columns;
        }
    }
}

/// [`weigh`] for as many rows as it takes at once; returns how many.
#[inline(always)]
#[allow(clippy::too_many_arguments, reason = "a loop of one function, cut out for its constants")]
unsafe fn weigh_rows<V: Vector, E: Element, const C: usize>(
    rows: usize,
    values: *const E::Stored,
    padded: usize,
    weights: *const f32,
    low: usize,
    high: usize,
    out: *mut f32,
    ahead: &Ahead,
) -> usize {
    // SAFETY: as the caller says.
    unsafe {
        match rows {
            1 => weigh::<V, E, 1, C>(values, padded, weights, low, high, out, ahead),
            2 => weigh::<V, E, 2, C>(values, padded, weights, low, high, out, ahead),
            3 => weigh::<V, E, 3, C>(values, padded, weights, low, high, out, ahead),
            _ => weigh::<V, E, 4, C>(values, padded, weights, low, high, out, ahead),
        }
    }
}

/// `C` vectors of values of each token, weighted, to `R` rows; returns `R`.
#[inline(always)]
unsafe fn weigh<V: Vector, E: Element, const R: usize, const C: usize>(
    values: *const E::Stored,
    padded: usize,
    weights: *const f32,
    low: usize,
    high: usize,
    out: *mut f32,
    ahead: &Ahead,
) -> usize {
    // SAFETY: as the caller says.
    unsafe {
        let mut sums = [[V::splat(0.0); C]; R];
        let mut r = 0;
        while r < R {
            let mut c = 0;
            while c < C {
                sums[r][c] = V::read(out.add(r * padded + c * V::LANES));
                c += 1;
            }
            r += 1;
        }
        let mut token = low;
        while token < high {
            if ahead.wanted {
                let from = if token < ahead.turn { AHEAD as isize } else { ahead.further };
                let at = values.add(token * padded).cast::<u8>().wrapping_offset(from);
                ask::<V>(at, C * V::LANES * size_of::<E::Stored>());
            }
            let mut v = [V::splat(0.0); C];
            let mut c = 0;
            while c < C {
                v[c] = E::read::<V>(values.add(token * padded + c * V::LANES));
                c += 1;
            }
            let mut r = 0;
            while r < R {
                let weight = V::splat(*weights.add(r * BLOCK + token));
                let mut c = 0;
                while c < C {
                    sums[r][c] = V::add(sums[r][c], V::mul(weight, v[c]));
                    c += 1;
                }
                r += 1;
            }
            token += 1;
        }
        let mut r = 0;
        while r < R {
            let mut c = 0;
            while c < C {
                V::write(out.add(r * padded + c * V::LANES), sums[r][c]);
                c += 1;
            }
            r += 1;
        }
    }
    R
}
