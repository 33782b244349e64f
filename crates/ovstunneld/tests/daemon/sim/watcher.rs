//! One who watches a daemon over the simulated switch, and what it knows from that alone.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::{Request, Response};
use futures_util::StreamExt;
use serde_json::Value;
use tower::ServiceExt;

use super::Sim;

/// How long an event may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// An event as it was received.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub name: String,
    pub id: String,
    pub data: Value,
}

/// One who watches.
pub struct Watcher {
    body: BodyDataStream,
    text: String,
    /// The id of the last event.
    pub last: String,
    /// The bridges, as its events say.
    pub bridges: BTreeMap<String, Value>,
    /// The host's health, likewise.
    pub health: Value,
}

/// The request for it.
pub async fn ask(sim: &Sim, path: &str, last: Option<&str>) -> Response<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    sim.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

impl Watcher {
    /// Begins to watch, with nothing known.
    pub async fn new(sim: &Sim) -> Self {
        Watcher::of(ask(sim, "/v1/watch", None).await)
    }

    fn of(response: Response<Body>) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.into_body().into_data_stream();
        let (text, last) = (String::new(), String::new());
        Watcher { body, text, last, bridges: BTreeMap::new(), health: Value::Null }
    }

    /// Goes on where this one was cut off.
    pub async fn again(self, sim: &Sim) -> Self {
        let Watcher { last, bridges, health, .. } = self;
        let again = Watcher::of(ask(sim, "/v1/watch", Some(&last)).await);
        Watcher { last, bridges, health, ..again }
    }

    /// The next event, pings too; none at the end.
    pub async fn event(&mut self) -> Option<Event> {
        while !self.text.contains("\n\n") {
            let piece = tokio::time::timeout(PATIENCE, self.body.next()).await.expect("an event");
            self.text.push_str(std::str::from_utf8(&piece?.unwrap()).unwrap());
        }
        let (event, rest) = self.text.split_once("\n\n").unwrap();
        let field = |name: &str| {
            let line = event.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            line.unwrap_or_else(|| panic!("{name} in {event}")).to_owned()
        };
        let (name, id, data) = (field("event"), field("id"), serde_json::from_str(&field("data")).unwrap());
        self.text = rest.to_owned();
        let event = Event { name, id, data };
        self.take_in(&event);
        Some(event)
    }

    fn take_in(&mut self, event: &Event) {
        let data = event.data.clone();
        let name = |bridge: &Value| bridge["name"].as_str().unwrap().to_owned();
        self.last.clone_from(&event.id);
        match event.name.as_str() {
            "snapshot" => {
                self.bridges = data["bridges"].as_array().unwrap().iter().map(|b| (name(b), b.clone())).collect();
                self.health = data["health"].clone();
            }
            "bridge" => drop(self.bridges.insert(name(&data), data)),
            "bridge_gone" => assert!(self.bridges.remove(&name(&data)).is_some(), "it was not there: {data}"),
            "health" => self.health = data,
            "ping" => {}
            other => panic!("{other}"),
        }
    }

    /// The next event that is no ping.
    pub async fn change(&mut self) -> Event {
        loop {
            let event = self.event().await.expect("the watch has ended");
            if event.name != "ping" {
                return event;
            }
        }
    }

    /// The bridges as they are told, without how old that is.
    pub fn picture(&self) -> Value {
        timeless(self.bridges.values().cloned().collect())
    }

    /// Reads until what it knows is what is there.
    pub async fn until_it_knows_all(&mut self, sim: &Sim) {
        for _ in 0..1000 {
            let there = sim.get("/v1/bridges").await;
            if there.status == 200 && self.picture() == timeless(there.body["bridges"].clone()) {
                return;
            }
            self.event().await.expect("the watch has ended");
        }
        panic!("it never knows: {:#}", self.picture());
    }
}

/// Bridges without `as_of`.
pub fn timeless(mut bridges: Value) -> Value {
    for bridge in bridges.as_array_mut().unwrap() {
        bridge["health"].as_object_mut().unwrap().remove("as_of");
    }
    bridges
}
