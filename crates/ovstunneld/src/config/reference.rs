//! The reference page of the configuration, made from the types: what a key means from its comment, its default from the
//! code, whether a SIGHUP is enough from the list that the reload follows.
//!
//! `UPDATE_DOCS=1 cargo test -p ovstunneld --lib reference` writes the page; without it the test fails where the page differs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;
use syn::{Expr, ExprLit, Field, Item, ItemStruct, Lit, Meta, Type};

use super::{Config, NEEDS_RESTART};

/// The files with the types of all sections.
const TYPES: [&str; 2] = [include_str!("mod.rs"), include_str!("../../../ovstunnel-server/src/config/mod.rs")];

const HEAD: &str = "\
# Configuration reference

<!-- Made from the types in crates/ovstunneld/src/config and crates/ovstunnel-server/src/config. Change the comments there, then:
     UPDATE_DOCS=1 cargo test -p ovstunneld --lib reference -->

`/etc/ovstunnel/ovstunneld.toml`, in [TOML](https://toml.io); `ovstunneld --config FILE` reads another one. A missing file means the
defaults. An unknown key or a bad value is refused with file, line and what was expected: the daemon does not start, and one that runs
keeps all that it had ([reload.md](reload.md)). `ovstunneld --check` tells beforehand.

'SIGHUP' says whether a changed value is taken up by `systemctl reload ovstunneld` (a SIGHUP); the others need a restart.
";

/// The structs of the configuration by name.
fn structs() -> Vec<ItemStruct> {
    let items = TYPES.into_iter().flat_map(|file| syn::parse_file(file).unwrap().items);
    items.filter_map(|item| if let Item::Struct(found) = item { Some(found) } else { None }).collect()
}

/// A comment, each paragraph one line.
fn words(attributes: &[syn::Attribute]) -> String {
    let lines = attributes.iter().filter_map(|attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// The last name of a type, and of what it contains.
fn names(of: &Type) -> Vec<String> {
    let Type::Path(path) = of else { return Vec::new() };
    let last = path.path.segments.last().unwrap();
    let inner = match &last.arguments {
        syn::PathArguments::AngleBracketed(arguments) => arguments.args.iter().find_map(|argument| match argument {
            syn::GenericArgument::Type(inner) => Some(names(inner)),
            _ => None,
        }),
        _ => None,
    };
    std::iter::once(last.ident.to_string()).chain(inner.unwrap_or_default()).collect()
}

/// What an operator writes for a type.
fn kind(field: &Field) -> &'static str {
    let names = names(&field.ty);
    match names.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["Option", "SocketAddr"] => "address and port",
        ["Option", "RemoteIp"] => "IPv4 address",
        ["PathBuf"] | ["Option", "PathBuf"] => "path",
        ["Duration"] => "duration",
        ["ByteSize"] => "size",
        ["u32"] => "whole number",
        ["bool"] => "boolean",
        ["Vec", "String"] => "list of texts",
        ["Vec", "TlsClient"] => "tables",
        ["String" | "Level" | "Ipv6Policy" | "LogFormat" | "Role"] => "text",
        ["XapiMode"] => "boolean or text",
        other => panic!("{other:?}: say here what an operator writes for it"),
    }
}

fn may_be_absent(field: &Field) -> bool {
    matches!(names(&field.ty).first().map(String::as_str), Some("Option" | "Vec"))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn section(page: &mut String, name: &str, of: &ItemStruct) {
    let about = words(&of.attrs);
    let about = about.split_once(": ").expect("[section]: what it is").1;
    let defaults = Config::default().keys();
    let (first, rest) = about.split_at(1);
    let title = if name.contains('.') { format!("[[{name}]]") } else { format!("[{name}]") };
    write!(page, "\n## `{title}`\n\n{}{rest}\n\n", first.to_uppercase()).unwrap();
    page.push_str("| key | type | default | SIGHUP | |\n|---|---|---|---|---|\n");
    for field in &of.fields {
        let key = field.ident.as_ref().unwrap().to_string();
        let full = format!("{name}.{key}");
        let default = match defaults.get(&full) {
            Some(value) => format!("`{}`", written(value)),
            None if may_be_absent(field) => "none".to_owned(),
            None => "must be there".to_owned(),
        };
        let live = if NEEDS_RESTART.contains(&full.as_str()) { "restart" } else { "yes" };
        let meaning = cell(&words(&field.attrs));
        writeln!(page, "| `{key}` | {} | {} | {live} | {meaning} |", kind(field), cell(&default)).unwrap();
    }
}

/// A value as it stands in TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}

fn page() -> String {
    let structs = structs();
    let by_name = |name: &str| structs.iter().find(|found| found.ident == name).unwrap();
    let mut page = HEAD.to_owned();
    for field in &by_name("Config").fields {
        let name = field.ident.as_ref().unwrap().to_string();
        let of = names(&field.ty).pop().unwrap();
        section(&mut page, &name, by_name(&of));
        if name == "tls" {
            section(&mut page, "tls.clients", by_name("TlsClient"));
        }
    }
    page
}

#[test]
fn the_reference_page_says_what_the_types_say() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide/configuration.md");
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = page.lines().zip(there.lines()).find(|(new, old)| new != old);
    assert!(page == there, "configuration.md is out of date (UPDATE_DOCS=1 writes it); first difference: {differs:?}");
}

#[test]
fn each_key_that_needs_a_restart_is_one() {
    let keys = Config::default().keys();
    for key in NEEDS_RESTART {
        assert!(keys.contains_key(key), "{key}");
    }
}
