//! One function for each format of the native crate that comes from strangers: requests, wheels, recordings, and what a
//! Hub answers.
//!
//! Where a target reads one of several kinds, the input's first byte says which: `0` the first one, `1` the next.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use crane_native::hub::{Hub, HubConfig, ModelId, Silent};
use crane_native::server::wire::ollama::{
    OllamaChat, OllamaEmbed, OllamaEmbedding, OllamaGenerate, OllamaShow,
};
use crane_native::server::wire::{
    ChatRequest, CompletionRequest, CountRequest, DetokenizeRequest, EmbeddingRequest, Fields,
    MessagesRequest, ResponseRequest, SpeechRequest, TemplateRequest, TokenizeRequest,
};
use crane_native::wheel::WheelSource;
use crane_sdk::generate::GenerationConfig;
use crane_sdk::source::Source;
use tempfile::TempDir;

/// A target: its name, and what reads its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this file by its name.
pub const TARGETS: &[Target] =
    &[("request", request), ("wheel", wheel), ("wav", wav), ("hub", hub)];

/// The body of a request of each route that reads one, strictly and leniently.
pub fn request(bytes: &[u8]) {
    let Some((route, body)) = bytes.split_first() else { return };
    let defaults = GenerationConfig::default();
    for lenient in [false, true] {
        let Ok(mut fields) = Fields::parse(body) else { return };
        let number = match route {
            b'a'..=b'e' => 10 + (route - b'a'),
            route => route.wrapping_sub(b'0') % 10,
        };
        match number {
            0 => done(ChatRequest::read(fields, &defaults, lenient)),
            1 => done(CompletionRequest::read(fields, &defaults, lenient)),
            2 => done(ResponseRequest::read(fields, &defaults, lenient)),
            3 => done(MessagesRequest::read(fields, &defaults, lenient)),
            4 => done(CountRequest::read(fields, lenient)),
            5 => done(EmbeddingRequest::read(fields, lenient)),
            6 => done(SpeechRequest::read(fields, lenient)),
            7 => done(TokenizeRequest::read(fields, lenient)),
            8 => done(DetokenizeRequest::read(fields, lenient)),
            9 => {
                let _ = fields.take("model");
                done(TemplateRequest::read(fields, lenient));
            }
            10 => done(OllamaChat::read(fields, &defaults, lenient)),
            11 => done(OllamaGenerate::read(fields, &defaults, lenient)),
            12 => done(OllamaEmbed::read(fields, lenient)),
            13 => done(OllamaEmbedding::read(fields, lenient)),
            _ => done(OllamaShow::read(fields, lenient)),
        }
    }
}

fn done<T, E>(read: Result<T, E>) {
    let _ = read;
}

/// A folder of this process, gone at its end.
fn scratch() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    Some(FOLDER.get_or_init(|| TempDir::new().ok()).as_ref()?.path().to_path_buf())
}

/// A wheel: its list of members, then each of them unpacked.
pub fn wheel(bytes: &[u8]) {
    let Some(folder) = scratch() else { return };
    let path = folder.join("a.whl");
    if fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(wheel) = WheelSource::open(&path) {
        for name in wheel.files().unwrap_or_default() {
            let _ = wheel.open(&name);
        }
    }
}

/// A recording.
pub fn wav(bytes: &[u8]) {
    let _ = crane_native::wav::read(bytes);
}

/// What a Hub may answer: bytes after the first line are the list of files (`0`), the whole answer for a file's headers
/// (`1`) or for its bytes (`2`); or a model's name (`3`).
pub fn hub(bytes: &[u8]) {
    let Some((kind, answer)) = bytes.split_first() else { return };
    let kind = kind.wrapping_sub(b'0') % 4;
    if kind == 3 {
        done(String::from_utf8_lossy(answer).parse::<ModelId>());
        return;
    }
    let Some((endpoint, said)) = server() else { return };
    if let Ok(mut said) = said.lock() {
        *said = (kind, answer.to_vec());
    }
    let Some(folder) = scratch() else { return };
    let cache = folder.join("hub");
    let _ = fs::remove_dir_all(&cache);
    let config = HubConfig {
        endpoint: endpoint.clone(),
        cache_dir: cache,
        crane_dir: folder.join("crane"),
        token: None,
        offline: false,
        ca_bundle: None,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_millis(200),
        retries: 0,
        backoff: Duration::ZERO,
        ..HubConfig::from_vars(|_| None, None)
    };
    let Ok(id) = "a/b".parse() else { return };
    if let Ok(hub) = Hub::new(config) {
        done(hub.pull(&id, &Silent));
    }
}

type Said = Arc<Mutex<(u8, Vec<u8>)>>;

/// A server of this process that answers one kind of question as it is told to, and the others well.
fn server() -> Option<&'static (String, Said)> {
    static SERVER: OnceLock<Option<(String, Said)>> = OnceLock::new();
    let start = || {
        let listener = TcpListener::bind(("127.0.0.1", 0)).ok()?;
        let endpoint = format!("http://{}", listener.local_addr().ok()?);
        let said = Said::default();
        let told = said.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let told = told.lock().map(|told| told.clone()).unwrap_or_default();
                // Who asks may have gone.
                let _ = answer(stream, &told);
            }
        });
        Some((endpoint, said))
    };
    SERVER.get_or_init(start).as_ref()
}

fn answer(mut stream: TcpStream, (kind, told): &(u8, Vec<u8>)) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let asked = lines.next().transpose()?.unwrap_or_default();
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    const LIST: &[u8] = br#"{"sha": "0123456789abcdef0123456789abcdef01234567", "siblings":
        [{"rfilename": "config.json"}, {"rfilename": "model.safetensors"}]}"#;
    let headers = |length: usize| {
        format!(
            "HTTP/1.1 200 OK\r\netag: \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"\r\nx-repo-commit: \
             0123456789abcdef0123456789abcdef01234567\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
        )
    };
    let whole = |body: &[u8]| [headers(body.len()).as_bytes(), body].concat();
    let question = match asked.split(' ').collect::<Vec<_>>().as_slice() {
        [_, path, ..] if path.starts_with("/api/") => 0,
        ["HEAD", ..] => 1,
        _ => 2,
    };
    let bytes = match question {
        0 if *kind == 0 => whole(told),
        0 => whole(LIST),
        asked if asked == *kind => told.clone(),
        1 => headers(2).into_bytes(),
        _ => whole(b"{}"),
    };
    stream.write_all(&bytes)
}
