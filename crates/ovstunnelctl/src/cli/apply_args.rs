//! The command line of `apply`, `export` and `edit`.

use std::path::PathBuf;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::{complete, values};

#[derive(Args, Clone, Debug)]
pub(super) struct Apply {
    /// File of bridges in YAML or JSON, folder of such files (.yaml, .yml, .json), or - for standard input; may be repeated.
    #[arg(short = 'f', long = "file", value_name = "FILE|DIR|-", required = true)]
    pub(super) files: Vec<PathBuf>,
    /// Show what would be done, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Remove the managed bridges that no file names, those of VPCs excepted. It asks before.
    #[arg(long)]
    pub(super) prune: bool,
    /// Do not ask before bridges or more than one tunnel of a bridge go: needed where there is no terminal to ask at.
    #[arg(long, short)]
    pub(super) yes: bool,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Export {
    /// The bridges; all but those of VPCs when none is named.
    #[arg(value_name = "BRIDGE", value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) bridges: Vec<String>,
}

#[derive(Args, Clone, Debug)]
pub(super) struct Edit {
    /// Name of the bridge.
    #[arg(value_parser = values::bridge, add = ArgValueCandidates::new(complete::bridge_candidates))]
    pub(super) bridge: String,
    /// Show what the edited text would do, and change nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Do not ask before more than one tunnel is removed.
    #[arg(long, short)]
    pub(super) yes: bool,
}
