//! Room on the stack for what a template can build.
//!
//! The parser recurses, and so does what drops and prints values; a template can nest a value some
//! hundred thousand levels deep within its fuel (`{% set ns.v = [ns.v] %}` in a loop).

use crate::Result;

/// Bytes: a level takes under 500, and the fuel pays for fewer than 250,000 levels.
#[cfg(not(target_arch = "wasm32"))]
const STACK: usize = 256 << 20;

/// Runs `work` on a stack of its own; its pages are only taken when they are used.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn with_room<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    use crate::Error;

    let thread = std::thread::Builder::new().name("chat-template".to_owned()).stack_size(STACK);
    std::thread::scope(|scope| {
        let failed = |reason: &str| Error::Template(format!("cannot be run: {reason}"));
        match thread.spawn_scoped(scope, work) {
            Ok(thread) => thread.join().map_err(|_| failed("its thread ended"))?,
            Err(error) => Err(failed(&error.to_string())),
        }
    })
}

/// Runs `work`; in a browser an overflow of the stack ends the worker, and nothing else.
#[cfg(target_arch = "wasm32")]
pub(super) fn with_room<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}
