//! Open vSwitch itself: version, tools, datapath, meters, and whether the daemon can work with it.

use std::path::{Path, PathBuf};

use ovstunnel_api::{Bridge, Finding, Ready};
use ovstunnel_types::{KernelModules, TunnelKind};

use super::finding::{About, fail, ok, or_ok, some_names, warn};
use crate::host::Root;

/// Whether the daemon is ready, and what its last look could not repair.
pub(super) fn check_readiness(ready: &Ready) -> Vec<Finding> {
    let mut findings = vec![match (ready.ready, &ready.reason) {
        (true, _) => ok("ready", "the switch can be reached and was reconciled"),
        (false, reason) => fail(
            "ready",
            format!("the daemon is not ready: {}", reason.as_deref().unwrap_or("it does not say why")),
            "see that Open vSwitch runs and `ovs-vsctl show` answers (`ps -o stat,cmd -C ovs-vswitchd,ovsdb-server`: T is stopped); the daemon notices by itself",
        ),
    }];
    let look = ready.last_reconcile.as_ref().filter(|look| look.failed > 0);
    findings.push(match look {
        None => ok("repair", "all that differed from the record could be repaired"),
        Some(look) => fail(
            "repair",
            format!("{} of what differed could not be repaired: {}", look.failed, look.words.join("; ")),
            "read the reason; the daemon tries again by itself, `ovstunnelctl reconcile` does so now and says what stays",
        ),
    });
    findings
}

/// The version of Open vSwitch.
pub(super) fn check_version(version: Option<&str>) -> Finding {
    const OLDEST: (u32, u32) = (2, 7);
    let numbers = version.and_then(|version| {
        let mut numbers = version.split(['.', '-', ' ']).map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    });
    match (version, numbers) {
        (Some(version), Some(found)) if found < OLDEST => fail(
            "ovs_version",
            format!(
                "Open vSwitch {version} is too old: its ports cannot be protected, and a multicast frame would storm"
            ),
            "update Open vSwitch to 2.7 or newer",
        ),
        (Some(version), _) => ok("ovs_version", format!("Open vSwitch {version}")),
        (None, _) => warn(
            "ovs_version",
            "the version of Open vSwitch is not known",
            "see that `ovs-vsctl --version` answers, and that `[ovs] bin_dir` is its folder",
        ),
    }
}

/// The programs that are run: for each, its path and what is wrong with it.
pub(super) fn check_tools(programs: &[(PathBuf, Result<(), &'static str>)]) -> Vec<Finding> {
    let bad = programs.iter().filter_map(|(path, state)| Some((path, state.err()?)));
    let findings = bad.map(|(path, what)| {
        let remedy = "install it (package openvswitch or openvswitch-switch), or set `[ovs] bin_dir` or `[xapi] xe` to where it is";
        fail("tools", format!("{} {what}", path.display()), remedy).about(path.display())
    });
    or_ok(findings.collect(), || ok("tools", "every program that is run is there and executable"))
}

/// Looks for the programs.
pub(super) fn look_for_tools(
    root: &Root,
    bin_dir: &Path,
    xe: Option<&Path>,
) -> Vec<(PathBuf, Result<(), &'static str>)> {
    let tools = ["ovs-vsctl", "ovs-ofctl"].map(|name| bin_dir.join(name));
    let all = tools.into_iter().chain(xe.map(Path::to_owned));
    all.map(|path| (path.clone(), root.check_executable(&path))).collect()
}

/// A managed bridge's datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Datapath {
    /// Column `datapath_type`; empty is the kernel's, too.
    pub kind: String,
    /// The kind of its tunnels.
    pub tunnel_kind: TunnelKind,
    pub tunnels: usize,
    pub tunnels_up: usize,
}

impl Datapath {
    pub(super) fn is_kernel(&self) -> bool {
        matches!(self.kind.as_str(), "" | "system")
    }
}

/// Whether the kernel has each kind of tunnel where it is needed.
pub(super) fn check_datapath(bridges: &[Datapath], in_kernel: impl Fn(TunnelKind) -> bool) -> Vec<Finding> {
    let needing = |kind: &TunnelKind| {
        bridges.iter().any(|b| b.is_kernel() && b.tunnel_kind == *kind && b.tunnels > 0 && b.tunnels_up == 0)
    };
    let lacking = TunnelKind::ALL.into_iter().filter(|kind| needing(kind) && !in_kernel(*kind));
    let finding = |kind: TunnelKind| {
        let names = kind.kernel_modules().names;
        let reason = format!(
            "the kernel has no {kind} tunnels: none of {} is loaded, built in or among its modules",
            names.join(", ")
        );
        let of_linux = names.iter().rfind(|name| !name.starts_with("vport")).copied().unwrap_or_default();
        let remedy = format!(
            "`modprobe {of_linux}` (or vport_{kind} with the modules of Open vSwitch); else boot a kernel that has it"
        );
        fail("datapath", reason, remedy)
    };
    lacking.map(finding).collect()
}

/// Which bridges have tunnels of another kind than new ones get: they keep them, and whoever has changed the setting wants to know.
pub(super) fn check_kinds(configured: TunnelKind, bridges: &[Bridge]) -> Option<Finding> {
    let other = bridges.iter().filter(|bridge| bridge.kind != configured);
    let names: Vec<String> = other.map(|bridge| format!("{} ({})", bridge.name, bridge.kind)).collect();
    let reason = || {
        format!(
            "new bridges get {configured} tunnels, by `[tunnel] kind`; {} of another kind keep theirs: {}",
            names.len(),
            some_names(&names, 5)
        )
    };
    (!names.is_empty()).then(|| ok("tunnel_kind", reason()))
}

/// Which bridges are in the middle of a change of kind, which goes on only when it is asked to.
pub(super) fn changing(bridges: &[Bridge]) -> Option<Finding> {
    let told = |bridge: &Bridge| {
        let second = bridge.second.as_ref()?;
        Some(format!("{} (sends by {}, receives by {} too)", bridge.name, bridge.kind, second.kind))
    };
    let names: Vec<String> = bridges.iter().filter_map(told).collect();
    let reason = || {
        format!(
            "the tunnels of {} bridges change their kind, by `ovstunnelctl bridge kind`: {}",
            names.len(),
            some_names(&names, 5)
        )
    };
    (!names.is_empty()).then(|| ok("kind_change", reason()))
}

/// Whether the kernel has what makes tunnels of this kind: loaded or built in, or among the modules that it can load.
pub(super) fn in_kernel(root: &Root, kind: TunnelKind) -> bool {
    let KernelModules { names, files } = kind.kernel_modules();
    let loaded = names.iter().any(|module| root.has_path(&format!("sys/module/{module}")));
    let release = root.read_beginning("proc/sys/kernel/osrelease").unwrap_or_default();
    let lists = ["modules.dep", "modules.builtin"].map(|list| format!("lib/modules/{}/{list}", release.trim()));
    let listed = |list: &String| root.read_whole(list).is_some_and(|text| files.iter().any(|file| text.contains(file)));
    loaded || lists.iter().any(listed)
}

/// Meters, where they are asked for: `pps` is the configured limit, `refused` the switch's words.
pub(super) fn check_meters(pps: u32, refused: Option<&str>) -> Option<Finding> {
    let limit = (pps > 0).then_some(pps)?;
    Some(match refused {
        None => ok("meters", format!("VIFs are limited to {limit} broadcast frames a second")),
        Some(words) => warn(
            "meters",
            format!("VIFs have no limit of {limit} broadcast frames a second: the switch takes no meters ({words})"),
            "set `[network] vif_broadcast_pps = 0`, or use an Open vSwitch and a datapath that have meters",
        ),
    })
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    fn bridge(kind: &str, tunnels: usize, tunnels_up: usize) -> Datapath {
        Datapath { kind: kind.into(), tunnel_kind: TunnelKind::Vxlan, tunnels, tunnels_up }
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        let level = |text| check_version(text).level;
        assert_eq!(level(Some("2.5.3")), Level::Fail);
        assert_eq!([Some("2.17.9"), Some("2.7.0"), Some("3.1.0 (simulated)"), Some("odd")].map(level), [Level::Ok; 4]);
        assert_eq!(level(None), Level::Warn);
    }

    #[test]
    fn programs_are_missing_or_not_executable() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at_folder(dir.path());
        std::fs::create_dir(dir.path().join("bin")).unwrap();
        std::fs::write(dir.path().join("bin/ovs-vsctl"), "").unwrap();
        let found = check_tools(&look_for_tools(&root, Path::new("/bin"), None));
        let reasons: Vec<&str> = found.iter().map(|f| f.reason.as_str()).collect();
        assert_eq!(reasons, ["/bin/ovs-vsctl is not executable", "/bin/ovs-ofctl is missing"]);
        assert!(found.iter().all(|f| f.level == Level::Fail && f.remedy.is_some()));
    }

    #[test]
    fn a_kernel_without_a_kind_matters_where_no_tunnel_is_up() {
        let level = |bridges: &[Datapath], has| {
            let found = check_datapath(bridges, |kind| kind != TunnelKind::Vxlan || has);
            found.first().map(|finding| finding.level)
        };
        assert_eq!(level(&[bridge("", 2, 0)], false), Some(Level::Fail));
        assert_eq!(level(&[bridge("system", 2, 0)], true), None);
        assert_eq!(level(&[bridge("", 2, 2)], false), None, "it works: it is there in some way");
        assert_eq!(level(&[bridge("netdev", 2, 0)], false), None);
    }

    #[test]
    fn a_kind_is_found_loaded_or_among_the_modules() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::at_folder(dir.path());
        assert!(!in_kernel(&root, TunnelKind::Gre));
        std::fs::create_dir_all(dir.path().join("proc/sys/kernel")).unwrap();
        std::fs::create_dir_all(dir.path().join("lib/modules/6.1")).unwrap();
        std::fs::write(dir.path().join("proc/sys/kernel/osrelease"), "6.1\n").unwrap();
        std::fs::write(dir.path().join("lib/modules/6.1/modules.dep"), "kernel/net/ipv4/ip_gre.ko.xz: x\n").unwrap();
        assert!(in_kernel(&root, TunnelKind::Gre) && !in_kernel(&root, TunnelKind::Vxlan));
    }

    #[test]
    fn meters_matter_only_where_they_are_asked_for() {
        assert_eq!(check_meters(0, Some("no")), None);
        assert_eq!(check_meters(5, None).unwrap().level, Level::Ok);
        assert_eq!(check_meters(5, Some("OFPT_ERROR")).unwrap().level, Level::Warn);
    }
}
