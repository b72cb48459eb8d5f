//! Whose share of the server a request takes: turns are fair between shares.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::Request;

use super::ClientAddress;

/// Who asks, as far as that cannot be made up: the owner of an API key, or an address where no key is asked for.
///
/// It stands among a request's extensions once its key was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Share {
    /// The key of this number among the server's.
    Key(usize),
    /// This address; of IPv6 the network of 64 bits, of which one client has all addresses.
    Address(IpAddr),
}

impl Share {
    /// The share of an address.
    pub fn of_address(address: IpAddr) -> Self {
        let network = |address: Ipv6Addr| {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        };
        Self::Address(match address.to_canonical() {
            IpAddr::V6(address) if !address.is_loopback() => network(address),
            address => address,
        })
    }

    /// The share of a request without a key.
    pub(super) fn of_request(request: &Request) -> Self {
        let address = request.extensions().get::<ClientAddress>();
        let address = address.map(|ClientAddress(address)| *address);
        // Every connection has an address.
        Self::of_address(address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Share::Key(number) => write!(f, "key {number}"),
            Share::Address(address) => write!(f, "{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_client_has_one_share_whatever_its_address_is_written_as() {
        let share = |text: &str| Share::of_address(text.parse().unwrap());
        assert_eq!(share("127.0.0.1"), share("::ffff:127.0.0.1"));
        assert_eq!(share("2001:db8:1:2:3::4"), share("2001:db8:1:2:ffff::1"));
        assert_ne!(share("2001:db8:1:2::1"), share("2001:db8:1:3::1"));
        assert_ne!(share("127.0.0.1"), share("127.0.0.2"));
        assert_ne!(share("127.0.0.1"), Share::Key(0));
    }
}
