//! A slice that the threads of one loop write together.

use std::ops::Range;

/// A mutable slice that several threads write, each its own items.
pub(super) struct Shared<'a, T> {
    start: *mut T,
    len: usize,
    borrow: std::marker::PhantomData<&'a mut [T]>,
}

// SAFETY: the pointer is only turned into slices that do not overlap (see `slice`), and what they
// hold may be sent.
unsafe impl<T: Send> Sync for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(super) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), borrow: std::marker::PhantomData }
    }

    /// Where the slice begins.
    pub(super) fn start(&self) -> *mut T {
        self.start
    }

    /// The part `range` of the slice; an empty one if it does not lie inside.
    ///
    /// # Safety
    /// While the result lives no other call may give out an overlapping range.
    #[allow(clippy::mut_from_ref, reason = "the caller keeps ranges apart")]
    pub(super) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        if range.start > range.end || range.end > self.len {
            return &mut [];
        }
        // SAFETY: the range lies inside the slice this was made from, and the caller keeps ranges apart.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}
