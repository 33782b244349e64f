//! The reference page of a configuration file, made from the types that it is read into: what a key means from its comment, its default
//! from the code. Must not know a key.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;
use syn::{Expr, ExprLit, Field, Item, ItemStruct, Lit, Meta, Type};

/// What a page is made from.
pub struct ConfigPage<'a> {
    /// What stands above the first section.
    pub head: &'a str,
    /// Texts of the files that have the types; the whole file's is called `Config`.
    pub sources: &'a [&'a str],
    /// The default configuration.
    pub defaults: Value,
    /// Where some keys are taken up at once: those that need a restart.
    pub restart: Option<&'a [&'a str]>,
}

/// Each key with its value, such as `log.level`; keys without a value are left out.
pub fn keys(of: &Value) -> BTreeMap<String, Value> {
    let mut keys = BTreeMap::new();
    flatten("", of, &mut keys);
    keys
}

fn flatten(name: &str, value: &Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(fields) => {
            for (field, value) in fields {
                flatten(&joined(name, field), value, keys);
            }
        }
        Value::Null => {}
        value => drop(keys.insert(name.to_owned(), value.clone())),
    }
}

fn joined(section: &str, key: &str) -> String {
    if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") }
}

impl ConfigPage<'_> {
    /// The page.
    ///
    /// # Panics
    /// Where a source is no Rust, a section has no comment, or a type is met of which it is not said what an operator writes for it.
    pub fn render(&self) -> String {
        let items = self.sources.iter().flat_map(|file| syn::parse_file(file).unwrap().items);
        let structs = items.filter_map(|item| if let Item::Struct(found) = item { Some(found) } else { None });
        let structs: BTreeMap<String, ItemStruct> = structs.map(|found| (found.ident.to_string(), found)).collect();
        let mut writer =
            Writer { page: self.head.to_owned(), structs: &structs, defaults: keys(&self.defaults), of: self };
        writer.inside("", &structs["Config"]);
        writer.page
    }
}

struct Writer<'a> {
    page: String,
    structs: &'a BTreeMap<String, ItemStruct>,
    defaults: BTreeMap<String, Value>,
    of: &'a ConfigPage<'a>,
}

impl Writer<'_> {
    /// A struct's keys, then its sections.
    fn inside(&mut self, name: &str, of: &ItemStruct) {
        let structs = self.structs;
        let section = |field: &Field| structs.get(names(&field.ty).last().map_or("", String::as_str));
        let rows: Vec<&Field> = of.fields.iter().filter(|field| section(field).is_none() || is_list(field)).collect();
        if !rows.is_empty() {
            self.heading(name, of);
            self.table(name, &rows);
        }
        for field in &of.fields {
            let Some(inner) = section(field) else { continue };
            let full = joined(name, &field.ident.as_ref().unwrap().to_string());
            match is_list(field) {
                true => self.inside(&format!("[{full}]"), inner),
                false => self.inside(&full, inner),
            }
        }
    }

    fn heading(&mut self, name: &str, of: &ItemStruct) {
        if name.is_empty() {
            self.page.push_str("\n## At the top of the file\n\n");
            return;
        }
        let about = words(&of.attrs);
        let about = about.split_once(": ").unwrap().1;
        let (first, rest) = about.split_at(1);
        write!(self.page, "\n## `[{name}]`\n\n{}{rest}\n\n", first.to_uppercase()).unwrap();
    }

    fn table(&mut self, name: &str, fields: &[&Field]) {
        let (head, line) = match self.of.restart {
            Some(_) => ("SIGHUP | |", "|---|---|---|---|---|"),
            None => ("|", "|---|---|---|---|"),
        };
        write!(self.page, "| key | type | default | {head}\n{line}\n").unwrap();
        for field in fields {
            let key = field.ident.as_ref().unwrap().to_string();
            let full = joined(name.trim_matches(['[', ']']), &key);
            let default = match self.defaults.get(&full) {
                Some(value) => format!("`{}`", written(value)),
                None if may_be_absent(field) => "none".to_owned(),
                None => "must be there".to_owned(),
            };
            let live = match self.of.restart {
                Some(restart) if restart.contains(&full.as_str()) => " restart |",
                Some(_) => " yes |",
                None => "",
            };
            let (default, meaning) = (cell(&default), cell(&words(&field.attrs)));
            writeln!(self.page, "| `{key}` | {} | {default} |{live} {meaning} |", kind(field)).unwrap();
        }
    }
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
        ["Option", "RemoteIp"] => "IP address",
        ["PathBuf"] | ["Option", "PathBuf" | "PskFile"] => "path",
        ["Duration"] => "duration",
        ["Option", "Duration"] => "duration or `\"off\"`",
        ["Option", "Tos"] => "whole number or `\"inherit\"`",
        ["ByteSize"] => "size",
        ["u32" | "u64" | "usize"] | ["Option", "u16"] => "whole number",
        ["bool"] => "boolean",
        ["Vec", "String"] => "list of texts",
        ["Vec", "TlsClient" | "PhysicalNetwork" | "Webhook"] => "tables",
        ["f64"] => "number",
        [
            "String" | "Level" | "Ipv6Policy" | "LogFormat" | "Role" | "Isolation" | "OnFailure" | "States" | "Url"
            | "Writes" | "BridgeMtu" | "CreateTunnelExit" | "TunnelKind" | "Signature" | "IpsecMode" | "Family",
        ]
        | ["Option", "String"] => "text",
        ["XapiMode"] => "boolean or text",
        other => panic!("{other:?}: say here what an operator writes for it"),
    }
}

fn is_list(field: &Field) -> bool {
    names(&field.ty).first().is_some_and(|name| name == "Vec")
}

fn may_be_absent(field: &Field) -> bool {
    matches!(names(&field.ty).first().map(String::as_str), Some("Option" | "Vec"))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

/// A value as it stands in TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Array(values) => format!("[{}]", values.iter().map(written).collect::<Vec<_>>().join(", ")),
        value => value.to_string(),
    }
}
