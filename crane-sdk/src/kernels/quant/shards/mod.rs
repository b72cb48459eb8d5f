//! Matrices whose rows lie in several instances of the engine, for places where threads cannot share memory.
//!
//! The instance that runs the model keeps the first rows of each large matrix; each helper holds a run of the others,
//! packed by itself. For a product the activations go to the helpers in one message for all products that share them, the
//! first instance multiplies its own rows, and the helpers' results come back as floats. Rows are independent,
//! so the result is that of one instance to the last bit.

mod keeper;
mod matrix;
mod product;
#[cfg(test)]
mod tests;

use std::fmt;

pub use keeper::Keeper;
pub use matrix::ShardedMatrix;
pub use product::sharded_matmul;

/// Other instances of the engine. Each takes its messages in order and gives them to a [`Keeper`].
pub trait Helpers: fmt::Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// Sends a message to a helper, without waiting.
    fn post(&self, helper: usize, message: &[u32]);

    /// Waits for the oldest answer of a helper that was not taken yet; `None` if the helper is gone.
    fn answer(&self, helper: usize) -> Option<Vec<u32>>;

    /// How many weights an instance multiplies with a token's activations while a message goes to a helper and comes back.
    ///
    /// So many more of a matrix stay with the instance that runs the model, and smaller matrices stay there whole.
    fn latency(&self) -> usize;
}

/// What begins a message.
const ROOM: u32 = 0; // id, type, rows, width
const PUT: u32 = 1; // id, row, bytes; answered when they are packed
const MULTIPLY: u32 = 2; // width, matrices, ids, floats; answered by floats
const ROWS: u32 = 3; // id, indices; answered by floats
const FORGET: u32 = 4; // id

fn to_floats(words: &[u32]) -> &[f32] {
    // SAFETY: both have four bytes, and every bit pattern is a float.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}
