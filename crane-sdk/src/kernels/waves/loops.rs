//! Loops over the frequencies and samples of sound, written once over [`Vector`] for every instruction set.

use super::super::vector::{Vector, exp};

/// The most floats of a vector.
const MOST_LANES: usize = 16;
/// sin on −π/2..π/2 is r + r³ · P(r²), cos 1 + r² · P(r²): Taylor's series, off by at most 6e-8.
const SIN: [f32; 5] = [-2.505_210_8e-8, 2.755_732e-6, -1.984_127e-4, 8.333_334e-3, -0.166_666_67];
const COS: [f32; 6] =
    [2.087_675_7e-9, -2.755_732e-7, 2.480_158_7e-5, -1.388_888_9e-3, 4.166_666_8e-2, -0.5];
/// π in two parts, the first exact in so few bits that n · it is exact too.
const PI_HIGH: f32 = 3.140_625;
const PI_LOW: f32 = 9.676_536e-4;

#[inline(always)]
unsafe fn polynomial<V: Vector>(x: V::Floats, powers: &[f32]) -> V::Floats {
    // SAFETY: as the caller says.
    unsafe {
        let mut sum = V::splat(0.0);
        for power in powers {
            sum = V::add(V::mul(sum, x), V::splat(*power));
        }
        sum
    }
}

/// sin and cos of arguments up to some 10⁴.
#[inline(always)]
unsafe fn sin_cos<V: Vector>(x: V::Floats) -> [V::Floats; 2] {
    // SAFETY: as the caller says.
    unsafe {
        let n = V::round(V::mul(x, V::splat(std::f32::consts::FRAC_1_PI)));
        let r = V::sub(x, V::mul(n, V::splat(PI_HIGH)));
        let r = V::sub(r, V::mul(n, V::splat(PI_LOW)));
        let square = V::mul(r, r);
        let sin = V::add(V::mul(V::mul(polynomial::<V>(square, &SIN), square), r), r);
        let cos = V::add(V::mul(polynomial::<V>(square, &COS), square), V::splat(1.0));
        // An odd number of half turns changes both signs.
        let pairs = V::round(V::mul(n, V::splat(0.5)));
        let odd = V::sub(n, V::add(pairs, pairs));
        let sign = V::sub(V::splat(1.0), V::mul(V::splat(2.0), V::mul(odd, odd)));
        [V::mul(sin, sign), V::mul(cos, sign)]
    }
}

/// What is done with a number of one array and its partner of another. No closure: those do not have the instructions of the
/// function around them.
trait Step {
    unsafe fn step<V: Vector>(&self, a: V::Floats, b: V::Floats) -> [V::Floats; 2];
}

/// Takes a step along two arrays a vector at a time; the last numbers go through a vector of their own.
#[inline(always)]
unsafe fn pairwise<V: Vector, S: Step>(step: &S, a: *mut f32, b: *mut f32, len: usize) {
    // SAFETY: as the caller says; a vector fits the room.
    unsafe {
        let mut i = 0;
        while i + V::LANES <= len {
            let [x, y] = step.step::<V>(V::read(a.add(i)), V::read(b.add(i)));
            V::write(a.add(i), x);
            V::write(b.add(i), y);
            i += V::LANES;
        }
        let rest = len - i;
        if rest > 0 {
            let (mut x, mut y) = ([0f32; MOST_LANES], [0f32; MOST_LANES]);
            std::ptr::copy_nonoverlapping(a.add(i), x.as_mut_ptr(), rest);
            std::ptr::copy_nonoverlapping(b.add(i), y.as_mut_ptr(), rest);
            let [p, q] = step.step::<V>(V::read(x.as_ptr()), V::read(y.as_ptr()));
            V::write(x.as_mut_ptr(), p);
            V::write(y.as_mut_ptr(), q);
            std::ptr::copy_nonoverlapping(x.as_ptr(), a.add(i), rest);
            std::ptr::copy_nonoverlapping(y.as_ptr(), b.add(i), rest);
        }
    }
}

/// A logarithm of a size and an angle become the real and the imaginary part.
struct Polar {
    most: f32,
    bounded: bool,
}

impl Step for Polar {
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, size: V::Floats, angle: V::Floats) -> [V::Floats; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let size = exp::<V>(V::min(size, V::splat(self.most)));
            let angle = if self.bounded {
                // tanh x = 1 − 2 / (e²ˣ + 1): as exact as an angle need be.
                let below = V::add(exp::<V>(V::add(angle, angle)), V::splat(1.0));
                let tanh = V::sub(V::splat(1.0), V::div(V::splat(2.0), below));
                V::mul(tanh, V::splat(std::f32::consts::PI))
            } else {
                angle
            };
            let [sin, cos] = sin_cos::<V>(angle);
            [V::mul(size, cos), V::mul(size, sin)]
        }
    }
}

/// A logarithm of a size, at most `most`, and an angle become the real and the imaginary part. A `bounded` angle is given as
/// the number whose hyperbolic tangent counts half turns.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointers must be good for `len` floats.
#[inline(always)]
pub(super) unsafe fn polar<V: Vector>(
    size: *mut f32,
    angle: *mut f32,
    len: usize,
    most: f32,
    bounded: bool,
) {
    // SAFETY: as the caller says.
    unsafe { pairwise::<V, Polar>(&Polar { most, bounded }, size, angle, len) }
}

/// Two logarithms become sizes.
struct Exponential {
    most: f32,
}

impl Step for Exponential {
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, a: V::Floats, b: V::Floats) -> [V::Floats; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let most = V::splat(self.most);
            [exp::<V>(V::min(a, most)), exp::<V>(V::min(b, most))]
        }
    }
}

/// x becomes eˣ, x at most `most`.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointer must be good for `len` floats.
#[inline(always)]
pub(super) unsafe fn exponential<V: Vector>(x: *mut f32, len: usize, most: f32) {
    // SAFETY: as the caller says; both halves lie in the array, and an odd last number is a pair with one outside of it.
    unsafe {
        let (half, step) = (len / 2, Exponential { most });
        pairwise::<V, _>(&step, x, x.add(half), half);
        if len % 2 == 1 {
            let mut partner = 0f32;
            pairwise::<V, _>(&step, x.add(len - 1), &raw mut partner, 1);
        }
    }
}

/// A phase and a number of harmonics and a half become a pulse train's value and that number.
struct Pulses {
    near: f32,
}

impl Step for Pulses {
    #[inline(always)]
    unsafe fn step<V: Vector>(&self, phase: V::Floats, count: V::Floats) -> [V::Floats; 2] {
        // SAFETY: as the caller says.
        unsafe {
            let half = V::splat(0.5);
            let [above, _] = sin_cos::<V>(V::mul(count, phase));
            let [below, _] = sin_cos::<V>(V::mul(phase, half));
            let below = V::add(below, below);
            let size = V::max(below, V::sub(V::splat(0.0), below));
            let least = V::splat(self.near.next_up());
            let far = V::zero_below(size, least, V::div(above, below));
            let limit = V::sub(count, V::zero_below(size, least, count));
            let sum = V::sub(V::add(far, limit), half);
            [V::zero_below(count, half, sum), count]
        }
    }
}

/// Dirichlet's kernel less ½: a phase t and a number of harmonics and a half H become sin(H·t) / (2·sin(t/2)) − ½; where the
/// divisor is not above `near` it is H − ½, the limit, and where H is below ½, 0.
///
/// # Safety
/// The processor must have the instructions of `V`; the pointers must be good for `len` floats.
#[inline(always)]
pub(super) unsafe fn pulses<V: Vector>(phase: *mut f32, count: *mut f32, len: usize, near: f32) {
    // SAFETY: as the caller says.
    unsafe { pairwise::<V, Pulses>(&Pulses { near }, phase, count, len) }
}

/// ln's polynomial on √½..√2 less 1, highest power first (Cephes `logf`), and ln(2) in two parts.
#[allow(clippy::excessive_precision, reason = "as they are published")]
const LN: [f32; 9] = [
    7.037_683_6e-2,
    -1.151_461_e-1,
    1.167_699_9e-1,
    -1.242_014_1e-1,
    1.424_932_3e-1,
    -1.666_805_8e-1,
    2.000_071_5e-1,
    -2.499_999_4e-1,
    3.333_333_1e-1,
];
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// ln x of a normal positive number.
#[inline(always)]
fn ln(x: f32) -> f32 {
    let bits = x.to_bits();
    let part = f32::from_bits((bits & 0x007f_ffff) | 0x3f00_0000);
    let power = (bits >> 23) as i32 - 126;
    let small = part < std::f32::consts::FRAC_1_SQRT_2;
    let power = (power - i32::from(small)) as f32;
    let x = if small { part + part - 1.0 } else { part - 1.0 };
    let square = x * x;
    let mut p = LN[0];
    for c in &LN[1..] {
        p = p * x + c;
    }
    let sum = p * x * square + LN_2_LOW * power - 0.5 * square;
    x + sum + LN_2_HIGH * power
}

/// Two random words each become two normal numbers, as [`crate::sample::Normals`] says. Plain code: compilers turn it into
/// what vectors a function's instructions have, and nothing in it may be done in another order.
#[inline(always)]
pub(super) fn normals(words: &[u64], pairs: &mut [[f32; 2]]) {
    for (pair, word) in pairs.iter_mut().zip(words) {
        let share = ((*word as u32 >> 8) + 1) as f32 / (1 << 24) as f32;
        let radius = (-2.0 * ln(share)).max(0.0).sqrt();
        // In half turns, 0 to 2.
        let angle = (*word >> 32) as u32 as f32 / (1u32 << 31) as f32;
        let (half, sign) = if angle < 0.5 {
            (0.0, 1.0)
        } else if angle < 1.5 {
            (1.0, -1.0)
        } else {
            (2.0, 1.0)
        };
        let r = (angle - half) * std::f32::consts::PI;
        let square = r * r;
        let (mut sin, mut cos) = (SIN[0], COS[0]);
        for c in &SIN[1..] {
            sin = sin * square + c;
        }
        for c in &COS[1..] {
            cos = cos * square + c;
        }
        let size = radius * sign;
        *pair = [(cos * square + 1.0) * size, (sin * square * r + r) * size];
    }
}
