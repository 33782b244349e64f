//! What CloudStack tells of a network or a host, and where witnesses contradict each other. Must not judge who is right.

use maud::{Markup, html};
use ovstunnel_manager_api::{CloudStackHost, CloudStackNetwork, Disagreement};

use super::marks::Mark;
use super::pages::percent_encoded;
use super::words::counted_noun;

/// CloudStack's names for a network.
pub(super) fn network_facts(network: &CloudStackNetwork) -> Markup {
    html! {
        p class="facts" {
            span { "CloudStack: " }
            span class="chip" { (network.name) }
            @if let Some(account) = &network.account { span class="chip" { "account " (account) } }
            @if let Some(project) = &network.project { span class="chip" { "project " (project) } }
            @if let Some(domain) = &network.domain { span class="chip" { "domain " (domain) } }
            @if let Some(zone) = &network.zone { span class="chip" { "zone " (zone) } }
            span class="chip" { (counted_noun(network.nics, "NIC of a VM", "NICs of VMs")) }
        }
    }
}

/// CloudStack's names for a host.
pub(super) fn host_facts(host: &CloudStackHost) -> Markup {
    html! {
        p class="facts" {
            span { "CloudStack: " }
            span class="chip" { (host.name) }
            @if let Some(zone) = &host.zone { span class="chip" { "zone " (zone) } }
            @if let Some(pod) = &host.pod { span class="chip" { "pod " (pod) } }
            @if let Some(cluster) = &host.cluster { span class="chip" { "cluster " (cluster) } }
            @if let Some(state) = &host.state { span class="chip" { (state) } }
        }
    }
}

/// Who says what, where that cannot all be true.
pub(super) fn disagreement_list(all: &[Disagreement]) -> Markup {
    html! {
        @if !all.is_empty() {
            section class="card" {
                h2 { "Who has VMs of it is not agreed " small { "a host stays for as long as one says that it has" } }
                ol class="list" { @for one in all {
                    li { (Mark::Warn.shape()) div {
                        h3 { a href={ "/hosts/" (percent_encoded(&one.host)) } { (one.host) } " for " (one.lasts) " s" }
                        @for word in &one.says { p { (word.witness) ": " (word.says) ", " (word.age) " s old" } }
                    } }
                } }
            }
        }
    }
}
