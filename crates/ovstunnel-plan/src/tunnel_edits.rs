//! What of a tunnel's port and interface is not as it must be.
//!
//! What it does: compares, without a copy where nothing differs: each request has it done for all tunnels of its bridge. What it must not
//! do: decide in which order the edits are applied.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write};

use crate::{DesiredTunnel, Encap, ObservedPort, PortEdit, bfd, ids, second};

/// What of a tunnel's port is not as it must be.
pub(crate) fn tunnel_edits(tunnel: &DesiredTunnel, port: &ObservedPort) -> Vec<PortEdit> {
    let mut edits = Vec::new();
    tunnel.each_mark(|key, value| {
        if !says(port.external_ids.get(key), value) {
            edits.push(PortEdit::SetId(key.to_owned(), value.to_string()));
        }
    });
    let no_encap = tunnel.encap == Encap::GRE && port.external_ids.contains_key(ids::ENCAP);
    edits.extend(no_encap.then(|| PortEdit::DropId(ids::ENCAP.to_owned())));
    let no_local_ip = tunnel.local_ip.is_none() && port.external_ids.contains_key(ids::LOCAL_IP);
    edits.extend(no_local_ip.then(|| PortEdit::DropId(ids::LOCAL_IP.to_owned())));
    let was_second = !tunnel.second && port.external_ids.contains_key(ids::SECOND);
    edits.extend(was_second.then(|| PortEdit::DropId(ids::SECOND.to_owned())));
    let was_watched = port.external_ids.contains_key(ids::BFD);
    edits.extend((tunnel.bfd.is_none() && was_watched).then(|| PortEdit::DropId(ids::BFD.to_owned())));
    edits.extend((!port.protected).then_some(PortEdit::Protect));
    let vlan = if tunnel.second { PortEdit::ReceiveOnly } else { PortEdit::NoVlan };
    edits.extend((port.vlan != second::vlan_of(tunnel)).then_some(vlan));
    let Some(interface) = port.interface() else { return edits };
    edits.extend(
        (interface.tunnel_kind() != Some(tunnel.encap.kind())).then_some(PortEdit::MakeTunnel(tunnel.encap.kind())),
    );
    edits.extend(bfd::bfd_edits(tunnel.bfd, was_watched, interface).into_iter().map(|(key, value)| match value {
        Some(value) => PortEdit::SetBfd(key.to_owned(), value),
        None => PortEdit::DropBfd(key.to_owned()),
    }));
    edits.extend(option_edits(tunnel, &interface.options));
    edits
}

fn option_edits(tunnel: &DesiredTunnel, there: &BTreeMap<String, String>) -> Vec<PortEdit> {
    let mut edits = Vec::new();
    let (mut wanted, mut as_wanted) = (0, 0);
    tunnel.each_option(|key, value| {
        wanted += 1;
        as_wanted += usize::from(says(there.get(key), value));
    });
    if as_wanted == wanted && there.len() == wanted {
        return edits;
    }
    let mut options = tunnel.interface_options();
    options.sort_unstable();
    for key in there.keys().filter(|key| options.iter().all(|(wanted, _)| wanted != key)) {
        edits.push(PortEdit::DropOption(key.clone()));
    }
    for (key, value) in options {
        if there.get(key) != Some(&value) {
            edits.push(PortEdit::SetOption(key.to_owned(), value));
        }
    }
    edits
}

/// Whether a text is what a value is written as.
fn says(text: Option<&String>, value: &dyn Display) -> bool {
    struct Rest<'a>(&'a str);
    impl fmt::Write for Rest<'_> {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            self.0 = self.0.strip_prefix(part).ok_or(fmt::Error)?;
            Ok(())
        }
    }
    let mut rest = Rest(text.map_or("", String::as_str));
    text.is_some() && write!(rest, "{value}").is_ok() && rest.0.is_empty()
}
