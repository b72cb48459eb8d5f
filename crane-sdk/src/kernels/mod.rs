//! Every hot loop, one file for each instruction set, the same function names in each.
//!
//! [`scalar`] is the definition: tests compare the others to it. Its loops keep eight independent
//! sums, which compilers turn into SIMD128 and NEON by themselves. The instruction set is chosen
//! when the program runs, so an ordinary release build is the fast one.

pub mod attention;
pub mod dense;
mod isa;
pub mod quant;
pub mod rows;
pub mod scalar;
mod shared;
pub mod threads;
mod vector;

#[cfg(target_arch = "x86_64")]
mod avx2;

use std::sync::OnceLock;

use half::{bf16, f16};

/// The primitive loops of one instruction set.
#[derive(Clone, Copy)]
pub struct Kernels {
    /// What the set is called in reports.
    pub name: &'static str,
    /// Σ aᵢ·bᵢ over the shorter length.
    pub dot: fn(&[f32], &[f32]) -> f32,
    /// [`Kernels::dot`] with weights widened from bf16.
    pub dot_bf16: fn(&[bf16], &[f32]) -> f32,
    /// [`Kernels::dot`] with weights widened from f16.
    pub dot_f16: fn(&[f16], &[f32]) -> f32,
    /// yᵢ += α·xᵢ.
    pub axpy: fn(f32, &[f32], &mut [f32]),
    /// xᵢ = exp(xᵢ − max), and the sum of the results.
    pub exp_sum: fn(&mut [f32], f32) -> f32,
    /// outᵢ = gateᵢ·sigmoid(gateᵢ)·upᵢ.
    pub silu_mul: fn(&[f32], &[f32], &mut [f32]),
}

impl std::fmt::Debug for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const SCALAR: Kernels = Kernels {
    name: "portable",
    dot: scalar::dot,
    dot_bf16: scalar::dot_bf16,
    dot_f16: scalar::dot_f16,
    axpy: scalar::axpy,
    exp_sum: scalar::exp_sum,
    silu_mul: scalar::silu_mul,
};

/// The fastest kernels that this processor runs.
pub fn kernels() -> &'static Kernels {
    static CHOSEN: OnceLock<Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        #[cfg(target_arch = "x86_64")]
        if let Some(kernels) = avx2::kernels() {
            return kernels;
        }
        SCALAR
    })
}
