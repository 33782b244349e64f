//! `zone top`: the zone on the whole terminal, made anew as it changes.
//!
//! What it does: asks for the overview, the worst networks, the faults and the newest events, and leaves the terminal as it was, however it ends.
//! What it must not do: change anything, or end because the manager is away for a moment; that is told, beside what was known last.

mod view;

use std::time::{Duration, Instant};

use ovstunnel_manager_api::{EventList, FaultList, NetworkList, NetworkState, Overview};
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::report::at_a_terminal;
use crate::cli::watch::{Changes, Source};
use crate::cli::{Failure, Report};
use crate::client::{ClientError, EventsWanted, FaultsWanted, Manager, NetworksWanted};

/// It is read again at least so often, that ages go on.
const AT_LEAST_EVERY: Duration = Duration::from_secs(2);

/// Networks, faults and events that are asked for: as many as a tall terminal shows.
const ROWS: u32 = 60;

/// What was seen last.
#[derive(Debug)]
struct Seen {
    overview: Overview,
    networks: NetworkList,
    faults: FaultList,
    events: EventList,
    at: Instant,
    /// Why it could not be read again since.
    failure: Option<String>,
}

impl Seen {
    async fn fetch_seen(manager: &Manager) -> Result<Seen, ClientError> {
        let states = [NetworkState::Broken, NetworkState::Settling].map(|state| state.as_str().to_owned());
        let networks = NetworksWanted { states: states.into(), limit: Some(ROWS), ..NetworksWanted::default() };
        let faults = FaultsWanted { limit: Some(ROWS), ..FaultsWanted::default() };
        let events = EventsWanted { limit: Some(ROWS), ..EventsWanted::default() };
        Ok(Seen {
            overview: manager.overview().await?,
            networks: manager.networks(&networks).await?,
            faults: manager.faults(&faults).await?,
            events: manager.events(&events).await?,
            at: Instant::now(),
            failure: None,
        })
    }
}

pub(super) async fn run_top(manager: &Manager, json: bool) -> Result<Report, Failure> {
    if json || !at_a_terminal() {
        let text = "zone top draws on a terminal; elsewhere, and for programs: zone status --watch, zone status --json";
        return Err(Failure::Usage(text.to_owned()));
    }
    // What is wrong from the start is told on the terminal as it was.
    let seen = Seen::fetch_seen(manager).await?;
    // A panic restores the terminal, too.
    let mut terminal = ratatui::try_init().map_err(Failure::Output)?;
    let ended = show_until_quit(manager, &mut terminal, seen).await;
    ratatui::restore();
    ended.map_err(Failure::Output)?;
    Ok(Report::from_text(String::new()))
}

async fn show_until_quit(manager: &Manager, terminal: &mut DefaultTerminal, mut seen: Seen) -> std::io::Result<()> {
    let (mut keys, mut changes) = (read_keys(), Changes::from_source(Source::Manager(manager)));
    let (mut told_to_end, mut hung_up) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    loop {
        terminal.draw(|frame| view::draw_view(frame, &seen))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(event) if !is_end(&event) => continue,
                _ => return Ok(()),
            },
            _ = told_to_end.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
            _ = tokio::time::timeout(AT_LEAST_EVERY, changes.wait_change()) => {}
        }
        match Seen::fetch_seen(manager).await {
            Ok(new) => seen = new,
            Err(error) => seen.failure = Some(error.to_string()),
        }
    }
}

/// What is typed, and that the terminal has another size. Ends with the process: nothing can wake who waits for a key.
fn read_keys() -> mpsc::Receiver<Event> {
    let (typed, keys) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if typed.blocking_send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// `q`, Escape and Ctrl-C, which is a key like any other here.
fn is_end(event: &Event) -> bool {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press, .. }) = event else { return false };
    match code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_escape_and_ctrl_c_end_it_and_nothing_else_does() {
        let key = |code, modifiers| Event::Key(KeyEvent::new(code, modifiers));
        let none = KeyModifiers::NONE;
        for end in [(KeyCode::Char('q'), none), (KeyCode::Esc, none), (KeyCode::Char('c'), KeyModifiers::CONTROL)] {
            assert!(is_end(&key(end.0, end.1)), "{end:?}");
        }
        assert!(!is_end(&key(KeyCode::Char('c'), none)) && !is_end(&Event::Resize(80, 24)));
    }
}
