//! A hub in this process: it speaks the Hub's protocol on one port, its storage's on another, and
//! fails on demand.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What goes wrong with the bytes of one file, once for each entry of a list.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// Each request in turn ends after so many bytes of body, though more were announced.
    pub drop_after: Vec<usize>,
    /// Each request in turn announces and sends so many bytes fewer than the file has.
    pub short_by: Vec<usize>,
    /// Each request in turn is answered with this status.
    pub status: Vec<u16>,
    /// The bytes are not those that were announced.
    pub corrupt: bool,
    /// Ranges are ignored: the whole file comes each time.
    pub no_ranges: bool,
    /// The pause after each 4 KiB.
    pub slow: Option<Duration>,
    /// The silence before a connection that `drop_after` ends is closed.
    pub stall: Option<Duration>,
    /// The ETag, whatever the bytes are.
    pub etag: Option<String>,
}

/// Who may have a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Gate {
    #[default]
    Open,
    /// Terms must be accepted; the token `hf_good` has done so.
    Gated,
    /// Only the token `hf_good` knows that it exists.
    Private,
}

#[derive(Debug, Clone)]
struct RemoteFile {
    bytes: Vec<u8>,
    large: bool,
}

#[derive(Debug, Clone, Default)]
struct Repo {
    gate: Gate,
    /// Commit and files of each revision.
    revisions: HashMap<String, (String, Vec<(String, RemoteFile)>)>,
    /// The name it has now, if it was renamed.
    moved_to: Option<String>,
}

/// One request as it came in.
#[derive(Debug, Clone)]
pub struct Request {
    pub storage: bool,
    pub method: String,
    pub path: String,
    pub range: Option<String>,
    pub authorization: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    repos: HashMap<String, Repo>,
    faults: HashMap<String, Faults>,
    api_status: Vec<u16>,
    /// Bytes of white space that lists of files end with.
    api_padding: usize,
    /// Whether lists never tell checksums, as those of a simple mirror.
    without_sums: bool,
    log: Vec<Request>,
}

/// The running server. It ends with the process.
#[derive(Debug, Clone)]
pub struct FakeHub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
}

impl FakeHub {
    pub fn start() -> Self {
        let hub = TcpListener::bind("127.0.0.1:0").unwrap();
        let storage = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", hub.local_addr().unwrap());
        let storage_url = format!("http://{}", storage.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let (state, storage_url) = (state.clone(), storage_url.clone());
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (state, storage_url) = (state.clone(), storage_url.clone());
                    // A client that hangs up is part of some tests.
                    thread::spawn(move || drop(serve(stream, &state, &storage_url, is_storage)));
                }
            });
        }
        Self { endpoint, state }
    }

    /// Publishes files as a revision; those over 1000 bytes lie in the storage, as on the Hub.
    pub fn publish(&self, repo: &str, revision: &str, files: &[(&str, Vec<u8>)]) -> String {
        let mut sum = Sha1::new();
        sum.update(format!("{repo}{revision}"));
        files.iter().for_each(|(name, bytes)| sum.update([name.as_bytes(), bytes].concat()));
        let commit = hex(&sum.finalize());
        let files: Vec<_> = files
            .iter()
            .map(|(name, bytes)| {
                let file = RemoteFile { bytes: bytes.clone(), large: bytes.len() > 1000 };
                ((*name).to_owned(), file)
            })
            .collect();
        let mut state = self.state.lock().unwrap();
        let revisions = &mut state.repos.entry(repo.to_owned()).or_default().revisions;
        revisions.insert(revision.to_owned(), (commit.clone(), files.clone()));
        revisions.insert(commit.clone(), (commit.clone(), files));
        commit
    }

    pub fn gate(&self, repo: &str, gate: Gate) {
        self.state.lock().unwrap().repos.get_mut(repo).unwrap().gate = gate;
    }

    pub fn rename(&self, from: &str, to: &str) {
        let repo = Repo { moved_to: Some(to.to_owned()), ..Repo::default() };
        self.state.lock().unwrap().repos.insert(from.to_owned(), repo);
    }

    /// Sets what goes wrong with a file of this name, in any repository.
    pub fn fail(&self, file: &str, faults: Faults) {
        self.state.lock().unwrap().faults.insert(file.to_owned(), faults);
    }

    /// The next requests for a list of files are answered with these statuses.
    pub fn fail_api(&self, status: &[u16]) {
        self.state.lock().unwrap().api_status = status.to_vec();
    }

    /// Lists of files get so many bytes longer.
    pub fn pad_api(&self, bytes: usize) {
        self.state.lock().unwrap().api_padding = bytes;
    }

    /// Lists of files tell no checksums, asked or not.
    pub fn hide_sums(&self) {
        self.state.lock().unwrap().without_sums = true;
    }

    /// All requests so far.
    pub fn log(&self) -> Vec<Request> {
        self.state.lock().unwrap().log.clone()
    }

    /// The requests for bytes of large files so far.
    pub fn transfers(&self) -> Vec<Request> {
        self.log().into_iter().filter(|r| r.storage && r.method == "GET").collect()
    }
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn etag(file: &RemoteFile) -> String {
    if file.large {
        return sha256(&file.bytes);
    }
    let mut sum = Sha1::new();
    sum.update(format!("blob {}\0", file.bytes.len()));
    sum.update(&file.bytes);
    hex(&sum.finalize())
}

type Headers = Vec<(&'static str, String)>;

fn serve(
    mut stream: TcpStream,
    state: &Mutex<State>,
    storage_url: &str,
    storage: bool,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_owned();
    let path = decode(words.next().unwrap_or_default());
    let (mut range, mut authorization) = (None, None);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name.to_ascii_lowercase().as_str() {
            "range" => range = Some(value.to_owned()),
            "authorization" => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let request = Request { storage, method, path, range, authorization };
    state.lock().unwrap().log.push(request.clone());
    if storage {
        serve_storage(&mut stream, state, &request)
    } else {
        serve_hub(&mut stream, state, storage_url, &request)
    }
}

fn serve_hub(
    stream: &mut TcpStream,
    state: &Mutex<State>,
    storage_url: &str,
    request: &Request,
) -> std::io::Result<()> {
    let cached = request.path.strip_prefix("/api/resolve-cache/models/");
    let api = request.path.strip_prefix("/api/models/");
    let rest = cached.or(api).unwrap_or(request.path.trim_start_matches('/'));
    let mut parts = rest.splitn(4, '/');
    let mut part = || parts.next().unwrap_or_default().to_owned();
    let repo_id = format!("{}/{}", part(), part());
    let (third, fourth) = (part(), part());
    let (fourth, query) = match fourth.split_once('?') {
        Some((path, query)) => (path.to_owned(), query.to_owned()),
        None => (fourth, String::new()),
    };
    let mut guard = state.lock().unwrap();
    if api.is_some() && !guard.api_status.is_empty() {
        let status = guard.api_status.remove(0);
        return answer(stream, request, status, vec![], b"");
    }
    let good = request.authorization.as_deref() == Some("Bearer hf_good");
    let refuse = |stream: &mut TcpStream, status, code: &str| {
        let headers = vec![("X-Error-Code", code.to_owned()), ("X-Error-Message", "no".to_owned())];
        answer(stream, request, status, headers, b"{\"error\":\"no\"}")
    };
    // The Hub does not tell strangers whether a repository exists.
    let unknown = if request.authorization.is_some() { 404 } else { 401 };
    let Some(repo) = guard.repos.get(&repo_id).cloned() else {
        return refuse(stream, unknown, "RepoNotFound");
    };
    if let Some(to) = &repo.moved_to {
        let place = request.path.replacen(&repo_id, to, 1);
        return answer(stream, request, 307, vec![("Location", place)], b"");
    }
    if repo.gate == Gate::Private && !good {
        return refuse(stream, unknown, "RepoNotFound");
    }
    if api.is_some() {
        assert_eq!(third, "revision", "{request:?}");
        let Some((commit, files)) = repo.revisions.get(&fourth) else {
            return refuse(stream, 404, "RevisionNotFound");
        };
        let told = query == "blobs=true" && !guard.without_sums;
        let sibling = |(name, file): &(String, RemoteFile)| match (told, file.large) {
            (false, _) => serde_json::json!({ "rfilename": name }),
            (true, false) => serde_json::json!({ "rfilename": name, "blobId": etag(file) }),
            (true, true) => {
                let lfs = serde_json::json!({ "sha256": etag(file), "pointerSize": 134 });
                serde_json::json!({ "rfilename": name, "blobId": "0".repeat(40), "lfs": lfs })
            }
        };
        let siblings: Vec<_> = files.iter().map(sibling).collect();
        let body = serde_json::json!({ "id": repo_id, "sha": commit, "siblings": siblings });
        let body = body.to_string() + &" ".repeat(guard.api_padding);
        return answer(stream, request, 200, vec![], body.as_bytes());
    }
    let (revision, name) = if cached.is_some() {
        (third, fourth)
    } else {
        assert_eq!(third, "resolve", "{request:?}");
        let (revision, name) = fourth.split_once('/').unwrap();
        (revision.to_owned(), name.to_owned())
    };
    if repo.gate == Gate::Gated && !good {
        let status = if request.authorization.is_some() { 403 } else { 401 };
        return refuse(stream, status, "GatedRepo");
    }
    let Some((commit, files)) = repo.revisions.get(&revision) else {
        return refuse(stream, 404, "RevisionNotFound");
    };
    let Some((_, file)) = files.iter().find(|(file, _)| *file == name) else {
        return refuse(stream, 404, "EntryNotFound");
    };
    let faults = guard.faults.get(&name).cloned().unwrap_or_default();
    let tag = faults.etag.clone().unwrap_or_else(|| etag(file));
    let encoded = name.replace(' ', "%20");
    let mut headers = vec![
        ("X-Repo-Commit", commit.clone()),
        ("X-Linked-Size", file.bytes.len().to_string()),
        ("X-Linked-ETag", format!("\"{tag}\"")),
    ];
    if file.large {
        headers
            .push(("Location", format!("{storage_url}/{repo_id}/{commit}/{encoded}?signature=x")));
        return answer(stream, request, 302, headers, b"Found. Redirecting");
    }
    if cached.is_none() {
        let place = format!("/api/resolve-cache/models/{repo_id}/{commit}/{encoded}");
        headers.push(("Location", place));
        return answer(stream, request, 307, headers, b"Temporary Redirect");
    }
    drop(guard);
    let mut bytes = file.bytes.clone();
    if faults.corrupt {
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
    }
    headers.push(("ETag", format!("W/\"{tag}\"")));
    answer(stream, request, 200, headers, &bytes)
}

fn serve_storage(
    stream: &mut TcpStream,
    state: &Mutex<State>,
    request: &Request,
) -> std::io::Result<()> {
    // A signed address and a token together are refused, as real storage does.
    if request.authorization.is_some() {
        return answer(stream, request, 400, vec![], b"two kinds of authorization");
    }
    let path = request.path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let parts: Vec<&str> = path.splitn(4, '/').collect();
    let [org, name, commit, file] = parts[..] else { panic!("{request:?}") };
    let mut guard = state.lock().unwrap();
    let (_, files) = guard.repos[&format!("{org}/{name}")].revisions[commit].clone();
    let mut bytes = files.into_iter().find(|(name, _)| name == file).unwrap().1.bytes;
    let faults = guard.faults.entry(file.to_owned()).or_default();
    if !faults.status.is_empty() {
        let status = faults.status.remove(0);
        return answer(stream, request, status, vec![], b"");
    }
    let take = |list: &mut Vec<usize>| (!list.is_empty()).then(|| list.remove(0));
    let (drop_after, short_by) = (take(&mut faults.drop_after), take(&mut faults.short_by));
    let (no_ranges, slow, stall) = (faults.no_ranges, faults.slow, faults.stall);
    if faults.corrupt {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    }
    drop(guard);
    let total = bytes.len();
    let start = request.range.as_deref().filter(|_| !no_ranges).map_or(0, |range| {
        range.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap()
    });
    if start >= total {
        return answer(stream, request, 416, vec![], b"");
    }
    let body = &bytes[start..total - short_by.unwrap_or(0)];
    let mut head = match start {
        0 => "HTTP/1.1 200 OK\r\n".to_owned(),
        _ => format!(
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        ),
    };
    head += &format!("Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    let sent = &body[..drop_after.unwrap_or(body.len()).min(body.len())];
    for chunk in sent.chunks(4096) {
        stream.write_all(chunk)?;
        if let Some(pause) = slow {
            thread::sleep(pause);
        }
    }
    if let (Some(silence), Some(_)) = (stall, drop_after) {
        thread::sleep(silence);
    }
    Ok(())
}

fn answer(
    stream: &mut TcpStream,
    request: &Request,
    status: u16,
    headers: Headers,
    body: &[u8],
) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    if request.method != "HEAD" {
        stream.write_all(body)?;
    }
    // Waits for the client to close, so that what it has not read yet is not lost.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}

fn decode(path: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = path.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let hex = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}
