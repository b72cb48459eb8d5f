//! A model that reads texts aloud: one text at a time, on a thread of its own, for whoever's turn it is.

use crane_sdk::generate::CancelToken;
use crane_sdk::pipeline::TextToSpeech;

use super::fleet::VoiceLease;
use super::share::Share;
use super::wire::ApiError;
use super::work::{Pool, Stuck};

/// After how many seconds it is worth asking again where many texts wait to be said.
const SPEAKING_SECONDS: u64 = 2;

/// A model that reads texts aloud.
#[derive(Debug)]
pub struct VoiceModel {
    /// The voices.
    pub tts: TextToSpeech,
    thread: Pool,
    /// Texts that may wait for their turn.
    queue: usize,
}

/// A text that is to be said, as the one who wants it holds it. Dropping it cancels it.
#[derive(Debug)]
pub(super) struct Saying {
    cancel: CancelToken,
}

impl VoiceModel {
    /// Voices for whose turn so many texts may wait.
    ///
    /// # Errors
    /// The system's words if it gives no thread.
    pub fn new(tts: TextToSpeech, queue: usize) -> Result<Self, String> {
        let thread = Pool::start("voice", 1)?;
        Ok(Self { tts, thread, queue })
    }

    /// The threads that still speak texts that were given up some time ago.
    pub fn stuck(&self) -> Stuck {
        self.thread.stuck()
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
        let saying = Saying { cancel: CancelToken::new() };
        let cancel = saying.cancel.clone();
        voice.thread.submit(share, saying.cancel.clone(), move || say(&self, &cancel));
        Ok(saying)
    }
}

impl Saying {
    /// Ends it before it is whole.
    pub(super) fn give_up(&self) {
        self.cancel.cancel();
    }
}

impl Drop for Saying {
    fn drop(&mut self) {
        self.give_up();
    }
}
