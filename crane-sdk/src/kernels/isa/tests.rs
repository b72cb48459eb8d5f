//! Each set's vectors beside the portable ones, with the numbers that sets are apt to disagree about.

use half::{bf16, f16};

use super::portable::Portable;
use crate::kernels::vector::Vector;

const EDGES: [f32; 16] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    -3.25,
    1e-40,
    f32::MIN_POSITIVE,
    f32::MAX,
    8_388_609.0,
    16_777_216.0,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
];

/// Bits of each lane; what is no number has many that mean the same.
fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| if x.is_nan() { f32::NAN } else { *x }.to_bits()).collect()
}

/// What `op` makes of `count` numbers, given where a vector of them begins.
fn each<V: Vector>(count: usize, op: impl Fn(usize) -> V::Floats) -> Vec<u32> {
    let mut out = vec![0f32; count];
    for at in (0..count).step_by(V::LANES) {
        let to = out[at..at + V::LANES].as_mut_ptr();
        // SAFETY: the slice holds a vector, and the tests below ask for sets that the processor has.
        unsafe { V::write(to, op(at)) };
    }
    bits(&out)
}

/// The name and the results of every operation.
///
/// # Safety
/// The processor must have the instructions of `V`.
unsafe fn results<V: Vector>() -> Vec<(&'static str, Vec<u32>)> {
    let pairs = EDGES.iter().flat_map(|&x| EDGES.map(|y| (x, y)));
    let (x, y): (Vec<f32>, Vec<f32>) = pairs.unzip();
    let whole: Vec<f32> = (-128..128i16).map(f32::from).collect();
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let brains: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    let mut bytes = vec![0i8; whole.len()];
    // SAFETY: every index is that of a whole vector below the length.
    unsafe {
        let read = |from: &[f32], at: usize| V::read(from[at..at + V::LANES].as_ptr());
        let two = |op: unsafe fn(V::Floats, V::Floats) -> V::Floats| {
            each::<V>(x.len(), |at| op(read(&x, at), read(&y, at)))
        };
        for at in (0..whole.len()).step_by(V::LANES) {
            V::write_i8(bytes[at..].as_mut_ptr(), read(&whole, at));
        }
        // Exponents from −126 on: the two below are beyond what it must do.
        let exponents: Vec<f32> = whole.iter().map(|n| n.max(-126.0)).collect();
        // The same lanes for every width, the greatest number in each of them in turn.
        let reduced = (0..16).flat_map(|place| {
            let mut numbers: [f32; 16] = std::array::from_fn(|i| i as f32 - 20.0);
            numbers[place] = 99.0;
            let parts = (0..16).step_by(V::LANES);
            let most = parts.clone().map(|at| V::greatest(read(&numbers, at)));
            let sum = parts.map(|at| V::total(read(&numbers, at)));
            [most.fold(f32::NEG_INFINITY, f32::max), sum.sum()]
        });
        vec![
            ("add", two(|x, y| V::add(x, y))),
            ("sub", two(|x, y| V::sub(x, y))),
            ("mul", two(|x, y| V::mul(x, y))),
            ("div", two(|x, y| V::div(x, y))),
            ("max", two(|x, y| V::max(x, y))),
            ("min", two(|x, y| V::min(x, y))),
            ("zero_below", two(|x, y| V::zero_below(x, y, V::splat(3.0)))),
            ("round", two(|x, _| V::round(x))),
            ("reduced", bits(&reduced.collect::<Vec<f32>>())),
            (
                "power_of_two",
                each::<V>(exponents.len(), |at| V::power_of_two(read(&exponents, at))),
            ),
            ("write_i8", bytes.iter().map(|byte| u32::from(byte.cast_unsigned())).collect()),
            ("read_i8", each::<V>(bytes.len(), |at| V::read_i8(bytes[at..].as_ptr()))),
            ("read_f16", each::<V>(halves.len(), |at| V::read_f16(halves[at..].as_ptr()))),
            ("read_bf16", each::<V>(brains.len(), |at| V::read_bf16(brains[at..].as_ptr()))),
        ]
    }
}

/// # Safety
/// As [`results`].
unsafe fn compare<V: Vector>(name: &str) {
    // SAFETY: as the caller says; every processor has what the portable set needs.
    let (expected, found) = unsafe { (results::<Portable>(), results::<V>()) };
    for ((op, expected), (_, found)) in expected.iter().zip(&found) {
        assert!(expected == found, "{name} {op}: {found:x?} is not {expected:x?}");
    }
}

#[test]
fn every_set_computes_as_the_portable_one() {
    #[cfg(target_arch = "x86_64")]
    if super::has_avx2() {
        // SAFETY: the processor has it.
        unsafe { compare::<super::avx2::Avx2>("AVX2") };
    }
    #[cfg(target_arch = "x86_64")]
    if super::has_avx512() {
        // SAFETY: the processor has it.
        unsafe { compare::<super::avx512::Avx512>("AVX-512") };
    }
    #[cfg(target_arch = "aarch64")]
    if super::has_neon() {
        // SAFETY: the processor has it.
        unsafe { compare::<super::neon::Neon>("NEON") };
    }
}
