//! Puts a run's table and plots into docs/BENCHMARKS.md. What people have written around it stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::{page, plot};

/// What is before and after the table of a run, and of one on the kernel datapath in a slow machine.
type Marks = [&'static str; 2];
const MARKS: Marks =
    ["<!-- written by scripts/bench --update-docs: begin -->", "<!-- written by scripts/bench --update-docs: end -->"];
const SLOW: Marks = [
    "<!-- written by scripts/bench --kernel --update-docs: begin -->",
    "<!-- written by scripts/bench --kernel --update-docs: end -->",
];

/// The repository's docs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Writes the page and the plots.
pub fn update(report: &Report) -> Result<()> {
    let page = folder().join("BENCHMARKS.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("{}", page.display()))?;
    if report.machine.slow {
        let text = put(&text, SLOW, &page::markdown(report))?;
        return std::fs::write(&page, text).with_context(|| format!("{}", page.display()));
    }
    let drawn = plot::draw(report, &folder().join("benchmarks"))?;
    let names = drawn.iter().filter_map(|path| path.file_name()?.to_str());
    let pictures: String = names.map(|name| format!("\n![{name}](benchmarks/{name})\n")).collect();
    let text = put(&text, MARKS, &format!("{}{pictures}", page::markdown(report)))?;
    std::fs::write(&page, text).with_context(|| format!("{}", page.display()))
}

/// The text with what is between the marks replaced.
fn put(text: &str, [begin, end]: Marks, new: &str) -> Result<String> {
    let (before, rest) = text.split_once(begin).context("docs/BENCHMARKS.md has lost its first mark")?;
    let (_, after) = rest.split_once(end).context("docs/BENCHMARKS.md has lost its last mark")?;
    Ok(format!("{before}{begin}\n\n{}\n\n{end}{after}", new.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let [begin, end] = MARKS;
        let text = format!("a\n{begin}\nold\n{end}\nz\n");
        assert_eq!(put(&text, MARKS, "new\n").unwrap(), format!("a\n{begin}\n\nnew\n\n{end}\nz\n"));
        assert!(put("no marks", MARKS, "new").is_err());
    }

    #[test]
    fn the_page_has_its_marks() {
        let text = std::fs::read_to_string(folder().join("BENCHMARKS.md")).unwrap();
        assert!(put(&text, MARKS, "").is_ok() && put(&text, SLOW, "").is_ok());
    }
}
