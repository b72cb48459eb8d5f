//! How much memory this process can still have, and whether a model fits into it.

use std::fs;
use std::path::Path;

use crane_sdk::models::Footprint;

use crate::hub::size;

/// What a model needs besides its weights before the first token: threads, activations, the first
/// blocks of a cache.
const WORKING: u64 = 64 << 20;

/// Memory that can still be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Available {
    /// Bytes.
    pub bytes: u64,
    /// What sets the limit, in words.
    pub limit: &'static str,
}

impl Available {
    /// Without so many bytes that others were promised.
    #[must_use]
    pub fn without(self, promised: u64) -> Self {
        Self { bytes: self.bytes.saturating_sub(promised), ..self }
    }
}

/// The memory that this process can still have: what the machine has to spare (swap counts), within
/// the limits of its control groups and of `ulimit`. `None` where the system does not tell.
pub fn available() -> Option<Available> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| free(&text));
    let status = read("/proc/self/status").unwrap_or_default();
    let limits = read("/proc/self/limits").unwrap_or_default();
    let groups = read("/proc/self/cgroup").unwrap_or_default();
    [
        machine.map(|bytes| Available { bytes, limit: "on this machine" }),
        under_limit(&limits, "Max address space", &status, "VmSize:")
            .map(|bytes| Available { bytes, limit: "under the limit of ulimit -v" }),
        under_limit(&limits, "Max data size", &status, "VmData:")
            .map(|bytes| Available { bytes, limit: "under the limit of ulimit -d" }),
        in_groups(&groups, Path::new("/sys/fs/cgroup"))
            .map(|bytes| Available { bytes, limit: "in this control group (container)" }),
    ]
    .into_iter()
    .flatten()
    .min_by_key(|available| available.bytes)
}

/// Refuses a model whose weights do not fit, before they are read.
///
/// # Errors
/// [`crane_sdk::Error::OutOfMemory`] that says what is needed, what there is, and what to try.
pub fn check(name: &str, footprint: Footprint) -> crane_sdk::Result<()> {
    check_beside(name, footprint, 0)
}

/// As [`check`], where so many bytes of what is available are promised to others.
///
/// # Errors
/// As [`check`].
pub fn check_beside(name: &str, footprint: Footprint, promised: u64) -> crane_sdk::Result<()> {
    match available() {
        Some(available) => fits(name, footprint, available.without(promised)),
        None => Ok(()),
    }
}

fn fits(name: &str, footprint: Footprint, available: Available) -> crane_sdk::Result<()> {
    let needed = footprint.weights.saturating_add(WORKING);
    if needed <= available.bytes {
        return Ok(());
    }
    let advice = match footprint.quantised {
        true => "take a smaller quantisation or a smaller model",
        false => "quantise while loading (--quant q8_0, q4_k) or take a smaller model",
    };
    Err(crane_sdk::Error::OutOfMemory {
        what: name.to_owned(),
        bytes: needed,
        hint: format!(
            "that is {}, and {} are available {}; {advice}",
            size(needed),
            size(available.bytes),
            available.limit
        ),
    })
}

/// Gives the memory of what was dropped back to the system, which the allocator would keep for a while.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it takes the allocator's own locks and touches only memory that is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// What /proc/meminfo says can be had without pushing others out, and swap.
fn free(meminfo: &str) -> Option<u64> {
    let swap = kib_field(meminfo, "SwapFree:").unwrap_or(0);
    Some(kib_field(meminfo, "MemAvailable:")?.saturating_add(swap))
}

/// What a soft limit of /proc/self/limits leaves, given what is in use.
fn under_limit(limits: &str, name: &str, status: &str, used: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    // Other limits than numbers are "unlimited".
    let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(limit.saturating_sub(kib_field(status, used)?))
}

/// What the control groups of /proc/self/cgroup leave, each of them and all that they lie in.
fn in_groups(groups: &str, mount: &Path) -> Option<u64> {
    let mut least = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, names) = match controllers {
            "" => (mount.to_owned(), ["memory.max", "memory.current", "inactive_file"]),
            list if list.split(',').any(|name| name == "memory") => (
                mount.join("memory"),
                ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"],
            ),
            _ => continue,
        };
        // In a container the path may be that of the host and not be there; the root then counts.
        let folder = root.join(path.trim_start_matches('/'));
        for folder in folder.ancestors().take_while(|folder| folder.starts_with(&root)) {
            if let Some(left) = in_group(folder, names) {
                least = Some(least.map_or(left, |least: u64| least.min(left)));
            }
        }
    }
    least
}

fn in_group(folder: &Path, [limit, usage, cached]: [&str; 3]) -> Option<u64> {
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    let (limit, usage) = (number(limit)?, number(usage)?);
    let stat = fs::read_to_string(folder.join("memory.stat")).unwrap_or_default();
    let cached = stat.lines().find_map(|line| line.strip_prefix(cached)?.trim().parse().ok());
    // Pages of files that nobody reads any more make room.
    Some(limit.saturating_sub(usage.saturating_sub(cached.unwrap_or(0))))
}

/// `NAME:   123 kB` in the manner of /proc, in bytes.
pub(crate) fn kib_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_fields_are_read_in_kib() {
        let text = "MemTotal:       16 kB\nMemAvailable:    8 kB\nSwapFree: 1 kB\n";
        assert_eq!(kib_field(text, "MemTotal:"), Some(16 * 1024));
        assert_eq!(kib_field(text, "Swap:"), None);
        assert_eq!(free(text), Some(9 * 1024));
    }

    #[test]
    fn soft_limits_count() {
        let limits = "Limit             Soft Limit  Hard Limit  Units\n\
                      Max data size     unlimited   unlimited   bytes\n\
                      Max address space 1048576     unlimited   bytes\n";
        let status = "VmSize:\t 1000 kB\nVmData:\t 10 kB\n";
        let left = |name, used| under_limit(limits, name, status, used);
        assert_eq!(left("Max address space", "VmSize:"), Some(24 * 1024));
        assert_eq!(left("Max data size", "VmData:"), None);
    }

    #[test]
    fn the_narrowest_control_group_counts() {
        let mount = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = mount.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("a/memory.max", "1000\n");
        write("a/memory.current", "700\n");
        write("a/memory.stat", "anon 1\ninactive_file 200\n");
        write("a/b/memory.max", "max\n");
        write("a/b/memory.current", "300\n");
        assert_eq!(in_groups("0::/a/b\n", mount.path()), Some(500));
        assert_eq!(in_groups("0::/\n", mount.path()), None);
        write("memory/memory.limit_in_bytes", "400\n");
        write("memory/memory.usage_in_bytes", "100\n");
        let groups = "4:cpu,memory:/of/the/host\n0::/a\n";
        assert_eq!(in_groups(groups, mount.path()), Some(300));
    }

    #[test]
    fn a_refusal_has_numbers_and_advice() {
        let available = Available { bytes: WORKING + 99, limit: "in a test" };
        let footprint = |weights| Footprint { weights, quantised: false };
        assert!(fits("m", footprint(99), available).is_ok());
        let refusal = fits("m", footprint(100), available).unwrap_err().to_string();
        for part in ["m: 67108964 bytes", "are available in a test", "--quant"] {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
    }
}
