//! What a bridge with STP says of the tree that it is in. What it must not do: decide what follows from it.

/// The spanning tree of a bridge, as the bridge sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanningTree {
    /// Id of the bridge: priority and system id, hexadecimal. The lowest of all is the root's.
    pub bridge_id: String,
    /// Id of the tree's root.
    pub root_id: String,
    /// The port that leads to the root; nothing where the bridge is the root itself.
    pub root_port: Option<String>,
}

impl SpanningTree {
    /// Reads what `stp/show` prints of one bridge.
    pub fn parse(text: &str) -> Option<Self> {
        let (root, bridge) = text.split_once("Bridge ID:")?;
        let (_, root) = root.split_once("Root ID:")?;
        let root_port = line_value(root, "root-port").map(str::to_owned);
        Some(SpanningTree { bridge_id: bridge_id(bridge)?, root_id: bridge_id(root)?, root_port })
    }
}

fn line_value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim)
}

/// Priority and system id in the form of the database's column `status`.
fn bridge_id(text: &str) -> Option<String> {
    let priority: u16 = line_value(text, "stp-priority")?.parse().ok()?;
    Some(format!("{priority:04x}.{}", line_value(text, "stp-system-id")?.replace(':', "")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "---- xapi1 ----\nRoot ID:\n  stp-priority  32768\n  stp-system-id   42:cd:07:80:06:45\n  \
        stp-hello-time  2s\n  root-port       t1001-3-1\n  root-path-cost  2\n\nBridge ID:\n  stp-priority  32769\n  \
        stp-system-id   de:4b:55:07:b1:4c\n  stp-fwd-delay   15s\n\n  Interface  Role       State\n";
    const OF_ROOT: &str = "---- xapi1 ----\nRoot ID:\n  stp-priority  32768\n  stp-system-id   42:cd:07:80:06:45\n  \
        This bridge is the root\n\nBridge ID:\n  stp-priority  32768\n  stp-system-id   42:cd:07:80:06:45\n";

    #[test]
    fn the_tree_is_read_and_the_root_knows_that_it_is_the_root() {
        let tree = SpanningTree::parse(SHOWN).unwrap();
        assert_eq!((tree.bridge_id.as_str(), tree.root_id.as_str()), ("8001.de4b5507b14c", "8000.42cd07800645"));
        assert_eq!(tree.root_port.as_deref(), Some("t1001-3-1"));
        let root = SpanningTree::parse(OF_ROOT).unwrap();
        assert_eq!((root.bridge_id == root.root_id, root.root_port), (true, None));
        assert_eq!(SpanningTree::parse("---- xapi1 ----\nRoot ID:\n"), None);
    }
}
