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

A certificate keeps its key: only NAME.crt changes, and NAME.key need not be in the directory. The CA always keeps its key,
so all that it has issued stays good.";

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

Several bridges at once: apply.";

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

pub(super) const ZONE_DOCTOR: &str = "\
Examples:
  ovstunnelctl zone doctor
  ovstunnelctl zone doctor --all
  ovstunnelctl --json zone doctor | jq -r '.findings[] | select(.level != \"ok\") | .reason'

Exit status, as monitoring takes it:
  0  ok: nothing is wrong
  1  attention: something works, but not as it should, or not for long
  2  failed: somebody has to act (also: the command line is wrong)
  3  not known: the manager does not answer, or refuses to; `ovstunnel-manager doctor` on its machine says why";

pub(super) const ZONE_STATUS: &str = "\
Examples:
  ovstunnelctl zone status
  ovstunnelctl zone status --watch
  ovstunnelctl --url https://manager:8444 --ca ca.crt --cert admin.crt --client-key admin.key zone status

Exit status, as monitoring takes it:
  0  ok: each network is whole, and nothing is wrong with any host
  1  attention: something is being changed, a host works but not as it should, or a certificate of the manager ends soon
  2  broken: a network is not whole, or a host does not answer (also: the command line is wrong)
  3  not known: the manager does not answer, or refuses to";

pub(super) const ZONE_HOSTS: &str = "\
Examples:
  ovstunnelctl zone hosts
  ovstunnelctl zone hosts --state silent,degraded
  ovstunnelctl zone hosts -o wide --watch";

pub(super) const ZONE_HOST_ADD: &str = "\
Examples:
  ovstunnelctl zone host add h1 --api https://h1:8443
  ovstunnelctl zone host add h2 --api https://192.0.2.12:8443 --number 2 --rack r7 --label cloudbr1
  ovstunnelctl zone host add h3 --api https://h3:8443 --mode observe --dry-run";

pub(super) const ZONE_NETWORKS: &str = "\
Examples:
  ovstunnelctl zone networks
  ovstunnelctl zone networks --state broken --on h1
  ovstunnelctl zone networks -q | while read n; do ovstunnelctl zone proof \"$n\"; done";

pub(super) const ZONE_PROOF: &str = "\
Examples:
  ovstunnelctl zone proof key-1001
  ovstunnelctl --json zone proof key-1001 > proof.json
  ovstunnelctl zone proof --verify proof.json --ca ca.crt

Exit status 1 where the network is not whole, or the file is not as it was signed.";

pub(super) const ZONE_PLAN: &str = "\
Examples:
  ovstunnelctl zone plan key-1001
  ovstunnelctl --json zone plan key-1001 | jq '.requests[] | .method + \" \" + .path'";

pub(super) const ZONE_RECONCILE: &str = "\
Examples:
  ovstunnelctl zone reconcile web
  ovstunnelctl zone plan web";

pub(super) const ZONE_HOLDS: &str = "\
Examples:
  ovstunnelctl zone holds
  ovstunnelctl zone holds -o wide";

pub(super) const ZONE_HOLD_APPROVE: &str = "\
Examples:
  ovstunnelctl zone hold approve 3";

pub(super) const ZONE_HOLD_REFUSE: &str = "\
Examples:
  ovstunnelctl zone hold refuse 3";

pub(super) const ZONE_FAULTS: &str = "\
Examples:
  ovstunnelctl zone faults
  ovstunnelctl zone faults --on h1 --watch
  ovstunnelctl zone faults --kind one_sided -o json";

pub(super) const ZONE_WHY: &str = "\
Examples:
  ovstunnelctl zone why web-3 db-1
  ovstunnelctl zone why h1 h4 --network acme
  ovstunnelctl zone why 02:00:4c:00:00:01 10.1.1.7";

pub(super) const ZONE_APPLY: &str = "\
Examples:
  ovstunnelctl zone apply -f zone.yaml --dry-run
  ovstunnelctl zone apply -f zone/ --prune

A file in YAML, which may have several documents, or in JSON; each list may be left out:
  physical_networks:
    - {name: physnet1, isolation: GRE, vnet: 1001-65535}
  hosts:
    - {name: h1, api: https://192.0.2.11:8443, number: 1}
  networks:
    - {name: web, physical_network: physnet1, key: 1001}
  nics:
    - {network: web, name: 7f3a, host: h1, vm: i-2-3-VM, mac: 06:5a:00:00:00:07}

The fields are those of the PUT requests of the manager's API. What can be checked is checked first: while one thing is refused,
nothing is changed. Nothing is forgotten without --prune.";

pub(super) const ZONE_OPEN: &str = "\
Examples:
  ovstunnelctl zone open
  ovstunnelctl zone open --role viewer
  ovstunnelctl --manager https://manager1.example:8444 zone open";

pub(super) const ZONE_EVENTS: &str = "\
Examples:
  ovstunnelctl zone events
  ovstunnelctl zone events --network key-1001 -n 10
  ovstunnelctl zone events --kind host_silent --watch";

pub(super) const ZONE_HOST_SHOW: &str = "\
Example:
  ovstunnelctl zone host show h1";

pub(super) const ZONE_HOST_REMOVE: &str = "\
Examples:
  ovstunnelctl zone host remove h1
  ovstunnelctl zone host remove h1 --if-exists
  ovstunnelctl zone host remove h1 --wiped";

pub(super) const ZONE_HOST_MAINTENANCE: &str = "\
Examples:
  ovstunnelctl zone host maintenance h1 --for 2h
  ovstunnelctl zone host maintenance h1 --end";

pub(super) const ZONE_HOST_RESYNC: &str = "\
Example:
  ovstunnelctl zone host resync h1";

pub(super) const ZONE_NETWORK: &str = "\
Examples:
  ovstunnelctl zone network key-1001
  ovstunnelctl zone network add web --physical-network physnet1";

pub(super) const ZONE_NETWORK_ADD: &str = "\
Examples:
  ovstunnelctl zone network add web --physical-network physnet1
  ovstunnelctl zone network add db --physical-network physnet1 --key 1002 --ipv6 allow --mtu 1400
  ovstunnelctl zone network add old --physical-network physnet1 --key 1001 --adopt --dry-run";

pub(super) const ZONE_NETWORK_REMOVE: &str = "\
Examples:
  ovstunnelctl zone network remove web
  ovstunnelctl zone network remove web --if-exists

Its key is given again once each host that may have it was seen without: zone keys --state quarantined.";

pub(super) const ZONE_NICS: &str = "\
Examples:
  ovstunnelctl zone nics web
  ovstunnelctl zone nics web -o wide --watch";

pub(super) const ZONE_NIC_PREPARE: &str = "\
Examples:
  ovstunnelctl zone nic prepare web 7f3a --on h1 --vm i-2-3-VM --mac 06:5a:00:00:00:07
  ovstunnelctl zone nic prepare web 7f3a --on h2
  ovstunnelctl zone nic prepare web 7f3a --on h3 --move replace --dry-run

A NIC that is on another host is on both until `migrated` or `rollback` says how that ended.";

pub(super) const ZONE_NIC_RELEASE: &str = "\
Examples:
  ovstunnelctl zone nic release web 7f3a
  ovstunnelctl zone nic release web 7f3a --on h1 --if-exists";

pub(super) const ZONE_NIC_MIGRATED: &str = "\
Example:
  ovstunnelctl zone nic migrated web 7f3a";

pub(super) const ZONE_NIC_ROLLBACK: &str = "\
Example:
  ovstunnelctl zone nic rollback web 7f3a";

pub(super) const ZONE_PHYSICAL_LIST: &str = "\
Examples:
  ovstunnelctl zone physical-network list
  ovstunnelctl zone physical-network list -o wide";

pub(super) const ZONE_PHYSICAL_ADD: &str = "\
Examples:
  ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535
  ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535,70000-80000 --label cloudbr1
  ovstunnelctl zone physical-network add physnet2 --vnet 1-4096 --isolation vlan --dry-run

What is left out is not recorded any more, labels too; a key that a network has must stay in the ranges.";

pub(super) const ZONE_PHYSICAL_REMOVE: &str = "\
Example:
  ovstunnelctl zone physical-network remove physnet2";

pub(super) const ZONE_KEYS: &str = "\
Examples:
  ovstunnelctl zone keys
  ovstunnelctl zone keys --state quarantined,withdrawn -o wide
  ovstunnelctl zone keys -o json | jq '.physical_networks[].keys'";
