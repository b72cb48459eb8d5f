//! Single kernels: what a decode step reads a second, what a prompt multiplies a second.
//!
//! `cargo bench -p crane-sdk --bench kernels`. Throughput is bytes of weights (or cache) for work that
//! is bound by memory, and multiply-adds for work that is bound by arithmetic. `machine/read` is the bound of
//! the first kind. `CRANE_BENCH_THREADS` is the number of threads, 1 if it is not set.

#![allow(missing_docs, clippy::unwrap_used, reason = "criterion's macros; a bench may fail loudly")]

use std::hint::black_box;

use candle_core::quantized::QTensor;
use candle_core::{Device, Tensor};
use crane_sdk::kernels::quant::{Activations, PackedMatrix, TYPES, matmul};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// The matrices that a Qwen2.5-0.5B layer spends most of its time in.
const SHAPE: (usize, usize) = (4864, 896);
/// Copies that are read in turn, so that no cache holds the next one.
const COPIES: usize = 48;

fn numbers(len: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 22) as f32 - 2.0
    };
    (0..len).map(|_| next()).collect()
}

fn machine(c: &mut Criterion) {
    let bytes = vec![1u64; 32 << 20];
    let mut group = c.benchmark_group("machine");
    group.throughput(Throughput::Bytes(8 * bytes.len() as u64));
    group.bench_function("read", |b| b.iter(|| black_box(&bytes).iter().fold(0, |a, b| a ^ b)));
    group.finish();
}

fn quantised(c: &mut Criterion) {
    let (rows, width) = SHAPE;
    let width = width.next_multiple_of(256);
    for dtype in TYPES {
        let dense = Tensor::from_vec(numbers(rows * width), (rows, width), &Device::Cpu).unwrap();
        let blocks = QTensor::quantize(&dense, dtype).unwrap();
        let data = blocks.data().unwrap();
        let copies: Vec<PackedMatrix> =
            (0..COPIES).map(|_| PackedMatrix::new(&data, dtype, rows, width).unwrap()).collect();
        let mut group = c.benchmark_group(format!("{dtype:?}"));
        for tokens in [1, 4, 8, 128] {
            let x = Activations::quantize(&numbers(tokens * width), width).unwrap();
            let mut turn = 0;
            group.throughput(match tokens {
                1 => Throughput::Bytes(data.len() as u64),
                _ => Throughput::Elements((tokens * rows * width) as u64),
            });
            group.bench_function(format!("{tokens}"), |b| {
                b.iter(|| {
                    turn += 1;
                    matmul(black_box(&x), &[(&copies[turn % COPIES], None)])
                });
            });
        }
        group.finish();
    }
}

fn configuration() -> Criterion {
    let threads = std::env::var("CRANE_BENCH_THREADS").unwrap_or_else(|_| "1".to_owned());
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("RAYON_NUM_THREADS", threads) };
    Criterion::default()
        .sample_size(20)
        .warm_up_time(std::time::Duration::from_millis(300))
        .measurement_time(std::time::Duration::from_secs(1))
}

criterion_group! { name = kernels; config = configuration(); targets = machine, quantised }
criterion_main!(kernels);
