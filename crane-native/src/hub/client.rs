//! The Hub's HTTP protocol: who may see the token, where redirects lead, what an answer means.

use std::fs;
use std::io;
use std::sync::OnceLock;

use ureq::http::{HeaderMap, Method, Response, StatusCode, Uri, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Timeout};

use super::config::HubConfig;
use crate::{Error, Result};

const MAX_REDIRECTS: usize = 10;

/// Why a request failed, and whether asking again may help.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No connection could be made.
    Connect(Error),
    /// The connection or the server failed in a way that may pass.
    Transient(String),
    /// Asking again will not help.
    Fatal(Error),
}

impl Failure {
    /// The failure as an error, for a request to `url` that is not tried again.
    pub(crate) fn into_error(self, url: &str) -> Error {
        match self {
            Failure::Connect(error) | Failure::Fatal(error) => error,
            Failure::Transient(reason) => Error::Server { url: url.to_owned(), reason },
        }
    }
}

/// Speaks HTTP with the Hub and the hosts it redirects to.
#[derive(Debug)]
pub(crate) struct Client {
    /// Made for the first request, so that local models do not depend on network settings.
    agent: OnceLock<Agent>,
    config: HubConfig,
    endpoint: Uri,
    authorization: Option<String>,
}

impl Client {
    pub(crate) fn new(config: HubConfig) -> Result<Self> {
        let endpoint: Uri = config
            .endpoint
            .parse()
            .ok()
            .filter(|uri: &Uri| {
                uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https"))
            })
            .ok_or_else(|| {
                let endpoint = &config.endpoint;
                Error::Usage(format!("HF_ENDPOINT: {endpoint:?} is not an http or https address"))
            })?;
        let authorization = config.token.as_ref().map(super::config::Token::bearer);
        Ok(Self { agent: OnceLock::new(), config, endpoint, authorization })
    }

    pub(crate) fn config(&self) -> &HubConfig {
        &self.config
    }

    fn agent(&self) -> Result<&Agent> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent);
        }
        let config = &self.config;
        let agent = Agent::config_builder()
            .user_agent(concat!("crane/", env!("CARGO_PKG_VERSION")))
            // Sizes and ranges must be those of the file, not of a compressed form of it.
            .accept_encoding("identity")
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(Some(config.connect_timeout))
            .timeout_connect(Some(config.connect_timeout))
            .timeout_recv_response(Some(config.read_timeout))
            .timeout_per_read(Some(config.read_timeout))
            .tls_config(tls(config)?)
            .build()
            .into();
        Ok(self.agent.get_or_init(|| agent))
    }

    /// Asks for a resource, following redirects anywhere; `start` asks for the bytes from there on.
    pub(crate) fn get(&self, url: &str, start: u64) -> Result<Response<Body>, Failure> {
        let mut url = parse(url)?;
        for _ in 0..MAX_REDIRECTS {
            let response = self.send(Method::GET, &url, start)?;
            match redirect(&url, &response)? {
                Some(next) => url = next,
                None => return Ok(response),
            }
        }
        Err(too_many_redirects(&url))
    }

    /// Asks for the headers of a file, following redirects only within the Hub: the first answer
    /// that leads elsewhere is the one that describes the file.
    pub(crate) fn head(&self, url: &str) -> Result<Headers, Failure> {
        let mut url = parse(url)?;
        let mut headers = Headers::default();
        for _ in 0..MAX_REDIRECTS {
            let response = self.send(Method::HEAD, &url, 0)?;
            headers.take(&response);
            match redirect(&url, &response)? {
                Some(next) if same_origin(&next, &self.endpoint) => url = next,
                Some(_) => return Ok(headers),
                None if response.status().is_success() => return Ok(headers),
                None => return Err(self.refusal(&url.to_string(), &response)),
            }
        }
        Err(too_many_redirects(&url))
    }

    fn send(&self, method: Method, url: &Uri, start: u64) -> Result<Response<Body>, Failure> {
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        // The token is for the Hub alone, never for the storage it redirects to.
        if let Some(token) =
            self.authorization.as_ref().filter(|_| same_origin(url, &self.endpoint))
        {
            request = request.header(header::AUTHORIZATION, token);
        }
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let request = request.body(()).map_err(|error| {
            Failure::Fatal(Error::Usage(format!("HF_TOKEN or address is malformed: {error}")))
        })?;
        let agent = self.agent().map_err(Failure::Fatal)?;
        agent.run(request).map_err(|error| classify(url, error))
    }

    /// What an answer that is no success means, in the Hub's own terms.
    pub(crate) fn refusal(&self, url: &str, response: &Response<Body>) -> Failure {
        let text = |name: &str| {
            response.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
        };
        let (code, message) = (text("x-error-code"), text("x-error-message"));
        let status = response.status();
        let (repo, page) = repo_of(url, &self.endpoint);
        let known = self.authorization.is_some();
        let refused =
            |reason: String| Failure::Fatal(Error::Refused { what: repo.clone(), reason });
        let missing = |what: &str, hint: &str| {
            Failure::Fatal(Error::NotFound {
                what: what.to_owned(),
                place: page.clone(),
                hint: hint.to_owned(),
            })
        };
        match (status, code) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, "GatedRepo") if known => {
                refused(format!(
                    "the model is gated and the account of HF_TOKEN has no access to it; ask for access at {page}"
                ))
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, "GatedRepo") => refused(format!(
                "the model is gated; accept its terms at {page}, then set HF_TOKEN to a token of that account"
            )),
            (StatusCode::NOT_FOUND, "RevisionNotFound") => {
                missing("the revision", "see its branches and tags on the page")
            }
            (StatusCode::NOT_FOUND, "EntryNotFound") => {
                missing(url.rsplit('/').next().unwrap_or(url), "see its files on the page")
            }
            (StatusCode::UNAUTHORIZED, _) if !known => missing(
                &repo,
                "check the spelling; if the repository is private, set HF_TOKEN to a token that may read it",
            ),
            (StatusCode::UNAUTHORIZED, "RepoNotFound") | (StatusCode::NOT_FOUND, _) => missing(
                &repo,
                "check the spelling; if the repository is private, HF_TOKEN must belong to an account that may read it",
            ),
            (StatusCode::UNAUTHORIZED, _) => refused(
                "HF_TOKEN is not valid (any more); make a new one in the account's settings"
                    .to_owned(),
            ),
            (StatusCode::FORBIDDEN, _) if known => refused(format!(
                "HF_TOKEN may not read it (403 {message}); give the token read access to {page}"
            )),
            _ if status.is_server_error()
                || matches!(
                    status,
                    StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
                ) =>
            {
                Failure::Transient(format!("{status} {message}").trim_end().to_owned())
            }
            _ => Failure::Fatal(Error::Server {
                url: url.to_owned(),
                reason: format!("{status} {message}").trim_end().to_owned(),
            }),
        }
    }
}

/// What the Hub says of a file before it is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Headers {
    /// The name of the content: SHA-256 for large files, git's SHA-1 for small ones.
    pub(crate) etag: Option<String>,
    /// The commit that the revision points at.
    pub(crate) commit: Option<String>,
    /// The file's length in bytes.
    pub(crate) size: Option<u64>,
}

impl Headers {
    /// Adds what one answer says; a later answer knows better.
    fn take(&mut self, response: &Response<Body>) {
        let headers = response.headers();
        let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
        if let Some(etag) = etag {
            let etag = etag.strip_prefix("W/").unwrap_or(etag).trim_matches('"');
            self.etag = Some(etag.to_owned());
        }
        if let Some(commit) = text(headers, "x-repo-commit") {
            self.commit = Some(commit.to_owned());
        }
        // The length of a redirect is that of its own body.
        let length =
            response.status().is_success().then(|| text(headers, "content-length")).flatten();
        let size = text(headers, "x-linked-size").or(length);
        if let Some(size) = size.and_then(|size| size.parse().ok()) {
            self.size = Some(size);
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|value| !value.is_empty())
}

fn parse(url: &str) -> Result<Uri, Failure> {
    url.parse().map_err(|error| {
        Failure::Fatal(Error::Usage(format!("{url:?} is not a web address: {error}")))
    })
}

/// Where an answer redirects to, as an absolute address.
fn redirect(url: &Uri, response: &Response<Body>) -> Result<Option<Uri>, Failure> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let bad = |reason: &str| {
        Failure::Fatal(Error::Server { url: url.to_string(), reason: reason.to_owned() })
    };
    let place = text(response.headers(), "location").ok_or_else(|| bad("a redirect to nowhere"))?;
    let scheme = url.scheme_str().unwrap_or("https");
    let authority = url.authority().map_or("", |authority| authority.as_str());
    let absolute = if place.contains("://") {
        place.to_owned()
    } else if place.starts_with("//") {
        format!("{scheme}:{place}")
    } else if place.starts_with('/') {
        format!("{scheme}://{authority}{place}")
    } else {
        let folder = url.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{place}")
    };
    let next: Uri = absolute.parse().map_err(|_| bad("a redirect to a malformed address"))?;
    match next.scheme_str() {
        Some("https") => Ok(Some(next)),
        Some("http") if scheme == "http" => Ok(Some(next)),
        _ => Err(bad("a redirect from https to an address without encryption")),
    }
}

fn too_many_redirects(url: &Uri) -> Failure {
    let reason = format!("over {MAX_REDIRECTS} redirects");
    Failure::Fatal(Error::Server { url: url.to_string(), reason })
}

fn same_origin(a: &Uri, b: &Uri) -> bool {
    let port = |uri: &Uri| {
        uri.port_u16().or_else(|| Some(if uri.scheme_str() == Some("http") { 80 } else { 443 }))
    };
    a.scheme() == b.scheme()
        && port(a) == port(b)
        && match (a.host(), b.host()) {
            (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
            _ => false,
        }
}

/// `org/name` and its page, from any address of it.
fn repo_of(url: &str, endpoint: &Uri) -> (String, String) {
    let base = endpoint.to_string();
    let base = base.trim_end_matches('/');
    let rest = url.strip_prefix(base).unwrap_or(url).trim_start_matches('/');
    let rest = rest.strip_prefix("api/models/").unwrap_or(rest);
    let repo = rest.split('/').take(2).collect::<Vec<_>>().join("/");
    let page = format!("{base}/{repo}");
    (repo, page)
}

fn classify(url: &Uri, error: ureq::Error) -> Failure {
    let host = url.authority().map_or_else(|| url.to_string(), |host| host.to_string());
    let unreachable =
        |reason: String| Failure::Connect(Error::Unreachable { place: host.clone(), reason });
    match error {
        ureq::Error::HostNotFound => unreachable("there is no such host (DNS)".to_owned()),
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            unreachable("no connection within the time limit".to_owned())
        }
        ureq::Error::Timeout(Timeout::RecvResponse) => {
            unreachable("connected, but it does not answer".to_owned())
        }
        ureq::Error::Timeout(what) => Failure::Transient(format!("timeout ({what})")),
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::UnexpectedEof
            | io::ErrorKind::TimedOut
            | io::ErrorKind::Interrupted => Failure::Transient(error.to_string()),
            _ => unreachable(error.to_string()),
        },
        ureq::Error::Protocol(error) => Failure::Transient(error.to_string()),
        other => unreachable(other.to_string()),
    }
}

fn tls(config: &HubConfig) -> Result<TlsConfig> {
    // Only an https endpoint needs the bundle; a missing one must not stop a plain one.
    let Some(path) = config.ca_bundle.as_ref().filter(|_| config.endpoint.starts_with("https:"))
    else {
        return Ok(TlsConfig::default());
    };
    let pem = fs::read(path).map_err(|e| Error::io("cannot read the certificates in", path, &e))?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Error::Usage(format!(
            "{} (REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE or SSL_CERT_FILE) holds no certificates",
            path.display()
        )));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    fn lead(from: &str, to: &str) -> Result<Option<Uri>, Failure> {
        let response = Response::builder()
            .status(307)
            .header("location", to)
            .body(Body::builder().data(""))
            .unwrap();
        redirect(&uri(from), &response)
    }

    #[test]
    fn redirects_become_absolute() {
        let from = "https://hub.test:8443/a/b/resolve/main/c";
        for (to, absolute) in [
            ("https://cdn.test/x?y=1", "https://cdn.test/x?y=1"),
            ("/n/b/c", "https://hub.test:8443/n/b/c"),
            ("//cdn.test/x", "https://cdn.test/x"),
            ("d", "https://hub.test:8443/a/b/resolve/main/d"),
        ] {
            assert_eq!(lead(from, to).unwrap(), Some(uri(absolute)));
        }
        assert!(lead(from, "http://cdn.test/x").is_err(), "encryption must not be lost");
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let hub = uri("https://huggingface.co");
        assert!(same_origin(&uri("https://HuggingFace.co:443/x"), &hub));
        for other in [
            "http://huggingface.co/x",
            "https://cdn.huggingface.co/",
            "https://huggingface.co:444/",
        ] {
            assert!(!same_origin(&uri(other), &hub), "{other}");
        }
    }

    #[test]
    fn a_repository_is_found_in_its_addresses() {
        let hub = uri("https://huggingface.co");
        for url in [
            "https://huggingface.co/api/models/a/b/revision/main",
            "https://huggingface.co/a/b/resolve/main/c",
        ] {
            assert_eq!(repo_of(url, &hub), ("a/b".into(), "https://huggingface.co/a/b".into()));
        }
    }
}
