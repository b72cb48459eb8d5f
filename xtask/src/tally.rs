//! Counting tests: what each runner prints at its end, read into one sum.

use std::fmt;
use std::ops::AddAssign;

/// How many tests passed, failed and were skipped.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that did not run.
    pub skipped: u64,
}

impl Tally {
    /// Adds what one line of a runner's output counts; most lines count nothing.
    ///
    /// Known: cargo's `test result:` lines, the closing lines of Node's test runner (`# pass 3` or
    /// `ℹ pass 3`), vitest's `Tests  3 passed | 1 failed (4)`, and the plain `3 passed, 1 failed`.
    pub fn read_line(&mut self, line: &str) {
        let line = without_colours(line);
        let line = line.trim();
        if let Some(counts) = line.strip_prefix("test result: ") {
            // "ok. 3 passed; 0 failed; 1 ignored; ...": the verdict ends at the first full stop.
            self.read_counts(counts.split_once(". ").map_or(counts, |(_, rest)| rest), ';');
        } else if let Some(counts) = line.strip_prefix("# ").or_else(|| line.strip_prefix("ℹ ")) {
            if let Some((word, count)) = counts.split_once(' ')
                && let Ok(count) = count.parse()
            {
                self.add(word, count);
            }
        } else if let Some(counts) = line.strip_prefix("Tests ") {
            self.read_counts(counts.split('(').next().unwrap_or_default(), '|');
        } else if line.starts_with(|c: char| c.is_ascii_digit())
            && line.contains(" passed, ")
            && line.contains(" failed")
        {
            self.read_counts(line, ',');
        }
    }

    /// Whether no test was counted at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read_counts(&mut self, counts: &str, separator: char) {
        for part in counts.split(separator) {
            if let Some((count, word)) = part.trim().split_once(' ')
                && let Ok(count) = count.parse()
            {
                self.add(word, count);
            }
        }
    }

    fn add(&mut self, word: &str, count: u64) {
        match word {
            "passed" | "pass" => self.passed += count,
            "failed" | "fail" | "cancelled" => self.failed += count,
            "ignored" | "skipped" | "todo" => self.skipped += count,
            _ => {}
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// The text without terminal colour codes (`ESC [ ... m`).
fn without_colours(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        plain.push_str(part.split_once('m').map_or("", |(_, rest)| rest));
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        lines.iter().for_each(|line| tally.read_line(line));
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn cargo_lines_add_up() {
        let ok = "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.10s";
        let bad = "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s";
        assert_eq!(read(&["running 13 tests", ok, "", bad]), (14, 3, 1));
    }

    #[test]
    fn node_lines_in_both_spellings() {
        assert_eq!(
            read(&[
                "# tests 5",
                "# pass 3",
                "# fail 1",
                "# cancelled 1",
                "# skipped 0",
                "# todo 0"
            ]),
            (3, 2, 0)
        );
        assert_eq!(read(&["ℹ tests 4", "ℹ pass 3", "ℹ fail 0", "ℹ skipped 1"]), (3, 0, 1));
    }

    #[test]
    fn vitest_with_colours() {
        let line = "\u{1b}[2m      Tests \u{1b}[22m \u{1b}[1m\u{1b}[31m1 failed\u{1b}[39m\u{1b}[22m\u{1b}[2m | \u{1b}[22m\u{1b}[32m3 passed\u{1b}[39m\u{1b}[90m (4)\u{1b}[39m";
        assert_eq!(read(&[line]), (3, 1, 0));
    }

    #[test]
    fn plain_line_and_its_own_display() {
        let tally = Tally { passed: 7, failed: 0, skipped: 2 };
        assert_eq!(tally.to_string(), "7 passed, 0 failed, 2 skipped");
        assert_eq!(read(&[&tally.to_string()]), (7, 0, 2));
    }

    #[test]
    fn talk_about_tests_counts_nothing() {
        assert_eq!(
            read(&["all 3 tests passed", "Tests are running", "# pass the salt"]),
            (0, 0, 0)
        );
    }
}
