//! Every hot loop, written once over the vectors of an instruction set and compiled for each.
//!
//! `vector` says what a set must be able to do, `isa` has one file for each; the portable one is the
//! definition that tests compare the others with. The set is chosen when the program runs, so an ordinary
//! release build is the fast one.

pub mod attention;
pub mod bytes;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
pub mod dense;
pub mod isa;
mod number;
pub mod quant;
pub mod rows;
mod scalar;
mod shared;
pub mod threads;
mod vector;
pub mod waves;
