//! A golden comparison as text: each tensor's worst error beside what is allowed.

use std::fmt::Write;

use crane_sdk::golden::{Check, compare};
use crane_sdk::source::Source;

/// What came of one folder.
#[derive(Debug)]
pub struct Outcome {
    /// A line for each tensor.
    pub text: String,
    /// Whether every tensor is within its tolerance.
    pub passed: bool,
}

/// Compares the model of `source` with the tensors recorded beside it.
pub fn run(source: &dyn Source) -> Outcome {
    let label = source.label();
    match compare(source) {
        Ok(checks) => describe(&label, &checks),
        Err(error) => failed(&label, &error),
    }
}

/// A folder that could not be compared at all.
pub fn failed(label: &str, error: &crane_sdk::Error) -> Outcome {
    Outcome { text: format!("{label}: FAILED: {error}\n"), passed: false }
}

fn describe(label: &str, checks: &[Check]) -> Outcome {
    let failed = checks.iter().filter(|check| !check.passed).count();
    // A record that nothing was compared with proves nothing.
    let passed = failed == 0 && !checks.is_empty();
    let mut text = String::new();
    for Check { name, worst, allowed, passed, note } in checks {
        let verdict = if *passed { "ok" } else { "MISS" };
        let note = if note.is_empty() { String::new() } else { format!("  {note}") };
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{verdict:4}  {name:28} worst {worst:9.3e}  allowed {allowed:9.3e}{note}"
        );
    }
    let verdict = if passed { "passed" } else { "FAILED" };
    let _ =
        writeln!(text, "{label}: {verdict}, {} tensors, {failed} out of tolerance", checks.len());
    Outcome { text, passed }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, passed: bool) -> Check {
        Check { name: name.to_owned(), worst: 2e-6, allowed: 1e-5, passed, note: String::new() }
    }

    #[test]
    fn one_miss_fails_the_folder_and_is_named() {
        let outcome = describe("tiny", &[check("logits", true), check("hidden.1", false)]);
        assert!(!outcome.passed);
        assert!(outcome.text.contains("MISS  hidden.1"), "{}", outcome.text);
        assert!(outcome.text.contains("2 tensors, 1 out of tolerance"), "{}", outcome.text);
    }

    #[test]
    fn nothing_compared_is_not_a_pass() {
        assert!(!describe("tiny", &[]).passed);
    }
}
