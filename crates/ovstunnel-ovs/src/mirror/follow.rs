//! Keeps the mirror and the health true: follows the database, and notices when `ovs-vswitchd` ends and starts.
//!
//! What it does: two endless tasks that connect, follow, and connect again; the database anew whenever that is asked for.
//! Each asks once a second for a sign of life. What it must not do: send anything but `get_schema`, `monitor_cond`, `echo` with the answers to
//! it, and `version`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::Instant;
use tokio_util::codec::FramedRead;

use super::db::Db;
use super::frame::JsonFrames;
use super::pulse::{Judge, LOOKS, Pulse, look_at, process_of};
use super::tables::{Schema, Update, monitor_request};
use crate::seconds::{aligned_ticks, is_whole};
use crate::{Health, Observer};

/// The sign of life that the database is asked for, and the id of its answer.
const ECHO: &[u8] = br#"{"id":"alive","method":"echo","params":[]}"#;
const ECHO_ID: &str = "\"alive\"";

/// Which columns there are depends on the version: the database itself is asked.
const SCHEMA: &[u8] = br#"{"id":0,"method":"get_schema","params":["Open_vSwitch"]}"#;

/// That of `ovs-vswitchd`.
const VERSION: &[u8] = br#"{"id":0,"method":"version","params":[]}"#;

/// How long to wait before the next look for a switch that is not there.
const RETRY: Duration = Duration::from_millis(100);

/// What the database told us once the connection was there.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    method: Option<&'a str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    error: Option<serde_json::Value>,
}

/// Follows the database at `socket` for ever.
pub(crate) async fn follow_database(observer: Observer, socket: PathBuf) {
    // Over all connections: a database that hangs does so on a new one, too.
    let mut judge = Judge::default();
    loop {
        let error = match follow_once(&observer, &socket, &mut judge).await {
            Ok(Anew) => continue,
            Err(error) => error,
        };
        let reason = format!("its database at {} cannot be followed: {error}", socket.display());
        let was_connected = observer.watch_health().borrow().database.is_ok();
        if was_connected {
            tracing::warn!(%reason, "lost the database of Open vSwitch");
        }
        judge = Judge::default();
        observer.set_health(|health| (health.database, health.database_silent) = (Err(reason), None));
        tokio::time::sleep(RETRY).await;
    }
}

/// A new connection is asked for.
struct Anew;

async fn follow_once(observer: &Observer, socket: &Path, judge: &mut Judge) -> io::Result<Anew> {
    let mut asked_for = observer.watch_connection();
    // Before it is opened: who asks later wants another one.
    let number = *asked_for.borrow_and_update();
    let connection = UnixStream::connect(socket).await?;
    let (process, (read, mut write)) = (process_of(&connection), connection.into_split());
    write.write_all(SCHEMA).await?;
    judge.question_sent(Instant::now());
    let (mut frames, mut tick, mut told) = (FramedRead::new(read, JsonFrames::default()), aligned_ticks(LOOKS), false);
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            Ok(()) = asked_for.changed() => return Ok(Anew),
            now = tick.tick() => {
                if judge.is_due(is_whole(now)) {
                    judge.question_sent(now);
                    write.write_all(ECHO).await?;
                }
                let pulse = judge.judge_pulse(now, || look_at(process?));
                // That it has begun to answer is not yet that the mirror is its content.
                if pulse != Pulse::Answers || observer.has_begun_anew(number) {
                    observer.tell_pulse(Daemon::Database, pulse);
                }
                continue;
            }
        };
        judge.answer_received();
        let closed = || io::Error::new(io::ErrorKind::UnexpectedEof, "the database closed the connection");
        let frame = frame.ok_or_else(closed)??;
        if !std::mem::replace(&mut told, true) {
            let params = serde_json::json!(["Open_vSwitch", null, monitor_request(&parse_schema(&frame)?)]);
            let request = serde_json::json!({"id": 1, "method": "monitor_cond", "params": params});
            write.write_all(request.to_string().as_bytes()).await?;
            judge.question_sent(Instant::now());
            continue;
        }
        if let Some(answer) = take_message(observer, &frame, number)? {
            write.write_all(answer.as_bytes()).await?;
        }
        if observer.has_begun_anew(number) {
            observer.tell_pulse(Daemon::Database, Pulse::Answers);
        }
    }
}

/// The schema in the database's answer. It is the first thing that a database says: it asks for no echo before that.
fn parse_schema(frame: &Bytes) -> io::Result<Schema> {
    #[derive(Deserialize)]
    struct Answer {
        result: Option<Schema>,
        error: Option<serde_json::Value>,
    }
    let Answer { result, error } = serde_json::from_slice(frame)?;
    result.ok_or_else(|| io::Error::other(format!("it does not tell its schema: {}", error.unwrap_or_default())))
}

/// Takes one message of a connection in; gives the answer where one is due.
pub(crate) fn take_message(observer: &Observer, frame: &Bytes, connection: u64) -> io::Result<Option<String>> {
    let message: Message = serde_json::from_slice(frame)?;
    if let Some(error) = message.error.filter(|error| !error.is_null()) {
        return Err(io::Error::other(format!("it answers {error}")));
    }
    match (message.method, message.params, message.result) {
        (Some("echo"), params, _) => {
            let (id, params) = (message.id.map_or("null", RawValue::get), params.map_or("[]", RawValue::get));
            return Ok(Some(format!("{{\"id\":{id},\"result\":{params},\"error\":null}}")));
        }
        (Some("update2"), Some(params), _) => {
            let (_, update): (serde::de::IgnoredAny, Update) = serde_json::from_str(params.get())?;
            observer.write(|db| db.apply_update(update));
        }
        // Our own question came back.
        (None, _, Some(_)) if message.id.is_some_and(|id| id.get() == ECHO_ID) => {}
        (None, _, Some(content)) => take_contents(observer, serde_json::from_str(content.get())?, connection),
        _ => {}
    }
    Ok(None)
}

/// Takes in the whole content, in place of what was known before.
fn take_contents(observer: &Observer, content: Update, connection: u64) {
    let version = observer.write(|db| {
        let before = std::mem::take(db);
        db.apply_update(content);
        db.touched.extend(before.bridges.into_values().map(|row| row.name));
        (db.connection, db.next_cfg_at_first) = (connection, db.next_cfg);
        db.version.clone()
    });
    tracing::info!(bridges = observer.read(|db: &Db| db.bridges.len()), "following the database of Open vSwitch");
    observer.set_health(|health| {
        (health.database, health.database_silent) = (Ok(()), None);
        health.version = version.or(health.version.take());
    });
}

/// Follows `ovs-vswitchd` for ever: while a connection to its control socket stands, it runs.
///
/// Its end shows nowhere in the database, and its flows are gone with it (docs/ovs-facts.md).
pub(crate) async fn follow_vswitchd(observer: Observer, rundir: PathBuf) {
    loop {
        let reason = match control_socket(&rundir).await {
            Ok(connection) => {
                observer.set_health(|health| {
                    (health.vswitchd, health.vswitchd_silent) = (Ok(()), None);
                    health.generation += 1;
                    health.no_meters = None;
                });
                tracing::info!(generation = observer.watch_health().borrow().generation, "ovs-vswitchd runs");
                until_closed(&observer, connection).await;
                tracing::warn!("ovs-vswitchd has ended");
                "ovs-vswitchd has ended".to_owned()
            }
            Err(error) => format!("ovs-vswitchd does not run ({error})"),
        };
        observer.set_health(|health| (health.vswitchd, health.vswitchd_silent) = (Err(reason), None));
        tokio::time::sleep(RETRY).await;
    }
}

/// A new connection to the control socket.
pub(crate) async fn control_socket(rundir: &Path) -> io::Result<UnixStream> {
    let pidfile = rundir.join("ovs-vswitchd.pid");
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", pidfile.display()));
    let pid = tokio::fs::read_to_string(&pidfile).await.map_err(named)?;
    let socket = rundir.join(format!("ovs-vswitchd.{}.ctl", pid.trim()));
    UnixStream::connect(&socket).await.map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", socket.display())))
}

/// Asks for signs of life until the connection ends.
async fn until_closed(observer: &Observer, connection: UnixStream) {
    let (process, (read, mut write)) = (process_of(&connection), connection.into_split());
    let mut frames = FramedRead::new(read, JsonFrames::default());
    let (mut judge, mut tick) = (Judge::default(), aligned_ticks(LOOKS));
    loop {
        tokio::select! {
            frame = frames.next() => match frame {
                Some(Ok(_)) => {
                    judge.answer_received();
                    observer.tell_pulse(Daemon::Vswitchd, Pulse::Answers);
                }
                _ => return,
            },
            now = tick.tick() => {
                if judge.is_due(is_whole(now)) {
                    judge.question_sent(now);
                    if write.write_all(VERSION).await.is_err() {
                        return;
                    }
                }
                observer.tell_pulse(Daemon::Vswitchd, judge.judge_pulse(now, || look_at(process?)));
            }
        }
    }
}

/// Whose sign of life it is.
#[derive(Clone, Copy, Debug)]
enum Daemon {
    Database,
    Vswitchd,
}

impl Observer {
    /// Says in the health how one of the daemons is, where it is connected to and its content known.
    fn tell_pulse(&self, daemon: Daemon, pulse: Pulse) {
        let changed = self.set_health(|health: &mut Health| {
            let (name, state, silent) = match daemon {
                Daemon::Database => ("ovsdb-server", &mut health.database, &mut health.database_silent),
                Daemon::Vswitchd => ("ovs-vswitchd", &mut health.vswitchd, &mut health.vswitchd_silent),
            };
            match pulse {
                Pulse::Answers => {
                    // Who hung is back. One that has not been read yet stays as it is.
                    if silent.take().is_some() && state.is_err() {
                        *state = Ok(());
                    }
                }
                // From hanging to computing is not yet an answer.
                Pulse::Busy(since) => *silent = Some(since.into_std()),
                Pulse::Hangs(since, words) => {
                    (*state, *silent) = (Err(format!("{name} hangs: {words}")), Some(since.into_std()));
                }
            }
        });
        if changed {
            let health = self.watch_health().borrow().clone();
            match (health.first_trouble(), health.busy_reason()) {
                (Some(reason), _) => tracing::error!(reason, "Open vSwitch hangs"),
                (None, Some(words)) => tracing::warn!("{words}"),
                (None, None) => tracing::warn!("Open vSwitch answers again"),
            }
        }
    }
}
