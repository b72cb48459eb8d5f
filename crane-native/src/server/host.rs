//! The host names by which the server may be reached.
//!
//! A page can let its own name lead to this machine (DNS rebinding) and then read what it fetches, since to the browser the
//! server is of the page's own origin. The name stays in the `Host` header, and that is where it is refused.

use std::net::IpAddr;

/// A host: an address, or a name in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// As in `127.0.0.1` and `[::1]`.
    Address(IpAddr),
    /// As in `localhost`.
    Name(String),
}

impl Host {
    /// Reads a host without a port; IPv6 addresses may stand in brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Some(address) = bare {
            return Some(Self::Address(IpAddr::V6(address.parse().ok()?).to_canonical()));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Some(Self::Address(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_part_of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let is_name = !name.is_empty() && name.bytes().all(is_part_of_a_name);
        is_name.then(|| Self::Name(name.to_ascii_lowercase()))
    }

    fn is_loopback(&self) -> bool {
        match self {
            Self::Address(address) => address.is_loopback(),
            Self::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }
}

/// Splits `HOST[:PORT]` as in a URL.
pub(super) fn authority(text: &str) -> Option<(Host, Option<u16>)> {
    // A colon within brackets belongs to the address.
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    // IPv6 without brackets cannot be told from a port.
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    let port = match port {
        // `host:` has the default port.
        None | Some("") => None,
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => Some(port.parse().ok()?),
        Some(_) => return None,
    };
    Some((Host::parse(host)?, port))
}

/// One entry of `--allowed-hosts`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Any,
    /// Every name that ends so: `*.example.com` is `.example.com`.
    Below(String),
    This(Host),
}

/// Which hosts are the server's own.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    allowed: Vec<Allowed>,
    /// Whether the server listens to this machine alone.
    is_local: bool,
    /// Whether a host that is not known is refused.
    refuses: bool,
}

impl Hosts {
    /// The hosts of a server that was told to listen at `host`, and those of `--allowed-hosts`.
    ///
    /// # Errors
    /// In words, about an entry that is no host.
    pub(super) fn new(given: &[String], host: &str, is_local: bool) -> Result<Self, String> {
        let mut allowed = given.iter().map(|text| allowed(text)).collect::<Result<Vec<_>, _>>()?;
        // 0.0.0.0 and :: are no address at which anybody is reached.
        let listens_at = Host::parse(host);
        allowed.extend(listens_at.filter(|host| !is_unspecified(host)).map(Allowed::This));
        Ok(Self { allowed, is_local, refuses: is_local || !given.is_empty() })
    }

    /// Whether a request for this host is answered.
    pub(super) fn admits(&self, host: Option<&Host>) -> bool {
        !self.refuses || host.is_some_and(|host| self.knows(host))
    }

    /// Whether the host is surely this server, and no name that a stranger let lead here. An address is: a page is
    /// only of that origin if the server sent it.
    pub(super) fn knows(&self, host: &Host) -> bool {
        let is_address = matches!(host, Host::Address(_));
        let is_listed = |allowed: &Allowed| match (allowed, host) {
            (Allowed::Any, _) => true,
            (Allowed::Below(end), Host::Name(name)) => name.ends_with(end),
            (Allowed::Below(_), Host::Address(_)) => false,
            (Allowed::This(known), host) => known == host,
        };
        host.is_loopback() || (is_address && !self.is_local) || self.allowed.iter().any(is_listed)
    }
}

fn is_unspecified(host: &Host) -> bool {
    matches!(host, Host::Address(address) if address.is_unspecified())
}

fn allowed(text: &str) -> Result<Allowed, String> {
    if text == "*" {
        return Ok(Allowed::Any);
    }
    if let Some(end) = text.strip_prefix('*')
        && end.starts_with('.')
        && let Some(Host::Name(name)) = Host::parse(end.trim_start_matches('.'))
    {
        return Ok(Allowed::Below(format!(".{name}")));
    }
    Host::parse(text).map(Allowed::This).ok_or_else(|| {
        format!(
            "--allowed-hosts: {text:?} is no host; write a name without scheme and port (chat.example), \
             *.example for all below it, or * for all"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(hosts: &Hosts, text: &str) -> bool {
        hosts.admits(authority(text).map(|(host, _)| host).as_ref())
    }

    #[test]
    fn a_server_of_this_machine_knows_its_names_and_no_others() {
        let given = ["chat.example".to_owned(), "*.lan".to_owned()];
        let hosts = Hosts::new(&given, "box", true).unwrap();
        for known in [
            "localhost",
            "localhost:8080",
            "LOCALHOST.:1",
            "app.localhost:8080",
            "127.0.0.1:8080",
            "127.1.2.3",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "box:8080",
            "chat.example",
            "Chat.Example:443",
            "a.b.lan",
        ] {
            assert!(admits(&hosts, known), "{known}");
        }
        for unknown in [
            "",
            ":80",
            "rebind.example:80",
            "localhost.rebind.example",
            "notlocalhost",
            "127.0.0.1.rebind.example",
            "127.1",
            "0177.0.0.1",
            "10.0.0.1",
            "0.0.0.0:8080",
            "[::2]",
            "::1",
            "[::1",
            "lan",
            "xlan",
            "deep.chat.example",
            "evil@localhost",
            "localhost:80:80",
            "localhost:99999",
            "localhost:-1",
            "localhost, rebind.example",
        ] {
            assert!(!admits(&hosts, unknown), "{unknown}");
        }
    }

    #[test]
    fn a_server_of_the_network_checks_hosts_where_it_is_told_to() {
        let open = Hosts::new(&[], "0.0.0.0", false).unwrap();
        assert!(admits(&open, "any.example") && admits(&open, "10.0.0.1:8080"));
        // A name that anybody may have let lead here is answered, but it is not the server's own.
        let own = |hosts: &Hosts, text: &str| hosts.knows(&authority(text).unwrap().0);
        assert!(!own(&open, "any.example") && own(&open, "10.0.0.1") && own(&open, "localhost"));
        let listed = Hosts::new(&["chat.example".to_owned()], "0.0.0.0", false).unwrap();
        // A probe asks by the pod's address.
        assert!(admits(&listed, "chat.example") && admits(&listed, "10.0.0.1:8080"));
        assert!(!admits(&listed, "any.example"));
        for local in [true, false] {
            let all = Hosts::new(&["*".to_owned()], "127.0.0.1", local).unwrap();
            assert!(admits(&all, "any.example"));
        }
    }

    #[test]
    fn what_is_no_host_is_named() {
        for wrong in ["", "http://x.example", "x.example:80", "x/y", "*x", "*.", "a b", "[::1"] {
            let told = Hosts::new(&[wrong.to_owned()], "127.0.0.1", true).unwrap_err();
            assert!(told.contains("--allowed-hosts") && told.contains(wrong), "{told}");
        }
        assert!(Hosts::new(&["::1".to_owned(), "[::1]".to_owned()], "::", true).is_ok());
    }
}
