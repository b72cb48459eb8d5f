//! Which web pages may ask. Any page in a browser can send requests to this machine; browsers say so, and that is looked at.
//!
//! Programs that are no browsers send neither `Origin` nor `Sec-Fetch-…`, and notice nothing.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Uri;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::client_address::CameByTls;
use super::host::{Host, Hosts, authority};
use super::wire::ApiError;

/// Pages that may be opened by a link from anywhere: they show what the server does, and do nothing.
const PAGES: [&str; 2] = ["/", "/docs"];

/// Where a page comes from: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: Host,
    port: Option<u16>,
}

impl Origin {
    fn new(scheme: &str, host: Host, port: Option<u16>) -> Self {
        let scheme = scheme.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => Some(80),
            "https" => Some(443),
            _ => None,
        };
        Self { scheme, host, port: port.or(usual) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_part) {
            return None;
        }
        let (host, port) = authority(rest)?;
        Some(Self::new(scheme, host, port))
    }
}

/// The origins that `--cors` names.
#[derive(Debug, Clone, Default)]
pub(super) struct Origins {
    any: bool,
    named: Vec<Origin>,
}

impl Origins {
    /// The origins of `--cors`.
    ///
    /// # Errors
    /// In words, about an entry that is no origin.
    pub(super) fn new(given: &[String]) -> Result<Self, String> {
        let any = given.iter().any(|text| text == "*");
        let named = given.iter().filter(|text| *text != "*").map(|text| {
            Origin::parse(text).ok_or_else(|| {
                format!(
                    "--cors: {text:?} is no origin; write scheme, host and port as a browser does \
                     (https://chat.example, http://localhost:3000), or * for all"
                )
            })
        });
        Ok(Self { any, named: named.collect::<Result<_, _>>()? })
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        !self.any && self.named.is_empty()
    }

    /// Whether all are.
    pub(super) fn are_all(&self) -> bool {
        self.any
    }

    /// Whether pages of the origin in an `Origin` header may ask.
    pub(super) fn hold(&self, value: &HeaderValue) -> bool {
        let parsed = || value.to_str().ok().and_then(Origin::parse);
        self.any || parsed().is_some_and(|origin| self.named.contains(&origin))
    }
}

/// What is looked at before anything else: by which name the server is asked, and by which page.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) hosts: Hosts,
    pub(super) origins: Origins,
}

/// The head of a request.
#[derive(Debug, Clone, Copy)]
struct Head<'a> {
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a HeaderMap,
    /// `https` where a trusted proxy says so.
    scheme: &'static str,
}

impl Gate {
    /// Whether a request may go on.
    ///
    /// # Errors
    /// 403, with what to do about it.
    fn check(&self, head: Head<'_>) -> Result<(), ApiError> {
        let own = self.own(head)?;
        let mut origins = head.headers.get_all(header::ORIGIN).iter().peekable();
        let has_origin = origins.peek().is_some();
        let may_ask = |value: &HeaderValue| {
            let is_own = || own.is_some() && value.to_str().ok().and_then(Origin::parse) == own;
            self.origins.hold(value) || is_own()
        };
        if let Some(stranger) = origins.find(|value| !may_ask(value)) {
            let name = String::from_utf8_lossy(stranger.as_bytes());
            return Err(refused(
                "origin_not_allowed",
                format_args!(
                    "pages of the origin {name:?} may not ask this server; --cors ORIGIN lets them"
                ),
            ));
        }
        // Browsers leave the origin out where a page shows what it fetches without reading it.
        let site = head.headers.get("sec-fetch-site");
        let is_foreign = site.is_some_and(|site| site != "same-origin" && site != "none");
        if is_foreign && !has_origin && !self.origins.are_all() && !opens_a_page(head) {
            return Err(refused(
                "origin_not_allowed",
                "pages of other sites may not ask this server; --cors ORIGIN lets those that say where they come from",
            ));
        }
        if is_of_a_browser(head.headers) && has_body(head.headers) && !is_json(head.headers) {
            return Err(refused(
                "content_type_not_allowed",
                "a browser has to send the body as content-type application/json",
            ));
        }
        Ok(())
    }

    /// The origin of the server's own pages, where the host that is asked for is surely the server.
    ///
    /// # Errors
    /// 403 for a host that is refused.
    fn own(&self, head: Head<'_>) -> Result<Option<Origin>, ApiError> {
        let named = head.uri.authority().map(|authority| authority.as_str().as_bytes());
        let sent = head.headers.get_all(header::HOST).iter().map(HeaderValue::as_bytes);
        let mut own = None;
        for bytes in named.into_iter().chain(sent) {
            let parsed = std::str::from_utf8(bytes).ok().and_then(authority);
            if !self.hosts.admits(parsed.as_ref().map(|(host, _)| host)) {
                let name = String::from_utf8_lossy(bytes);
                return Err(refused(
                    "host_not_allowed",
                    format_args!(
                        "this server is not known as {name:?}; --allowed-hosts HOST adds a name, * lets all"
                    ),
                ));
            }
            let known = parsed.filter(|(host, _)| self.hosts.knows(host));
            own = own.or_else(|| known.map(|(host, port)| Origin::new(head.scheme, host, port)));
        }
        Ok(own)
    }
}

fn refused(code: &'static str, message: impl std::fmt::Display) -> ApiError {
    ApiError::invalid(message).with(StatusCode::FORBIDDEN, "permission_error", code)
}

/// Whether somebody follows a link to one of the pages.
fn opens_a_page(head: Head<'_>) -> bool {
    let is = |name: &str, expected: &str| head.headers.get(name).is_some_and(|v| v == expected);
    let destination = HeaderName::from_static("sec-fetch-dest");
    let is_window = is("sec-fetch-dest", "document") || !head.headers.contains_key(destination);
    let reads = matches!(*head.method, Method::GET | Method::HEAD);
    reads && PAGES.contains(&head.uri.path()) && is("sec-fetch-mode", "navigate") && is_window
}

/// Pages cannot take these headers away.
fn is_of_a_browser(headers: &HeaderMap) -> bool {
    let is_fetch = |name: &HeaderName| name.as_str().starts_with("sec-fetch-");
    headers.contains_key(header::ORIGIN) || headers.keys().any(is_fetch)
}

fn has_body(headers: &HeaderMap) -> bool {
    let is_empty = |value: &HeaderValue| value.as_bytes().iter().all(|&byte| byte == b'0');
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get_all(header::CONTENT_LENGTH).iter().any(|value| !is_empty(value))
}

/// A page needs leave (a preflight) to send this type to another origin, and none for forms and plain text.
fn is_json(headers: &HeaderMap) -> bool {
    let is_json = |value: &HeaderValue| {
        let kind = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        kind.trim().eq_ignore_ascii_case("application/json")
    };
    let mut kinds = headers.get_all(header::CONTENT_TYPE).iter().peekable();
    kinds.peek().is_some() && kinds.all(is_json)
}

/// Lets a request through that no foreign page has sent.
pub(super) async fn check(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let scheme = match request.extensions().get::<CameByTls>() {
        Some(CameByTls) => "https",
        None => "http",
    };
    let (method, uri, headers) = (request.method(), request.uri(), request.headers());
    match gate.check(Head { method, uri, headers, scheme }) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JSON: &str = "content-type: application/json";
    const BODY: &str = "content-length: 2";

    fn gate(cors: &[&str], allowed: &[&str], is_local: bool) -> Gate {
        let owned = |list: &[&str]| list.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        let listen = if is_local { "127.0.0.1" } else { "0.0.0.0" };
        Gate {
            hosts: Hosts::new(&owned(allowed), listen, is_local).unwrap(),
            origins: Origins::new(&owned(cors)).unwrap(),
        }
    }

    /// The code of the refusal, if it is one.
    fn ask(gate: &Gate, line: &str, headers: &[&str], scheme: &'static str) -> Option<String> {
        let (method, uri) = line.split_once(' ').unwrap();
        let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
        let mut map = HeaderMap::new();
        for header in headers {
            let (name, value) = header.split_once(": ").unwrap();
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let head = Head { method: &method, uri: &uri, headers: &map, scheme };
        let error = gate.check(head).err()?;
        assert_eq!(error.status, StatusCode::FORBIDDEN);
        Some(error.json()["error"]["code"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn table(gate: &Gate, rows: &[(&str, &[&str], Option<&str>)]) {
        for (line, headers, refused) in rows {
            let told = ask(gate, line, headers, "http");
            assert_eq!(told.as_deref(), *refused, "{line} {headers:?}");
        }
    }

    const ORIGIN: Option<&str> = Some("origin_not_allowed");
    const HOST: Option<&str> = Some("host_not_allowed");
    const TYPE: Option<&str> = Some("content_type_not_allowed");
    const CHAT: &str = "POST /v1/chat/completions";
    const HERE: &str = "host: 127.0.0.1:8080";

    #[test]
    fn programs_that_are_no_browsers_notice_nothing() {
        let form = "content-type: application/x-www-form-urlencoded";
        table(
            &gate(&[], &[], true),
            &[
                (CHAT, &[HERE, BODY, form], None),
                (CHAT, &[HERE, BODY], None),
                (CHAT, &[HERE, "transfer-encoding: chunked", "content-type: text/plain"], None),
                ("GET /health", &[], None),
                ("GET /v1/models", &["host: localhost:8080"], None),
                ("GET http://127.0.0.1:8080/v1/models", &[HERE], None),
            ],
        );
    }

    #[test]
    fn pages_of_other_origins_may_not_ask() {
        let (cross, same_site) = ("sec-fetch-site: cross-site", "sec-fetch-site: same-site");
        let navigates = "sec-fetch-mode: navigate";
        let rows: &[(&str, &[&str], Option<&str>)] = &[
            (CHAT, &[HERE, BODY, JSON, "origin: https://evil.example"], ORIGIN),
            (
                CHAT,
                &[HERE, BODY, "content-type: text/plain", "origin: https://evil.example"],
                ORIGIN,
            ),
            (CHAT, &[HERE, BODY, JSON, "origin: null"], ORIGIN),
            (CHAT, &[HERE, BODY, JSON, "origin: "], ORIGIN),
            // Another port is another origin, and so is another name of this machine.
            (CHAT, &[HERE, BODY, JSON, "origin: http://127.0.0.1:3000"], ORIGIN),
            (CHAT, &[HERE, BODY, JSON, "origin: http://127.0.0.1"], ORIGIN),
            (CHAT, &[HERE, BODY, JSON, "origin: http://localhost:8080"], ORIGIN),
            (CHAT, &[HERE, BODY, JSON, "origin: https://127.0.0.1:8080"], ORIGIN),
            (CHAT, &[HERE, BODY, JSON, "origin: http://127.0.0.1:8080.evil.example"], ORIGIN),
            (
                CHAT,
                &[
                    HERE,
                    BODY,
                    JSON,
                    "origin: http://127.0.0.1:8080",
                    "origin: https://evil.example",
                ],
                ORIGIN,
            ),
            ("OPTIONS /v1/chat/completions", &[HERE, "origin: https://evil.example"], ORIGIN),
            ("GET /health", &[HERE, "origin: https://evil.example"], ORIGIN),
            // As an image or a script.
            ("GET /v1/models", &[HERE, cross, "sec-fetch-mode: no-cors"], ORIGIN),
            ("GET /metrics", &[HERE, same_site, "sec-fetch-mode: no-cors"], ORIGIN),
            ("GET /", &[HERE, "sec-fetch-site: some-new-word"], ORIGIN),
            // A link leads to a page, a frame or a form does not, and there is no link to what is no page.
            ("GET /docs", &[HERE, cross, navigates, "sec-fetch-dest: document"], None),
            ("GET /", &[HERE, cross, navigates], None),
            ("GET /docs", &[HERE, cross, navigates, "sec-fetch-dest: iframe"], ORIGIN),
            ("GET /docs", &[HERE, cross], ORIGIN),
            ("POST /docs", &[HERE, cross, navigates], ORIGIN),
            ("GET /v1/models", &[HERE, cross, navigates, "sec-fetch-dest: document"], ORIGIN),
            // Typed into the address bar, or a link of one of the pages.
            ("GET /v1/models", &[HERE, "sec-fetch-site: none", navigates], None),
            ("GET /openapi.json", &[HERE, "sec-fetch-site: same-origin"], None),
        ];
        table(&gate(&[], &[], true), rows);
    }

    #[test]
    fn the_servers_own_pages_may_ask_with_json() {
        let own = "origin: http://127.0.0.1:8080";
        let local = gate(&[], &[], true);
        table(
            &local,
            &[
                (CHAT, &[HERE, BODY, JSON, own], None),
                (CHAT, &[HERE, BODY, "content-type: Application/JSON; charset=utf-8", own], None),
                (CHAT, &["host: localhost", BODY, JSON, "origin: http://LOCALHOST:80"], None),
                (CHAT, &["host: [::1]:1", BODY, JSON, "origin: http://[0:0::1]:1"], None),
                (CHAT, &[HERE, "content-length: 0", own], None),
                (CHAT, &[HERE, BODY, own], TYPE),
                (CHAT, &[HERE, BODY, own, "content-type: text/plain; x=application/json"], TYPE),
                (CHAT, &[HERE, BODY, own, "content-type: application/jsonp"], TYPE),
                (CHAT, &[HERE, BODY, own, JSON, "content-type: text/plain"], TYPE),
                (CHAT, &[HERE, "transfer-encoding: chunked", own], TYPE),
                (CHAT, &[HERE, BODY, "sec-fetch-site: same-origin"], TYPE),
                (CHAT, &[HERE, BODY, "sec-fetch-mode: cors"], TYPE),
                // Without a host nothing is known to be the server's own.
                (CHAT, &[BODY, JSON, own], ORIGIN),
            ],
        );
        // By TLS only where a trusted proxy says so.
        let secure = [HERE, BODY, JSON, "origin: https://127.0.0.1:8080"];
        assert_eq!(ask(&local, CHAT, &secure, "https"), None);
        assert!(ask(&local, CHAT, &secure, "http").is_some());
    }

    #[test]
    fn a_rebound_name_is_refused() {
        let rebound = "host: rebind.example:8080";
        table(
            &gate(&[], &[], true),
            &[
                ("GET /v1/models", &[rebound], HOST),
                ("GET /health", &[rebound], HOST),
                (CHAT, &[rebound, BODY, JSON, "origin: http://rebind.example:8080"], HOST),
                ("GET http://rebind.example/v1/models", &[HERE], HOST),
                ("GET /v1/models", &[HERE, rebound], HOST),
                ("GET /v1/models", &["host: "], HOST),
            ],
        );
        // On a network any name may be the server's, but no page of it may ask unless it is named.
        table(
            &gate(&[], &[], false),
            &[
                ("GET /v1/models", &[rebound], None),
                (CHAT, &[rebound, BODY, JSON, "origin: http://rebind.example:8080"], ORIGIN),
                (CHAT, &["host: 10.0.0.7:80", BODY, JSON, "origin: http://10.0.0.7"], None),
            ],
        );
        let chat = ["host: chat.example", BODY, JSON, "origin: http://chat.example"];
        table(
            &gate(&[], &["chat.example"], false),
            &[(CHAT, &chat, None), (CHAT, &[rebound], HOST)],
        );
    }

    #[test]
    fn pages_that_are_named_may_ask() {
        let named = "origin: https://chat.example";
        let cross = "sec-fetch-site: cross-site";
        table(
            &gate(&["https://chat.example", "http://localhost:3000"], &[], true),
            &[
                (CHAT, &[HERE, BODY, JSON, named, cross], None),
                (CHAT, &[HERE, BODY, JSON, "origin: https://CHAT.example:443"], None),
                (CHAT, &[HERE, BODY, JSON, "origin: http://localhost:3000"], None),
                ("OPTIONS /v1/chat/completions", &[HERE, named], None),
                (CHAT, &[HERE, BODY, "content-type: text/plain", named], TYPE),
                (CHAT, &[HERE, BODY, JSON, "origin: http://chat.example"], ORIGIN),
                (CHAT, &[HERE, BODY, JSON, "origin: null"], ORIGIN),
                ("GET /v1/models", &[HERE, cross], ORIGIN),
            ],
        );
        table(
            &gate(&["*"], &[], true),
            &[
                (CHAT, &[HERE, BODY, JSON, "origin: null", cross], None),
                (CHAT, &[HERE, BODY, JSON, "origin: https://any.example"], None),
                ("GET /v1/models", &[HERE, cross], None),
                (CHAT, &[HERE, BODY, "content-type: text/plain", "origin: null"], TYPE),
                ("GET /v1/models", &["host: rebind.example"], HOST),
            ],
        );
    }

    #[test]
    fn what_is_no_origin_is_named() {
        for wrong in
            ["", "null", "chat.example", "https://", "https://a.example/", "https://a b", "://x"]
        {
            let told = Origins::new(&[wrong.to_owned()]).unwrap_err();
            assert!(told.contains("--cors") && told.contains(wrong), "{told}");
        }
        let odd = ["chrome-extension://abcdefgh".to_owned(), "tauri://localhost".to_owned()];
        assert!(Origins::new(&odd).is_ok());
    }
}
