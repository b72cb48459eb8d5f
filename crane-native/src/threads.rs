//! How many threads compute, decided once before the first of them starts.

use std::num::NonZeroUsize;

/// Sets how many threads the tensor library and its pools start, and returns that number.
///
/// `None` keeps `RAYON_NUM_THREADS` if the user set it, and takes one thread a physical core
/// otherwise (of the performance cores where there are two kinds): a second thread on a core adds
/// nothing to work that is bound by memory. candle and rayon read the number from the environment
/// when their pools start and have no call to set it, so this writes the environment.
///
/// # Safety
/// Call it at the start of `main`, while the process has one thread: changing the environment while
/// another thread reads it is undefined behaviour on Unix.
pub unsafe fn set_threads(count: Option<NonZeroUsize>) -> usize {
    let count = count.map_or_else(candle_core::utils::get_num_threads, NonZeroUsize::get);
    for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        // SAFETY: the caller promises that no other thread exists yet.
        unsafe { std::env::set_var(name, count.to_string()) };
    }
    count
}
