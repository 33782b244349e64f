//! The few shapes of the page: each state is a shape and a colour and a word. Must not stand alone without the word.

use maud::{Markup, PreEscaped, html};
use ovstunnel_manager_api::{HostState, NetworkState};

use crate::zone::Cell;

/// The shapes, once in each page.
pub(super) fn shape_defs() -> Markup {
    PreEscaped(
        concat!(
            r#"<svg width="0" height="0" class="shapes" aria-hidden="true"><defs>"#,
            r#"<symbol id="m-ok" viewBox="0 0 16 16"><circle cx="8" cy="8" r="4.2"/></symbol>"#,
            r#"<symbol id="m-half" viewBox="0 0 16 16"><path d="M8 2.6a5.4 5.4 0 0 1 0 10.8z"/><circle cx="8" cy="8" r="5" fill="none" stroke="currentColor" stroke-width="1.6"/></symbol>"#,
            r#"<symbol id="m-bad" viewBox="0 0 16 16"><path d="M3.6 3.6l8.8 8.8m0-8.8l-8.8 8.8" fill="none" stroke="currentColor" stroke-width="2.6" stroke-linecap="round"/></symbol>"#,
            r#"<symbol id="m-warn" viewBox="0 0 16 16"><path d="M8 2.4l6.2 10.8H1.8z"/></symbol>"#,
            r#"<symbol id="m-idle" viewBox="0 0 16 16"><circle cx="8" cy="8" r="4.6" fill="none" stroke="currentColor" stroke-width="1.7" stroke-dasharray="2.6 2"/></symbol>"#,
            r#"<symbol id="m-mesh" viewBox="0 0 24 24"><path d="M12 5L5 17.5h14z" fill="none" stroke="currentColor" stroke-width="1.7"/><circle cx="12" cy="4.8" r="2.7"/><circle cx="5" cy="17.6" r="2.7"/><circle cx="19" cy="17.6" r="2.7"/></symbol>"#,
            "</defs></svg>"
        )
        .to_owned(),
    )
}

/// What something is like, as a class of the style sheet and a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    Ok,
    Half,
    Warn,
    Idle,
    Bad,
}

impl Mark {
    /// Its class.
    pub fn class(self) -> &'static str {
        match self {
            Mark::Ok => "ok",
            Mark::Half => "half",
            Mark::Warn => "warn",
            Mark::Idle => "idle",
            Mark::Bad => "bad",
        }
    }

    /// The shape; the word stands beside it.
    pub fn shape(self) -> Markup {
        let class = self.class();
        html! { svg class={ "i " (class) } width="16" height="16" aria-hidden="true" { use href={ "#m-" (class) } {} } }
    }
}

impl From<NetworkState> for Mark {
    fn from(state: NetworkState) -> Mark {
        match state {
            NetworkState::Whole => Mark::Ok,
            NetworkState::Settling => Mark::Half,
            NetworkState::Broken => Mark::Bad,
        }
    }
}

impl From<HostState> for Mark {
    fn from(state: HostState) -> Mark {
        match state {
            HostState::Ok => Mark::Ok,
            HostState::Degraded => Mark::Warn,
            HostState::Connecting => Mark::Idle,
            HostState::Silent => Mark::Bad,
        }
    }
}

impl From<Cell> for Mark {
    fn from(cell: Cell) -> Mark {
        match cell {
            Cell::Proven => Mark::Ok,
            Cell::Apart | Cell::Unknown => Mark::Idle,
            Cell::Limited => Mark::Warn,
            Cell::OneSided => Mark::Half,
            Cell::Bad => Mark::Bad,
        }
    }
}

/// A shape with its word.
pub(super) fn state_mark(mark: impl Into<Mark>, word: &str) -> Markup {
    html! { span class="state" { (mark.into().shape()) (word) } }
}

/// Shares of a whole as a bar; `parts` are numbers with their marks. Those that are not nothing can be seen.
pub(super) fn share_bar(parts: &[(u64, Mark)]) -> Markup {
    const WIDTH: u64 = 1000;
    const LEAST: u64 = 14;
    let all: u64 = parts.iter().map(|(n, _)| n).sum::<u64>().max(1);
    let mut at = 0;
    let mut pieces = Vec::new();
    for (n, mark) in parts.iter().filter(|(n, _)| *n > 0) {
        let width = (n * WIDTH / all).max(LEAST);
        pieces.push((at, width, mark.class()));
        at += width;
    }
    // What was made wider than its share shrinks the others.
    html! {
        svg class="bar" viewBox={ "0 0 " (at.max(1)) " 6" } preserveAspectRatio="none" aria-hidden="true" {
            @for (x, width, class) in pieces { rect class=(class) x=(x) y="0" width=(width) height="6" {} }
        }
    }
}
