//! Whose request it is: what turns and places are shared out by.

use std::net::IpAddr;

/// One who shares the server with others: an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Share(pub IpAddr);
