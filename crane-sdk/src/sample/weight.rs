//! Probabilities as integers: the same on every target, whatever the order of summation.

/// The weight of the best token.
///
/// A token whose logit (over the temperature) lies `d` below the best one weighs
/// `round(UNIT * exp(-d))`; its probability is its weight over the sum of the survivors' weights. A
/// token less than `2^-41` times as likely as the best one weighs nothing and is never drawn.
pub const UNIT: u64 = 1 << UNIT_BITS;

const UNIT_BITS: i32 = 40;

/// 2^52: adding it to a smaller positive number leaves that number, rounded, in the mantissa.
const ROUNDER: f64 = 4_503_599_627_370_496.0;

/// 1.5 * 2^52: adding it to a small number leaves that number, rounded to an integer, in the low bits.
const INTEGER: f64 = 6_755_399_441_055_744.0;

/// `round(UNIT * exp(x))` for `x <= 0`.
///
/// `exp(x) = 2^n * exp(r)` with `r` in ±ln(2)/2, where the Taylor polynomial of degree 9 is exact to
/// 1e-11. No branch, no call, no checked cast: the compiler makes vector code of a loop over it.
#[inline]
pub(super) fn weight(x: f32) -> u64 {
    let y = f64::from(if x > -64.0 { x } else { -64.0 }) * std::f64::consts::LOG2_E;
    let n = y + INTEGER;
    let r = (y - (n - INTEGER)) * std::f64::consts::LN_2;
    let mut p = 1.0 / 362_880.0;
    for c in [40_320.0, 5_040.0, 720.0, 120.0, 24.0, 6.0, 2.0, 1.0, 1.0] {
        p = p * r + 1.0 / c;
    }
    let power = f64::from_bits(n.to_bits().wrapping_add((1023 + UNIT_BITS) as u64) << 52);
    (p * power + ROUNDER).to_bits() & ((1 << 52) - 1)
}

/// The natural logarithm of a positive, finite, normal number, to about 1e-16.
///
/// `ln(m * 2^e) = 2 atanh((m - 1) / (m + 1)) + e ln 2`, by the series of the inverse hyperbolic tangent.
pub(super) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) & 0x7ff) as i32 - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > std::f64::consts::SQRT_2 {
        mantissa *= 0.5;
        exponent += 1;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut sum = 0.0;
    for odd in [21.0, 19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    2.0 * s * sum + f64::from(exponent) * std::f64::consts::LN_2
}

/// `ln(total / UNIT)`: the logarithm of the sum of exponentials, relative to the best logit.
pub(super) fn ln_total(total: u64) -> f64 {
    ln(total as f64) - f64::from(UNIT_BITS) * std::f64::consts::LN_2
}

/// The share `part` (0 to 1) of a mass, rounded up, at least 1 and at most the mass.
pub(super) fn share(part: f32, mass: u64) -> u64 {
    ((f64::from(part) * mass as f64).ceil() as u64).clamp(1, mass.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weight_is_the_exponential() {
        assert_eq!(weight(0.0), UNIT);
        assert_eq!(weight(f32::NEG_INFINITY), 0);
        for i in 0..40_000 {
            let x = -(i as f32) * 0.001;
            let exact = f64::from(x).exp() * UNIT as f64;
            let error = (weight(x) as f64 - exact).abs();
            assert!(error <= 0.51 + exact * 2e-11, "x {x}: {} for {exact}", weight(x));
        }
    }

    #[test]
    fn ln_is_the_logarithm() {
        for x in [1.0, 0.5, 2.0, 1.41, 1.42, 1.5, 3.7e-5, 1e12, 1.2345e300, f64::MIN_POSITIVE] {
            let exact: f64 = f64::ln(x);
            assert!((ln(x) - exact).abs() <= 4e-16 * (1.0 + exact.abs()), "ln {x}");
        }
        assert!(ln_total(UNIT).abs() < 1e-14);
    }

    /// Frozen values: a change of any of them changes what a seed means and needs a new
    /// `SEED_VERSION`.
    #[test]
    fn weights_are_frozen() {
        let frozen = [-0.1, -0.5, -1.0, -3.25, -10.0, -20.0, -27.0].map(weight);
        let exact = [994_879_260_895, 666_887_512_957, 404_487_723_187, 42_632_692_369];
        assert_eq!(frozen[..4], exact);
        assert_eq!(frozen[4..], [49_917_751, 2_266, 2]);
    }
}
