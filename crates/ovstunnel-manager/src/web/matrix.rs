//! All directions between a network's hosts as a matrix: a row is from, a column is to.
//!
//! What it does: a table of links up to 20 hosts, a drawing up to 300, above that a picture of which each point is several hosts, of which the worst
//! is shown; and in words what the patterns mean. What it must not do: show by colour alone.

use maud::{Markup, html};
use ovstunnel_manager_api::{MatrixBy, Network};
use ovstunnel_types::GreKey;

use super::frame::{as_sentence, rich_text};
use super::marks::{Mark, state_mark as mark};
use super::networks::network_path;
use super::pages::{link_to, percent_encoded};
use super::words::{age_text, grouped_number};
use crate::http::State;
use crate::matrix::{Grid, cell_paths};
use crate::zone::{Cell, Pairs};

/// Hosts up to which each direction is a link of its own.
pub(super) const LINKS: usize = 20;
/// Hosts up to which it is drawn.
const DRAWN: usize = 300;
/// Pairs that are listed.
const LISTED: usize = 20;

/// The matrix, as large as the network calls for.
pub(super) fn draw_matrix(network: &Network, pairs: &Pairs, chosen: Option<(usize, usize)>) -> Markup {
    let size = pairs.places.len();
    let path = network_path(&network.name);
    html! {
        h2 { "From row to column" }
        @if size < 2 { p class="mute" { "With one host there is nothing to tunnel to." } }
        @else if size <= LINKS { (matrix_table(&path, pairs, chosen)) }
        @else if let Some(drawing) = (size <= DRAWN).then(|| matrix_drawing(network, pairs)).flatten() { (drawing) }
        @else { (matrix_picture(network, pairs)) }
        (matrix_legend(pairs))
        @if size > 1 { (download_links(&network.name)) }
    }
}

/// The matrix as files, made by the API.
pub(super) fn download_links(name: &str) -> Markup {
    let mesh = mesh_path(name);
    html! {
        p class="mute" { "To keep: " a href={ (mesh) ".png" } { "a picture" } ", " a href={ (mesh) ".svg" } { "a drawing" } ", "
            a href={ (mesh) ".csv" } { "what is not proven as CSV" } ", " a href={ (mesh) ".json" } { "JSON" } ". In a terminal: " code { "ovstunnelctl zone mesh " (name) } "." }
    }
}

fn mesh_path(name: &str) -> String {
    format!("/v1/networks/{}/mesh", percent_encoded(name))
}

fn matrix_legend(pairs: &Pairs) -> Markup {
    html! {
        p class="key" {
            @for cell in Cell::ALL { span { (mark(cell, cell.as_str())) " " span class="mute" { (grouped_number(pairs.count_of(cell) as u64)) } } }
        }
    }
}

fn matrix_table(path: &str, pairs: &Pairs, chosen: Option<(usize, usize)>) -> Markup {
    let places = &pairs.places;
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Matrix" {
            table class="matrix" {
                thead { tr {
                    th scope="col" { span class="mute" { "from \\ to" } }
                    @for place in places { th scope="col" class="to" { span { (place.host) } } }
                } }
                tbody {
                    @for (from, place) in places.iter().enumerate() {
                        tr {
                            th scope="row" { a href={ "/hosts/" (percent_encoded(&place.host)) } { (place.host) } }
                            @for (to, other) in places.iter().enumerate() {
                                @if from == to { td class="self" {} } @else {
                                    @let cell = pairs.cell_at(from, to);
                                    td class=(Mark::from(cell).class()) {
                                        a href=(link_to(path, &[("from", &place.host), ("to", &other.host)]))
                                            aria-label={ (place.host) " to " (other.host) ": " (cell.as_str()) }
                                            aria-current=[(chosen == Some((from, to))).then_some("true")] { (Mark::from(cell).shape()) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn matrix_drawing(network: &Network, pairs: &Pairs) -> Option<Markup> {
    let size = pairs.places.len();
    let paths = cell_paths(&Grid::from_pairs(pairs, MatrixBy::Host))?;
    let label = format!(
        "Matrix of {} hosts of {}: {} of {} directions are not proven; the worst are listed beside it",
        size,
        network.name,
        pairs.not_proven().count(),
        network.wanted
    );
    Some(html! {
        svg class="drawn" viewBox={ "0 0 " (size) " " (size) } role="img" aria-label=(label) {
            rect class="ok" width=(size) height=(size) {}
            @for (cell, path) in paths { path class=(Mark::from(cell).class()) d=(path) {} }
            path class="self" d={ "M0 0L" (size) " " (size) } {}
        }
        (corner_labels(pairs))
    })
}

/// The hosts at the corners, to find one's way.
fn corner_labels(pairs: &Pairs) -> Markup {
    let host =
        |at: Option<usize>| at.and_then(|at| pairs.places.get(at)).map(|place| place.host.as_str()).unwrap_or_default();
    html! {
        p class="mute" { "Rows and columns from " (host(Some(0))) " (top left) to " (host(pairs.places.len().checked_sub(1))) " (bottom right)." }
    }
}

/// Points of a side of the picture in the page.
const SIDE: usize = 300;

fn matrix_picture(network: &Network, pairs: &Pairs) -> Markup {
    let mesh = mesh_path(&network.name);
    let size = pairs.places.len();
    let label = format!(
        "Matrix of {size} hosts of {}: {} of {} directions are not proven; the worst are listed beside it",
        network.name,
        pairs.not_proven().count(),
        network.wanted
    );
    html! {
        img class="drawn" src={ (mesh) ".png?side=" (SIDE) } alt=(label) width=(SIDE.min(size)) height=(SIDE.min(size));
        p class="mute" {
            "Hosts by rack, then by number. A point is up to " (size.div_ceil(SIDE)) " by " (size.div_ceil(SIDE)) " pairs, and shows the worst of them."
        }
    }
}

/// What a whole row or column that is not proven means.
pub(super) fn pattern_note(pairs: &Pairs) -> Markup {
    let (rows, columns) = pairs.unproven_lines();
    let named = |lines: &[usize]| {
        let first = lines.iter().take(5).filter_map(|at| pairs.places.get(*at));
        html! {
            @for (n, place) in first.enumerate() { @if n > 0 { ", " } a href={ "/hosts/" (percent_encoded(&place.host)) } { (place.host) } }
            @if lines.len() > 5 { " and " (grouped_number((lines.len() - 5) as u64)) " more" }
        }
    };
    html! {
        @if !rows.is_empty() || !columns.is_empty() {
            section class="card" {
                h2 { "Pattern" }
                @if !rows.is_empty() { p { "A whole row is not proven: " (named(&rows)) ". The fault is that host itself, not its pairs." } }
                @if !columns.is_empty() { p { "A whole column is not proven: " (named(&columns)) ". Nobody is proven to reach it: its address is wrong or not known, or nobody has been told of it." } }
            }
        }
    }
}

/// The directions that are worst, each a link to all that is known of it.
pub(super) fn worst_directions(name: &str, pairs: &Pairs) -> Markup {
    let mut found: Vec<(usize, usize, Cell)> = pairs.not_proven().collect();
    found.sort_by_key(|(from, to, cell)| (std::cmp::Reverse(*cell), *from, *to));
    let (all, path) = (found.len(), network_path(name));
    let host = |at: usize| pairs.places.get(at).map(|place| place.host.as_str()).unwrap_or_default();
    html! {
        section class="card" {
            h2 { "Not proven" }
            @if all == 0 { p class="mute" { (Mark::Ok.shape()) " Each direction is proven." } } @else {
                table class="rows" {
                    thead { tr { th scope="col" { "From" } th scope="col" { "To" } th scope="col" { "How" } } }
                    tbody { @for (from, to, cell) in found.iter().take(LISTED) {
                        tr {
                            td { (host(*from)) }
                            td { (host(*to)) }
                            td { a href=(link_to(&path, &[("from", host(*from)), ("to", host(*to))])) aria-label={ (host(*from)) " to " (host(*to)) ": " (cell.as_str()) } { (mark(*cell, cell.as_str())) } }
                        }
                    } }
                }
                @if all > LISTED { p { a href={ (mesh_path(name)) ".csv" } { "and " (grouped_number((all - LISTED) as u64)) " more, as CSV" } } }
            }
        }
    }
}

/// All that is known of one direction.
pub(super) fn pair_details(
    state: &State,
    (name, key): (&str, GreKey),
    pairs: &Pairs,
    (from, to): (usize, usize),
) -> Markup {
    let host = |at: usize| pairs.places.get(at).map(|place| place.host.as_str()).unwrap_or_default();
    let (from_host, to_host) = (host(from), host(to));
    let (cell, back) = (pairs.cell_at(from, to), pairs.cell_at(to, from));
    let tunnels = state.zone.host_tunnels(from_host);
    let seen = tunnels.as_ref().and_then(|list| list.age);
    let number_of = state.zone.host_number(to_host).map(|number| number.to_string());
    let tunnel = tunnels
        .and_then(|list| list.tunnels)
        .into_iter()
        .flatten()
        .find(|tunnel| tunnel.key == key.get() && Some(&tunnel.to) == number_of.as_ref());
    let found = state.zone.pair_findings(key, from_host, to_host);
    html! {
        section class="card pair" id="pair" {
            h2 { (from_host) " → " (to_host) }
            dl {
                dt { "This way" } dd { (mark(cell, cell.as_str())) }
                dt { "Back" } dd { (mark(back, back.as_str())) }
                @if let Some(tunnel) = &tunnel {
                    dt { "Port" } dd { code { (tunnel.port) } " on " code { (tunnel.bridge) } ", " (super::words::tunnel_state(tunnel.state)) }
                    dt { "Leads to" } dd { code { (tunnel.remote_ip) } }
                } @else { dt { "Port" } dd { "none" } }
                dt { "Seen" } dd { (age_text(seen)) }
            }
            @for finding in &found {
                p { b { (as_sentence(&finding.what.replace('_', " "))) } " " (as_sentence(&finding.evidence)) }
                p { "Remedy: " (rich_text(&finding.remedy)) }
            }
            p class="acts" { a class="btn" href=(link_to("/path", &[("from", from_host), ("to", to_host), ("network", name)])) { "Why? Ask both hosts" } }
            @if found.is_empty() { p class="mute" { "Nothing is against it: it is there once, with the right address and key, up and protected." } }
        }
    }
}
