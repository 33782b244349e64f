//! What `ovs-ofctl dump-flows` prints.

use std::collections::BTreeMap;

use ovstunnel_plan::{Cookie, Flow, FlowsSeen, PluginFlow, PluginTable, Settings};

use crate::model;

/// The printed flow is the parsed one; nothing of others is taken for ours or for the Python plugin's, nothing of ours is
/// overlooked, and no line is counted twice.
pub(crate) fn flows(data: &[u8]) {
    let dump = String::from_utf8_lossy(data);
    for line in dump.lines() {
        one(line);
    }
    let lines = dump.lines().count();
    let seen = FlowsSeen::parse_dump(&dump);
    assert!(seen.flow_count().is_some_and(|count| count <= lines), "{seen:?}");
    let observed = model::bridge(BTreeMap::new());
    let table = PluginTable::parse_dump(&dump, &observed, &Settings::default());
    assert!(table.flows.is_disjoint(&table.doubtful));
    assert!(table.flows.len() + table.doubtful.len() + table.others <= lines, "{table:?}");
    let _ = table.breaks_split_horizon(&observed, &Settings::default());
}

/// The cookie that stands first in a line, as the switch prints it, read without the parser.
fn cookie_of(line: &str) -> Option<u64> {
    let digits = line.trim_start().strip_prefix("cookie=0x")?;
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], 16).ok().filter(|_| digits[end..].starts_with(','))
}

fn one(line: &str) {
    let first = cookie_of(line).map(Cookie).filter(|cookie| cookie.is_ours());
    let read = line.parse::<Flow>();
    match &read {
        Ok(flow) => {
            assert_eq!(flow.to_string().parse::<Flow>().as_ref(), Ok(flow), "{line:?} is read as {flow}");
            assert!(first.is_none_or(|cookie| flow.cookie == cookie), "{line:?} is read as {flow}");
        }
        Err(error) => {
            assert!(!error.reason.is_empty());
            assert!(first.is_none_or(|cookie| error.cookie == Some(cookie)), "{line:?}: {error:?}");
        }
    }
    let ours = read.map_or_else(|error| error.cookie, |flow| Some(flow.cookie)).is_some_and(Cookie::is_ours);
    assert!(!ours || line.contains("cookie="), "{line:?} has no cookie and is taken for ours");
    if let Some(flow) = PluginFlow::parse(line) {
        assert!(!ours, "{line:?} is taken for ours and for the plugin's");
        deletes_itself(line, &flow);
    }
}

/// What is deleted for a flow of the plugin's is that flow: its match and priority are those of the line.
fn deletes_itself(line: &str, flow: &PluginFlow) {
    let deleted = flow.to_string();
    let named = deleted.strip_prefix("cookie=0x0/-1,table=0,").unwrap_or_default();
    assert!(!named.is_empty(), "{deleted}");
    for part in named.split(',') {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        // A number may have leading zeros in the line.
        let same = |field: &str| {
            let (there, text) = field.split_once('=').unwrap_or((field, ""));
            there == name
                && (text == value
                    || text.parse::<u64>().ok().zip(value.parse::<u64>().ok()).is_some_and(|(a, b)| a == b))
        };
        assert!(line.split([',', ' ']).any(same), "{line:?} is deleted as {deleted}");
    }
}
