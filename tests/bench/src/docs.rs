//! Puts a run's table and plots into docs/BENCHMARKS.md. What people have written around it stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::report::Report;
use crate::{page, plot};

const BEGIN: &str = "<!-- written by scripts/bench --update-docs: begin -->";
const END: &str = "<!-- written by scripts/bench --update-docs: end -->";

/// The repository's docs.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Writes the page and the plots.
pub fn update(report: &Report) -> Result<()> {
    let page = folder().join("BENCHMARKS.md");
    let text = std::fs::read_to_string(&page).with_context(|| format!("{}", page.display()))?;
    let drawn = plot::draw(report, &folder().join("benchmarks"))?;
    let names = drawn.iter().filter_map(|path| path.file_name()?.to_str());
    let pictures: String = names.map(|name| format!("\n![{name}](benchmarks/{name})\n")).collect();
    let text = put(&text, &format!("{}{pictures}", page::markdown(report)))?;
    std::fs::write(&page, text).with_context(|| format!("{}", page.display()))
}

/// The text with what is between the marks replaced.
fn put(text: &str, new: &str) -> Result<String> {
    let (before, rest) = text.split_once(BEGIN).context("docs/BENCHMARKS.md has lost its first mark")?;
    let (_, after) = rest.split_once(END).context("docs/BENCHMARKS.md has lost its last mark")?;
    Ok(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", new.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}\nold\n{END}\nz\n");
        assert_eq!(put(&text, "new\n").unwrap(), format!("a\n{BEGIN}\n\nnew\n\n{END}\nz\n"));
        assert!(put("no marks", "new").is_err());
    }

    #[test]
    fn the_page_has_its_marks() {
        let text = std::fs::read_to_string(folder().join("BENCHMARKS.md")).unwrap();
        assert!(put(&text, "").is_ok());
    }
}
