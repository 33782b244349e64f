//! No circle of files, and none of rooms: what one uses can be understood without it. Looks at the product's crates, not at tests.
//!
//! A file may use its parent and what is below it; apart from that, whoever is used does not use, by whatever way. A room is what
//! stands at the top of a crate, a file or a folder with all that is in it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;

/// Names of modules from the crate's root on.
type Module = Vec<String>;

/// Who uses whom.
type Uses = BTreeMap<Module, BTreeSet<Module>>;

/// The modules of a crate, with their files. That of its root has no name.
fn modules(folder: &Path, at: &Module, found: &mut BTreeMap<Module, PathBuf>) {
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let below = || at.iter().cloned().chain([name.clone()]).collect::<Module>();
        if path.is_dir() {
            modules(&path, &below(), found);
        } else if path.extension().is_some_and(|ending| ending == "rs") && name != "tests" {
            let module = if ["mod", "lib", "main"].contains(&name.as_str()) { at.clone() } else { below() };
            found.insert(module, path);
        }
    }
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.to_token_stream().to_string().replace(' ', "") == "#[cfg(test)]")
}

/// All of a file but its tests.
fn product(text: &str) -> TokenStream {
    let of_tests = |item: &syn::Item| match item {
        syn::Item::Mod(module) => is_test(&module.attrs),
        syn::Item::Use(used) => is_test(&used.attrs),
        _ => false,
    };
    let file = syn::parse_file(text).unwrap();
    file.items.iter().filter(|item| !of_tests(item)).map(ToTokens::to_token_stream).collect()
}

/// Each path that begins with `crate`, `super` or `self`, as it is written.
fn paths(tokens: TokenStream, before: &[String], found: &mut Vec<Vec<String>>) {
    let mut path = before.to_vec();
    let mut colons = 2;
    for token in tokens {
        match token {
            TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                // One that goes on, or the first of a list in braces.
                if colons == 2 && !path.is_empty() {
                    path.push(name);
                } else {
                    found.push(std::mem::take(&mut path));
                    path.extend(["crate", "super", "self"].contains(&name.as_str()).then_some(name));
                }
                colons = 0;
            }
            TokenTree::Group(group) => {
                let goes_on = colons == 2 && !path.is_empty() && group.delimiter() == Delimiter::Brace;
                paths(group.stream(), if goes_on { &path } else { &[] }, found);
                found.push(std::mem::take(&mut path));
                colons = 0;
            }
            TokenTree::Punct(punct) => {
                found.push(std::mem::take(&mut path));
                // In a list each begins where the list did.
                if punct.as_char() == ',' && !before.is_empty() {
                    path = before.to_vec();
                    colons = 2;
                } else {
                    colons = 0;
                }
            }
            TokenTree::Literal(_) => {
                found.push(std::mem::take(&mut path));
                colons = 0;
            }
        }
    }
    found.push(path);
}

/// The module that a path leads into.
fn target(path: &[String], from: &Module, known: &BTreeMap<Module, PathBuf>) -> Option<Module> {
    let mut at = match path.first()?.as_str() {
        "crate" => Module::new(),
        _ => from.clone(),
    };
    for name in path {
        match name.as_str() {
            "crate" | "self" => {}
            "super" => drop(at.pop()),
            name => at.push(name.to_owned()),
        }
    }
    while !known.contains_key(&at) {
        at.pop()?;
    }
    Some(at)
}

fn uses(folder: &Path) -> Uses {
    let mut known = BTreeMap::new();
    modules(folder, &Module::new(), &mut known);
    let mut uses = Uses::new();
    for (from, file) in known.iter().filter(|(from, _)| !from.is_empty()) {
        let mut written = Vec::new();
        paths(product(&std::fs::read_to_string(file).unwrap()), &[], &mut written);
        let targets = written.iter().filter_map(|path| target(path, from, &known));
        let others = targets.filter(|to| !to.starts_with(from) && !from.starts_with(to));
        uses.insert(from.clone(), others.collect());
    }
    uses
}

/// Those that can be reached from one.
fn reached(uses: &Uses, from: &Module) -> BTreeSet<Module> {
    let (mut found, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(next) = left.pop() {
        left.extend(uses.get(next).into_iter().flatten().filter(|to| found.insert((*to).clone())));
    }
    found
}

/// Those that lead back to themselves.
fn in_circles(uses: &Uses) -> Vec<String> {
    let all = uses.keys().filter(|from| reached(uses, from).contains(*from));
    all.map(|module| module.join("::")).collect()
}

/// The same of rooms.
fn rooms(uses: &Uses) -> Uses {
    let mut rooms = Uses::new();
    for (from, to) in uses {
        let others = to.iter().map(|to| to[..1].to_vec()).filter(|to| *to != from[..1]);
        rooms.entry(from[..1].to_vec()).or_default().extend(others);
    }
    rooms
}

#[test]
fn no_file_or_room_leads_back_to_itself() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let (mut seen, mut circles) = (0, Vec::new());
    for folder in std::fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path()) {
        let uses = uses(&folder.join("src"));
        seen += uses.values().map(BTreeSet::len).sum::<usize>();
        let name = folder.file_name().unwrap().to_string_lossy();
        let both = [("files", in_circles(&uses)), ("rooms", in_circles(&rooms(&uses)))];
        circles
            .extend(both.into_iter().filter(|(_, c)| !c.is_empty()).map(|(what, c)| format!("{name}: {what} {c:?}")));
    }
    assert_eq!(circles, Vec::<String>::new());
    assert!(seen > 500, "only {seen} uses were found");
}

#[test]
fn a_circle_is_seen_however_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a; mod b; mod room; mod alone;");
    write(
        "a.rs",
        "use std::fmt;\nuse crate::{alone::x, b::{self, Thing}};\n#[cfg(test)]\nmod tests { use crate::room; }",
    );
    write("b.rs", "fn f() { g(&[super::room::inner::CONST]) }");
    write("room/mod.rs", "mod inner;\nfn f() -> String { format!(\"{}\", 1) }");
    write("room/inner.rs", "use super::f;\nfn g() { assert!(crate::a::h()) }");
    write("alone.rs", "use std::collections::{self, BTreeMap};\nfn x() {}");
    let uses = uses(folder.path());
    assert_eq!(in_circles(&uses), ["a", "b", "room::inner"]);
    assert_eq!(in_circles(&rooms(&uses)), ["a", "b", "room"]);
}
