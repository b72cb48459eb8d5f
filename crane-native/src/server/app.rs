//! What every request is answered from: the models and the server's settings.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::fleet::Fleet;
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
}

/// Fields that a warning names.
const MOST_NAMES: usize = 20;

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
    /// What prepares requests.
    pub work: Arc<Workers>,
    /// How long a client may leave sound unread.
    pub stall: Duration,
    draining: AtomicBool,
    warn: Warn,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("fleet", &self.fleet).finish_non_exhaustive()
    }
}

impl App {
    /// A server's state at its beginning.
    ///
    /// # Errors
    /// The system's words if it gives no threads.
    pub fn new(
        fleet: Fleet,
        lenient: bool,
        timeout: Option<Duration>,
        capacity: Capacity,
        warn: Warn,
    ) -> Result<Self, String> {
        let Capacity { requests, most_body, stall } = capacity;
        let work = Arc::new(Workers::start(requests, most_body)?);
        let draining = AtomicBool::new(false);
        Ok(Self { fleet, lenient, created: now(), timeout, work, stall, draining, warn })
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
        if fields.is_empty() {
            return;
        }
        let (told, rest) = fields.split_at(fields.len().min(MOST_NAMES));
        let more = match rest.len() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        self.warn(&format!("a request has unknown fields: {}{more}", told.join(", ")));
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
