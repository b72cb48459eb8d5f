//! The exponential that every instruction set computes, in portable code.

/// log2(e) and ln(2) in two parts, the first exact in few bits (Cody and Waite's reduction).
pub(super) const LOG2_E: f32 = std::f32::consts::LOG2_E;
pub(super) const LN_2_HIGH: f32 = 0.693_359_4;
pub(super) const LN_2_LOW: f32 = -2.121_944_4e-4;
/// exp's polynomial on ±ln(2)/2, highest power first (Cephes `expf`).
#[allow(clippy::excessive_precision)]
pub(super) const EXP: [f32; 6] =
    [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5.000_000_1e-1];
/// Below it the result is 0, above the second it is held: the float's exponent ends there.
pub(super) const EXP_MIN: f32 = -87.336_54;
pub(super) const EXP_MAX: f32 = 88.0;

/// eˣ to about one unit in the last place; 0 below −87.3, held above 88.
///
/// The same steps on every instruction set, so that targets agree where a system's `expf` would not.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let held = x.clamp(EXP_MIN, EXP_MAX);
    let n = (held * LOG2_E).round_ties_even();
    let r = held - n * LN_2_HIGH - n * LN_2_LOW;
    let mut p = EXP[0];
    for c in &EXP[1..] {
        p = p * r + c;
    }
    let y = p * (r * r) + r + 1.0;
    let scale = f32::from_bits(((n as i32 + 127) << 23) as u32);
    if x < EXP_MIN { 0.0 } else { y * scale }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::exp;

    proptest! {
        #[test]
        fn exp_is_near_the_exact_one(x in -87f32..88.) {
            let exact = f64::from(x).exp();
            prop_assert!((f64::from(exp(x)) - exact).abs() <= 3e-7 * exact);
        }
    }

    #[test]
    fn exp_holds_at_the_ends() {
        assert_eq!(exp(-1000.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(1000.0).is_finite());
    }
}
