//! Numbers as people read them: bytes, parameters, tables.

use crate::terminal::line;

/// Bytes in binary units: `93.78 MiB`.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    scaled(count, 1024.0, &UNITS)
}

/// A count of parameters: `134.52 M`.
pub(super) fn count(number: u64) -> String {
    const UNITS: [&str; 5] = ["", "K", "M", "B", "T"];
    scaled(number, 1000.0, &UNITS)
}

fn scaled(number: u64, step: f64, units: &[&str]) -> String {
    let mut value = number as f64;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    match unit {
        0 => format!("{number} {}", units[0]).trim_end().to_owned(),
        _ => format!("{value:.2} {}", units[unit]),
    }
}

/// Lays out rows in columns: numbers to the right, the rest to the left.
#[derive(Debug)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<bool>,
}

impl Table {
    /// A table with these headings; a heading that starts with `>` is set to the right.
    pub(super) fn new(headings: &[&str]) -> Self {
        Table {
            right: headings.iter().map(|heading| heading.starts_with('>')).collect(),
            rows: vec![
                headings
                    .iter()
                    .map(|heading| line(heading.trim_start_matches('>')).into_owned())
                    .collect(),
            ],
        }
    }

    /// Adds a row. Its cells may be names that strangers gave.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| line(&cell).into_owned()).collect());
    }

    /// The lines, padded with blanks.
    pub(super) fn plain(&self) -> Vec<String> {
        self.padded().iter().map(|cells| cells.join("  ").trim_end().to_owned()).collect()
    }

    /// The lines of a markdown table.
    pub(super) fn markdown(&self) -> Vec<String> {
        let mut lines: Vec<_> =
            self.padded().iter().map(|cells| format!("| {} |", cells.join(" | "))).collect();
        let rule = self.widths().into_iter().zip(&self.right).map(|(width, &right)| {
            if right {
                format!(" {}: ", "-".repeat(width.max(2) - 1))
            } else {
                format!(" {} ", "-".repeat(width))
            }
        });
        lines.insert(1, format!("|{}|", rule.collect::<Vec<_>>().join("|")));
        lines
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.right.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect()
    }

    fn padded(&self) -> Vec<Vec<String>> {
        let widths = self.widths();
        let pad = |(cell, (&width, &right)): (&String, (&usize, &bool))| {
            if right { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        };
        self.rows
            .iter()
            .map(|row| row.iter().zip(widths.iter().zip(&self.right)).map(pad).collect())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(98_362_432), "93.81 MiB");
        assert_eq!(count(134_515_008), "134.52 M");
        assert_eq!(count(999), "999");
    }

    #[test]
    fn tables_align() {
        let mut table = Table::new(&["name", ">t/s"]);
        table.row(["a".to_owned(), "12.50 ± 0.10".to_owned()]);
        assert_eq!(
            table.markdown(),
            ["| name |          t/s |", "| ---- | -----------: |", "| a    | 12.50 ± 0.10 |"]
        );
        assert_eq!(table.plain()[1], "a     12.50 ± 0.10");
        table.row(["a\x1b[2J\nb".to_owned(), String::new()]);
        assert_eq!(table.plain()[2], "a\\x1b[2J\\nb");
    }
}
