//! How many requests may be under way before they reach a model, and how many bytes they may hold.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::server::share::Share;

/// Counts requests and the bytes they hold, of all shares and of each.
#[derive(Debug)]
pub struct Admission {
    held: Mutex<Held>,
    limits: AdmissionLimits,
}

/// The most that all requests may hold together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdmissionLimits {
    /// Requests. A share that has none is let in up to twice as many, so that no other can keep it out.
    pub requests: usize,
    /// Bytes of bodies and of what is read out of them; one share gets half.
    pub bytes: usize,
}

#[derive(Debug, Default)]
struct Held {
    requests: usize,
    bytes: usize,
    shares: HashMap<Share, Part>,
}

/// What one share holds.
#[derive(Debug, Default)]
struct Part {
    requests: usize,
    bytes: usize,
}

/// One request's place. It is given back when this and all jobs of the request are gone.
#[derive(Debug)]
pub(super) struct Place {
    admission: Arc<Admission>,
    share: Share,
    /// Not while the request waits for something else than a thread.
    counted: AtomicBool,
}

/// Bytes that a request holds, until this is dropped.
#[derive(Debug)]
pub struct HeldBytes {
    admission: Arc<Admission>,
    share: Share,
    bytes: usize,
}

impl Held {
    /// Gives back what one share held; a share that holds nothing is forgotten.
    fn release(&mut self, share: &Share, requests: usize, bytes: usize) {
        self.requests -= requests;
        self.bytes -= bytes;
        if let Some(part) = self.shares.get_mut(share) {
            part.requests -= requests;
            part.bytes -= bytes;
            if part.requests == 0 && part.bytes == 0 {
                self.shares.remove(share);
            }
        }
    }
}

impl Admission {
    pub(super) fn new(limits: AdmissionLimits) -> Self {
        Self { held: Mutex::default(), limits }
    }

    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most requests of those who hold one already.
    pub(super) fn most(&self) -> usize {
        self.limits.requests
    }

    /// Whether a share that has no request here would be refused.
    pub(super) fn is_full(&self) -> bool {
        self.lock().requests >= 2 * self.limits.requests
    }

    /// A place for one more request of a share; `None` if there is none.
    pub(super) fn enter(self: &Arc<Self>, share: &Share) -> Option<Place> {
        let mut held = self.lock();
        let own = held.shares.get(share).map_or(0, |part| part.requests);
        let most = if own == 0 { 2 * self.limits.requests } else { self.limits.requests };
        if held.requests >= most {
            return None;
        }
        held.requests += 1;
        held.shares.entry(*share).or_default().requests += 1;
        Some(Place { admission: self.clone(), share: *share, counted: true.into() })
    }

    /// Nothing yet, of a share that may hold more.
    pub fn no_bytes(self: &Arc<Self>, share: &Share) -> HeldBytes {
        HeldBytes { admission: self.clone(), share: *share, bytes: 0 }
    }
}

impl Place {
    pub(super) fn share(&self) -> &Share {
        &self.share
    }

    /// Gives the place to others while the request waits elsewhere.
    pub(super) fn leave(&self) {
        if self.counted.swap(false, Ordering::Relaxed) {
            self.admission.lock().release(&self.share, 1, 0);
        }
    }

    /// Takes a place again, whether or not there is one: it was let in before.
    pub(super) fn enter_again(&self) {
        if !self.counted.swap(true, Ordering::Relaxed) {
            let mut held = self.admission.lock();
            held.requests += 1;
            held.shares.entry(self.share).or_default().requests += 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl HeldBytes {
    /// Holds so many more. Returns whether they may be held; nothing is changed if not.
    #[must_use]
    pub fn add(&mut self, bytes: usize) -> bool {
        let mut held = self.admission.lock();
        let most = self.admission.limits.bytes;
        let own = held.shares.get(&self.share).map_or(0, |part| part.bytes);
        if held.bytes.saturating_add(bytes) > most || own.saturating_add(bytes) > most / 2 {
            return false;
        }
        held.bytes += bytes;
        held.shares.entry(self.share).or_default().bytes += bytes;
        self.bytes += bytes;
        true
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        self.admission.lock().release(&self.share, 0, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::work::tests::share;

    fn admission(requests: usize, bytes: usize) -> Arc<Admission> {
        Arc::new(Admission::new(AdmissionLimits { requests, bytes }))
    }

    #[test]
    fn one_share_keeps_no_other_out() {
        let admission = admission(2, 0);
        let mut places: Vec<Place> = (0..2).map(|_| admission.enter(&share(1)).unwrap()).collect();
        assert!(admission.enter(&share(1)).is_none());
        places.push(admission.enter(&share(2)).unwrap());
        assert!(admission.enter(&share(2)).is_none() && !admission.is_full());
        places.push(admission.enter(&share(3)).unwrap());
        assert!(admission.is_full() && admission.enter(&share(4)).is_none());
        places.truncate(1);
        assert!(admission.enter(&share(1)).is_some() && admission.enter(&share(4)).is_some());
        drop(places);
        assert!(admission.lock().shares.is_empty());
    }

    #[test]
    fn a_place_that_is_left_is_there_for_others_and_comes_back() {
        let admission = admission(1, 0);
        let place = admission.enter(&share(1)).unwrap();
        place.leave();
        let other = admission.enter(&share(1)).unwrap();
        place.enter_again();
        assert_eq!(admission.lock().requests, 2);
        drop((place, other));
        assert_eq!(admission.lock().requests, 0);
        let left = admission.enter(&share(1)).unwrap();
        left.leave();
        drop(left);
        assert_eq!(admission.lock().requests, 0);
    }

    #[test]
    fn bytes_are_counted_as_they_come_and_given_back() {
        let admission = admission(9, 100);
        let (mut one, mut two) = (admission.no_bytes(&share(1)), admission.no_bytes(&share(1)));
        assert!(one.add(30) && two.add(20) && !two.add(1) && !one.add(usize::MAX));
        let mut other = admission.no_bytes(&share(2));
        assert!(other.add(50) && !other.add(1));
        drop(one);
        assert!(two.add(30) && !two.add(1));
        drop((two, other));
        let held = admission.lock();
        assert_eq!((held.bytes, held.shares.len()), (0, 0));
    }
}
