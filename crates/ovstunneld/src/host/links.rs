//! The host's devices by name: which of them are ports of a Linux bridge, and which are tunnels of the kernel's own that have a UDP
//! port. Must not look at addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{InfoData, InfoGeneve, InfoKind, InfoVxlan, LinkAttribute, LinkInfo, LinkMessage};

use super::{Error, Interfaces, Kernel, Source, ask_kernel};

/// The devices of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Their names, alternative ones among them.
    pub names: BTreeSet<String>,
    /// Ports of Linux bridges, each with the bridge's name. A port of Open vSwitch's kernel datapath is none.
    pub linux_bridges: BTreeMap<String, String>,
    /// VXLAN and Geneve devices of the kernel, each with its UDP port; those that Open vSwitch makes for its tunnels are left out.
    pub udp_tunnels: BTreeMap<String, u16>,
}

/// How the devices begin that Open vSwitch makes for its VXLAN and Geneve tunnels; the UDP port follows.
const OF_OPEN_VSWITCH: [&str; 2] = ["vxlan_sys_", "genev_sys_"];

impl Interfaces {
    /// All devices; nothing where they are a fixed list, which knows only some.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn links(&self) -> Result<Option<Links>, Error> {
        match &self.0 {
            Source::Fixed(_) => Ok(None),
            Source::Kernel(Kernel { connection, .. }) => {
                let question = async |handle: Handle| handle.link().get().execute().try_collect().await;
                let links: Vec<LinkMessage> = ask_kernel(connection, "the devices of this host", question).await?;
                Ok(Some(sort_links(&links)))
            }
        }
    }
}

fn sort_links(links: &[LinkMessage]) -> Links {
    let (mut found, mut bridges, mut ports) = (Links::default(), HashMap::new(), Vec::new());
    for link in links {
        let (mut name, mut master) = (None, None);
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(text) => name = Some(text.clone()),
                LinkAttribute::Controller(index) => master = Some(*index),
                LinkAttribute::LinkInfo(parts) if parts.contains(&LinkInfo::Kind(InfoKind::Bridge)) => {
                    drop(bridges.insert(link.header.index, String::new()));
                }
                _ => {}
            }
        }
        let Some(name) = name else { continue };
        bridges.entry(link.header.index).and_modify(|bridge| bridge.clone_from(&name));
        ports.extend(master.map(|master| (name.clone(), master)));
        if let Some(port) = udp_port(link).filter(|_| !OF_OPEN_VSWITCH.iter().any(|begin| name.starts_with(begin))) {
            found.udp_tunnels.insert(name.clone(), port);
        }
        found.names.insert(name);
    }
    let of_bridges = ports.into_iter().filter_map(|(port, master)| Some((port, bridges.get(&master)?.clone())));
    found.linux_bridges = of_bridges.collect();
    found
}

/// The UDP port of a VXLAN or Geneve device.
fn udp_port(link: &LinkMessage) -> Option<u16> {
    let parts = link.attributes.iter().filter_map(|attribute| match attribute {
        LinkAttribute::LinkInfo(parts) => Some(parts),
        _ => None,
    });
    parts.flatten().find_map(|part| match part {
        LinkInfo::Data(InfoData::Vxlan(data)) => data.iter().find_map(|one| match one {
            InfoVxlan::Port(port) => Some(*port),
            _ => None,
        }),
        LinkInfo::Data(InfoData::Geneve(data)) => data.iter().find_map(|one| match one {
            InfoGeneve::Port(port) => Some(*port),
            _ => None,
        }),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not every kernel has Geneve.
    #[test]
    fn the_port_of_a_geneve_device_is_its_udp_port() {
        let device = |name: &str| {
            let (mut link, data) = (LinkMessage::default(), vec![InfoGeneve::Id(6), InfoGeneve::Port(6081)]);
            let info = vec![LinkInfo::Kind(InfoKind::Geneve), LinkInfo::Data(InfoData::Geneve(data))];
            link.attributes = vec![LinkAttribute::IfName(name.to_owned()), LinkAttribute::LinkInfo(info)];
            link
        };
        let found = sort_links(&[device("geneve6"), device("genev_sys_6081")]);
        assert_eq!(found.udp_tunnels.into_iter().collect::<Vec<_>>(), [("geneve6".to_owned(), 6081)]);
    }
}
