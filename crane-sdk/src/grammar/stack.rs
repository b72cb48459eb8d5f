//! A stack whose size is known, for code that calls itself.

#[cfg(not(target_arch = "wasm32"))]
use crate::Error;
use crate::Result;

/// Runs on a thread of its own, whose stack holds what [`Limits`](super::Limits) let through.
#[cfg(not(target_arch = "wasm32"))]
pub(super) fn on_known_stack<T: Send>(
    bytes: usize,
    call: impl FnOnce() -> Result<T> + Send,
) -> Result<T> {
    let failed = |reason: String| Error::argument("grammar", reason);
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("crane-grammar".to_owned())
            .stack_size(bytes)
            .spawn_scoped(scope, call)
            .map_err(|error| {
                failed(format!("cannot be compiled: no thread can be made: {error}"))
            })?;
        thread
            .join()
            .unwrap_or_else(|_| Err(failed("cannot be compiled: its thread failed".to_owned())))
    })
}

/// Runs here: there is one stack, and the limits are made for it.
#[cfg(target_arch = "wasm32")]
pub(super) fn on_known_stack<T>(_bytes: usize, call: impl FnOnce() -> Result<T>) -> Result<T> {
    call()
}
