//! What this machine is: processor, cores, memory.

use std::fs;
use std::path::Path;

use crate::memory::kib_field;
use crate::program;

/// Bytes of memory: what is there, and what can be had now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    /// Installed.
    pub total: u64,
    /// Available to a new process, where the system tells.
    pub available: Option<u64>,
}

/// Tells the C library's allocator to keep what is freed: a forward pass frees and takes the same buffers
/// again, and giving them back to the system in between costs a tenth of a prompt's time.
pub(super) fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both are settings of the allocator, made before there is another thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
    }
}

/// Tells the allocator to keep few heaps: one that many threads ask in turns would keep what was freed in each.
#[cfg(feature = "server")]
pub(super) fn few_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: a setting of the allocator, which may be made at any time.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
}

/// The machine's memory, where the system tells.
pub(super) fn memory() -> Option<Memory> {
    if let Ok(text) = fs::read_to_string("/proc/meminfo") {
        return Some(Memory {
            total: kib_field(&text, "MemTotal:")?,
            available: kib_field(&text, "MemAvailable:"),
        });
    }
    let total = said_by("sysctl", &["-n", "hw.memsize"])?.parse().ok()?;
    Some(Memory { total, available: None })
}

/// The most memory this process has held, in bytes (where only the present use can be had: that).
pub(super) fn peak_rss() -> Option<u64> {
    if let Ok(text) = fs::read_to_string("/proc/self/status") {
        return kib_field(&text, "VmHWM:");
    }
    let kib: u64 =
        said_by("ps", &["-o", "rss=", "-p", &std::process::id().to_string()])?.parse().ok()?;
    Some(kib * 1024)
}

/// Threads that can run at once.
pub(super) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Threads that compute, as `--threads` and the environment left it.
pub(super) fn threads() -> usize {
    candle_core::utils::get_num_threads()
}

/// The processor's own name, where the system tells.
pub(super) fn processor() -> Option<String> {
    if let Ok(text) = fs::read_to_string("/proc/cpuinfo") {
        let line = text.lines().find(|line| line.starts_with("model name"))?;
        return line.split_once(':').map(|(_, name)| name.trim().to_owned());
    }
    said_by("sysctl", &["-n", "machdep.cpu.brand_string"])
}

fn said_by(program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = program::command(program.as_ref(), Path::new("/"))?;
    let output = command.args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_holds_memory() {
        let peak = peak_rss().unwrap();
        assert!(peak > 100_000, "{peak}");
        assert!(peak < memory().unwrap().total);
    }
}
