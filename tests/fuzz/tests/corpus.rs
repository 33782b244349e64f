//! The kept corpus, tried as it is: what the fuzzer found before stays found, on any toolchain and without the fuzzer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ovstunnel_fuzz::TARGETS;

fn entries(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn names(folder: &str) -> BTreeSet<String> {
    entries(folder).iter().map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn every_kept_input_holds() {
    for target in TARGETS {
        let files = entries(&format!("corpus/{}", target.name));
        assert!(files.len() >= 5, "{} has {} inputs", target.name, files.len());
        for file in files {
            let data = std::fs::read(&file).unwrap();
            let tried = std::panic::catch_unwind(|| (target.run)(&data));
            assert!(tried.is_ok(), "{}: the panic is above", file.display());
        }
    }
}

#[test]
fn each_target_has_its_corpus_and_its_words_and_no_other_has() {
    let targets: BTreeSet<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names("corpus"), targets);
    assert_eq!(names("dictionaries"), targets);
}
