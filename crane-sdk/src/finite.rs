//! Whether numbers are finite: damaged weights hold NaN, and what is computed with them is noise.

/// What is said of a tensor that holds such a number.
pub(crate) const NOT_FINITE: &str =
    "a number of it is NaN or infinite: the file is damaged, fetch it again";

/// Whether no number is NaN or infinite.
///
/// Without its sign, a float's bits are ordered as its value is, and NaN lies above infinity: the greatest tells. There is no
/// branch within a run, so that compilers make vector code of it.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    const RUN: usize = 4096;
    const INFINITE: i32 = 0x7f80_0000;
    let bits = |value: &f32| (value.to_bits() & 0x7fff_ffff).cast_signed();
    values.chunks(RUN).all(|run| run.iter().map(bits).fold(0, i32::max) < INFINITE)
}

#[cfg(test)]
mod tests {
    use super::all_finite;

    #[test]
    fn a_single_number_is_found_anywhere() {
        let mut values = vec![f32::MAX; 9001];
        values[5] = f32::MIN_POSITIVE / 2.0;
        assert!(all_finite(&values) && all_finite(&[]) && all_finite(&[-0.0]));
        for at in [0, 4095, 4096, 9000] {
            for wrong in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let before = std::mem::replace(&mut values[at], wrong);
                assert!(!all_finite(&values), "{wrong} at {at}");
                values[at] = before;
            }
        }
    }
}
