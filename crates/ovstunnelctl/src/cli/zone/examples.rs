//! What stands below the options in the help of `zone …`: examples, and what they do not say. Must not promise what is not there.

pub(super) const DOCTOR: &str = "\
Examples:
  ovstunnelctl zone doctor
  ovstunnelctl zone doctor --all
  ovstunnelctl --json zone doctor | jq -r '.findings[] | select(.level != \"ok\") | .reason'

Exit status, as monitoring takes it:
  0  ok: nothing is wrong
  1  attention: something works, but not as it should, or not for long
  2  failed: somebody has to act (also: the command line is wrong)
  3  not known: the manager does not answer, or refuses to; `ovstunnel-manager doctor` on its machine says why";

pub(super) const STATUS: &str = "\
Examples:
  ovstunnelctl zone status
  ovstunnelctl zone status --watch
  ovstunnelctl --url https://manager:8444 --ca ca.crt --cert admin.crt --client-key admin.key zone status

Exit status, as monitoring takes it:
  0  ok: each network is whole, and nothing is wrong with any host
  1  attention: something is being changed, a host works but not as it should, or a certificate of the manager ends soon
  2  broken: a network is not whole, or a host does not answer (also: the command line is wrong)
  3  not known: the manager does not answer, or refuses to";

pub(super) const TOP: &str = "\
Examples:
  ovstunnelctl zone top
  ovstunnelctl --url https://manager:8444 zone top

Keys: q, Escape or Ctrl-C end it. It needs a terminal; elsewhere: zone status --watch.";

pub(super) const HOSTS: &str = "\
Examples:
  ovstunnelctl zone hosts
  ovstunnelctl zone hosts --state silent,degraded
  ovstunnelctl zone hosts -o wide --watch";

pub(super) const CERTIFICATES: &str = "\
Examples:
  ovstunnelctl zone certificates
  ovstunnelctl zone certificates -o wide
  ovstunnelctl --json zone certificates | jq -r '.hosts[] | [.name, .certificate_expires] | @tsv'

It is the certificate of the last connection to each host; `zone doctor` tells of those with less than 30 days left.";

pub(super) const HOST_ADD: &str = "\
Examples:
  ovstunnelctl zone host add h1 --api https://h1:8443
  ovstunnelctl zone host add h2 --api https://192.0.2.12:8443 --number 2 --rack r7 --label cloudbr1
  ovstunnelctl zone host add h3 --api https://h3:8443 --mode observe --dry-run";

pub(super) const NETWORKS: &str = "\
Examples:
  ovstunnelctl zone networks
  ovstunnelctl zone networks --state broken --on h1
  ovstunnelctl zone networks -q | while read n; do ovstunnelctl zone proof \"$n\"; done";

pub(super) const PROOF: &str = "\
Examples:
  ovstunnelctl zone proof key-1001
  ovstunnelctl --json zone proof key-1001 > proof.json
  ovstunnelctl zone proof --verify proof.json --ca ca.crt

Exit status 1 where the network is not whole, or the file is not as it was signed.";

pub(super) const MESH: &str = "\
Examples:
  ovstunnelctl zone mesh key-1001
  ovstunnelctl zone mesh key-1001 --watch
  ovstunnelctl zone mesh --by rack

Without a network it is the whole zone: a cell is the worst of all networks that the two have in common.
Lines are hosts up to 60 of them, above that racks; --by says which. The worst lines come first, and of more than 60 these are shown.

Exit status 1 where a direction is not proven.";

pub(super) const PLAN: &str = "\
Examples:
  ovstunnelctl zone plan key-1001
  ovstunnelctl --json zone plan key-1001 | jq '.requests[] | .method + \" \" + .path'";

pub(super) const RECONCILE: &str = "\
Examples:
  ovstunnelctl zone reconcile web
  ovstunnelctl zone plan web";

pub(super) const HOLDS: &str = "\
Examples:
  ovstunnelctl zone holds
  ovstunnelctl zone holds -o wide";

pub(super) const HOLD_APPROVE: &str = "\
Examples:
  ovstunnelctl zone hold approve 3";

pub(super) const HOLD_REFUSE: &str = "\
Examples:
  ovstunnelctl zone hold refuse 3";

pub(super) const FAULTS: &str = "\
Examples:
  ovstunnelctl zone faults
  ovstunnelctl zone faults --on h1 --watch
  ovstunnelctl zone faults --kind one_sided -o json";

pub(super) const SWEEP: &str = "\
Examples:
  ovstunnelctl zone sweep acme
  ovstunnelctl zone sweep acme --mtu

Exit status 1 where it is not known of some tunnel, 2 where frames do not arrive.";

pub(super) const WAIT: &str = "\
Examples:
  ovstunnelctl zone wait acme
  ovstunnelctl zone wait acme --for 5m";

pub(super) const WHY: &str = "\
Examples:
  ovstunnelctl zone why web-3 db-1
  ovstunnelctl zone why h1 h4 --network acme
  ovstunnelctl zone why h1 h4 --network acme --send
  ovstunnelctl zone why web-3 db-1 --packet tcp:443
  ovstunnelctl zone why 02:00:4c:00:00:01 10.1.1.7";

pub(super) const APPLY: &str = "\
Examples:
  ovstunnelctl zone apply -f zone.yaml --dry-run
  ovstunnelctl zone apply -f zone/ --prune

A file in YAML, which may have several documents, or in JSON; each list may be left out:
  physical_networks:
    - {name: physnet1, isolation: GRE, vnet: 1001-65535}
  hosts:
    - {name: h1, api: https://192.0.2.11:8443, number: 1}
  networks:
    - {name: web, physical_network: physnet1, key: 1001, kind: vxlan}
  nics:
    - {network: web, name: 7f3a, host: h1, vm: i-2-3-VM, mac: 06:5a:00:00:00:07}

The fields are those of the PUT requests of the manager's API. What can be checked is checked first: while one thing is refused,
nothing is changed. Nothing is forgotten without --prune.";

pub(super) const OPEN: &str = "\
Examples:
  ovstunnelctl zone open
  ovstunnelctl zone open --role viewer
  ovstunnelctl --url https://manager1.example:8444 zone open";

pub(super) const EVENTS: &str = "\
Examples:
  ovstunnelctl zone events
  ovstunnelctl zone events --network key-1001 -n 10
  ovstunnelctl zone events --kind host_silent --watch";

pub(super) const HOST_SHOW: &str = "\
Example:
  ovstunnelctl zone host show h1";

pub(super) const HOST_REMOVE: &str = "\
Examples:
  ovstunnelctl zone host remove h1
  ovstunnelctl zone host remove h1 --if-exists
  ovstunnelctl zone host remove h1 --wiped";

pub(super) const HOST_MAINTENANCE: &str = "\
Examples:
  ovstunnelctl zone host maintenance h1 --for 2h
  ovstunnelctl zone host maintenance h1 --end";

pub(super) const HOST_RENAME: &str = "\
Example:
  ovstunnelctl zone host rename h1 xen-1";

pub(super) const HOST_RENUMBER: &str = "\
Example:
  ovstunnelctl zone host renumber h1 41";

pub(super) const HOST_RESYNC: &str = "\
Example:
  ovstunnelctl zone host resync h1";

pub(super) const NETWORK: &str = "\
Examples:
  ovstunnelctl zone network key-1001
  ovstunnelctl zone network add web --physical-network physnet1";

pub(super) const NETWORK_ADD: &str = "\
Examples:
  ovstunnelctl zone network add web --physical-network physnet1
  ovstunnelctl zone network add db --physical-network physnet1 --key 1002 --ipv6 allow --mtu 1400
  ovstunnelctl zone network add old --physical-network physnet1 --key 1001 --adopt --dry-run";

pub(super) const NETWORK_SET: &str = "\
Examples:
  ovstunnelctl zone network set web --kind vxlan
  ovstunnelctl zone network set web --kind vxlan --dry-run
  ovstunnelctl zone network web                    # how far it is, and for which hosts it waits
  ovstunnelctl zone network set web --kind gre     # back, from wherever it is

Each step is taken on all hosts of the network before the next is taken on any. What it would
send next is in 'ovstunnelctl zone plan web'.";

pub(super) const NETWORK_REMOVE: &str = "\
Examples:
  ovstunnelctl zone network remove web
  ovstunnelctl zone network remove web --if-exists

Its key is given again once each host that may have it was seen without: zone keys --state quarantined.";

pub(super) const NICS: &str = "\
Examples:
  ovstunnelctl zone nics web
  ovstunnelctl zone nics web -o wide --watch";

pub(super) const NIC_PREPARE: &str = "\
Examples:
  ovstunnelctl zone nic prepare web 7f3a --on h1 --vm i-2-3-VM --mac 06:5a:00:00:00:07
  ovstunnelctl zone nic prepare web 7f3a --on h2
  ovstunnelctl zone nic prepare web 7f3a --on h3 --move replace --dry-run

A NIC that is on another host is on both until `migrated` or `rollback` says how that ended.";

pub(super) const NIC_RELEASE: &str = "\
Examples:
  ovstunnelctl zone nic release web 7f3a
  ovstunnelctl zone nic release web 7f3a --on h1 --if-exists";

pub(super) const NIC_MIGRATED: &str = "\
Example:
  ovstunnelctl zone nic migrated web 7f3a";

pub(super) const NIC_ROLLBACK: &str = "\
Example:
  ovstunnelctl zone nic rollback web 7f3a";

pub(super) const PHYSICAL_LIST: &str = "\
Examples:
  ovstunnelctl zone physical-network list
  ovstunnelctl zone physical-network list -o wide";

pub(super) const PHYSICAL_ADD: &str = "\
Examples:
  ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535
  ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535,70000-80000 --label cloudbr1
  ovstunnelctl zone physical-network add physnet2 --vnet 1-4096 --isolation vlan --dry-run

What is left out is not recorded any more, labels too; a key that a network has must stay in the ranges.";

pub(super) const PHYSICAL_REMOVE: &str = "\
Example:
  ovstunnelctl zone physical-network remove physnet2";

pub(super) const DIFF: &str = "\
Examples:
  ovstunnelctl zone diff --since 2h
  ovstunnelctl zone diff --since 2026-01-31T13:00:00Z --network web
  ovstunnelctl --json zone diff --since 1day

A network whose mesh has not changed since then is not listed, nor a host of which nothing was told.";

pub(super) const TOKEN_CREATE: &str = "\
Examples:
  ovstunnelctl zone token create --hosts 40 --ttl 1h
  ovstunnelctl --json zone token create --hosts 1 --ttl 10m | jq -r .text";

pub(super) const TOKEN_LIST: &str = "\
Example:
  ovstunnelctl zone token list";

pub(super) const TOKEN_REMOVE: &str = "\
Example:
  ovstunnelctl zone token remove 1f2e3d4c";

pub(super) const UPGRADE: &str = "\
Examples:
  ovstunnelctl zone upgrade plan
  ovstunnelctl --json zone upgrade plan | jq -r '.waves[0].hosts[].host'";

pub(super) const WEBHOOKS: &str = "\
Examples:
  ovstunnelctl zone webhooks
  ovstunnelctl zone webhooks --redeliver pager";

pub(super) const KEYS: &str = "\
Examples:
  ovstunnelctl zone keys
  ovstunnelctl zone keys --state quarantined,withdrawn -o wide
  ovstunnelctl zone keys -o json | jq '.physical_networks[].keys'";
