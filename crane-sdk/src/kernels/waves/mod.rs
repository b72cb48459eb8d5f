//! What a vocoder computes for each frequency and each sample: sizes and angles to complex numbers, pulses, noise.
//!
//! Results are the same to the last bit on every instruction set.

mod loops;
mod sets;

use super::shared::Shared;
use super::threads::parallel_for;
use sets::Set;

/// Spectral maps of frames, `[frames, 5 * bins]`, become the parts of a filter, in place: ln of a size and the number whose tanh
/// counts half turns become a real and an imaginary part; ln of a size becomes the size; ln of a size and an angle become a real
/// and an imaginary part. Logarithms above `most` count as it. A last part of a frame stays as it is.
pub fn filters(maps: &mut [f32], bins: usize, most: f32) {
    filters_with(sets::fastest(), maps, bins, most);
}

fn filters_with(set: &Set, maps: &mut [f32], bins: usize, most: f32) {
    let size = 5 * bins;
    let frames = maps.len() / size.max(1);
    let shared = Shared::new(maps);
    parallel_for(frames, 40 * size, |range| {
        for frame in range {
            let map = |index: usize| shared.start().wrapping_add(frame * size + index * bins);
            // SAFETY: frames lie in the slice and each is given to one thread, the maps of a frame lie side by side, and the
            // set is one that the processor runs.
            unsafe {
                (set.polar)(map(0), map(1), bins, most, true);
                (set.exponential)(map(2), bins, most);
                (set.polar)(map(3), map(4), bins, most, false);
            }
        }
    });
}

/// Phases t and, for each, a number of harmonics and a half H become sin(H·t) / (2·sin(t/2)) − ½, over the shorter length. Where
/// the divisor is not above `near` the limit H − ½ stands, and where H is 0, 0.
pub fn pulses(phases: &mut [f32], counts: &mut [f32], near: f32) {
    pulses_with(sets::fastest(), phases, counts, near);
}

fn pulses_with(set: &Set, phases: &mut [f32], counts: &mut [f32], near: f32) {
    let len = phases.len().min(counts.len());
    let (phases, counts) = (Shared::new(phases), Shared::new(counts));
    const BLOCK: usize = 1024;
    parallel_for(len.div_ceil(BLOCK), 40 * BLOCK, |blocks| {
        let (start, end) = (blocks.start * BLOCK, (blocks.end * BLOCK).min(len));
        let (phase, count) =
            (phases.start().wrapping_add(start), counts.start().wrapping_add(start));
        // SAFETY: ranges of blocks do not overlap and lie in both slices, and the set is one that the processor runs.
        unsafe { (set.pulses)(phase, count, end - start, near) };
    });
}

/// Random words to pairs of normal numbers, over the shorter length (Box and Muller 1958).
pub fn normals(words: &[u64], pairs: &mut [[f32; 2]]) {
    // SAFETY: the set is one that the processor runs.
    unsafe { (sets::fastest().normals)(words, pairs) };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(len: usize, mut state: u32, scale: f32) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale
        };
        (0..len).map(|_| next()).collect()
    }

    proptest! {
        #[test]
        fn waves_are_their_definition_on_every_instruction_set(
            frames in 1usize..4, bins in 1usize..70, seed in any::<u32>(), scale in 0.1f32..25.0,
        ) {
            let given = numbers(frames * 5 * bins, seed, scale);
            let mut found = given.clone();
            filters(&mut found, bins, 7.0);
            for (given, found) in given.chunks(5 * bins).zip(found.chunks(5 * bins)) {
                for bin in 0..bins {
                    let [loud, turn, hiss, free, phase] = [0, 1, 2, 3, 4].map(|map| f64::from(given[map * bins + bin]));
                    let size = |log: f64| log.min(7.0).exp();
                    let turn = std::f64::consts::PI * turn.tanh();
                    let expected = [
                        size(loud) * turn.cos(), size(loud) * turn.sin(), size(hiss), size(free) * phase.cos(), size(free) * phase.sin(),
                    ];
                    for (map, (expected, log)) in expected.into_iter().zip([loud, loud, hiss, free, free]).enumerate() {
                        let off = (f64::from(found[map * bins + bin]) - expected).abs();
                        prop_assert!(off <= 1.5e-6 * size(log), "{map} {bin}: off by {off} of {expected}");
                    }
                }
            }
            let phases: Vec<f32> = numbers(bins * 30, seed ^ 1, std::f32::consts::PI).iter().map(|x| x + std::f32::consts::PI).collect();
            let counts: Vec<f32> = numbers(bins * 30, seed ^ 2, 1.0).iter().map(|x| (x * 200.0).round().max(-0.5) + 0.5).collect();
            let (mut sums, mut harmonics) = (phases.clone(), counts.clone());
            pulses(&mut sums, &mut harmonics, 2e-3);
            for ((phase, count), found) in phases.iter().zip(&counts).zip(&sums) {
                let below = 2.0 * f64::from(phase * 0.5).sin();
                let expected = match count {
                    0.0 => 0.0,
                    _ if below.abs() <= 2e-3 => f64::from(*count) - 0.5,
                    _ => f64::from(count * phase).sin() / below - 0.5,
                };
                let off = (f64::from(*found) - expected).abs();
                prop_assert!((below.abs() - 2e-3).abs() < 1e-6 || off <= 1e-4 * f64::from(count.max(1.0)), "{phase} {count}: {found}");
            }
            let words: Vec<u64> = (0..bins as u64).map(|i| (u64::from(seed) + i).wrapping_mul(0x9e37_79b9_7f4a_7c15)).chain([0, u64::MAX]).collect();
            let mut pairs = vec![[0f32; 2]; words.len()];
            normals(&words, &mut pairs);
            for (word, found) in words.iter().zip(&pairs) {
                let share = f64::from((*word as u32 >> 8) + 1) / f64::from(1 << 24);
                let angle = std::f64::consts::TAU * (word >> 32) as f64 / (1u64 << 32) as f64;
                let radius = (-2.0 * share.ln()).sqrt();
                for (found, expected) in found.iter().zip([radius * angle.cos(), radius * angle.sin()]) {
                    prop_assert!((f64::from(*found) - expected).abs() <= 3e-6, "{word:x}: {found} for {expected}");
                }
            }
            for set in sets::sets() {
                let mut same = given.clone();
                filters_with(set, &mut same, bins, 7.0);
                prop_assert_eq!(&same, &found, "{}", set.name);
                let (mut same, mut harmonics) = (phases.clone(), counts.clone());
                pulses_with(set, &mut same, &mut harmonics, 2e-3);
                prop_assert_eq!(&same, &sums, "{}", set.name);
                let mut same = vec![[0f32; 2]; words.len()];
                // SAFETY: the set is one that the processor runs.
                unsafe { (set.normals)(&words, &mut same) };
                prop_assert_eq!(&same, &pairs, "{}", set.name);
            }
        }
    }
}
