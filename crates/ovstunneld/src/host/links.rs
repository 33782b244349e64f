//! The host's devices by name, and which of them are ports of a Linux bridge. Must not look at addresses.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{InfoKind, LinkAttribute, LinkInfo, LinkMessage};

use super::{Error, Interfaces, Kernel, Source, ask_kernel};

/// The devices of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// Their names, alternative ones among them.
    pub names: BTreeSet<String>,
    /// Ports of Linux bridges, each with the bridge's name. A port of Open vSwitch's kernel datapath is none.
    pub linux_bridges: BTreeMap<String, String>,
}

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
        found.names.insert(name);
    }
    let of_bridges = ports.into_iter().filter_map(|(port, master)| Some((port, bridges.get(&master)?.clone())));
    found.linux_bridges = of_bridges.collect();
    found
}
