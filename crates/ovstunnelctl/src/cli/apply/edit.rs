//! `edit`: a bridge in the editor, and then as it was edited. The only place of this program that starts another one.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

use super::{Document, apply_entries, document, exportable_bridges};
use crate::cli::apply_args::{Apply, Edit};
use crate::cli::show::Page;
use crate::cli::{Failure, Report};
use crate::client::Client;

pub(crate) async fn run(client: &Client, args: &Edit, json: bool) -> Result<Report, Failure> {
    let bridge = client.bridge(&args.bridge).await?;
    let (entries, left) = exportable_bridges(std::slice::from_ref(&bridge));
    if !left.is_empty() {
        return Err(Failure::Document(format!("bridge {} is a VPC's: its management server sets it up", args.bridge)));
    }
    let before =
        serde_saphyr::to_string(&Document { bridges: entries }).map_err(|error| Failure::Yaml(Box::new(error)))?;
    let failed = |source| Failure::File { action: "write", path: std::env::temp_dir(), source };
    let name = format!("ovstunnel-{}-", args.bridge);
    let mut file = tempfile::Builder::new().prefix(&name).suffix(".yaml").tempfile().map_err(failed)?;
    file.write_all(before.as_bytes()).map_err(failed)?;
    open_editor(file.path())?;
    let read = |source| Failure::File { action: "read", path: file.path().to_owned(), source };
    let after = fs::read_to_string(file.path()).map_err(read)?;
    if after == before {
        return Report::new(json, &serde_json::json!({"outcome": "unchanged"}), |_| {
            let mut page = Page::new();
            page.line(format!("bridge {}: unchanged (the text was left as it was)", args.bridge));
            page
        });
    }
    let entries =
        document::parse_entries(&after).map_err(|reason| Failure::Document(format!("{reason}; nothing was changed")));
    let applied = match entries {
        Ok(entries) => {
            let args = Apply { files: vec![], dry_run: args.dry_run, prune: false, yes: args.yes };
            apply_entries(client, &entries, &args, json).await
        }
        Err(failure) => Err(failure),
    };
    if applied.is_err() {
        // What was typed is not lost.
        match file.keep() {
            Ok((_, path)) => eprintln!("The text is in {}: ovstunnelctl apply -f {}", path.display(), path.display()),
            Err(error) => eprintln!("The text is lost: {error}"),
        }
    }
    applied
}

/// Waits until the editor has ended.
fn open_editor(file: &Path) -> Result<(), Failure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let line = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let words = shlex::split(&line).filter(|words| !words.is_empty());
    let Some((program, arguments)) = words.as_deref().and_then(<[String]>::split_first) else {
        return Err(Failure::Usage(format!("EDITOR is not a command: {line}")));
    };
    let status = Command::new(program).args(arguments).arg::<OsString>(file.into()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Editor(io::Error::other(format!("`{line}` ended with {status}")))),
        Err(error) => Err(Failure::Editor(io::Error::new(error.kind(), format!("`{line}`: {error}")))),
    }
}
