//! A network's hosts on a circle: what is not proven is drawn strongly, all else faintly. Must not draw more than a reader can tell apart.

use maud::{Markup, html};
use ovstunnel_manager_api::Network;

use super::marks::{Mark, state_mark as mark};
use super::matrix::LINKS;
use super::networks::network_path;
use super::pages::percent_encoded;
use crate::zone::{Cell, Pairs};

/// Where the centre is, and how far from it the hosts are.
const CENTRE: (f64, f64) = (320.0, 230.0);
const RADIUS: f64 = 165.0;

/// The graph of a small network; of a larger one a sentence.
pub(super) fn draw_graph(network: &Network, pairs: &Pairs) -> Markup {
    let size = pairs.places.len();
    if size > LINKS {
        return html! {
            h2 { "Graph" }
            p { "A graph of " (size) " hosts shows nothing: its lines cover each other. " a href=(network_path(&network.name)) { "The matrix" } " shows each direction." }
        };
    }
    let places: Vec<(f64, f64)> = (0..size).map(|at| circle_point(at, size, RADIUS)).collect();
    // A pair is drawn by the worse of its directions.
    let pair = |one: usize, other: usize| pairs.cell_at(one, other).max(pairs.cell_at(other, one));
    let all: Vec<(usize, usize, Cell)> = (0..size)
        .flat_map(|one| (one + 1..size).map(move |other| (one, other)))
        .map(|(one, other)| (one, other, pair(one, other)))
        .collect();
    let wrong = all.iter().filter(|(.., cell)| *cell != Cell::Proven).count();
    let label =
        format!("{size} hosts of {}; {wrong} of {} pairs are not proven in both directions", network.name, all.len());
    html! {
        h2 { "Graph" }
        svg class="graph" viewBox="0 0 640 460" role="img" aria-label=(label) {
            @for (faint, strong) in [(true, false), (false, true)] {
                @for (one, other, cell) in all.iter().filter(|(.., cell)| (*cell == Cell::Proven) == faint && (*cell != Cell::Proven) == strong) {
                    line class={ "edge " (Mark::from(*cell).class()) } x1=(coordinate_text(places[*one].0)) y1=(coordinate_text(places[*one].1)) x2=(coordinate_text(places[*other].0)) y2=(coordinate_text(places[*other].1)) {}
                }
            }
            @for (n, (host, (x, y))) in pairs.places.iter().zip(&places).enumerate() {
                @let (text_x, text_y) = circle_point(n, size, RADIUS + 16.0);
                @let worst = (0..size).filter(|other| *other != n).map(|other| pair(n, other)).max().unwrap_or(Cell::Proven);
                circle class={ "host " (Mark::from(worst).class()) } cx=(coordinate_text(*x)) cy=(coordinate_text(*y)) r="7" {}
                text x=(coordinate_text(text_x)) y=(coordinate_text(text_y + 4.0)) text-anchor=(text_anchor(text_x)) { (host.host) }
            }
        }
        p class="key" { @for cell in Cell::ALL { (mark(cell, cell.as_str())) } }
        p class="mute" { "A line is a pair, drawn by the worse of its two directions. Hosts: "
            @for (n, place) in pairs.places.iter().enumerate() { @if n > 0 { ", " } a href={ "/hosts/" (percent_encoded(&place.host)) } { (place.host) } } "."
        }
    }
}

fn coordinate_text(length: f64) -> String {
    format!("{length:.1}")
}

/// Where one of so many hosts is, clockwise from the top.
fn circle_point(at: usize, size: usize, radius: f64) -> (f64, f64) {
    // At most LINKS hosts: exact in a f64.
    #[allow(clippy::cast_precision_loss, reason = "twenty at most")]
    let angle = std::f64::consts::TAU * at as f64 / size.max(1) as f64;
    (CENTRE.0 + radius * angle.sin(), CENTRE.1 - radius * angle.cos())
}

fn text_anchor(x: f64) -> &'static str {
    if x < CENTRE.0 - 5.0 {
        "end"
    } else if x > CENTRE.0 + 5.0 {
        "start"
    } else {
        "middle"
    }
}
