//! What a connection is doing, and for how long it has waited for its client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Times;

/// How long a client may still take with what it owes once the server is told to end.
const FAREWELL: Duration = Duration::from_secs(2);

/// What is known of a connection. Its task notes what happens; others look for one that can be closed.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Wakes the connection's task once it is cut.
    cut: Notify,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// Since when the client has taken in nothing of what is to be written.
    stalled: Option<Instant>,
    /// Since when nothing of a request's body has come that is waited for.
    awaited: Option<Instant>,
    /// Whether a request's body was left unread.
    unread: bool,
    is_cut: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The head of a request is coming; the first one is awaited from the beginning.
    Head,
    /// A request is being answered.
    Request,
    /// The last answer is given, and nothing has come since.
    Idle,
}

impl Activity {
    pub(super) fn new(now: Instant) -> Self {
        let state = State {
            phase: Phase::Head,
            since: now,
            stalled: None,
            awaited: None,
            unread: false,
            is_cut: false,
        };
        Self { state: Mutex::new(state), cut: Notify::new() }
    }

    /// Every change under the lock is whole before it can panic, so a poisoned lock is sound.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes have come.
    pub(super) fn has_read(&self, now: Instant) {
        let mut state = self.lock();
        if state.phase == Phase::Idle {
            (state.phase, state.since) = (Phase::Head, now);
        }
    }

    /// Bytes have gone.
    pub(super) fn has_written(&self) {
        self.lock().stalled = None;
    }

    /// Bytes cannot go: the client does not read.
    pub(super) fn is_stalled(&self, now: Instant) {
        self.lock().stalled.get_or_insert(now);
    }

    /// The body of a request is waited for, or is not any longer.
    pub(super) fn awaits_body(&self, since: Option<Instant>) {
        let mut state = self.lock();
        state.awaited = since.map(|now| state.awaited.unwrap_or(now));
    }

    /// The rest of a request's body is not read.
    pub(super) fn leaves_body(&self) {
        let mut state = self.lock();
        (state.unread, state.awaited) = (true, None);
    }

    /// Whether the last request's body was left unread.
    pub(super) fn has_unread(&self) -> bool {
        self.lock().unread
    }

    /// A request has come, and is under way until the guard is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.lock();
        (state.phase, state.unread) = (Phase::Request, false);
        drop(state);
        UnderWay(self.clone())
    }

    /// Whether no request is under way.
    pub(super) fn is_between_requests(&self) -> bool {
        let state = self.lock();
        state.phase != Phase::Request && state.stalled.is_none()
    }

    /// When the client has had its time, unless something happens before. `ending` is when the server was told to end.
    pub(super) fn deadline(&self, times: &Times, ending: Option<Instant>) -> Option<Instant> {
        let state = self.lock();
        if let Some(since) = state.stalled {
            return Some(since + times.write);
        }
        match state.phase {
            Phase::Head => Some(state.since + times.read),
            Phase::Idle => Some(state.since + times.idle),
            // The body's own timer answers the request; but an end is not put off for it.
            Phase::Request => {
                let (ending, since) = ending.zip(state.awaited)?;
                Some(ending.max(since) + FAREWELL)
            }
        }
    }

    /// Since when the connection has waited for its client; `None` while the server is at work for it.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        self.lock().waiting_since()
    }

    /// Closes the connection if it still waits for its client, and returns whether it is this call that closes it.
    pub(super) fn cut(&self) -> bool {
        let mut state = self.lock();
        let waits = !state.is_cut && state.waiting_since().is_some();
        state.is_cut |= waits;
        drop(state);
        if waits {
            self.cut.notify_one();
        }
        waits
    }

    /// Whether the connection is to be closed.
    pub(super) fn was_cut(&self) -> bool {
        self.lock().is_cut
    }

    /// Ends when the connection is to be closed.
    pub(super) async fn is_cut(&self) {
        while !self.was_cut() {
            self.cut.notified().await;
        }
    }
}

impl State {
    fn waiting_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Head | Phase::Idle => Some(self.stalled.unwrap_or(self.since)),
            Phase::Request => self.stalled.or(self.awaited),
        }
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        (state.phase, state.since, state.awaited) = (Phase::Idle, Instant::now(), None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times {
        read: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        write: Duration::from_secs(20),
    };

    #[test]
    fn each_phase_has_a_time_of_its_own() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let activity = Arc::new(Activity::new(start));
        let due = |activity: &Activity| activity.deadline(&TIMES, None);
        // A head that comes byte by byte gets no more time than one that does not come.
        activity.has_read(after(29));
        assert_eq!(due(&activity), Some(after(30)));
        let request = activity.begin();
        assert_eq!((due(&activity), activity.waiting_since()), (None, None));
        // A body is waited for: others may have the place, and a server that ends does not wait for it.
        activity.awaits_body(Some(after(40)));
        activity.awaits_body(Some(after(45)));
        assert_eq!((due(&activity), activity.waiting_since()), (None, Some(after(40))));
        assert_eq!(activity.deadline(&TIMES, Some(after(50))), Some(after(50) + FAREWELL));
        activity.awaits_body(None);
        assert_eq!(activity.deadline(&TIMES, Some(after(50))), None);
        // A client that does not read.
        activity.is_stalled(after(60));
        activity.is_stalled(after(70));
        assert_eq!((due(&activity), activity.waiting_since()), (Some(after(80)), Some(after(60))));
        assert!(!activity.is_between_requests());
        activity.has_written();
        assert_eq!(due(&activity), None);
        drop(request);
        assert!(due(&activity).is_some_and(|due| due >= start + TIMES.idle));
        assert!(activity.is_between_requests());
        // Bytes of the next head begin its time.
        activity.has_read(after(100));
        assert_eq!(due(&activity), Some(after(130)));
    }

    #[test]
    fn only_who_waits_for_its_client_is_cut() {
        let activity = Arc::new(Activity::new(Instant::now()));
        let request = activity.begin();
        assert!(!activity.cut());
        drop(request);
        assert!(activity.cut());
    }
}
