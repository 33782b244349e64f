//! What `zone top` draws. Must not say anything by colour alone, nor let what others have written play with the terminal.

use ovstunnel_manager_api::{Event, Fault, Network, NetworkState, Overview};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Paragraph};

use super::Seen;
use crate::cli::show::printable;

/// After so many seconds what is shown counts as old, as on the page.
const OLD: f64 = 3.0;

const BAD: Style = Style::new().fg(Color::Red).add_modifier(Modifier::BOLD);
const WARN: Style = Style::new().fg(Color::Yellow);
const PLAIN: Style = Style::new();

pub(super) fn draw_view(frame: &mut Frame<'_>, seen: &Seen) {
    let notes = note_lines(seen);
    let most = u16::try_from(notes.len()).unwrap_or(u16::MAX).min(4);
    let rows = [Constraint::Length(4 + most), Constraint::Fill(3), Constraint::Fill(2), Constraint::Length(1)];
    let [top, middle, bottom, foot] = Layout::vertical(rows).areas(frame.area());
    let [left, right] = Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).spacing(2).areas(middle);
    let overview = &seen.overview;
    draw_part(
        frame,
        top,
        &format!("Zone {}", overview.zone),
        number_lines(overview).into_iter().chain(notes).collect(),
    );
    let networks = seen.networks.networks.iter().map(network_line).collect();
    draw_list(frame, left, "Networks, worst first", networks, seen.networks.total, "All networks are whole.");
    let faults = seen.faults.faults.iter().map(fault_line).collect();
    draw_list(frame, right, "Faults", faults, seen.faults.total, "Nothing is wrong.");
    draw_part(frame, bottom, "Events, newest first", seen.events.events.iter().map(event_line).collect());
    frame.render_widget(Line::from("q ends   zone faults, zone why A B and zone mesh NAME say more"), foot);
}

fn draw_part(frame: &mut Frame<'_>, at: Rect, title: &str, lines: Vec<Line<'_>>) {
    let block = Block::new().borders(Borders::TOP).title(format!(" {} ", printable(title)));
    frame.render_widget(Paragraph::new(lines).block(block), at);
}

/// A list of which it is said how much of it is not shown.
fn draw_list(frame: &mut Frame<'_>, at: Rect, title: &str, mut lines: Vec<Line<'_>>, total: u32, none: &'static str) {
    if lines.is_empty() {
        lines.push(Line::from(none));
    }
    let room = usize::from(at.height.saturating_sub(1));
    let shown = lines.len().min(room);
    let more = (total as usize).saturating_sub(shown);
    let title = if more > 0 { format!("{title}: {shown} of {total}") } else { title.to_owned() };
    draw_part(frame, at, &title, lines);
}

fn number_lines(overview: &Overview) -> Vec<Line<'static>> {
    let (networks, hosts, tunnels) = (&overview.networks, &overview.hosts, &overview.tunnels);
    let part = |n: u32, word: &str, style| {
        let style = if n > 0 { style } else { PLAIN };
        Span::styled(format!("  {n} {word}"), style)
    };
    let missing = tunnels.wanted.saturating_sub(tunnels.proven);
    vec![
        Line::from(vec![
            Span::raw(format!("Networks {:>6}:", networks.all)),
            part(networks.whole, "whole", PLAIN),
            part(networks.settling, "settling", WARN),
            part(networks.broken, "broken", BAD),
        ]),
        Line::from(vec![
            Span::raw(format!("Hosts    {:>6}:", hosts.all)),
            part(hosts.ok, "ok", PLAIN),
            part(hosts.degraded, "degraded", WARN),
            part(hosts.connecting, "connecting", WARN),
            part(hosts.silent, "silent", BAD),
        ]),
        Line::from(vec![
            Span::raw(format!("Tunnels  {:>6}:  {} proven", tunnels.wanted, tunnels.proven)),
            Span::styled(format!("  {missing} not proven"), if missing > 0 { BAD } else { PLAIN }),
        ]),
    ]
}

/// How old all this is, where that is not as it should be, and what is wrong with the manager.
fn note_lines(seen: &Seen) -> Vec<Line<'static>> {
    let own = seen.at.elapsed().as_secs_f64();
    let away = seen.failure.as_ref().map(|why| {
        Line::styled(format!("The manager does not answer: {}; this is {own:.0} s old", printable(why)), BAD)
    });
    let old = seen.overview.age.filter(|age| *age > OLD).map(|age| {
        Line::styled(format!("A connected host has given no sign of life for {age:.1} s; 2 s are usual"), WARN)
    });
    let troubles = seen.overview.troubles.iter().map(|trouble| Line::styled(printable(&trouble.evidence), BAD));
    away.into_iter().chain(old).chain(troubles).collect()
}

fn network_line(network: &Network) -> Line<'static> {
    let (sign, style) = match network.state {
        NetworkState::Broken => ("x", BAD),
        NetworkState::Settling => ("~", WARN),
        NetworkState::Whole => (".", PLAIN),
    };
    let missing = network.wanted.saturating_sub(network.proven);
    let why = network.reason.as_ref().map(|reason| format!(": {}", reason.evidence)).unwrap_or_default();
    let text = format!(" {} {}, {missing} of {} not proven{why}", network.name, network.state.as_str(), network.wanted);
    Line::from(vec![Span::styled(sign, style), Span::raw(printable(&text))])
}

fn fault_line(fault: &Fault) -> Line<'static> {
    let host = fault.place.host.as_deref().map(|host| format!(" {host}")).unwrap_or_default();
    let text = format!("{host}: {}", fault.evidence);
    Line::from(vec![Span::styled(printable(&fault.kind), BAD), Span::raw(printable(&text))])
}

fn event_line(event: &Event) -> Line<'static> {
    // The time of day, of 2026-11-26T10:02:13Z.
    let time = event.at.get(11..19).unwrap_or(&event.at);
    Line::from(printable(&format!("{time} {}", event.text)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::time::Instant;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;

    use super::*;

    fn seen(failure: Option<&str>) -> Seen {
        let overview = json!({
            "zone": "dc1", "uuid": "u", "version": "0.1.0", "controller": true,
            "networks": {"all": 2455, "whole": 2453, "settling": 1, "broken": 1},
            "hosts": {"all": 2000, "ok": 1999, "degraded": 0, "connecting": 0, "silent": 1},
            "tunnels": {"wanted": 355_806, "proven": 355_800}, "faults": 1, "age": 4.5,
            "troubles": [{"kind": "hold", "evidence": "hold 3 waits for a decision", "remedy": "decide"}],
        });
        let network = |name: &str, state: &str| {
            json!({
                "name": name, "key": 7, "state": state, "since": "2026-11-26T10:00:00Z", "hosts": 3, "wanted": 6, "proven": 3,
                "reason": {"what": "tunnel_missing", "host": "h1", "to": "h2", "evidence": "no tunnel to h2\u{1b}[2J", "remedy": "reconcile"},
            })
        };
        let fault = json!({
            "id": "f", "kind": "host_silent", "where": {"host": "h0412"}, "since": "2026-11-26T10:02:13Z", "networks": 9, "hides": 8,
            "evidence": "connection refused", "remedy": "see whether it is up",
        });
        let event = json!({"id": 9, "at": "2026-11-26T10:02:13.5Z", "kind": "host_silent", "text": "host h0412 does not answer"});
        Seen {
            overview: serde_json::from_value(overview).unwrap(),
            networks: serde_json::from_value(
                json!({"networks": [network("acme", "broken"), network("db", "settling")], "total": 90}),
            )
            .unwrap(),
            faults: serde_json::from_value(json!({"faults": [fault], "total": 1})).unwrap(),
            events: serde_json::from_value(json!({"events": [event]})).unwrap(),
            at: Instant::now(),
            failure: failure.map(str::to_owned),
        }
    }

    fn drawn(seen: &Seen, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw_view(frame, seen)).unwrap();
        let buffer = terminal.backend().buffer();
        let row = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(row).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_zone_fits_on_a_terminal_and_says_what_it_does_not_show() {
        insta::assert_snapshot!(drawn(&seen(None), 110, 20));
        let small = drawn(&seen(Some("connection refused")), 60, 14);
        assert!(small.contains("The manager does not answer: connection refused"), "{small}");
        assert!(small.contains("x acme broken"), "{small}");
        drawn(&seen(None), 10, 3);
    }
}
