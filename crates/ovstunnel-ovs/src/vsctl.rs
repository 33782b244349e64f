//! Steps as one `ovs-vsctl` command line.
//!
//! What it does: writes ports in the `create` / `add` form, which is linear in their number where `add-port` is quadratic
//! (docs/ovs-facts.md), and sorts what `ovs-vsctl` says into what it means. What it must not do: run anything, or have a secret as an
//! argument.

use std::fmt::Display;

use ovstunnel_plan::{BridgeEdit, BridgeSpec, DesiredTunnel, NO_VLAN, PortEdit, Step, SwitchEdit, ids, shown_option};

/// Bytes of arguments at which a transaction is split: Linux allows 2 MB, pointers and environment included.
const ARGUMENTS_MAX: usize = 1 << 20;

/// The commands of one transaction, without the program and its options.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    args: Vec<String>,
    bytes: usize,
    rows: usize,
}

/// The transactions that carry out the steps: one, but where the arguments would be too long.
pub(crate) fn vsctl_transactions<'a>(steps: impl IntoIterator<Item = &'a Step>) -> Vec<Vec<String>> {
    let mut done = Vec::new();
    let mut current = Transaction::default();
    for step in steps {
        current.push_step(step);
        if current.bytes > ARGUMENTS_MAX {
            done.push(std::mem::take(&mut current).args);
        }
    }
    done.push(current.args);
    done.retain(|args| !args.is_empty());
    done
}

impl Transaction {
    fn push_words(&mut self, words: impl IntoIterator<Item = String>) {
        if !self.args.is_empty() {
            self.args.push("--".into());
        }
        for word in words {
            self.bytes += word.len() + 9;
            self.args.push(word);
        }
    }

    fn push_step(&mut self, step: &Step) {
        match step {
            Step::CreateBridge(spec) => self.create_bridge(spec),
            Step::EditBridge { bridge, edits } => self.edit_bridge(bridge.as_str(), edits),
            Step::DeleteBridge { uuid, .. } => {
                self.push_words(joined_words(["remove", "Open_vSwitch", ".", "bridges"], [uuid]))
            }
            Step::AddTunnel { bridge, tunnel } => self.add_tunnel(bridge.as_str(), tunnel),
            Step::EditTunnel { port, edits, .. } => self.edit_tunnel(port.as_str(), edits),
            Step::RemoveTunnel { bridge, uuid, .. } => {
                self.push_words(joined_words(["--if-exists", "remove", "Bridge", bridge, "ports"], [uuid]));
            }
            Step::TryAgain { attempt } => {
                self.push_set("Open_vSwitch", ".", column_pair("external_ids", ids::RETRY, &attempt.to_string()));
            }
            Step::RecordEpoch(Some(epoch)) => {
                self.push_set("Open_vSwitch", ".", column_pair("external_ids", ids::EPOCH, &epoch.to_string()));
            }
            Step::RecordEpoch(None) => self.drop_key("Open_vSwitch", ".", "external_ids", ids::EPOCH),
            Step::EditSwitch(edits) => edits.iter().for_each(|edit| self.edit_switch(edit)),
        }
    }

    /// A number for the `@` names of the next rows.
    fn next_row(&mut self) -> usize {
        self.rows += 1;
        self.rows
    }

    fn create_bridge(&mut self, spec: &BridgeSpec) {
        let (n, name) = (self.next_row(), quote_atom(&spec.name));
        let mut interface = vec![format!("name={name}"), "type=internal".into()];
        interface.extend(spec.mtu_request.map(|mtu| format!("mtu_request={mtu}")));
        self.push_words(joined_words([&format!("--id=@i{n}"), "create", "Interface"], interface));
        let port = [format!("name={name}"), format!("interfaces=@i{n}"), "protected=true".into()];
        self.push_words(joined_words([&format!("--id=@p{n}"), "create", "Port"], port));
        let mut columns = vec![format!("name={name}"), format!("ports=@p{n}"), "stp_enable=false".into()];
        if !spec.datapath_type.is_empty() {
            columns.push(format!("datapath_type={}", quote_atom(&spec.datapath_type)));
        }
        columns.extend(spec.fail_mode.map(|mode| format!("fail_mode={}", mode.as_str())));
        columns.extend(spec.external_ids.iter().map(|(key, value)| column_pair("external_ids", key, value)));
        columns.extend(spec.other_config.iter().map(|(key, value)| column_pair("other_config", key, value)));
        self.push_words(joined_words([&format!("--id=@b{n}"), "create", "Bridge"], columns));
        self.push_words(joined_words(["add", "Open_vSwitch", ".", "bridges"], [format!("@b{n}")]));
    }

    fn add_tunnel(&mut self, bridge: &str, tunnel: &DesiredTunnel) {
        let (n, name) = (self.next_row(), quote_atom(tunnel.port_name()));
        let mut interface = vec![format!("name={name}"), format!("type={}", tunnel.encap.kind().interface_type())];
        interface.extend(tunnel.interface_options().iter().map(|(key, value)| option_pair(key, value)));
        let bfd = tunnel.bfd.iter().flat_map(|interval| interval.bfd_column());
        interface.extend(bfd.map(|(key, value)| column_pair("bfd", key, &value)));
        self.push_words(joined_words([&format!("--id=@i{n}"), "create", "Interface"], interface));
        let mut port = vec![format!("name={name}"), format!("interfaces=@i{n}"), "protected=true".into()];
        port.extend(tunnel.second.then(|| format!("tag={NO_VLAN}")));
        port.extend(tunnel.external_ids().iter().map(|(key, value)| column_pair("external_ids", key, value)));
        self.push_words(joined_words([&format!("--id=@p{n}"), "create", "Port"], port));
        self.push_words(joined_words(["add", "Bridge", bridge, "ports"], [format!("@p{n}")]));
    }

    fn edit_switch(&mut self, edit: &SwitchEdit) {
        match edit {
            SwitchEdit::SetConfig(key, value) => {
                self.push_set("Open_vSwitch", ".", column_pair("other_config", key, value))
            }
            SwitchEdit::DropConfig(key) => self.drop_key("Open_vSwitch", ".", "other_config", key),
            SwitchEdit::SetId(key, value) => {
                self.push_set("Open_vSwitch", ".", column_pair("external_ids", key, value))
            }
            SwitchEdit::DropId(key) => self.drop_key("Open_vSwitch", ".", "external_ids", key),
        }
    }

    fn edit_bridge(&mut self, bridge: &str, edits: &[BridgeEdit]) {
        for edit in edits {
            match edit {
                BridgeEdit::SetId(key, value) => {
                    self.push_set("Bridge", bridge, column_pair("external_ids", key, value))
                }
                BridgeEdit::DropId(key) => self.drop_key("Bridge", bridge, "external_ids", key),
                BridgeEdit::SetConfig(key, value) => {
                    self.push_set("Bridge", bridge, column_pair("other_config", key, value))
                }
                BridgeEdit::DropConfig(key) => self.drop_key("Bridge", bridge, "other_config", key),
                BridgeEdit::StpOff => self.push_set("Bridge", bridge, "stp_enable=false".into()),
                BridgeEdit::RstpOff => self.push_set("Bridge", bridge, "rstp_enable=false".into()),
                BridgeEdit::OpenFlow14(on) => {
                    let verb = if *on { "add" } else { "remove" };
                    self.push_words(joined_words([verb, "Bridge", bridge, "protocols"], ["OpenFlow14"]));
                }
                BridgeEdit::FailMode(Some(mode)) => {
                    self.push_set("Bridge", bridge, format!("fail_mode={}", mode.as_str()))
                }
                BridgeEdit::FailMode(None) => self.push_words(joined_words(["clear", "Bridge", bridge], ["fail_mode"])),
                BridgeEdit::McastSnooping(on) => self.push_set("Bridge", bridge, format!("mcast_snooping_enable={on}")),
                BridgeEdit::MtuRequest(Some(mtu)) => self.push_set("Interface", bridge, format!("mtu_request={mtu}")),
                BridgeEdit::MtuRequest(None) => {
                    self.push_words(joined_words(["clear", "Interface", bridge], ["mtu_request"]))
                }
                BridgeEdit::NoVlan => self.no_vlan(bridge),
                BridgeEdit::Protect(on) => self.push_set("Port", bridge, format!("protected={on}")),
            }
        }
    }

    fn edit_tunnel(&mut self, port: &str, edits: &[PortEdit]) {
        for edit in edits {
            match edit {
                PortEdit::SetId(key, value) => self.push_set("Port", port, column_pair("external_ids", key, value)),
                PortEdit::DropId(key) => self.drop_key("Port", port, "external_ids", key),
                PortEdit::Protect => self.push_set("Port", port, "protected=true".into()),
                PortEdit::NoVlan => self.no_vlan(port),
                PortEdit::ReceiveOnly => {
                    self.push_words(joined_words(["clear", "Port", port], ["trunks", "vlan_mode"]));
                    self.push_set("Port", port, format!("tag={NO_VLAN}"));
                }
                PortEdit::Detach => self.push_set("Interface", port, "type=null".into()),
                PortEdit::MakeTunnel(kind) => {
                    self.push_set("Interface", port, format!("type={}", kind.interface_type()))
                }
                PortEdit::SetOption(key, value) => self.push_set("Interface", port, option_pair(key, value)),
                PortEdit::DropOption(key) => self.drop_key("Interface", port, "options", key),
                PortEdit::SetBfd(key, value) => self.push_set("Interface", port, column_pair("bfd", key, value)),
                PortEdit::DropBfd(key) => self.drop_key("Interface", port, "bfd", key),
            }
        }
    }

    fn no_vlan(&mut self, port: &str) {
        self.push_words(joined_words(["clear", "Port", port], ["tag", "trunks", "vlan_mode"]));
    }

    fn push_set(&mut self, table: &str, record: &str, column: String) {
        self.push_words(joined_words(["set", table, record], [column]));
    }

    fn drop_key(&mut self, table: &str, record: &str, column: &str, key: &str) {
        self.push_words(joined_words(["remove", table, record, column], [quote_atom(key)]));
    }
}

fn joined_words<const N: usize, T: Display>(head: [&str; N], tail: impl IntoIterator<Item = T>) -> Vec<String> {
    head.into_iter().map(str::to_owned).chain(tail.into_iter().map(|word| word.to_string())).collect()
}

fn column_pair(column: &str, key: &str, value: &str) -> String {
    format!("{column}:{}={}", quote_atom(key), quote_atom(value))
}

/// An option of an interface. A secret is not in it: every user of the host can read the arguments of a program.
fn option_pair(key: &str, value: &str) -> String {
    column_pair("options", key, shown_option(key, value))
}

/// A string atom of the database, always in quotes (which are JSON's), so that no value is taken for another type.
fn quote_atom(text: impl AsRef<str>) -> String {
    serde_json::Value::from(text.as_ref()).to_string()
}

/// What a failed `ovs-vsctl` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It did not reach the database, so nothing was changed.
    Unreachable,
    /// The database refused the transaction as a whole, so nothing was changed.
    Refused,
    /// It lost the database on the way: whether it took the transaction is not known.
    Lost,
}

/// Sorts what `ovs-vsctl` said when it ended with a status other than 0.
pub(crate) fn classify_failure(stderr: &str) -> Failure {
    // The reason stands in parentheses behind it; these are the ones of a connection that never was.
    let reason = stderr.split_once("database connection failed").map(|(_, reason)| reason);
    let never = |reason: &str| ["No such file", "Connection refused"].iter().any(|error| reason.contains(error));
    match reason {
        None => Failure::Refused,
        Some(reason) if never(reason) => Failure::Unreachable,
        Some(_) => Failure::Lost,
    }
}

/// The version in the first line of `ovs-vsctl --version`, `ovs-vsctl (Open vSwitch) 3.1.0`: major and minor.
pub(crate) fn parse_version(output: &str) -> Option<(u32, u32)> {
    let version = output.lines().next()?.split_whitespace().last()?;
    let mut numbers = version.split(['.', '-']);
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tunnel(n: u8) -> Step {
        let (from, to) = ("1".parse().unwrap(), n.to_string().parse().unwrap());
        let remote_ip = format!("192.0.2.{n}").parse().unwrap();
        let tunnel = DesiredTunnel::new(from, to, "1001".parse().unwrap(), remote_ip, ovstunnel_plan::Encap::GRE);
        Step::AddTunnel { bridge: "xapi1".parse().unwrap(), tunnel }
    }

    #[test]
    fn a_tunnel_is_protected_in_the_transaction_that_creates_it() {
        let line = vsctl_transactions([&tunnel(2)]).concat().join(" ");
        assert_eq!(
            line,
            "--id=@i1 create Interface name=\"t1001-1-2\" type=gre options:\"key\"=\"1001\" \
             options:\"remote_ip\"=\"192.0.2.2\" -- --id=@p1 create Port name=\"t1001-1-2\" interfaces=@i1 protected=true \
             external_ids:\"ovstunnel-from\"=\"1\" external_ids:\"ovstunnel-to\"=\"2\" \
             external_ids:\"ovstunnel-key\"=\"1001\" external_ids:\"ovstunnel-remote-ip\"=\"192.0.2.2\" \
             -- add Bridge xapi1 ports @p1"
        );
    }

    #[test]
    fn too_many_arguments_make_several_transactions() {
        let steps: Vec<Step> = (0..8000).map(|n| tunnel(u8::try_from(n % 250).unwrap())).collect();
        let lines = vsctl_transactions(&steps);
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|args| args.iter().map(|arg| arg.len() + 9).sum::<usize>() < 2 * ARGUMENTS_MAX));
        let adds = lines.concat().iter().filter(|arg| *arg == "add").count();
        assert_eq!(adds, steps.len());
    }

    #[test]
    fn a_lost_database_is_told_from_an_absent_one() {
        let lost = |reason: &str| {
            classify_failure(&format!("ovs-vsctl: unix:/x/db.sock: database connection failed ({reason})"))
        };
        assert_eq!(lost("No such file or directory"), Failure::Unreachable);
        assert_eq!(lost("Connection refused"), Failure::Unreachable);
        assert_eq!(lost("End of file"), Failure::Lost);
        assert_eq!(lost("Connection reset by peer"), Failure::Lost);
        assert_eq!(classify_failure("ovs-vsctl: no bridge named x"), Failure::Refused);
    }

    #[test]
    fn versions_are_read_as_they_are_printed() {
        let printed = |text: &str| parse_version(text);
        assert_eq!(printed("ovs-vsctl (Open vSwitch) 3.1.0\nDB Schema 8.3.1\n"), Some((3, 1)));
        assert_eq!(printed("ovs-vsctl (Open vSwitch) 2.5.3\n"), Some((2, 5)));
        assert_eq!(printed("ovs-vsctl (Open vSwitch) 2.17.7-2\n"), Some((2, 17)));
        assert_eq!(printed(""), None);
        assert_eq!(printed("nonsense"), None);
    }
}
