//! Runs targets on their seeds, damaged copies of them and known inputs, without a fuzzer.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A target: its name, and what reads its bytes.
type Target = (&'static str, fn(&[u8]));
/// An input that once did harm: its target's name, what it is, its bytes.
type Case = (&'static str, &'static str, Vec<u8>);

/// How many damaged copies of each kind are made of a seed.
const DAMAGED: usize = 64;
/// What one input may take on a busy machine; alone it takes a small part of it.
const TIME: Duration = Duration::from_secs(20);
/// By how much one input may raise the process's peak of memory, in KiB, besides what its own size justifies.
const MEMORY: u64 = 512 << 10;

/// A target's seeds, whole, cut and with single bits flipped.
pub fn seeds(name: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(name);
    let mut seeds: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("seeds of {name}: {error}"))
        .map(|entry| entry.unwrap().path())
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{name} has no seed");
    for seed in seeds {
        let whole = fs::read(&seed).unwrap();
        run(&whole);
        for i in 0..DAMAGED {
            let place = whole.len() * i / DAMAGED;
            run(&whole[..place]);
            let mut flipped = whole.clone();
            if let Some(byte) = flipped.get_mut(place) {
                // Another bit each time: lengths grow by powers of two, types and brackets change.
                *byte ^= 1 << (i % 8);
            }
            run(&flipped);
        }
    }
}

/// Inputs that once did harm: a target's name, what the input is, its bytes. None may take long or much memory.
pub fn regressions(cases: &[Case], targets: &[Target]) {
    for (target, what, bytes) in cases {
        let run = targets.iter().find(|(name, _)| name == target).map(|(_, run)| run);
        let run = run.unwrap_or_else(|| panic!("{what}: there is no target {target}"));
        // Said before, so that an abort can be told from its last line.
        println!("{target}: {what}");
        let (start, before) = (Instant::now(), peak());
        run(bytes);
        let (took, more) = (start.elapsed(), peak().saturating_sub(before));
        println!("    {:.2} s, {} MiB", took.as_secs_f64(), more >> 10);
        assert!(took < TIME, "{target}: {what}: {took:?}");
        let most = MEMORY + 4 * (bytes.len() as u64 >> 10);
        assert!(more <= most, "{target}: {what}: {more} KiB");
    }
}

/// The most memory that this process has held, in KiB; 0 where the system does not tell.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
}
