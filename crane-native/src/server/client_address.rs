//! Where a request comes from: the peer of its connection, or what a proxy that is trusted says.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

/// The address of who asks, for a fair share. Every request has one among its extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Whether a trusted proxy says that the client came to it by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CameByTls;

/// The proxies whose `X-Forwarded-For` counts.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies(Vec<Network>);

/// An address, or all that begin alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Reads `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(most);
        (bits <= most).then_some(Self { address, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let differ = network.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

impl TrustedProxies {
    /// The proxies of `--trusted-proxy`.
    ///
    /// # Errors
    /// In words, about an entry that is no address.
    pub(super) fn new(given: &[String]) -> Result<Self, String> {
        let network = |text: &String| {
            Network::parse(text).ok_or_else(|| {
                format!(
                    "--trusted-proxy: {text:?} is no address; write one such as 10.0.0.7, or a network such as 10.0.0.0/8"
                )
            })
        };
        Ok(Self(given.iter().map(network).collect::<Result<_, _>>()?))
    }

    /// Whether what this peer says of its clients counts.
    pub(super) fn hold(&self, peer: IpAddr) -> bool {
        self.0.iter().any(|network| network.holds(peer.to_canonical()))
    }

    /// The client of a peer: the last address of `X-Forwarded-For` that is no trusted proxy's. What a client itself
    /// wrote there stands before it.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let values = headers.get_all("x-forwarded-for");
        let lists: Vec<&str> = values.iter().map(|value| value.to_str().unwrap_or("")).collect();
        for hop in lists.iter().rev().flat_map(|list| list.rsplit(',')) {
            if !self.hold(client) {
                break;
            }
            // A proxy that says something else is itself the last one that is known.
            let Some(address) = address(hop.trim()) else { break };
            client = address;
        }
        client
    }
}

/// An address with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

/// Puts [`ClientAddress`] among a request's extensions, and into its [`ConnectInfo`].
pub(super) async fn attach(
    State(proxies): State<Arc<TrustedProxies>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|info| info.0);
    if let Some(peer) = peer {
        let headers = request.headers();
        let is_tls = headers.get("x-forwarded-proto").is_some_and(|value| value == "https");
        let client = proxies.client(peer.ip(), headers);
        let extensions = request.extensions_mut();
        extensions.insert(ClientAddress(client));
        extensions.insert(ConnectInfo(SocketAddr::new(client, peer.port())));
        if is_tls && proxies.hold(peer.ip()) {
            extensions.insert(CameByTls);
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let given: Vec<String> = proxies.iter().map(|&text| text.to_owned()).collect();
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let proxies = TrustedProxies::new(&given).unwrap();
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_last_address_that_no_proxy_has_is_the_client() {
        let proxies = ["10.0.0.0/8", "::1"];
        for (peer, forwarded, expected) in [
            ("192.0.2.1", &["198.51.100.7"] as &[&str], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            // What the client wrote itself comes first.
            ("10.0.0.1", &["1.1.1.1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.1.1.1", "198.51.100.7,10.3.2.1"], "198.51.100.7"),
            ("::1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("::1", &["[2001:db8::1]:4711"], "2001:db8::1"),
            ("::1", &["[2001:db8::1]"], "2001:db8::1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.9.9.9"], "10.9.9.9"),
            ("10.0.0.1", &["", ""], "10.0.0.1"),
        ] {
            assert_eq!(client(&proxies, peer, forwarded), expected, "{peer} {forwarded:?}");
        }
        assert_eq!(client(&[], "10.0.0.1", &["198.51.100.7"]), "10.0.0.1");
        assert_eq!(client(&["0.0.0.0/0"], "10.0.0.1", &["198.51.100.7"]), "198.51.100.7");
    }

    #[test]
    fn what_is_no_address_is_named() {
        for wrong in ["", "proxy", "10.0.0.1/33", "10.0.0.1/", "::/129", "10.0.0.1:80", "/8"] {
            let told = TrustedProxies::new(&[wrong.to_owned()]).unwrap_err();
            assert!(told.contains("--trusted-proxy") && told.contains(wrong), "{told}");
        }
    }
}
