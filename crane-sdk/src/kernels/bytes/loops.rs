//! Panels of int8 rows times rows of 16-bit activations: the loops that every instruction set shares.

use super::lanes::Pairs;

/// Rows of a panel.
pub(super) const PANEL: usize = 16;
/// Panels that are shared out together.
pub(super) const UNIT: usize = 4;
/// The most floats of a tile: six tokens by four vectors of sixteen.
const MOST: usize = 4 * PANEL;

/// A share of a matrix product. The pointers are good for what the counts say.
pub(super) struct Work {
    /// The first panel, `[pairs, 16, 2]`; the others follow.
    pub panels: *const i16,
    /// How many panels.
    pub count: usize,
    /// Weight rows of these panels; the last panel may be padded.
    pub rows: usize,
    /// Pairs of columns.
    pub pairs: usize,
    /// Activations `[tokens, pairs, 2]`.
    pub x: *const i16,
    /// What a token's sums are multiplied with.
    pub scales: *const f32,
    /// Activation rows.
    pub tokens: usize,
    /// For each row.
    pub bias: *const f32,
    /// Where the first token's result for the first row goes.
    pub out: *mut f32,
    /// Floats from token to token in `out`.
    pub out_stride: usize,
}

/// Multiplies every panel with every token.
///
/// # Safety
/// The processor must have the instructions of `P`, and the pointers of `work` must be good; nobody else may write its part of
/// `out`.
#[inline(always)]
pub(super) unsafe fn multiply<P: Pairs>(work: &Work) {
    let mut panel = 0;
    while panel < work.count {
        // SAFETY: as the caller says; the panels lie within the count.
        unsafe {
            match P::LANES {
                // 32 registers: four panels by six tokens.
                16 if work.count - panel >= UNIT => {
                    rows_of::<P, 4, 6>(work, panel);
                    panel += UNIT - 1;
                }
                16 => rows_of::<P, 1, 6>(work, panel),
                // 16 registers.
                8 => rows_of::<P, 2, 4>(work, panel),
                _ => rows_of::<P, 4, 2>(work, panel),
            }
        }
        panel += 1;
    }
}

/// Every token times `W` vectors of rows from panel `panel` on, `T` tokens at a time.
#[inline(always)]
unsafe fn rows_of<P: Pairs, const W: usize, const T: usize>(work: &Work, panel: usize) {
    let mut token = 0;
    while token < work.tokens {
        let left = work.tokens - token;
        // SAFETY: as the caller says.
        unsafe {
            if left >= T {
                tile::<P, W, T>(work, panel, token);
                token += T;
            } else if T > 2 && left >= 2 {
                tile::<P, W, 2>(work, panel, token);
                token += 2;
            } else {
                tile::<P, W, 1>(work, panel, token);
                token += 1;
            }
        }
    }
}

/// `T` tokens times `W` vectors of rows.
#[inline(always)]
unsafe fn tile<P: Pairs, const W: usize, const T: usize>(work: &Work, panel: usize, token: usize) {
    // SAFETY: tokens, rows and pairs lie within the counts of `work`; the room holds `W` vectors.
    unsafe {
        let weights = work.panels.add(panel * 2 * PANEL * work.pairs);
        let x = work.x.add(token * 2 * work.pairs);
        let mut sums = [[P::zero(); W]; T];
        let mut pair = 0;
        while pair < work.pairs {
            let mut now = [P::zero(); W];
            let mut w = 0;
            while w < W {
                let lane = w * P::LANES;
                let at = lane / PANEL * 2 * PANEL * work.pairs + 2 * (pair * PANEL + lane % PANEL);
                now[w] = P::read(weights.add(at));
                w += 1;
            }
            let mut t = 0;
            while t < T {
                let x = P::splat(x.add(2 * (t * work.pairs + pair)));
                let mut w = 0;
                while w < W {
                    sums[t][w] = P::dot(sums[t][w], now[w], x);
                    w += 1;
                }
                t += 1;
            }
            pair += 1;
        }
        let (row, lanes) = (panel * PANEL, W * P::LANES);
        let rows = if work.rows - row < lanes { work.rows - row } else { lanes };
        let mut bias = [0f32; MOST];
        std::ptr::copy_nonoverlapping(work.bias.add(row), bias.as_mut_ptr(), rows);
        let mut t = 0;
        while t < T {
            let out = work.out.add((token + t) * work.out_stride + row);
            let mut room = [0f32; MOST];
            let to = if rows < lanes { room.as_mut_ptr() } else { out };
            let scale = *work.scales.add(token + t);
            let mut w = 0;
            while w < W {
                let lane = w * P::LANES;
                P::write(to.add(lane), sums[t][w], scale, bias.as_ptr().add(lane));
                w += 1;
            }
            if rows < lanes {
                std::ptr::copy_nonoverlapping(room.as_ptr(), out, rows);
            }
            t += 1;
        }
    }
}

/// Rounds numbers to whole ones of at most `limit`, and gives what those are to be multiplied with. Plain code: compilers turn
/// it into what vectors a function's instructions have.
#[inline(always)]
pub(super) fn quantize(x: &[f32], limit: f32, out: &mut [i16]) -> f32 {
    // Floats without their signs are ordered as their bits are, and what is no number is above all.
    let most = x.iter().fold(0u32, |most, x| most.max(x.to_bits() & 0x7fff_ffff));
    let most = f32::from_bits(most);
    let scale = if most > 0.0 { limit / most } else { 0.0 };
    for (out, x) in out.iter_mut().zip(x) {
        // Added to 1.5 · 2²³ a number is rounded to a whole one, which then lies in the lowest bits.
        *out = (x * scale + 12_582_912.0).to_bits() as i16;
    }
    most / limit
}
