//! What stands below the options in each command's help: examples, and what they do not say.
//!
//! What it must not do: promise what is not there.

pub(super) const ALL: &str = "\
Examples:
  ovstunnelctl status
  ovstunnelctl doctor
  ovstunnelctl bridge setup xapi12 --key 1001 --host-id 1 --tunnel 2=192.0.2.12 --tunnel 3=192.0.2.13
  ovstunnelctl bridge setup xapi12 --key 1001 --dry-run
  ovstunnelctl tunnel create xapi12 --from 1 --to 4 --remote-ip 192.0.2.14
  ovstunnelctl --json bridge list | jq '.bridges[].name'
  ovstunnelctl --url https://host2:8443 --ca ca.crt --cert admin.crt --client-key admin.key status

Exit status:
  0  success
  1  the daemon answered with an error, or something is wrong (status: not ready, a tunnel in error, flows drifted)
  2  the command line is wrong, or the daemon cannot be reached or does not answer
  doctor has its own: 0 nothing is wrong, 1 warnings, 2 failures";

pub(super) const DOCTOR: &str = "\
Examples:
  ovstunnelctl doctor
  ovstunnelctl doctor --probe-peers
  ovstunnelctl --json doctor | jq -r '.findings[] | select(.level != \"ok\") | .check'

Exit status, as monitoring takes it:
  0  nothing is wrong
  1  a warning: it works, but not as it should, or not for long
  2  a failure: somebody has to act, or the daemon does not answer (also: the command line is wrong)";

pub(super) const SUPPORT_BUNDLE: &str = "\
Examples:
  ovstunnelctl support-bundle
  ovstunnelctl support-bundle -o /root/report.tar.gz

The file is for its owner only and never overwrites one. Its texts have 24 MiB at most before they are packed; the longest are
cut, with a marker. It works without the daemon, too.";

pub(super) const JOIN: &str = "\
Examples:
  ovstunnelctl join --manager https://manager:8444 --token - < token.txt
  ovstunnelctl join --manager https://192.0.2.5:8444 --token - --name host7 --address 192.0.2.17 --number 7 < token.txt

The key is made here and stays here. The token is sent only to a manager whose CA it names. The host is registered in mode observe: nothing
on it is changed until an admin says so. Where it fails nothing is left here, unless it says that the host has joined.";

pub(super) const RENEW: &str = "\
Examples:
  ovstunnelctl renew
  ovstunnelctl --json renew | jq -r .expires
  ovstunnelctl renew --manager https://m1:8444 --manager https://m2:8444

ovstunneld-renew.timer runs it each day. It is renewed once a third of its time is left, by its own key. What was there stays beside, as FILE.old1. A
host that was removed from its zone, and one whose certificate has expired for more than 30 days, has to join again.";

pub(super) const TAKEOVER: &str = "\
Examples:
  ovstunnelctl takeover --dry-run
  ovstunnelctl takeover
  ovstunnelctl takeover xapi12 xapi13
  ovstunnelctl --json takeover | jq '.bridges[] | select(.state == \"left\")'

Exit status 1 also where a bridge was left as it is or the take-over of one failed.";

pub(super) const RELEASE: &str = "\
Examples:
  ovstunnelctl release xapi12 --dry-run
  ovstunnelctl release xapi12 --yes

VMs on the bridge reach each other as before, and no other host's. To remove a bridge: bridge destroy.";

pub(super) const NETWORK_SHOW: &str = "\
Examples:
  ovstunnelctl network show 1001
  ovstunnelctl --json network show 1001 | jq -r .bridge";

pub(super) const NETWORK_SETUP: &str = "\
Examples:
  ovstunnelctl network setup 1001 --host-id 1
  ovstunnelctl network setup 1001 --host-id 1 --dry-run
  ovstunnelctl --json network setup 1001 | jq -r .bridge

The network is the one that CloudStack's server makes: OVSTunnel and the key. The bridge on this host is set up by
`bridge setup BRIDGE --key KEY`. Only where the daemon uses xapi.";

pub(super) const EPOCH_SHOW: &str = "\
Examples:
  ovstunnelctl epoch show
  ovstunnelctl --json epoch show | jq -r .zone";

pub(super) const EPOCH_CLEAR: &str = "\
Examples:
  ovstunnelctl epoch clear
  ovstunnelctl epoch clear --yes
  ovstunnelctl epoch clear --yes --if-exists

For a host that goes to another zone, or whose record cannot be read. A manager that still leads records its epoch again with its next
write; stop it first, or remove the host there.";

pub(super) const LOG_LEVEL: &str = "\
Examples:
  ovstunnelctl log level
  ovstunnelctl log level debug
  ovstunnelctl log level info,ovstunnel_ovs=debug,ovstunneld::listen=trace

A level that was set holds until the daemon reads its configuration again (SIGHUP, restart).";

pub(super) const PKI: &str = "\
Example:
  ovstunnelctl pki init --dir pki
  ovstunnelctl pki issue --dir pki --host host1 --address 192.0.2.11
  ovstunnelctl pki issue --dir pki --client management
  ovstunnelctl pki show pki
  ovstunnelctl pki revoke --dir pki pki/management.crt

No file is ever lost: `renew` keeps the old ones. Keep ca.key away from the hosts: they need only ca.crt and their own pair.";

pub(super) const PKI_RENEW: &str = "\
Examples:
  ovstunnelctl pki renew --dir pki host1 host2
  ovstunnelctl pki renew --dir pki --due 60
  ovstunnelctl pki renew --dir pki host1 --new-key
  ovstunnelctl pki renew --dir pki --ca

A certificate keeps its key: only NAME.crt changes, and NAME.key need not be in the directory. The CA keeps its key here, so all that it has
issued stays good; `pki rotate` gives it another one.";

pub(super) const PKI_ROTATE: &str = "\
Examples:
  ovstunnelctl pki rotate begin --dir pki
  ovstunnelctl pki rotate switch --dir pki
  ovstunnelctl pki renew --dir pki zone management
  ovstunnelctl pki rotate finish --dir pki

After each step copy ca.crt, and ca.crl where it is used, to every host, manager and client, and reload them, before the next one. Hosts that
joined by a token do so by themselves within a day, as long as the manager has the directory.";

pub(super) const APPLY: &str = "\
Examples:
  ovstunnelctl apply -f bridges.yaml --dry-run
  ovstunnelctl apply -f bridges/ --prune
  ovstunnelctl export | ovstunnelctl --url https://host2:8443 apply -f -

A file in YAML, which may have several documents, or in JSON:
  bridges:
    - name: xapi12
      key: 1001
      host_id: 1
      ipv6: drop
      tunnels:
        - {to: 2, remote_ip: 192.0.2.12}
        - {to: 3, remote_ip: 192.0.2.13}

The fields are those of PUT /v1/bridges/{bridge}. What is left out stays as it is; `tunnels` is the complete set, others are removed;
`uplink: null` ends the permission of an uplink. While the plan of one bridge is refused, nothing is changed.";

pub(super) const EXPORT: &str = "\
Examples:
  ovstunnelctl export >bridges.yaml
  ovstunnelctl export xapi12 xapi13
  ovstunnelctl export --json | jq '.bridges | length'

Bridges of VPCs are left out: their management server sets them up.";

pub(super) const EDIT: &str = "\
Examples:
  ovstunnelctl edit xapi12
  EDITOR=nano ovstunnelctl edit xapi12 --dry-run

A text that is refused is kept, and it is said where.";

pub(super) const LOGS: &str = "\
Examples:
  ovstunnelctl logs
  ovstunnelctl logs -n 20 --follow
  ovstunnelctl logs --log /var/log/ovstunnel-audit.log";

pub(super) const VERSION: &str = "\
Examples:
  ovstunnelctl version
  ovstunnelctl version --json --host host2
  ovstunnelctl version --client";

pub(super) const COMPLETION: &str = "\
Examples:
  source <(ovstunnelctl completion bash)
  ovstunnelctl completion zsh >~/.zfunc/_ovstunnelctl
  ovstunnelctl completion fish >~/.config/fish/completions/ovstunnelctl.fish

Write it again after an upgrade. Names are those of the daemon that the line means; where it does not answer, there are none.";

pub(super) const STATUS: &str = "\
Examples:
  ovstunnelctl status
  ovstunnelctl status --all
  ovstunnelctl status --watch
  ovstunnelctl status --json | jq -r '.bridges[] | select(.health.state != \"ok\") | .name'

Exit status 1 where the daemon is not ready, or a bridge, its flows or a tunnel fail.";

pub(super) const BRIDGE_LIST: &str = "\
Examples:
  ovstunnelctl bridge list --sort health
  ovstunnelctl bridge list --state failed,degraded -o wide
  ovstunnelctl bridge list -o json | jq '.bridges[].key'
  ovstunnelctl bridge list -q | xargs -n 1 ovstunnelctl bridge show";

pub(super) const BRIDGE_SHOW: &str = "\
Examples:
  ovstunnelctl bridge show xapi12
  ovstunnelctl bridge show xapi12 --json | jq .health";

pub(super) const BRIDGE_SETUP: &str = "\
Examples:
  ovstunnelctl bridge setup xapi12 --key 1001 --host-id 1 --tunnel 2=192.0.2.12 --tunnel 3=192.0.2.13
  ovstunnelctl bridge setup xapi12 --key 1001 --no-tunnels --dry-run
  ovstunnelctl bridge setup xapi12 --key 1001 --uplink eth1
  ovstunnelctl bridge setup xapi12 --key 1001 --kind vxlan

Several bridges at once: apply.";

pub(super) const BRIDGE_KIND: &str = "\
Examples:
  ovstunnelctl bridge kind xapi12 --to vxlan --step prepare --dry-run
  ovstunnelctl bridge kind xapi12 --to vxlan --step prepare
  ovstunnelctl bridge kind xapi12 --to vxlan --step switch
  ovstunnelctl bridge kind xapi12 --to vxlan --step finish

Each on all hosts of the network before the next: prepare everywhere, then switch host by host, then finish. Back from switch: --step prepare
everywhere, then --step abort. `bridge show` says where a bridge is: 'Also received' is there until it is finished.";

pub(super) const BRIDGE_BFD: &str = "\
Examples:
  ovstunnelctl bridge bfd xapi12 --port t1001-1-2 --dry-run
  ovstunnelctl bridge bfd xapi12 --port t1001-1-2 --port t1001-1-3 --interval 300
  ovstunnelctl bridge bfd xapi12 --none

`bridge show` and `tunnel list` have the session of each such tunnel in the column BFD: `up` where packets go both ways, `down` where they
do not, or where the other end has no BFD. The flow that keeps its frames from VMs is on every bridge of ours.";

pub(super) const BRIDGE_DESTROY: &str = "\
Examples:
  ovstunnelctl bridge destroy xapi12 --dry-run
  ovstunnelctl bridge destroy xapi12 --yes
  ovstunnelctl bridge destroy xapi12 --yes --if-exists

While a VIF is plugged it is refused. To leave a plain bridge behind, with its VIFs: release.";

pub(super) const TUNNEL_LIST: &str = "\
Examples:
  ovstunnelctl tunnel list xapi12
  ovstunnelctl tunnel list --state error -o wide
  ovstunnelctl tunnel list --sort to --no-headers | awk '{print $5}'";

pub(super) const TUNNEL_CREATE: &str = "\
Examples:
  ovstunnelctl tunnel create xapi12 --from 1 --to 4 --remote-ip 192.0.2.14
  ovstunnelctl tunnel create xapi12 --from 1 --to 4 --remote-ip 192.0.2.14 --dry-run

The complete set of tunnels: bridge setup, or apply.";

pub(super) const TUNNEL_DESTROY: &str = "\
Examples:
  ovstunnelctl tunnel destroy xapi12 t1001-1-4
  ovstunnelctl tunnel destroy xapi12 t1001-1-4 --if-exists";

pub(super) const INTERFACE: &str = "\
Examples:
  ovstunnelctl interface eth0
  ovstunnelctl interface 'Pool-wide network associated with eth0'
  ovstunnelctl interface eth0 --json | jq .max_guest_mtu";

pub(super) const TRACE: &str = "\
Examples:
  ovstunnelctl trace xapi12 vif1.0 02:00:4c:00:00:01 02:00:4c:00:00:02
  ovstunnelctl trace xapi12 t1001-1-2 02:00:4c:00:00:02 02:00:4c:00:00:01";

pub(super) const RECONCILE: &str = "\
Examples:
  ovstunnelctl reconcile --dry-run
  ovstunnelctl reconcile

The daemon does so by itself at every interval. Exit status 1 where something could not be repaired.";

pub(super) const PKI_INIT: &str = "\
Examples:
  ovstunnelctl pki init --dir pki
  ovstunnelctl pki init --dir pki --name 'Example cloud' --days 1825";

pub(super) const PKI_ISSUE: &str = "\
Examples:
  ovstunnelctl pki issue --dir pki --host host1 --address 192.0.2.11
  ovstunnelctl pki issue --dir pki --client management --days 365";

pub(super) const PKI_SHOW: &str = "\
Examples:
  ovstunnelctl pki show pki
  ovstunnelctl pki show pki/host1.crt --json | jq '.certificates[0].days_left'";

pub(super) const PKI_REVOKE: &str = "\
Examples:
  ovstunnelctl pki revoke --dir pki pki/management.crt

Hosts take the list from the file that `client_crl` names, once it was copied there and the daemon was reloaded.";
