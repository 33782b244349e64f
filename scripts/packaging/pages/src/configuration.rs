//! `ovstunneld.toml(5)`: the configuration's reference of the operator's guide, which is made from the types, as a man page.
//!
//! What it must not do: add to it. What it knows of Markdown is what that page has: headings, paragraphs, tables, links and code.

use clap_mangen::roff::{Roff, bold, roman};

use crate::sections::see_also;

const REFERENCE: &str = include_str!("../../../../docs/operators-guide/configuration.md");

/// The man page.
pub(super) fn page() -> Roff {
    let mut roff = Roff::new();
    roff.control("TH", ["ovstunneld.toml", "5", "", concat!("ovstunnel ", env!("CARGO_PKG_VERSION"))]);
    roff.control("SH", ["NAME"]).text([roman("ovstunneld.toml - configuration of ovstunneld")]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut paragraph = Vec::new();
    let mut comment = false;
    for line in REFERENCE.lines() {
        comment = (comment || line.starts_with("<!--")) && !line.is_empty();
        let ends = line.is_empty() || line.starts_with(['#', '|']);
        if ends && !paragraph.is_empty() {
            roff.control("PP", []).text([roman(plain(&std::mem::take(&mut paragraph).join(" ")))]);
        }
        match line {
            _ if comment || line.is_empty() || line.starts_with("# ") => {}
            _ if line.starts_with('|') => row(&mut roff, line),
            _ => match line.strip_prefix("## ") {
                Some(title) => drop(roff.control("SH", [plain(title).as_str()])),
                None => paragraph.push(line),
            },
        }
    }
    if !paragraph.is_empty() {
        roff.control("PP", []).text([roman(plain(&paragraph.join(" ")))]);
    }
    see_also(&mut roff, [("ovstunneld", "8"), ("ovstunnelctl", "1")].into_iter());
    roff
}

/// A row of a table of keys: key, type, default, whether SIGHUP is enough, meaning. Others have no place in a man page.
fn row(roff: &mut Roff, line: &str) {
    let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| plain(cell.trim())).collect();
    let [key, kind, default, reload, meaning] = cells.as_slice() else { return };
    if kind == "type" || key.starts_with("---") {
        return;
    }
    let reload = if reload == "yes" { "SIGHUP is enough" } else { "needs a restart" };
    roff.control("TP", []);
    roff.text([bold(key.as_str()), roman(format!(" ({kind}; default: {default}; {reload})"))]);
    roff.text([roman(meaning.as_str())]);
}

/// Without the signs of Markdown: of a link its words.
fn plain(text: &str) -> String {
    let text = text.replace('`', "");
    let mut plain = String::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("](") {
        let (lead, words) = before.rsplit_once('[').unwrap_or((before, ""));
        plain.push_str(lead);
        plain.push_str(words);
        rest = after.split_once(')').map_or("", |(_, behind)| behind);
    }
    plain + rest
}
