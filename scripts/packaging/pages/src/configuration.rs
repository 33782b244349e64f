//! `ovstunneld.toml(5)` and `ovstunnel-manager.toml(5)`: the configurations' references of the operator's guide, which are made from the types,
//! as man pages.
//!
//! What it must not do: add to them. What it knows of Markdown is what those pages have: headings, paragraphs, tables, links and code.

use clap_mangen::roff::{Roff, bold, roman};

use crate::sections::see_also;

/// A page that there is.
pub(super) struct Reference {
    /// Name of the man page, without its section.
    pub name: &'static str,
    /// The program that reads the file.
    program: &'static str,
    text: &'static str,
}

/// All of them.
pub(super) const ALL: [Reference; 2] = [
    Reference {
        name: "ovstunneld.toml",
        program: "ovstunneld",
        text: include_str!("../../../../docs/operators-guide/configuration.md"),
    },
    Reference {
        name: "ovstunnel-manager.toml",
        program: "ovstunnel-manager",
        text: include_str!("../../../../docs/operators-guide/manager-configuration.md"),
    },
];

/// The man page.
pub(super) fn page(of: &Reference) -> Roff {
    let Reference { name, program, text } = of;
    let mut roff = Roff::new();
    roff.control("TH", [*name, "5", "", concat!("ovstunnel ", env!("CARGO_PKG_VERSION"))]);
    roff.control("SH", ["NAME"]).text([roman(format!("{name} - configuration of {program}"))]);
    roff.control("SH", ["DESCRIPTION"]);
    let mut paragraph = Vec::new();
    let mut comment = false;
    for line in text.lines() {
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
    see_also(&mut roff, [(*program, "8"), ("ovstunnelctl", "1")].into_iter());
    roff
}

/// A row of a table of keys: key, type, default, whether SIGHUP is enough where that differs, meaning. Others have no place in a man page.
fn row(roff: &mut Roff, line: &str) {
    let cells: Vec<String> = line.trim_matches('|').split(" | ").map(|cell| plain(cell.trim())).collect();
    let (key, kind, default, reload, meaning) = match cells.as_slice() {
        [key, kind, default, reload, meaning] if reload == "yes" => (key, kind, default, "; SIGHUP is enough", meaning),
        [key, kind, default, _, meaning] => (key, kind, default, "; needs a restart", meaning),
        [key, kind, default, meaning] => (key, kind, default, "", meaning),
        _ => return,
    };
    if kind == "type" || key.starts_with("---") {
        return;
    }
    roff.control("TP", []);
    roff.text([bold(key.as_str()), roman(format!(" ({kind}; default: {default}{reload})"))]);
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
