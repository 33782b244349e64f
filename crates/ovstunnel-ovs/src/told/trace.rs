//! Where a frame came out, by what `ofproto/trace` prints. Must not guess: where something is not understood there is no answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovstunnel_plan::{Cookie, Followed, Out, TunnelEndpoint, TunnelKind};

/// Lines that are kept as evidence, and characters of each.
const LINES: usize = 4;
const LENGTH: usize = 160;

/// Where a tunnel leads: address of the other end, and key. Of the kind only the port tells.
type Led = (IpAddr, u32);

/// The ports of one bridge by their numbers in the datapath.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatapathPorts {
    ports: BTreeMap<u32, u32>,
    /// Numbers that tunnels share, each with the kind of those, where it is one of ours.
    tunnels: BTreeMap<u32, Option<TunnelKind>>,
}

impl DatapathPorts {
    /// Reads what `dpif/show` prints, and gives what it says of each bridge.
    pub(crate) fn parse(printed: &str) -> BTreeMap<String, DatapathPorts> {
        let mut bridges: BTreeMap<String, DatapathPorts> = BTreeMap::new();
        let mut bridge = None::<String>;
        for line in printed.lines() {
            let indent = line.len() - line.trim_start().len();
            match (indent, line.trim().strip_suffix(':'), &bridge) {
                (2, Some(name), _) => bridge = Some(name.to_owned()),
                (4, _, Some(name)) => {
                    if let Some((port, datapath, kind)) = parse_port(line.trim()) {
                        let ports = bridges.entry(name.clone()).or_default();
                        match is_device(kind) {
                            false => drop(ports.tunnels.insert(datapath, TunnelKind::of_interface_type(kind))),
                            true => drop(ports.ports.insert(datapath, port)),
                        }
                    }
                }
                (0, ..) => bridge = None,
                _ => {}
            }
        }
        bridges
    }

    /// Reads where a frame came out; nothing where that is not understood.
    pub fn parse_trace(&self, printed: &str) -> Option<Followed> {
        let mut actions = printed.lines().filter_map(|line| line.trim().strip_prefix("Datapath actions: "));
        let (only, more) = (actions.next()?, actions.next());
        if more.is_some() || printed.contains("recirculat") || printed.contains("Translation failed") {
            return None;
        }
        let mut outs = Vec::new();
        self.read_actions(only, &mut None, &mut outs)?;
        let unresolved = printed.lines().filter_map(|line| line.trim().strip_prefix("-> neighbor cache miss for "));
        let unresolved = unresolved.filter_map(|rest| rest.split(' ').next()?.parse().ok()).collect();
        Some(Followed { outs, flooded: printed.contains(", flooding"), unresolved, evidence: trace_evidence(printed) })
    }

    fn read_actions(&self, actions: &str, tunnel: &mut Option<Led>, outs: &mut Vec<Out>) -> Option<()> {
        for action in at_top(actions)? {
            let (name, inner) = match action.split_once('(') {
                Some((name, rest)) => (name, rest.strip_suffix(')')?),
                None => (action, ""),
            };
            match name {
                "drop" | "meter" | "pop_vlan" | "push_vlan" | "" => {}
                "clone" => self.read_actions(inner, &mut tunnel.clone(), outs)?,
                "tnl_push" => outs.push(Out::Tunnel(self.pushed_tunnel(inner)?)),
                "set" if inner.starts_with("tunnel(") => *tunnel = Some(parse_set(inner)?),
                "set" => {}
                number => self.add_output(number.parse().ok()?, *tunnel, outs)?,
            }
        }
        Some(())
    }

    fn add_output(&self, number: u32, tunnel: Option<Led>, outs: &mut Vec<Out>) -> Option<()> {
        match (self.ports.get(&number), self.tunnels.contains_key(&number)) {
            (Some(port), _) => outs.push(Out::Port(*port)),
            (None, true) => outs.push(Out::Tunnel(self.endpoint_at(number, tunnel?)?)),
            // Of another bridge: that by which a tunnel leaves the host.
            (None, false) => {}
        }
        Some(())
    }

    /// The tunnel of `tnl_push` (userspace): its outer header.
    fn pushed_tunnel(&self, inner: &str) -> Option<TunnelEndpoint> {
        let number = named_value(inner, "tnl_port(")?.parse().ok()?;
        let (_, ip) = inner.split_once("ipv4(").or_else(|| inner.split_once("ipv6("))?;
        let (ip, rest) = ip.split_once(')')?;
        self.endpoint_at(
            number,
            tunnel_target(named_value(ip, "dst=")?, named_value(rest, "key=").or_else(|| named_value(rest, "vni="))?)?,
        )
    }

    /// A tunnel that leaves by this port of the datapath, which all of its kind share.
    fn endpoint_at(&self, number: u32, (remote_ip, key): Led) -> Option<TunnelEndpoint> {
        let kind = (*self.tunnels.get(&number)?)?;
        Some(TunnelEndpoint { kind, remote_ip, key })
    }
}

/// One line of `dpif/show`: OpenFlow port, port in the datapath, and type of Interface.
fn parse_port(line: &str) -> Option<(u32, u32, &str)> {
    let mut words = line.split(' ');
    let (_, numbers, kind) = (words.next()?, words.next()?, words.next()?);
    let (port, datapath) = numbers.strip_suffix(':')?.split_once('/')?;
    Some((port.parse().ok()?, datapath.parse().ok()?, kind.trim_start_matches('(').trim_end_matches([')', ':'])))
}

/// Whether a type of Interface is a device's; any other is a tunnel.
fn is_device(kind: &str) -> bool {
    ["system", "tap", "internal", "dpdk", "afxdp"].iter().any(|word| kind.starts_with(word))
}

/// The parts between the commas that stand in no parentheses.
fn at_top(actions: &str) -> Option<Vec<&str>> {
    let (mut parts, mut depth, mut begin) = (Vec::new(), 0_usize, 0);
    for (at, byte) in actions.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                parts.push(actions.get(begin..at)?);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(actions.get(begin..)?);
    (depth == 0).then_some(parts)
}

/// What stands behind `name=`, up to a comma or a parenthesis.
fn named_value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(name)?;
    Some(rest.split([',', ')', '(', '/']).next().unwrap_or(rest))
}

/// The tunnel of `set(tunnel(…))` (kernel).
fn parse_set(inner: &str) -> Option<Led> {
    let to = [",dst=", "(dst=", ",ipv6_dst=", "(ipv6_dst="].into_iter().find_map(|name| named_value(inner, name))?;
    tunnel_target(to, named_value(inner, "tun_id=")?)
}

/// Where a tunnel with this address and key leads.
fn tunnel_target(remote: &str, key: &str) -> Option<Led> {
    let key = u32::from_str_radix(key.strip_prefix("0x")?, 16).ok()?;
    Some((remote.parse().ok()?, key))
}

/// Cookie and priority of each flow that has matched, in their order.
pub fn matched_flows(printed: &str) -> Vec<(Cookie, u16)> {
    let of_line = |line: &str| {
        let (table, flow) = line.trim_start().split_once(". ")?;
        table.parse::<u8>().ok()?;
        let (_, priority) = flow.split_once("priority ")?;
        let priority = priority.split(',').next()?.trim().parse().ok()?;
        let (_, cookie) = flow.split_once("cookie 0x")?;
        let cookie = cookie.split([',', ' ']).next()?.trim();
        Some((Cookie(u64::from_str_radix(cookie, 16).ok()?), priority))
    };
    printed.lines().filter_map(of_line).collect()
}

/// The lines of the frame's own bridge that say what was done with it.
fn trace_evidence(printed: &str) -> String {
    let lines = printed.lines().skip_while(|line| !line.starts_with("bridge(")).skip(2);
    // The bridge of the underlay, by which a tunnel leaves, is told of in between: below a heading, and further in.
    let mut below = None::<usize>;
    let of_bridge = lines.take_while(|line| line.is_empty() || line.starts_with(' ')).filter(move |line| {
        let indent = line.len() - line.trim_start().len();
        if line.trim_start().starts_with("bridge(") {
            below = below.or(Some(indent));
        } else if !line.is_empty() && !line.trim().starts_with("---") && below.is_some_and(|n| indent < n + 5) {
            below = None;
        }
        below.is_none()
    });
    let known = ["-> output to native tunnel", "-> tunneling "];
    let told = of_bridge.map(str::trim).filter(|line| !known.iter().any(|known| line.starts_with(known)));
    let short = |line: &str| line.chars().take(LENGTH).collect::<String>();
    let mut seen = BTreeSet::new();
    let told: Vec<String> = told.map(short).filter(|line| !line.is_empty() && seen.insert(line.clone())).collect();
    told.into_iter().take(LINES).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Printed by 3.1.0, as all that follows.
    const PORTS: &str = "\
netdev@ovs-netdev: hit:1 missed:4
  br-phy:
    br-phy 65534/2: (tap)
    eth0 1/1: (system)
  xapi1:
    t1001-1-2 3/3: (gre: key=1001, remote_ip=192.0.2.2)
    t1001-1-3 1/3: (gre: key=1001, remote_ip=192.0.2.3)
    vif1.0 4/6: (system)
    vif2.0 2/4: (system)
    xapi1 65534/5: (tap)
";
    const HEAD: &str = "\
Flow: in_port=4,vlan_tci=0x0000,dl_src=02:aa:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5

bridge(\"xapi1\")
---------------
 0. priority 0
    NORMAL
     -> no learned MAC for destination, flooding
     -> output to native tunnel
     -> tunneling to 192.0.2.2 via br-phy
     -> tunneling from d6:3b:16:bf:a1:41 192.0.2.1 to 02:00:00:00:00:02 192.0.2.2

    bridge(\"br-phy\")
    ----------------
         0. priority 0
            NORMAL
             -> no learned MAC for destination, flooding

Final flow: unchanged
Megaflow: recirc_id=0,eth,in_port=4,dl_src=02:aa:00:00:00:01,dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5
";
    const fn tunnel_to(host: u8) -> Out {
        let remote_ip = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, host));
        Out::Tunnel(TunnelEndpoint { kind: TunnelKind::Gre, remote_ip, key: 1001 })
    }

    const A: Out = tunnel_to(2);
    const B: Out = tunnel_to(3);

    fn push(ip: &str) -> String {
        format!(
            "tnl_push(tnl_port(3),header(size=42,type=3,eth(dst=02:00:00:00:00:02,src=d6:3b:16:bf:a1:41,dl_type=0x0800),\
             ipv4(src=192.0.2.1,dst={ip},proto=47,tos=0,ttl=64,frag=0x4000),gre((flags=0x2000,proto=0x6558),key=0x3e9)),\
             out_port(2)),1"
        )
    }

    fn followed(actions: &str) -> Option<Vec<Out>> {
        let ports = DatapathPorts::parse(PORTS).remove("xapi1").unwrap();
        ports.parse_trace(&format!("{HEAD}Datapath actions: {actions}")).map(|followed| followed.outs)
    }

    #[test]
    fn where_a_frame_comes_out_is_read_of_the_userspace_datapath() {
        let (a, b) = (push("192.0.2.2"), push("192.0.2.3"));
        assert_eq!(followed("drop"), Some(vec![]));
        assert_eq!(followed("6,4"), Some(vec![Out::Port(4), Out::Port(2)]));
        let all = Some(vec![A, Out::Port(65534), B, Out::Port(2)]);
        assert_eq!(followed(&format!("clone({a}),5,clone({b}),4")), all);
        assert_eq!(followed(&format!("meter(0),clone({a}),5,clone({b}),4")), all);
        assert_eq!(followed(&a), Some(vec![A]));
        let mirrored = followed(&format!("push_vlan(vid=5,pcp=0),clone({a}),6,pop_vlan,clone({a}),4"));
        assert_eq!(mirrored, Some(vec![A, Out::Port(4), A, Out::Port(2)]));
    }

    #[test]
    fn where_a_frame_comes_out_is_read_of_the_kernels_datapath() {
        let to = |ip| format!("set(tunnel(tun_id=0x3e9,dst={ip},ttl=64,flags(df|key))),3");
        let both = format!("{},{},4,5", to("192.0.2.2"), to("192.0.2.3"));
        assert_eq!(followed(&both), Some(vec![A, B, Out::Port(2), Out::Port(65534)]));
        assert_eq!(followed("3"), None, "a tunnel to nobody");
    }

    #[test]
    fn the_kind_of_a_tunnel_is_that_of_its_port() {
        let of = |kind, udp: u16, inner: &str, options: &str| {
            let ports = PORTS.replace("(gre: key", &format!("({kind}: {options}key"));
            let push = format!(
                "clone(tnl_push(tnl_port(3),header(size=50,type=4,eth(dst=02:00:00:00:00:02,src=56:36:2c:dc:13:41,\
                 dl_type=0x0800),ipv4(src=192.0.2.1,dst=192.0.2.2,proto=17,tos=0,ttl=64,frag=0x4000),\
                 udp(src=0,dst={udp},csum=0x0),{inner}),out_port(2)),1),4"
            );
            let kernel = format!("set(tunnel(tun_id=0x3e9,dst=192.0.2.2,ttl=64,tp_dst={udp},flags(df|key))),3,4");
            let ports = DatapathPorts::parse(&ports).remove("xapi1").unwrap();
            let followed =
                |actions: &str| ports.parse_trace(&format!("{HEAD}Datapath actions: {actions}")).unwrap().outs;
            assert_eq!(followed(&push), followed(&kernel));
            followed(&push)
        };
        let to_2 = |kind| {
            let remote_ip = [192, 0, 2, 2].into();
            vec![Out::Tunnel(TunnelEndpoint { kind, remote_ip, key: 1001 }), Out::Port(2)]
        };
        let vxlan = "vxlan(flags=0x8000000,vni=0x3e9)";
        assert_eq!(of(TunnelKind::Vxlan, 4789, vxlan, ""), to_2(TunnelKind::Vxlan));
        assert_eq!(of(TunnelKind::Vxlan, 8472, vxlan, "dst_port=8472, "), to_2(TunnelKind::Vxlan));
        assert_eq!(of(TunnelKind::Geneve, 6081, "geneve(vni=0x3e9)", ""), to_2(TunnelKind::Geneve));
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        for odd in
            ["userspace(pid=1,slow_path(action))", "ct(commit),6", "recirc(0x1)", "clone(6", "6)", "set(tunnel(x)),3"]
        {
            assert_eq!(followed(odd), None, "{odd}");
        }
        let ports = DatapathPorts::parse(PORTS).remove("xapi1").unwrap();
        assert_eq!(ports.parse_trace("Datapath actions: 6\nDatapath actions: 4\n"), None);
        assert_eq!(ports.parse_trace(""), None);
    }

    #[test]
    fn flows_that_have_matched_are_read_with_cookie_and_priority() {
        // Of a VPC's bridge, printed by 3.1.0.
        let printed = "\
bridge(\"xapi7\")
---------------
 0. ip,in_port=5,dl_dst=02:00:00:00:01:fe,nw_src=10.1.1.0/24,nw_dst=10.1.0.0/16, priority 1000, cookie 0x6f76737412000005
    set_field:0x3e9->reg0
    resubmit(,3)
 3. priority 1, cookie 0x6f76737410000003
    resubmit(,4)
 5. tcp,reg0=0x3ea,nw_src=10.1.1.0/24, priority 1011, cookie 0x6f76737417abcdef
    drop
 9. nothing of it, priority x, cookie 0x1
    0. priority 0
";
        let cookies = [(0x6f76_7374_1200_0005, 1000), (0x6f76_7374_1000_0003, 1), (0x6f76_7374_17ab_cdef, 1011)];
        assert_eq!(matched_flows(printed), cookies.map(|(cookie, priority)| (Cookie(cookie), priority)));
    }

    #[test]
    fn flooding_and_addresses_are_told_with_their_lines() {
        let ports = DatapathPorts::parse(PORTS).remove("xapi1").unwrap();
        let miss = "     -> neighbor cache miss for 192.0.2.3 on bridge br-phy, sending ARP request\n";
        let printed = format!("{HEAD}{miss}Datapath actions: 5");
        let followed = ports.parse_trace(&printed).unwrap();
        assert!(followed.flooded);
        assert_eq!(followed.unresolved, [IpAddr::from([192, 0, 2, 3])]);
        assert_eq!(followed.evidence, "0. priority 0; NORMAL; -> no learned MAC for destination, flooding");
    }

    #[test]
    fn what_is_said_after_the_underlays_bridge_is_evidence_too() {
        let ports = DatapathPorts::parse(PORTS).remove("xapi1").unwrap();
        let failed = "     -> output to native tunnel\n     >> native tunnel routing failed\n\nbridge(\"br-phy\")\n 0. priority 7\n";
        let printed = HEAD.replace("\nFinal flow", &format!("{failed}\nFinal flow"));
        let followed = ports.parse_trace(&format!("{printed}Datapath actions: 5")).unwrap();
        let decides =
            "0. priority 0; NORMAL; -> no learned MAC for destination, flooding; >> native tunnel routing failed";
        assert_eq!(followed.evidence, decides);
    }
}
