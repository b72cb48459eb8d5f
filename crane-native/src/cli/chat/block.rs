//! Puts the lines a user types together: a trailing `\` and `"""` blocks span several.

const FENCE: &str = "\"\"\"";

/// Lines on their way to becoming one message.
#[derive(Debug, Default)]
pub(super) struct Block {
    lines: Vec<String>,
    fenced: bool,
}

impl Block {
    /// Whether a message is begun and not ended.
    pub(super) fn is_open(&self) -> bool {
        self.fenced || !self.lines.is_empty()
    }

    /// Takes the next line and returns the message if that ends it.
    pub(super) fn push(&mut self, line: &str) -> Option<String> {
        let line = line.trim_end_matches(['\n', '\r']);
        if self.fenced {
            return match line.trim_end().strip_suffix(FENCE) {
                Some(last) => {
                    if !last.is_empty() {
                        self.lines.push(last.to_owned());
                    }
                    self.take()
                }
                None => {
                    self.lines.push(line.to_owned());
                    None
                }
            };
        }
        if self.lines.is_empty()
            && let Some((before, first)) = fence_of(line)
        {
            if let Some(text) = first.trim_end().strip_suffix(FENCE) {
                return Some(format!("{before}{text}"));
            }
            self.fenced = true;
            if !before.is_empty() || !first.is_empty() {
                self.lines.push(format!("{before}{first}"));
            }
            return None;
        }
        match line.strip_suffix('\\') {
            Some(part) => {
                self.lines.push(part.to_owned());
                None
            }
            None => {
                self.lines.push(line.to_owned());
                self.take()
            }
        }
    }

    /// Ends the message where the input ends.
    pub(super) fn finish(&mut self) -> Option<String> {
        if self.is_open() { self.take() } else { None }
    }

    /// Forgets what was begun.
    pub(super) fn clear(&mut self) {
        *self = Block::default();
    }

    fn take(&mut self) -> Option<String> {
        let text = self.lines.join("\n");
        self.clear();
        Some(text)
    }
}

/// What stands before and after an opening fence: alone at the start of a line, or behind a
/// command that takes a text (`/system """`).
fn fence_of(line: &str) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(FENCE)?;
    let opens = before.trim().is_empty() || before.trim() == "/system";
    opens.then(|| (if before.trim().is_empty() { "" } else { before }, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(lines: &[&str]) -> Vec<String> {
        let mut block = Block::default();
        let mut said: Vec<_> = lines.iter().filter_map(|line| block.push(line)).collect();
        said.extend(block.finish());
        said
    }

    #[test]
    fn a_line_is_a_message() {
        assert_eq!(messages(&["one", "", "two\r\n"]), ["one", "", "two"]);
    }

    #[test]
    fn a_backslash_goes_on() {
        assert_eq!(messages(&["one\\", "two \\", "three", "four"]), ["one\ntwo \nthree", "four"]);
        assert_eq!(messages(&["open\\"]), ["open"]);
    }

    #[test]
    fn fences_hold_many_lines() {
        assert_eq!(messages(&["\"\"\"", "a\\", "", "b", "\"\"\"", "c"]), ["a\\\n\nb", "c"]);
        assert_eq!(messages(&["\"\"\"a", "b\"\"\""]), ["a\nb"]);
        assert_eq!(messages(&["\"\"\"one line\"\"\""]), ["one line"]);
        assert_eq!(messages(&["/system \"\"\"a", "b\"\"\""]), ["/system a\nb"]);
        assert_eq!(messages(&["\"\"\"", "never closed"]), ["never closed"]);
    }

    #[test]
    fn quotes_inside_a_line_are_text() {
        assert_eq!(messages(&["x = \"\"\"doc\"\"\""]), ["x = \"\"\"doc\"\"\""]);
        assert_eq!(messages(&["/system \"\""]), ["/system \"\""]);
    }
}
