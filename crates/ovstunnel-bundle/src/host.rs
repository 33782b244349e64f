//! What every bundle says of the machine that it was made on, and how it is called. Must not run a program.

use std::fs;

use time::OffsetDateTime;

/// The host's name, as far as it can be in a file's name.
pub fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let name: String = name.trim().chars().filter(|c| fit(*c)).collect();
    if name.is_empty() { "host".to_owned() } else { name }
}

/// A time in a file's name: `20260131T142500Z`.
pub fn file_timestamp(now: OffsetDateTime) -> String {
    let (date, time) = (now.date(), now.time());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    format!("{:04}{:02}{:02}T{hour:02}{minute:02}{second:02}Z", date.year(), u8::from(date.month()), date.day())
}

/// Versions and state of the host; `program` with its version is the first line.
pub fn host_versions(program: &str) -> String {
    let mut text = format!("{program}\n");
    for file in ["/proc/version", "/etc/os-release", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/net/dev"]
    {
        let content = fs::read_to_string(file).unwrap_or_else(|error| format!("cannot be read: {error}\n"));
        text.push_str(&format!("\n{file}:\n{content}"));
    }
    text
}
