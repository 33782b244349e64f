//! The faults that tests plant, each of which the doctor finds by one finding: that of this check and level, whose reason has
//! these words. The same table is in docs/operators-guide/doctor.md; a test compares them.
//!
//! Those of `FILES` are planted on a simulated switch (`tests/faults.rs`), those of `SWITCH` by their commands on a real one
//! (`tests/e2e/tests/e2e/doctor_faults.rs`). What it must not do: plant anything.
#![allow(dead_code, reason = "tests of two crates use a part each")]

/// A fault, and what is found.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// What is wrong, as the page says it.
    pub planted: &'static str,
    pub check: &'static str,
    pub level: &'static str,
    /// Words of the reason: the cause.
    pub cause: &'static str,
    /// What plants it on a switch: on `xapi1` with `vif1.0`, the tunnel `t1001-1-2`, and `br-phy` below.
    pub commands: &'static [&'static str],
}

const fn fail(planted: &'static str, check: &'static str, cause: &'static str) -> Fault {
    Fault { planted, check, level: "fail", cause, commands: &[] }
}

const fn warn(planted: &'static str, check: &'static str, cause: &'static str) -> Fault {
    Fault { level: "warn", ..fail(planted, check, cause) }
}

impl Fault {
    const fn by(self, commands: &'static [&'static str]) -> Fault {
        Fault { commands, ..self }
    }

    /// Its line in the page.
    pub fn line(&self) -> String {
        format!("| {} | `{}` | {} | {} |", self.planted, self.check, self.level, self.cause)
    }
}

/// Of the host's files.
pub const FILES: [Fault; 49] = [
    fail("the key is that of another certificate", "certificate", "does not belong to the certificate"),
    fail("the key's file is missing", "certificate", "No such file"),
    warn("the key can be read by others", "certificate", "can be read or changed by others than its owner"),
    fail("the key has a passphrase", "certificate", "the private key is encrypted"),
    fail("the key is on a curve that TLS does not take", "certificate", "a key of kind ECDSA P-521"),
    fail("the certificate is for clients only", "certificate", "it lacks serverAuth"),
    fail(
        "the certificate is for anyExtendedKeyUsage",
        "certificate",
        "anyExtendedKeyUsage, which stands for no purpose",
    ),
    fail("the certificate has no alternative names", "certificate", "no alternative name (subjectAltName)"),
    warn("the certificate is for another host", "certificate", "neither the name of this host"),
    fail("the certificate expired", "certificate", "expired on"),
    fail("the certificate is not valid yet", "certificate", "is not valid before"),
    warn("the certificate expires soon", "certificate", "expires in 9 days"),
    fail("the certificate is of version 1", "certificate", "an X.509 certificate of version 1"),
    fail("the certificate's key is on P-521", "certificate", "its key is ECDSA P-521"),
    fail("the certificate's file is missing", "certificate", "No such file"),
    fail("the certificate's file is damaged", "certificate", "what is in it is damaged"),
    warn("the chain is out of order", "certificate", "which is not its issuer"),
    fail("the clients' CA is missing", "certificate", "No such file"),
    fail("the clients' CA has a key on P-521", "certificate", "no client whose certificate it signed gets in"),
    fail("the clients' CA expired", "certificate", "expired on"),
    warn("a client's certificate in place of its CA", "certificate", "is no CA's certificate"),
    warn(
        "the CA signed none of the clients that came",
        "certificate",
        "none of the 1 clients that came has a certificate that this CA signed",
    ),
    fail("the list of revoked certificates is damaged", "certificate", "no X509 CRL in it"),
    warn("the list of revoked certificates is old", "certificate", "is past its next update"),
    warn(
        "the configuration was changed and not loaded",
        "configuration",
        "was changed and not loaded: reconcile.interval",
    ),
    warn("the configuration needs a restart", "configuration", "was changed in what needs a restart: ovs.timeout"),
    fail("the configuration is not TOML", "configuration", "the next start would fail"),
    fail("the configuration has an unknown key", "configuration", "unknown field"),
    fail("the configuration's file is gone", "configuration", "cannot read the configuration file"),
    fail("the configuration names a certificate that is missing", "configuration", "[tls] certificate"),
    warn(
        "certificates were replaced and not loaded",
        "configuration",
        "files of [tls] were replaced and not loaded: certificate, key",
    ),
    fail("a file has the name of the Unix socket", "socket", "is not a socket"),
    warn("the log was moved away", "log", "it was moved or deleted"),
    fail("the log cannot be written: its disk is full", "log", "No space left on device"),
    warn("the audit's file was deleted", "log", "the audit's file"),
    warn("udev's rule is missing", "udev_rule", "no udev rule zz-ovstunnel.rules is installed"),
    fail("udev's rule is switched off by an empty file", "udev_rule", "shadows the one in"),
    warn("an old copy of udev's rule comes first", "udev_rule", "an update of the package changes nothing"),
    fail("udev's helper is missing", "udev_rule", "which is missing"),
    fail("udev's helper cannot be executed", "udev_rule", "which is not executable"),
    warn("another rule runs the helper as well", "udev_rule", "which delete the VIF's flows after it"),
    fail("the Python plugin's udev rule is in force", "old_udev_rule", "the Python plugin's udev rule"),
    fail("the same under another name", "old_udev_rule", "80-cloud.rules is still in force"),
    warn("a script of the Python plugin is left", "python_plugin", "of the Python plugin is still there"),
    fail(
        "the Python plugin took the place of xapi's plugin",
        "xapi_plugin",
        "is a script: the Python plugin is still active",
    ),
    fail("xapi's plugin is a link that leads nowhere", "xapi_plugin", "is a link that leads nowhere"),
    warn("xapi's plugin is another program", "xapi_plugin", "is another program than"),
    warn(
        "ovs-vswitchd logs packets that no tunnel is for",
        "unexpected_packets",
        "192.0.2.9 sends packets with key 1999",
    ),
    fail("XenServer's networking is by Linux bridges", "network_conf", "xapi makes Linux bridges"),
];

/// Of the switch and of the network below it.
pub const SWITCH: [Fault; 16] = [
    warn("a controller on a network's bridge", "controller", "controller")
        .by(&["ovs-vsctl set-controller xapi1 tcp:127.0.0.1:6699"]),
    warn("a network's bridge has the fail mode secure", "fail_mode", "secure")
        .by(&["ovs-vsctl set-fail-mode xapi1 secure"]),
    warn("a VLAN tag on a VIF", "vlan", "vif1.0").by(&["ovs-vsctl set Port vif1.0 tag=7"]),
    warn("trunks on a VIF", "vlan", "vif1.0").by(&["ovs-vsctl set Port vif1.0 trunks=7"]),
    warn("a VIF is protected", "vif_protected", "vif1.0").by(&["ovs-vsctl set Port vif1.0 protected=true"]),
    warn("a VIF is down", "vif_down", "vif1.0").by(&["ip link set dev vif1.0 down"]),
    warn("a VIF's MTU is too small", "vif_mtu", "600").by(&["ovs-vsctl set Interface vif1.0 mtu_request=600"]),
    fail("a VIF is in a Linux bridge as well", "vif_in_linux_bridge", "lb0").by(&[
        "ip link add lb0 type bridge",
        "ip link set dev lb0 up",
        "ip link set dev vif1.0 master lb0",
    ]),
    fail("a mirror floods copies", "mirror", "m0").by(&[
        "ovs-vsctl -- --id=@m create Mirror name=m0 select_all=true output_vlan=5 -- add Bridge xapi1 mirrors @m",
    ]),
    fail("the table takes fewer flows than ours", "flow_limit", "flow_limit")
        .by(&["ovs-vsctl -- --id=@t create Flow_Table flow_limit=2 -- set Bridge xapi1 flow_tables:0=@t"]),
    fail("a flow of others drops broadcast", "shadowing_flow", "priority=7000")
        .by(&["ovs-ofctl add-flow xapi1 priority=7000,dl_dst=ff:ff:ff:ff:ff:ff,actions=drop"]),
    fail("IP fragments are dropped", "fragments", "drop").by(&["ovs-ofctl set-frags xapi1 drop"]),
    warn("a VIF takes nothing over OpenFlow", "port_config", "vif1.0")
        .by(&["ovs-ofctl mod-port xapi1 vif1.0 no-receive"]),
    fail("the bridge below is secure without a flow", "underlay_bridge", "br-phy")
        .by(&["ovs-vsctl set-fail-mode br-phy secure"]),
    fail("the device below is down", "underlay_device", "br-phy").by(&["ip link set dev eth0 down"]),
    fail("Open vSwitch waits for its flows to be restored", "flow_restore_wait", "flow-restore-wait")
        .by(&["ovs-vsctl set Open_vSwitch . other_config:flow-restore-wait=true"]),
];
