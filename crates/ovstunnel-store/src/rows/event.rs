//! Events: what happened in the zone and who did what. They are added and, when they are old, removed; never changed.
//!
//! What it does: their rows, and which of them are asked for. What it must not do: say what an event means.

use super::check::Text;
use crate::Result;

/// Most events of a page.
pub const PAGE_MAX: u32 = 1000;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its number, in the order in which events became visible.
    pub id: u64,
    /// What it is of.
    pub event: NewEvent,
}

/// An event to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewEvent {
    /// When it happened, in milliseconds since 1970.
    pub at: i64,
    /// What kind of event; at most 63 characters.
    pub kind: String,
    /// Name of the host that it is about; at most 63 characters.
    pub host: Option<String>,
    /// Name of the network that it is about; at most 63 characters.
    pub network: Option<String>,
    /// Who asked for it; at most 255 characters.
    pub actor: Option<String>,
    /// Id of the request that it was asked for by; at most 128 characters.
    pub request_id: Option<String>,
    /// What was there before, as JSON; at most 16383 characters.
    pub before: Option<String>,
    /// What was there after, as JSON; at most 16383 characters.
    pub after: Option<String>,
    /// The sentence for people; at most 4096 characters.
    pub text: String,
}

const RULE_63: &str = "must have at most 63 characters, none of control";
const KIND: Text = Text { field: "event.kind", rule: RULE_63, max: 63 };
const HOST: Text = Text { field: "event.host", rule: RULE_63, max: 63 };
const NETWORK: Text = Text { field: "event.network", rule: RULE_63, max: 63 };
const ACTOR: Text = Text { field: "event.actor", rule: "must have at most 255 characters, none of control", max: 255 };
const REQUEST: Text =
    Text { field: "event.request_id", rule: "must have at most 128 characters, none of control", max: 128 };
const JSON: Text =
    Text { field: "event.before or after", rule: "must have at most 16383 characters, none of control", max: 16383 };
const TEXT: Text = Text { field: "event.text", rule: "must have at most 4096 characters, none of control", max: 4096 };

impl NewEvent {
    pub(crate) fn check_fields(&self) -> Result<()> {
        KIND.check_text(&self.kind)?;
        HOST.check_some(self.host.as_deref())?;
        NETWORK.check_some(self.network.as_deref())?;
        ACTOR.check_some(self.actor.as_deref())?;
        REQUEST.check_some(self.request_id.as_deref())?;
        JSON.check_some(self.before.as_deref())?;
        JSON.check_some(self.after.as_deref())?;
        TEXT.check_text(&self.text)
    }
}

/// Which events are asked for: those that have all that is named here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Kind.
    pub kind: Option<String>,
    /// Name of the host.
    pub host: Option<String>,
    /// Name of the network.
    pub network: Option<String>,
    /// Who asked.
    pub actor: Option<String>,
    /// Not older than this, in milliseconds since 1970.
    pub since: Option<i64>,
    /// Older than this, in milliseconds since 1970.
    pub until: Option<i64>,
}

impl EventFilter {
    /// Whether an event is asked for.
    pub fn matches(&self, event: &NewEvent) -> bool {
        let same = |wanted: &Option<String>, has: Option<&String>| wanted.is_none() || wanted.as_ref() == has;
        same(&self.kind, Some(&event.kind))
            && same(&self.host, event.host.as_ref())
            && same(&self.network, event.network.as_ref())
            && same(&self.actor, event.actor.as_ref())
            && self.since.is_none_or(|since| event.at >= since)
            && self.until.is_none_or(|until| event.at < until)
    }
}

/// A page of events, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventPage {
    /// The events.
    pub events: Vec<EventRow>,
    /// Cursor of the next page; none if this was the last.
    pub next: Option<u64>,
}

impl EventPage {
    /// A page of so many of these, of which there is one more if there is a next page.
    pub(crate) fn cut_page(mut events: Vec<EventRow>, limit: usize) -> EventPage {
        let more = events.len() > limit;
        events.truncate(limit);
        EventPage { next: events.last().filter(|_| more).map(|last| last.id), events }
    }
}
