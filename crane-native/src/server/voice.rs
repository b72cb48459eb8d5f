//! A model that reads texts aloud: one text at a time, on a thread of its own, for whoever's turn it is.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crane_sdk::generate::CancelToken;
use crane_sdk::pipeline::TextToSpeech;

use super::fleet::VoiceLease;
use super::share::Share;
use super::wire::ApiError;
use super::work::Pool;

/// After how many seconds it is worth asking again where many texts wait to be said.
const SPEAKING_SECONDS: u64 = 2;
/// How long a text that was cancelled may still be spoken before the voice counts as stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// A model that reads texts aloud.
#[derive(Debug)]
pub struct VoiceModel {
    /// The voices.
    pub tts: TextToSpeech,
    thread: Pool,
    /// Texts that may wait for their turn.
    queue: usize,
    /// When what is said now was cancelled; nothing in it if nothing is said.
    saying: Mutex<Option<Cancelled>>,
}

/// When a text was cancelled, if it was.
type Cancelled = Arc<Mutex<Option<Instant>>>;

/// A text that is to be said, as the one who wants it holds it. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Saying {
    cancel: CancelToken,
    cancelled: Cancelled,
}

impl VoiceModel {
    /// Voices for whose turn so many texts may wait.
    ///
    /// # Errors
    /// The system's words if it gives no thread.
    pub fn new(tts: TextToSpeech, queue: usize) -> Result<Self, String> {
        let thread = Pool::start("voice", 1)?;
        Ok(Self { tts, thread, queue, saying: Mutex::default() })
    }

    /// Whether it still speaks a text that was given up some time ago: then it speaks no other.
    pub fn is_stuck(&self) -> bool {
        let saying = lock(&self.saying);
        saying.as_ref().is_some_and(|cancelled| {
            lock(cancelled).is_some_and(|since| since.elapsed() > PATIENCE)
        })
    }
}

impl VoiceLease {
    /// Says a text when it is its turn. The voice stays in memory for as long.
    ///
    /// # Errors
    /// 429 if too many texts wait.
    pub(super) fn say(
        self,
        share: &Share,
        say: impl FnOnce(&VoiceModel, &CancelToken) + Send + 'static,
    ) -> Result<Saying, ApiError> {
        let voice = self.model().clone();
        // A share without a text here is not kept out by another's.
        let (waiting, own) = voice.thread.waiting(share);
        let most = if own == 0 { 2 * (voice.queue + 1) } else { voice.queue + 1 };
        if waiting >= most {
            return Err(ApiError::busy(voice.queue, SPEAKING_SECONDS));
        }
        let saying = Saying { cancel: CancelToken::new(), cancelled: Arc::default() };
        let (cancel, cancelled) = (saying.cancel.clone(), saying.cancelled.clone());
        let work = move || {
            let _ended = Ended(&self.saying);
            *lock(&self.saying) = Some(cancelled);
            say(&self, &cancel);
        };
        voice.thread.submit(share, saying.cancel.clone(), work);
        Ok(saying)
    }
}

/// However a text ends, nothing is said after it.
struct Ended<'a>(&'a Mutex<Option<Cancelled>>);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *lock(self.0) = None;
    }
}

impl Saying {
    /// Ends it before it is whole.
    pub(super) fn give_up(&self) {
        self.cancel.cancel();
        lock(&self.cancelled).get_or_insert_with(Instant::now);
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Every change under these locks is whole before it can panic, so a poisoned one is sound.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
