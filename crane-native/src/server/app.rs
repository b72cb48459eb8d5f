//! What every request is answered from: the models and the server's settings.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crane_sdk::generate::PrefixSalt;
use sha2::{Digest, Sha256};

use super::engine::Client;
use super::fleet::Fleet;
use super::share::Share;
use super::voice_names::VoiceNames;
use super::wire::{ApiError, Head};
use super::work::Workers;

/// Where a warning for the one who runs the server goes.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// How much of requests is taken before a model sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Requests that may be prepared or wait for it.
    pub requests: usize,
    /// The most bytes of a body.
    pub most_body: usize,
    /// How long a client may leave sound unread that is made for it.
    pub stall: Duration,
    /// How long a chat template may take.
    pub template: Duration,
}

/// Fields that a warning names.
const MOST_NAMES: usize = 20;
/// Fields of which it is remembered that a warning has named them, and the longest name that is shown.
const MOST_REMEMBERED: usize = 1000;
const LONGEST_NAME: usize = 200;

/// With whom a prompt shares what was evaluated of its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrefixSharing {
    /// With everybody: one can find out what another asked.
    All,
    /// With those of the same key (without keys: of the same address) and the same `user`.
    Own,
}

/// The state of a server.
pub struct App {
    /// What answers.
    pub fleet: Fleet,
    /// Whether unknown fields are ignored with a warning.
    pub lenient: bool,
    /// Whether control tokens that a message spells out count as such.
    pub allow_special_tokens: bool,
    /// When the server began, in seconds since 1970.
    pub created: u64,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    /// What prepares requests.
    pub work: Arc<Workers>,
    /// How long a client may leave sound unread.
    pub stall: Duration,
    /// How long a chat template may take.
    pub template_timeout: Duration,
    /// With whom prompts share what was evaluated.
    pub sharing: PrefixSharing,
    draining: AtomicBool,
    warn: Warn,
    /// Fields that a warning has named.
    named: Mutex<BTreeSet<String>>,
    /// Further names of voices.
    pub voice_names: VoiceNames,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

impl App {
    /// A server's state at its beginning.
    pub fn new(
        fleet: Fleet,
        lenient: bool,
        timeout: Option<Duration>,
        capacity: Capacity,
        sharing: PrefixSharing,
        warn: Warn,
    ) -> Result<Self, String> {
        let Capacity { requests, most_body, stall, template: template_timeout } = capacity;
        let work = Arc::new(Workers::start(requests, most_body)?);
        let (created, draining) = (now(), AtomicBool::new(false));
        Ok(Self {
            fleet,
            lenient,
            allow_special_tokens: false,
            created,
            timeout,
            sharing,
            work,
            stall,
            template_timeout,
            draining,
            warn,
            named: Mutex::default(),
            voice_names: VoiceNames::default(),
        })
    }

    /// The same with further names of voices.
    #[must_use]
    pub fn with_voice_names(self, voice_names: VoiceNames) -> Self {
        Self { voice_names, ..self }
    }

    /// With control tokens of messages that count as such, or without.
    #[must_use]
    pub fn with_special_tokens(mut self, allowed: bool) -> Self {
        self.allow_special_tokens = allowed;
        self
    }

    /// The salt of a request's prompts. `cache_salt`, which a request may name, divides further, also where all share.
    pub fn salt(&self, client: &Client, cache_salt: Option<&str>) -> PrefixSalt {
        let mut salt = PrefixSalt::default();
        if self.sharing == PrefixSharing::Own {
            let (kind, owner) = match client.share {
                Share::Key(number) => ("key", number.to_string()),
                Share::Address(address) => ("address", address.to_string()),
            };
            salt = salt.with(kind, &owner);
            if let Some(user) = &client.user {
                salt = salt.with("user", &digest(user));
            }
        }
        match cache_salt {
            Some(text) => salt.with("cache_salt", &digest(text)),
            None => salt,
        }
    }

    /// Whether new requests should go elsewhere.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Tells those who ask that this server ends.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Warns the one who runs the server.
    pub fn warn(&self, text: &str) {
        (self.warn)(text);
    }

    /// Warns of fields that had no effect, of each once.
    pub fn ignored(&self, fields: &[String]) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let short = fields.iter().map(|name| match name.char_indices().nth(LONGEST_NAME) {
            None => name.clone(),
            Some((end, _)) => {
                let (start, rest) = name.split_at(end);
                format!("{start}… ({} more characters)", rest.chars().count())
            }
        });
        let new: Vec<String> = short
            .filter(|name| !named.contains(name))
            .take(MOST_REMEMBERED.saturating_sub(named.len()))
            .collect();
        named.extend(new.iter().cloned());
        drop(named);
        if new.is_empty() {
            return;
        }
        let (told, rest) = new.split_at(new.len().min(MOST_NAMES));
        let more = match rest.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        self.warn(&format!(
            "a request has fields without effect: {}{more} (said once for each)",
            told.join(", ")
        ));
    }
}

/// The head of a new answer of a model, whose id begins with `prefix`.
///
/// # Errors
/// If the system has no random numbers.
pub fn head(prefix: &str, model: &str) -> Result<Head, ApiError> {
    let mut bytes = [0u8; 16];
    getrandom::fill(&mut bytes).map_err(ApiError::internal)?;
    let number = u128::from_ne_bytes(bytes);
    Ok(Head { id: format!("{prefix}{number:032x}"), model: model.to_owned(), created: now() })
}

/// What stands for a text of any length, so that salts are small.
fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
