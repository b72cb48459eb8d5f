//! What every request is answered from: the models and the server's settings.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fleet::Fleet;
use super::wire::{ApiError, Head};

/// Where a warning for the one who runs the server goes.
pub type Warn = Box<dyn Fn(&str) + Send + Sync>;

/// The state of a server.
pub struct App {
    /// What answers.
    pub fleet: Fleet,
    /// Whether unknown fields are ignored with a warning.
    pub lenient: bool,
    /// When the server began, in seconds since 1970.
    pub created: u64,
    /// How long a request may take.
    pub timeout: Option<Duration>,
    draining: AtomicBool,
    /// Whose turn it is to have texts embedded.
    pub embedding: tokio::sync::Mutex<()>,
    warn: Warn,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

impl App {
    /// A server's state at its beginning.
    pub fn new(fleet: Fleet, lenient: bool, timeout: Option<Duration>, warn: Warn) -> Self {
        let (draining, embedding) = (AtomicBool::new(false), tokio::sync::Mutex::new(()));
        Self { fleet, lenient, created: now(), timeout, draining, embedding, warn }
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

    /// Warns of fields that had no effect.
    pub fn ignored(&self, fields: &[String]) {
        if !fields.is_empty() {
            self.warn(&format!("a request has unknown fields: {}", fields.join(", ")));
        }
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

/// Who asks, for a fair turn: where from, and the `user` that the request names.
pub fn client(address: SocketAddr, user: Option<&str>) -> String {
    format!("{} {}", address.ip(), user.unwrap_or_default())
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
