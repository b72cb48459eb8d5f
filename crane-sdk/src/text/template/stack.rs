//! Room on the stack for what a template can build.
//!
//! The parser recurses, and so does what compiles, runs and drops what it has read. Each has a limit of some
//! hundred levels; what a level takes in an engine of others is not ours to say, and room that is not used costs nothing.

use crate::Result;

/// Bytes.
#[cfg(not(target_arch = "wasm32"))]
const STACK: usize = 256 << 20;

/// Runs `work` on a stack of its own; its pages are only taken when they are used.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn with_room<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    use crate::Error;

    let thread = std::thread::Builder::new().name("chat-template".to_owned()).stack_size(STACK);
    std::thread::scope(|scope| match thread.spawn_scoped(scope, work) {
        Ok(thread) => {
            let ended = |_| Error::Template("cannot be run: its thread ended".to_owned());
            thread.join().map_err(ended)?
        }
        Err(error) => Err(Error::OutOfMemory {
            what: "the stack of the chat template".to_owned(),
            bytes: STACK as u64,
            hint: format!(
                "the system says: {error}; raise the limits on address space and threads \
                     (ulimit -v, ulimit -u)"
            ),
        }),
    })
}

/// Runs `work`; in a browser an overflow of the stack ends the worker, and nothing else.
#[cfg(target_arch = "wasm32")]
pub(super) fn with_room<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    work()
}
