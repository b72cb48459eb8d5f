//! `cargo xtask models`: the README's model table says what the registry says.

use anyhow::{Context, Result, bail};

use crate::{golden, process};

const BEGIN: &str = "<!-- models: written by `cargo xtask models` -->";
const END: &str = "<!-- /models -->";

/// Writes the table between its marks, or, with `check`, only demands that it is right.
pub fn run(check: bool) -> Result<()> {
    let file = process::root().join("README.md");
    let readme = std::fs::read_to_string(&file).context("reading README.md")?;
    let table = process::output(process::command(process::built(golden::PACKAGE)?).arg("table"))?;
    let written = with_table(&readme, &table, BEGIN, END)?;
    if written == readme {
        println!("README.md: the model table is up to date");
    } else if check {
        bail!("the model table in README.md is out of date; run `cargo xtask models`");
    } else {
        std::fs::write(&file, written).context("writing README.md")?;
        println!("README.md: the model table is written");
    }
    Ok(())
}

/// `readme` with `table` between two marks.
pub fn with_table(readme: &str, table: &str, begin: &str, end: &str) -> Result<String> {
    let marks = readme
        .split_once(begin)
        .and_then(|(before, rest)| rest.split_once(end).map(|(_, after)| (before, after)));
    let Some((before, after)) = marks else {
        bail!("README.md has no lines {begin} and {end}");
    };
    Ok(format!("{before}{begin}\n{}\n{end}{after}", table.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let readme = format!("# Crane\n{BEGIN}\nold\n{END}\nrest\n");
        let written = with_table(&readme, "| new |\n", BEGIN, END).unwrap();
        assert_eq!(written, format!("# Crane\n{BEGIN}\n| new |\n{END}\nrest\n"));
        assert_eq!(with_table(&written, "| new |", BEGIN, END).unwrap(), written);
    }

    #[test]
    fn a_readme_without_marks_is_an_error() {
        assert!(with_table("# Crane\n", "| new |", BEGIN, END).is_err());
    }
}
