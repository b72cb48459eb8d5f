//! Crane in a browser tab.
