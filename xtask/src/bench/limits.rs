//! What the machine gives, measured in the same run: how fast its threads read memory, and how many 8-bit products they
//! make. No program can decode faster than its weights can be read, nor read a prompt faster than they can be multiplied.

use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{median, round};

/// Far more than any cache holds.
const MEMORY: usize = 512 << 20;
/// Bytes between two looks at the clock: the median of many pieces leaves out those that another program disturbed.
const PIECE: usize = 8 << 20;
/// How long each measurement takes.
const TIME: Duration = Duration::from_millis(1500);

/// The limits for a number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub threads: usize,
    /// Gigabytes a second that all threads read together.
    pub read_gb_s: f64,
    /// Thousand million multiply-adds of bytes a second on the best instructions that the kernels use; none where this
    /// program knows none.
    pub byte_products_g_s: Option<f64>,
}

impl Limits {
    /// Measures for some seconds.
    pub fn measure(threads: usize) -> Self {
        let memory = Memory::filled();
        let words = memory.words();
        let part = words.len() / threads.max(1);
        let read = together(threads, |thread| {
            let own = words.get(thread * part..(thread + 1) * part).unwrap_or_default();
            let mut pieces = own.chunks_exact(PIECE / 8).cycle();
            move || {
                black_box(sum(pieces.next().unwrap_or_default()));
                PIECE as f64
            }
        });
        let products = products().map(|(make, each)| {
            together(threads, move |_| {
                move || {
                    make();
                    each
                }
            })
        });
        Self {
            threads,
            read_gb_s: round(read / 1e9),
            byte_products_g_s: products.map(|rate| round(rate / 1e9)),
        }
    }
}

/// [`MEMORY`] bytes in pages as large as the system gives: with small ones the tables of pages are the limit.
struct Memory {
    bytes: Vec<u64>,
    start: usize,
}

impl Memory {
    /// The size of a large page, and where one begins.
    const PAGE: usize = 2 << 20;

    fn filled() -> Self {
        let mut bytes: Vec<u64> = Vec::with_capacity((MEMORY + Self::PAGE) / 8);
        let start = bytes.as_ptr().align_offset(Self::PAGE).min(Self::PAGE / 8);
        #[cfg(target_os = "linux")]
        // SAFETY: the range lies in the vector's own room. It is advice: a system that does not take it gives small pages.
        unsafe {
            let large = bytes.as_mut_ptr().add(start);
            libc::madvise(large.cast(), MEMORY, libc::MADV_HUGEPAGE);
        }
        bytes.resize(start + MEMORY / 8, 1);
        Self { bytes, start }
    }

    fn words(&self) -> &[u64] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

/// What threads do a second together, each its own work again and again; `work` makes a thread's piece of work, which
/// returns how much that was.
fn together<W: FnMut() -> f64>(threads: usize, work: impl Fn(usize) -> W + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let rate = |thread: usize| {
        let mut piece = work(thread);
        piece();
        barrier.wait();
        let start = Instant::now();
        let mut rates = Vec::new();
        while start.elapsed() < TIME {
            let before = Instant::now();
            let amount = piece();
            rates.push(amount / before.elapsed().as_secs_f64());
        }
        median(rates)
    };
    std::thread::scope(|scope| {
        let rate = &rate;
        let others: Vec<_> = (1..threads).map(|thread| scope.spawn(move || rate(thread))).collect();
        let own = rate(0);
        own + others.into_iter().filter_map(|thread| thread.join().ok()).sum::<f64>()
    })
}

/// Reads every word, from four places at a time: one stream of reads alone does not keep memory busy. Two sums for each, so that none
/// waits for another.
fn sum(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    let quarter = words.len() / 4 / 8;
    let (blocks, _) = words.as_chunks::<8>();
    let mut places = blocks.chunks(quarter.max(1));
    let mut place = || places.next().unwrap_or_default();
    let (a, b, c, d) = (place(), place(), place(), place());
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for (sums, words) in sums.chunks_exact_mut(8).zip([a, b, c, d]) {
            sums.iter_mut().zip(words).for_each(|(sum, word)| *sum ^= word);
        }
    }
    sums.iter().fold(0, |all, sum| all ^ sum)
}

/// A piece of work on the widest instructions that multiply bytes, and how many multiply-adds it is.
#[cfg(target_arch = "x86_64")]
fn products() -> Option<(fn(), f64)> {
    if is_x86_feature_detected!("avx512vnni") && is_x86_feature_detected!("avx512bw") {
        // SAFETY: the processor has the instructions.
        return Some((|| unsafe { x86::vnni() }, (x86::ROUNDS * x86::SUMS * 64) as f64));
    }
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instructions.
        return Some((|| unsafe { x86::avx2() }, (x86::ROUNDS * x86::SUMS * 32) as f64));
    }
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn products() -> Option<(fn(), f64)> {
    None
}

/// One operand comes from the nearest cache, as in a real kernel; the sums stay in registers.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    pub const ROUNDS: usize = 50_000;
    /// Sums under way: enough that none waits for another.
    pub const SUMS: usize = 12;

    /// # Safety
    /// The processor has AVX-512 with VNNI.
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    pub unsafe fn vnni() {
        let memory = [_mm512_set1_epi8(1); SUMS];
        let weights = _mm512_set1_epi8(3);
        let mut sums = [_mm512_setzero_si512(); SUMS];
        for _ in 0..ROUNDS {
            let memory = black_box(&memory);
            for (sum, operand) in sums.iter_mut().zip(memory) {
                *sum = _mm512_dpbusd_epi32(*sum, weights, *operand);
            }
        }
        black_box(sums);
    }

    /// # Safety
    /// The processor has AVX2.
    #[target_feature(enable = "avx2")]
    pub unsafe fn avx2() {
        let memory = [_mm256_set1_epi8(1); SUMS];
        let (weights, ones) = (_mm256_set1_epi8(3), _mm256_set1_epi16(1));
        let mut sums = [_mm256_setzero_si256(); SUMS];
        for _ in 0..ROUNDS {
            let memory = black_box(&memory);
            for (sum, operand) in sums.iter_mut().zip(memory) {
                let pairs = _mm256_maddubs_epi16(weights, *operand);
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
            }
        }
        black_box(sums);
    }
}
