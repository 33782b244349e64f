//! What is left of a lab, for tests that see whether all of it has ended. Must not remove anything.

use std::fs;

/// What is there of the labs of the process `owner`: namespaces, directories, processes.
pub fn traces_of(owner: u32) -> Vec<String> {
    let name = format!("ovlab-{owner}-");
    let in_folder = |folder: &str| {
        let entries =
            fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path().display().to_string());
        entries.filter(|path| path.contains(&name)).collect::<Vec<_>>()
    };
    let mut traces = [in_folder("/run/netns"), in_folder("/tmp")].concat();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |file| fs::read(process.path().join(file)).unwrap_or_default();
        let text = [read("cmdline"), read("environ")].concat();
        if String::from_utf8_lossy(&text).contains(&name) {
            traces.push(format!("process {}", process.path().display()));
        }
    }
    traces
}
