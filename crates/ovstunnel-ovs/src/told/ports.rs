//! How ports are configured over OpenFlow, and what is done with fragments: what `ovs-ofctl show` prints by OpenFlow 1.0.

use std::collections::BTreeMap;

use ovstunnel_plan::PortConfig;

/// OpenFlow 1.0's number of the bridge's own port, as the database has it.
const LOCAL: u32 = 65_534;

/// What is told of a bridge's ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsTold {
    /// The configuration of each port.
    pub ports: BTreeMap<u32, PortConfig>,
    /// What is done with IP fragments, where it is not `normal`.
    pub fragments: Option<String>,
}

impl PortsTold {
    /// Reads what is printed; what is not understood is not told.
    pub(crate) fn parse(printed: &str) -> Self {
        let (mut told, mut port) = (PortsTold::default(), None::<u32>);
        for line in printed.lines().map(str::trim) {
            if let Some((number, _)) = line.split_once('(').filter(|(_, rest)| rest.contains("): addr:")) {
                port = if number == "LOCAL" { Some(LOCAL) } else { number.parse().ok() };
            } else if let (Some(words), Some(port)) = (line.strip_prefix("config:"), port) {
                told.ports.insert(port, port_config(words));
            } else if line.starts_with("OFPT_GET_CONFIG_REPLY") {
                let frags = line.split(' ').find_map(|word| word.strip_prefix("frags="));
                told.fragments = frags.filter(|mode| *mode != "normal").map(|mode| mode.chars().take(32).collect());
            }
        }
        told
    }
}

fn port_config(words: &str) -> PortConfig {
    let has = |what: &str| words.split_whitespace().any(|word| word == what);
    PortConfig {
        no_flood: has("NO_FLOOD"),
        down: has("PORT_DOWN"),
        no_receive: has("NO_RECV"),
        no_forward: has("NO_FWD"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by 3.1.0.
    const SHOWN: &str = "\
OFPT_FEATURES_REPLY (xid=0x2): dpid:0000be348df08340
n_tables:254, n_buffers:0
capabilities: FLOW_STATS TABLE_STATS PORT_STATS QUEUE_STATS ARP_MATCH_IP
actions: output enqueue set_vlan_vid set_vlan_pcp strip_vlan mod_dl_src mod_dl_dst
 1(t1001-1-3): addr:76:68:f4:dc:eb:91
     config:     NO_RECV NO_FWD
     state:      0
     speed: 0 Mbps now, 0 Mbps max
 2(vif2.0): addr:a6:33:d5:66:d3:85
     config:     PORT_DOWN
     state:      LINK_DOWN
     current:    10GB-FD COPPER
 3(t1001-1-2): addr:02:a0:13:cf:a9:4c
     config:     NO_FLOOD
     state:      0
 LOCAL(xapi1): addr:be:34:8d:f0:83:40
     config:     0
     state:      0
OFPT_GET_CONFIG_REPLY (xid=0x4): frags=drop miss_send_len=0
";

    #[test]
    fn each_port_has_its_configuration() {
        let told = PortsTold::parse(SHOWN);
        let none = PortConfig::default();
        let expected = [
            (1, PortConfig { no_receive: true, no_forward: true, ..none }),
            (2, PortConfig { down: true, ..none }),
            (3, PortConfig { no_flood: true, ..none }),
            (LOCAL, none),
        ];
        assert_eq!(told.ports, BTreeMap::from(expected));
        assert_eq!(told.fragments.as_deref(), Some("drop"));
        assert_eq!(PortsTold::parse(&SHOWN.replace("frags=drop", "frags=normal")).fragments, None);
        assert_eq!(PortsTold::parse("config: NO_FLOOD"), PortsTold::default());
    }
}
