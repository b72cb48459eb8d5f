//! The last resort around the `tokenizers` library: a panic of it becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a part of the library on what a stranger wrote.
///
/// The library's readers unwrap some of what they read. What is known is checked before; this catches what is not. Nothing of
/// a caught call is used afterwards, so that no state can be left halfway. In a browser a panic still ends the worker.
///
/// # Errors
/// A sentence with the panic's words.
pub(super) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let words = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no reason given");
        format!("the tokenizers library failed on it: {words}")
    })
}
