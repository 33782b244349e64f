//! `support-bundle`: one archive for a bug report.
//!
//! What it does: takes the running manager's parts, or what can be read where none answers, leaves out what is secret, keeps the whole within a
//! limit, and writes one file for its owner only. What it must not do: overwrite a file, or read a key.

use std::io;
use std::path::{Path, PathBuf};

use ovstunnel_api::SupportPart;
use ovstunnel_bundle::{
    Part, create_archive, file_timestamp, host_name, host_versions, redact_and_bound, write_archive,
};
use ovstunnel_types::text::error_chain;
use time::OffsetDateTime;

use crate::config::Config;
use crate::doctor::local::{self, local_manager};
use crate::{support, zone};

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// The file cannot be made or written.
    #[error("cannot write {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// A bundle that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The file.
    pub file: PathBuf,
    /// Its length in bytes.
    pub size: u64,
    /// How many texts are in it.
    pub parts: usize,
    /// Why the running manager gave nothing, where it did not.
    pub without: Option<String>,
}

impl Written {
    /// What was done, for a person.
    pub fn summary_text(&self) -> String {
        let without = self.without.as_ref().map_or_else(String::new, |why| {
            format!("The manager gave nothing ({why}): what can be read without it is in the bundle.\n")
        });
        format!(
            "{without}Wrote {} ({} KiB, {} parts), readable by its owner only.\nNo key is in it, but addresses and names of hosts and networks are: \
             look it through before it leaves your hands.\n",
            self.file.display(),
            self.size.div_ceil(1024),
            self.parts
        )
    }
}

/// Makes a bundle, in `output` or in a file with host and time in its name in the current folder. `file` is the configuration file that
/// was named.
///
/// # Errors
/// The file is there already, or cannot be written.
pub async fn write_bundle(file: Option<&Path>, output: Option<&Path>) -> Result<Written, BundleError> {
    let now = OffsetDateTime::now_utc();
    let name = format!("ovstunnel-manager-support-{}-{}", host_name(), file_timestamp(now));
    let target = output.map_or_else(|| PathBuf::from(format!("{name}.tar.gz")), Path::to_owned);
    let failed = |source| BundleError::File { file: target.clone(), source };
    // Before anybody waits for the rest.
    let new = create_archive(&target).map_err(failed)?;
    let (parts, without) = collect_parts(file, now).await;
    let size = write_archive(new, &name, &parts, now).map_err(|error| {
        let _ = std::fs::remove_file(&target);
        failed(error)
    })?;
    Ok(Written { file: target, size, parts: parts.len(), without })
}

/// All parts, without secrets and within the limit; and why the manager's are missing.
async fn collect_parts(file: Option<&Path>, now: OffsetDateTime) -> (Vec<Part>, Option<String>) {
    let config = Config::load(file);
    let told = local_manager(config.as_ref().ok()).support().await;
    let without = told.as_ref().err().map(|error| error_chain(error));
    let told = match told {
        Ok(answer) => answer.parts,
        Err(_) => without_manager(file, config.as_ref().ok()).await,
    };
    let mut parts: Vec<Part> = told.into_iter().map(|part| Part::new(&part.name, part.text)).collect();
    if let Err(error) = config {
        parts.push(Part::new("configuration-file.txt", format!("{error}\n")));
    }
    parts.push(Part::new("host.txt", host_versions(concat!("ovstunnel-manager ", env!("CARGO_PKG_VERSION")))));
    parts.push(Part::new("README.txt", readme_text(now, without.as_deref())));
    (redact_and_bound(parts), without)
}

async fn without_manager(file: Option<&Path>, config: Option<&Config>) -> Vec<SupportPart> {
    let found = local::examine_manager(file).await.map_err(|error| error.to_string());
    let found = found.and_then(|found| serde_json::to_string_pretty(&found).map_err(|error| error.to_string()));
    let doctor = SupportPart { name: "doctor.json".to_owned(), text: found.unwrap_or_else(|error| error) };
    let default = Config::default();
    let mut parts = support::of_files(config.unwrap_or(&default));
    parts.push(doctor);
    parts
}

fn readme_text(now: OffsetDateTime, without: Option<&str>) -> String {
    let answered =
        without.map_or_else(|| "The manager answered.".to_owned(), |why| format!("The manager gave nothing: {why}"));
    format!(
        "Made by ovstunnel-manager {} at {}.\n{answered}\n\nNo private key, password or token is in it; what looked like one is marked as left out.\n\
         There are addresses, names of hosts, networks and VIFs in it: look it through before it is given to anybody.\n",
        env!("CARGO_PKG_VERSION"),
        zone::format_time(now)
    )
}
