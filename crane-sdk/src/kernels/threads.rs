//! Splitting a loop over the processor's cores.

use std::ops::Range;

/// Work below which a second thread costs more than it brings, in multiply-adds or so.
const LEAST_WORK: usize = 32 * 1024;

/// Calls `body` with ranges that together are `0..items`, on several threads if it pays.
///
/// `cost` is the work of one item in multiply-adds. The pool is candle's: one set of workers for
/// its matrix products and for these loops, so that they never compete for cores.
pub fn parallel_for(items: usize, cost: usize, body: impl Fn(Range<usize>) + Sync) {
    if items.saturating_mul(cost) < 2 * LEAST_WORK || items < 2 {
        return body(0..items);
    }
    candle_core::utils::barrier_pool().execute_chunked(items, body);
}

/// A mutable slice that several threads write, each its own items.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    start: *mut f32,
    len: usize,
    borrow: std::marker::PhantomData<&'a mut [f32]>,
}

// SAFETY: the pointer is only turned into slices that do not overlap (see `slice`).
unsafe impl Sync for Shared<'_> {}
// SAFETY: as above; f32 has no thread affinity.
unsafe impl Send for Shared<'_> {}

impl<'a> Shared<'a> {
    pub(super) fn new(slice: &'a mut [f32]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: std::marker::PhantomData }
    }

    /// The part `range` of the slice; an empty one if it does not lie inside.
    ///
    /// # Safety
    /// While the result lives no other call may give out an overlapping range.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn slice(&self, range: Range<usize>) -> &mut [f32] {
        if range.start > range.end || range.end > self.len {
            return &mut [];
        }
        // SAFETY: the range lies inside the slice this was made from, and the caller keeps ranges apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
