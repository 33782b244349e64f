//! What a bug report needs of this daemon, as named texts.
//!
//! What it does: puts together configuration, versions, certificates' dates, the switch's rows and flows of managed bridges, the
//! end of the log and of the audit. What it must not do: open a key file, hand over a row or flow of a bridge that is not ours, or grow without
//! bound: each text and all of them together have a limit, and what is cut says so.

mod rows;

use ovstunnel_api::SupportPart;
use ovstunnel_server::bounded::{end, keep_beginning};
use time::OffsetDateTime;

use crate::doctor::{Doctor, Now};

/// Longest of a single text, in bytes.
const PART: usize = 2 << 20;

/// Longest of one bridge's flows, and of all bridges' together, in bytes.
const FLOWS_OF_ONE: usize = 256 << 10;
const FLOWS: usize = 8 << 20;

/// Puts the parts together. What cannot be had is said in its part.
pub async fn collect_parts(doctor: &Doctor, now: &Now<'_>) -> Vec<SupportPart> {
    let mut parts = vec![
        new_part("versions.txt", version_lines(doctor, now)),
        new_part("configuration.txt", format!("{:#?}\n", doctor.config())),
        new_part("certificates.txt", certificate_lines(doctor)),
        new_part("ready.json", to_pretty_json(&now.ready)),
        new_part("bridges.json", to_pretty_json(&now.bridges)),
        new_part("database.json", database_text(now).await),
        new_part("routes.txt", route_lines(now).await),
        SupportPart { name: "log.txt".to_owned(), text: end(&doctor.config().log.file, PART) },
    ];
    if let Some(audit) = ovstunnel_server::logging::audit_file(&doctor.config().log) {
        parts.push(SupportPart { name: "audit.txt".to_owned(), text: end(&audit, PART) });
    }
    parts.extend(flow_parts(now).await);
    parts
}

fn new_part(name: &str, text: String) -> SupportPart {
    SupportPart { name: name.to_owned(), text: keep_beginning(text, PART) }
}

fn to_pretty_json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

fn version_lines(doctor: &Doctor, now: &Now<'_>) -> String {
    let health = now.switch.watch_health().borrow().clone();
    let root = doctor.root();
    let read = |path: &str| root.read_beginning(path).unwrap_or_else(|| "cannot be read\n".to_owned());
    let ovs = health.version.as_deref().unwrap_or("unknown").to_owned();
    let time = OffsetDateTime::now_utc();
    let inventory: String = read("/etc/xensource-inventory")
        .lines()
        .filter(|line| is_version(line))
        .map(|line| format!("{line}\n"))
        .collect();
    format!(
        "ovstunneld {}\nOpen vSwitch {ovs}\nvswitchd starts seen: {}\ntime: {time}\n\nkernel: {}\n{}\n{inventory}",
        env!("CARGO_PKG_VERSION"),
        health.generation,
        read("/proc/version"),
        read("/etc/os-release"),
    )
}

/// Lines of the inventory that tell what is installed; others tell who and where the host is.
fn is_version(line: &str) -> bool {
    ["PRODUCT_", "PLATFORM_", "BUILD_", "XEN_VERSION", "KERNEL_VERSION"].iter().any(|begin| line.starts_with(begin))
}

/// Whose, and until when: nothing else of them.
fn certificate_lines(doctor: &Doctor) -> String {
    let mut text = String::new();
    for file in doctor.certificate_files() {
        text.push_str(&format!("[tls] {} = {}\n", file.key, file.path.display()));
        match file.content {
            Err(error) => text.push_str(&format!("  {error}\n")),
            Ok(all) => all.iter().for_each(|one| {
                let (subject, issuer) = (&one.subject, &one.issuer);
                text.push_str(&format!("  {subject}, of {issuer}, from {} to {}\n", one.not_before, one.not_after));
            }),
        }
    }
    if text.is_empty() { "HTTPS is off\n".to_owned() } else { text }
}

async fn database_text(now: &Now<'_>) -> String {
    match now.switch.read_rows().await {
        Ok(rows) => to_pretty_json(&rows::of_ours(&rows, &now.bridges)),
        Err(error) => format!("cannot be read: {error}\n"),
    }
}

async fn route_lines(now: &Now<'_>) -> String {
    match now.interfaces.routes(crate::doctor::remote_addresses(&now.bridges)).await {
        Ok(routes) => {
            let each: String = routes.iter().map(|(ip, route)| format!("{ip}: {route:?}\n")).collect();
            format!("the way to each of {} other hosts\n{each}", routes.len())
        }
        Err(error) => format!("cannot be read: {}\n", ovstunnel_types::text::error_chain(&error)),
    }
}

/// The flows of each managed bridge, one after the other until there are enough.
async fn flow_parts(now: &Now<'_>) -> Vec<SupportPart> {
    let (mut parts, mut total) = (Vec::new(), 0);
    let mut left_out = Vec::new();
    for bridge in now.bridges.iter().map(|bridge| &bridge.name) {
        if total >= FLOWS {
            left_out.push(bridge.clone());
            continue;
        }
        let text = now.switch.every_flow(bridge).await.unwrap_or_else(|error| format!("cannot be read: {error}\n"));
        let text = keep_beginning(text, FLOWS_OF_ONE);
        total += text.len();
        parts.push(SupportPart { name: format!("flows-{}.txt", file_name(bridge)), text });
    }
    if !left_out.is_empty() {
        let text = format!("The flows of these bridges are left out, for want of space:\n{}\n", left_out.join("\n"));
        parts.push(new_part("flows-left-out.txt", text));
    }
    parts
}

/// A bridge's name as part of a file's name.
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' }).collect()
}
