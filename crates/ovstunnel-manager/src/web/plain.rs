//! Words for when the page cannot show what it usually does, for somebody who has not read the guide. Must not decide whether that is so.

use maud::{Markup, html};

use super::marks::Mark;
use super::words::{as_sentence, duration_text, with_full_stop};

/// The zone has no host.
pub(super) fn no_host(zone: &str) -> Markup {
    html! {
        section class="card steps" {
            h2 { "First steps" }
            p {
                "A host is a machine on which virtual machines run, with Open vSwitch; the program " code { "ovstunneld" } " on it looks after its tunnels. This manager asks each host of the zone "
                b { (zone) } " what is there, and shows here whether every two hosts of a network reach each other. It knows no host yet. Nothing on a host is changed by registering it."
            }
            ol {
                li { "Give the manager a certificate that the hosts' daemons accept: " code { "certificate" } ", " code { "key" } " and " code { "ca" } " under " code { "[hosts]" } " in " code { "/etc/ovstunnel/manager.toml" } ". "
                    code { "ovstunnelctl pki issue --manager" } " makes one." }
                li { "Register each host, with the address of its daemon:" pre tabindex="0" { "ovstunnelctl zone host add HOST --api https://ADDRESS:8443" } }
                li { "Stay on this page: within seconds the host is here, with its networks, each proven or with the reason why not." }
            }
            p { "Where a host does not appear as it should, " code { "ovstunnelctl zone doctor" } " says why." }
        }
    }
}

/// Hosts answer, and there is no network.
pub(super) fn no_network(acts: bool) -> Markup {
    html! {
        section class="card steps" {
            h2 { "Next steps" }
            p { "A network is what virtual machines on several hosts have in common: a bridge on each of these hosts, and a tunnel from each to each. No host has a bridge of one yet." }
            p { "A network that something else makes, such as CloudStack, appears here by itself as soon as a host has it. To have this manager make one:" }
            ol {
                @if !acts { li { "Let it change hosts: " code { "sdn.ovs.controller = true" } " in " code { "/etc/ovstunnel/manager.toml" } ", and start it anew. Now it only looks." } }
                li { "Say which keys tunnels may have:" pre tabindex="0" { "ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535" } }
                li { "Record the network:" pre tabindex="0" { "ovstunnelctl zone network add NETWORK --physical-network physnet1" } }
                li { "Say on which host a virtual machine has a NIC of it; with the second host there are tunnels:" pre tabindex="0" { "ovstunnelctl zone nic prepare NETWORK NIC --on HOST" } }
            }
        }
    }
}

/// The database cannot be used.
pub(super) fn database_away(why: &str) -> Markup {
    html! {
        p class="note bad" {
            (Mark::Bad.shape()) " " b { "The database does not answer: " (with_full_stop(why)) } " "
            "No virtual machine notices: tunnels stay as they are, and what you see here is still fresh, for it comes from the hosts. Until the database is back, no host, network or NIC can be added or changed, "
            "no host is changed, and events can neither be kept nor shown. Which database it is stands under " code { "[database]" } " in " code { "/etc/ovstunnel/manager.toml" } "; "
            code { "ovstunnel-manager doctor" } " on the manager's machine says what is wrong with it."
        }
    }
}

/// This manager does not lead its zone; `why`, as it says of itself.
pub(super) fn not_leading(why: &str) -> Markup {
    html! {
        (Mark::Bad.shape()) " " b { (as_sentence(why)) } " "
        "Of all managers of a zone only one changes hosts, so that no two work against each other: the one that leads, and that is not this one now. What you see here is right all the same. "
        "Where another manager leads, act on its page. Where there is to be no other, stop that one and start this one anew; where the database is away, see to that first."
    }
}

/// What is shown is so many seconds old.
pub(super) fn stale_note(age: f64) -> Markup {
    html! {
        (Mark::Warn.shape()) " " b { "What you see may be " (duration_text(age)) " old. " }
        "Each host gives a sign of life every two seconds, and one that is connected has given none for that long. No virtual machine notices. If that lasts, the host is shown as silent, with the reason; "
        "if it happens again and again, this manager's machine is too busy, or the way to the host is."
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words alone, as they are read.
    fn read(markup: &Markup) -> String {
        let mut text = String::new();
        for piece in markup.0.split('<').skip(1) {
            let (tag, words) = piece.split_once('>').unwrap_or((piece, ""));
            let is_block = ["p", "/p", "li", "/li", "h2", "/h2", "pre", "/pre", "section", "ol"]
                .contains(&tag.split(' ').next().unwrap_or(""));
            text.push_str(if is_block && !text.ends_with('\n') { "\n" } else { "" });
            text.push_str(words);
        }
        text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_empty_zone_says_what_a_host_is_and_how_to_begin() {
        assert_eq!(
            read(&no_host("dc1")),
            "First steps\n\
             A host is a machine on which virtual machines run, with Open vSwitch; the program ovstunneld on it looks after its tunnels. This manager asks each host of the zone \
             dc1 what is there, and shows here whether every two hosts of a network reach each other. It knows no host yet. Nothing on a host is changed by registering it.\n\
             Give the manager a certificate that the hosts' daemons accept: certificate, key and ca under [hosts] in /etc/ovstunnel/manager.toml. ovstunnelctl pki issue --manager makes one.\n\
             Register each host, with the address of its daemon:\n\
             ovstunnelctl zone host add HOST --api https://ADDRESS:8443\n\
             Stay on this page: within seconds the host is here, with its networks, each proven or with the reason why not.\n\
             Where a host does not appear as it should, ovstunnelctl zone doctor says why."
        );
    }

    #[test]
    fn without_a_network_the_page_names_the_next_steps() {
        let (looks, acts) = (read(&no_network(false)), read(&no_network(true)));
        assert_eq!(
            acts,
            "Next steps\n\
             A network is what virtual machines on several hosts have in common: a bridge on each of these hosts, and a tunnel from each to each. No host has a bridge of one yet.\n\
             A network that something else makes, such as CloudStack, appears here by itself as soon as a host has it. To have this manager make one:\n\
             Say which keys tunnels may have:\n\
             ovstunnelctl zone physical-network add physnet1 --vnet 1001-65535\n\
             Record the network:\n\
             ovstunnelctl zone network add NETWORK --physical-network physnet1\n\
             Say on which host a virtual machine has a NIC of it; with the second host there are tunnels:\n\
             ovstunnelctl zone nic prepare NETWORK NIC --on HOST"
        );
        assert!(looks.contains("Let it change hosts: sdn.ovs.controller = true in /etc/ovstunnel/manager.toml, and start it anew. Now it only looks."), "{looks}");
    }

    #[test]
    fn a_database_that_is_away_says_what_goes_on_and_what_does_not() {
        assert_eq!(
            read(&database_away("disk I/O error")),
            "The database does not answer: disk I/O error. No virtual machine notices: tunnels stay as they are, and what you see here is still fresh, for it comes from the hosts. \
             Until the database is back, no host, network or NIC can be added or changed, no host is changed, and events can neither be kept nor shown. \
             Which database it is stands under [database] in /etc/ovstunnel/manager.toml; ovstunnel-manager doctor on the manager's machine says what is wrong with it."
        );
    }

    #[test]
    fn a_manager_that_does_not_lead_says_who_acts() {
        assert_eq!(
            read(&not_leading("no host is changed: manager m2 leads, with epoch 7")),
            "No host is changed: manager m2 leads, with epoch 7. Of all managers of a zone only one changes hosts, so that no two work against each other: the one that leads, and that is not this one now. \
             What you see here is right all the same. Where another manager leads, act on its page. Where there is to be no other, stop that one and start this one anew; where the database is away, see to that first."
        );
    }

    #[test]
    fn an_age_says_what_is_usual_and_what_it_means() {
        assert_eq!(
            read(&stale_note(4.2)),
            "What you see may be 4.2 s old. Each host gives a sign of life every two seconds, and one that is connected has given none for that long. No virtual machine notices. \
             If that lasts, the host is shown as silent, with the reason; if it happens again and again, this manager's machine is too busy, or the way to the host is."
        );
    }
}
