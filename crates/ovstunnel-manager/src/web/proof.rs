//! A network's proof as a document for a person. Must not prove anything.

use maud::{Markup, html};
use ovstunnel_manager_api::Proof;

use super::frame::{as_sentence, rich_text};
use super::marks::Mark;
use super::pages::percent_encoded;
use super::words::{counted_noun, duration_text, grouped_number, time_of_day};

/// Hosts and findings that are shown; the JSON has them all.
const SHOWN: usize = 100;

pub(super) fn render_proof(proof: &Proof) -> Markup {
    let mark = if proof.whole { Mark::Ok } else { Mark::Bad };
    html! {
        section class="card" {
            h2 { (mark.shape()) " " @if proof.whole { "Each frame reaches each host exactly once" } @else { "Not proven" } }
            p {
                @if proof.whole { "By what its hosts have said at the versions below: " (counted_noun(proof.tunnels.proven, "tunnel", "tunnels")) " among " (counted_noun(proof.hosts.len() as u64, "host", "hosts")) ", each there once, with the right address and key, up and protected, and nothing left over." }
                @else if let Some(reason) = &proof.reason { (as_sentence(reason)) }
            }
            dl {
                dt { "Made" } dd { (time_of_day(&proof.at)) }
                dt { "Tunnels" } dd { (grouped_number(proof.tunnels.proven)) " of " (grouped_number(proof.tunnels.wanted)) " proven" }
                dt { "Generation" } dd { (grouped_number(proof.generation)) " of the mesh since this manager started" }
                dt { "Digest" } dd { code class="long" { (proof.digest) } }
                dt { "Signed" } dd { @match &proof.signature { Some(signature) => { "by this manager's certificate, " (signature.scheme) } None => { "not: the manager has no certificate" } } }
            }
            p class="mute" { "To keep and check it: " code { "ovstunnelctl zone proof " (proof.network) " --json > proof.json" } ", then " code { "ovstunnelctl zone proof --verify proof.json" } "." }
        }
        @if !proof.findings.is_empty() {
            section class="card" {
                h2 { "Against it " small { (grouped_number(proof.found)) " in all, worst first" } }
                ol class="list" {
                    @for finding in proof.findings.iter().take(SHOWN) {
                        li {
                            (Mark::Bad.shape())
                            div {
                                h3 { (finding.what.replace('_', " ")) " on " a href={ "/hosts/" (percent_encoded(&finding.host)) } { (finding.host) } @if let Some(to) = &finding.to { " to " (to) } }
                                p { (as_sentence(&finding.evidence)) " Remedy: " (rich_text(&finding.remedy)) }
                            }
                        }
                    }
                }
            }
        }
        (rests_on(proof))
    }
}

/// The words of hosts that it was made from.
fn rests_on(proof: &Proof) -> Markup {
    html! {
        section class="card" {
            h2 { "Rests on" }
            div class="scroll" tabindex="0" role="region" aria-label="What the proof rests on" {
                table class="rows" {
                    thead { tr { th scope="col" { "Host" } th scope="col" { "Life of its daemon" } th scope="col" class="r" { "Version" } th scope="col" class="r" { "Heard" } } }
                    tbody { @for seen in proof.hosts.iter().take(SHOWN) {
                        tr {
                            th scope="row" { a href={ "/hosts/" (percent_encoded(&seen.host)) } { (seen.host) } }
                            td { code { (seen.instance) } }
                            td class="r" { (grouped_number(seen.version)) }
                            td class="r" { (duration_text(seen.age)) " ago" }
                        }
                    } }
                }
            }
            @if proof.hosts.len() > SHOWN { p class="mute" { "The first " (SHOWN) " of " (grouped_number(proof.hosts.len() as u64)) "; the document as JSON has all." } }
        }
    }
}
