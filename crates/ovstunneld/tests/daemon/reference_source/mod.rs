//! The product's source as tokens, for tests that compare it with pages. Walks `crates/*/src`, so that a file may move.
//!
//! What it must not do: look at tests, or at words in comments.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A page or another file by its path in the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A file of the product: its path in the repository, and its tokens without attributes, comments and tests.
pub struct Source {
    pub path: String,
    pub tokens: Vec<TokenTree>,
}

/// All of them.
pub fn sources() -> Vec<Source> {
    let crates = std::fs::read_dir(root().join("crates")).unwrap();
    let mut files = Vec::new();
    crates.for_each(|folder| rust_files(&folder.unwrap().path().join("src"), &mut files));
    files.sort();
    assert!(files.len() > 100, "only {} files were found", files.len());
    files.iter().map(|file| source(file)).collect()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy();
        match path.is_dir() {
            true if name == "tests" => {}
            true => rust_files(&path, found),
            false if name.ends_with(".rs") && name != "tests.rs" => found.push(path.clone()),
            false => {}
        }
    }
}

fn source(file: &Path) -> Source {
    let path = file.strip_prefix(root()).unwrap().display().to_string();
    let text = std::fs::read_to_string(file).unwrap();
    let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
    Source { path, tokens: without_tests(tokens) }
}

fn is_punct(token: Option<&TokenTree>, what: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == what)
}

fn ident(token: Option<&TokenTree>) -> Option<String> {
    match token {
        Some(TokenTree::Ident(name)) => Some(name.to_string()),
        _ => None,
    }
}

/// Without attributes (comments that document are such), and without the items that stand behind `#[cfg(test)]`.
fn without_tests(tokens: TokenStream) -> Vec<TokenTree> {
    let mut tokens = tokens.into_iter().peekable();
    let (mut kept, mut is_test) = (Vec::new(), false);
    while let Some(token) = tokens.next() {
        if is_punct(Some(&token), '#') {
            if is_punct(tokens.peek(), '!') {
                tokens.next();
            }
            is_test |= tokens.next().is_some_and(|of| of.to_string().replace(' ', "").contains("cfg(test)"));
        } else if is_test {
            // To the end of the item.
            let ends = is_punct(Some(&token), ';');
            let body = matches!(&token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
            is_test = !(ends || body);
        } else if let TokenTree::Group(group) = &token {
            let inner: TokenStream = without_tests(group.stream()).into_iter().collect();
            kept.push(TokenTree::Group(Group::new(group.delimiter(), inner)));
        } else {
            kept.push(token);
        }
    }
    kept
}

/// Gives each run of tokens of the same depth, from each of its tokens on.
pub fn each_place(tokens: &[TokenTree], look: &mut dyn FnMut(&[TokenTree])) {
    for (n, token) in tokens.iter().enumerate() {
        look(&tokens[n..]);
        if let TokenTree::Group(group) = token {
            each_place(&group.stream().into_iter().collect::<Vec<_>>(), look);
        }
    }
}

/// The text of a string literal.
pub fn text(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    syn::parse_str::<syn::LitStr>(&literal.to_string()).ok().map(|text| text.value())
}

/// All string literals.
pub fn texts(tokens: &[TokenTree]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_place(tokens, &mut |here| found.extend(text(&here[0])));
    found
}

/// The arguments between commas.
fn arguments(group: &Group) -> Vec<Vec<TokenTree>> {
    let all: Vec<TokenTree> = group.stream().into_iter().collect();
    all.split(|token| is_punct(Some(token), ',')).map(<[TokenTree]>::to_vec).filter(|one| !one.is_empty()).collect()
}

/// The first argument of each call of a function, or of a method, of one of these names, where that is a string.
pub fn first_arguments(source: &Source, names: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    each_place(&source.tokens, &mut |here| {
        let named = ident(here.first()).is_some_and(|name| names.contains(&name.as_str()));
        if let (true, Some(TokenTree::Group(group))) = (named, here.get(1)) {
            let first = arguments(group).into_iter().next().unwrap_or_default();
            found.extend(first.first().filter(|_| first.len() == 1).and_then(text));
        }
    });
    found
}

/// Level and message of each line of the log from `info` on, with the names of its fields.
pub fn log_events(sources: &[Source]) -> BTreeMap<(String, String), BTreeSet<String>> {
    let mut events: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        each_place(&source.tokens, &mut |here| {
            let level = ident(here.first()).filter(|name| ["error", "warn", "info"].contains(&name.as_str()));
            let (Some(level), true, Some(TokenTree::Group(group))) = (level, is_punct(here.get(1), '!'), here.get(2))
            else {
                return;
            };
            let arguments = arguments(group);
            let message = arguments.iter().position(|one| one.len() == 1 && text(&one[0]).is_some());
            let message = message.unwrap_or_else(|| panic!("{}: {level}!({group}) has no message", source.path));
            let fields = arguments[..message].iter().filter_map(|one| field(one));
            events.entry((level, text(&arguments[message][0]).unwrap())).or_default().extend(fields);
        });
    }
    events
}

/// The name of a field: `%name`, `?name`, `name`, `name = value`. `target: …` and `parent: …` are none.
fn field(argument: &[TokenTree]) -> Option<String> {
    let at = usize::from(is_punct(argument.first(), '%') || is_punct(argument.first(), '?'));
    let name = ident(argument.get(at)).unwrap_or_else(|| panic!("no field: {argument:?}"));
    (!is_punct(argument.get(at + 1), ':')).then_some(name)
}

/// Text constants of a file by name.
fn constants(source: &Source) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    each_place(&source.tokens, &mut |here| {
        if let (Some("const"), Some(name)) = (ident(here.first()).as_deref(), ident(here.get(1))) {
            let end = here.iter().position(|token| is_punct(Some(token), ';')).unwrap_or(here.len());
            let value = here[..end].iter().position(|token| is_punct(Some(token), '=')).map(|at| &here[at + 1..end]);
            if let Some([value]) = value {
                found.extend(text(value).map(|value| (name, value)));
            }
        }
    });
    found
}

/// Keys of a column that is a map which the source names: the constants of a module `ids`, and what a column is asked for.
pub fn record_keys(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let constants = constants(source);
        each_place(&source.tokens, &mut |here| {
            if let (Some("mod"), Some("ids"), Some(TokenTree::Group(body))) =
                (ident(here.first()).as_deref(), ident(here.get(1)).as_deref(), here.get(2))
            {
                found.extend(texts(&body.stream().into_iter().collect::<Vec<_>>()));
            }
            let column = ident(here.first())
                .is_some_and(|name| ["external_ids", "other_config", "options"].contains(&name.as_str()));
            let asked = ident(here.get(2)).is_some_and(|verb| ["get", "contains_key"].contains(&verb.as_str()));
            if let (true, true, Some(TokenTree::Group(group))) = (column, asked, here.get(3)) {
                let one: Vec<TokenTree> = group.stream().into_iter().collect();
                match one.as_slice() {
                    [literal @ TokenTree::Literal(_)] => found.extend(text(literal)),
                    [TokenTree::Ident(name)] => found.extend(constants.get(&name.to_string()).cloned()),
                    _ => {}
                }
            }
        });
    }
    found
}

/// The rows of the tables of a page that have these columns first, in order: the cells of each.
pub fn rows(page: &str, columns: &[&str]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let Some(line) = line.strip_prefix('|') else {
            inside = false;
            continue;
        };
        let cells: Vec<String> = line.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        if cells.iter().map(String::as_str).take(columns.len()).eq(columns.iter().copied()) {
            inside = true;
        } else if inside && !line.starts_with("---") {
            rows.push(cells);
        }
    }
    assert!(!rows.is_empty(), "the page has no table with the columns {columns:?}");
    rows
}

/// What stands between backticks.
pub fn code(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
