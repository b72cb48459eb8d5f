//! Models by name, from a hub, a package or the disk: every way in, and every way it fails.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod children;
mod disk;
mod mirrors;
mod names;
mod packages;
mod server;
mod transfer;
mod wheels;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use crane_native::hub::{Event, Hub, HubConfig, Progress, Token};
use server::FakeHub;

/// A user's machine: a fake hub, an empty cache, and no pip.
struct Machine {
    hub: FakeHub,
    home: tempfile::TempDir,
    config: HubConfig,
}

impl Machine {
    fn new() -> Self {
        let hub = FakeHub::start();
        let home = tempfile::tempdir().unwrap();
        let mut config = HubConfig::from_vars(|_| None, Some(home.path().to_owned()));
        config.endpoint = hub.endpoint.clone();
        config.backoff = Duration::from_millis(1);
        config.pip = Vec::new();
        Self { hub, home, config }
    }

    fn hub(&self) -> Hub {
        Hub::new(self.config.clone()).unwrap()
    }

    fn with(&self, change: impl FnOnce(&mut HubConfig)) -> Hub {
        let mut config = self.config.clone();
        change(&mut config);
        Hub::new(config).unwrap()
    }

    fn with_token(&self, token: &str) -> Hub {
        self.with(|config| config.token = Some(Token::new(token)))
    }

    fn repo(&self) -> PathBuf {
        self.config.cache_dir.join("models--org--tiny")
    }

    /// Publishes a small model as `org/tiny`; gives its weights and commit.
    fn publish_tiny(&self) -> (Vec<u8>, String) {
        let weights = noise(300_000, 1);
        let commit = self.hub.publish("org/tiny", "main", &tiny(&weights));
        (weights, commit)
    }
}

/// The files of a small model.
fn tiny(weights: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("README.md", b"# Tiny".to_vec()),
        ("config.json", br#"{"architectures": ["LlamaForCausalLM"]}"#.to_vec()),
        ("tokenizer.json", noise(2_000, 2)),
        ("model.safetensors", weights.to_vec()),
    ]
}

/// Bytes that look random and are always the same.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Everything in a folder that is a half file, by name.
fn leftovers(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if name.ends_with(".incomplete") || name.ends_with(".part") {
                found.push(name);
            }
        }
    }
    found
}

/// Keeps what it is told, and stops a transfer after so many bytes.
#[derive(Default)]
struct Recorder {
    notices: Mutex<Vec<String>>,
    loaded: Mutex<Vec<(String, u64, u64)>>,
    stop_at: Option<u64>,
}

impl Recorder {
    fn notices(&self) -> String {
        self.notices.lock().unwrap().join("\n")
    }
}

impl Progress for Recorder {
    fn report(&self, event: Event<'_>) {
        match event {
            Event::Notice(sentence) => self.notices.lock().unwrap().push(sentence.to_owned()),
            Event::Started(t) | Event::Advanced(t) | Event::Finished(t) => {
                self.loaded.lock().unwrap().push((t.file.to_owned(), t.loaded, t.total));
            }
            _ => {}
        }
    }

    fn cancelled(&self) -> bool {
        let Some(stop_at) = self.stop_at else { return false };
        self.loaded.lock().unwrap().iter().any(|&(_, loaded, _)| loaded >= stop_at)
    }
}
