//! Crane on this machine: devices, hub downloads, memory-mapped weights and the command line.
