//! The switch's database, spoken to directly: JSON-RPC on its Unix socket (RFC 7047).
//!
//! It is one of the contenders' ways of writing, and the way in which what each of them has left is read. It must not use a
//! line of the product.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Deserializer, StreamDeserializer, Value, de::IoRead, json};

/// How long the database, or `ovs-vswitchd` behind it, may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// A connection. It follows how far `ovs-vswitchd` has got.
pub struct Database {
    path: PathBuf,
    requests: UnixStream,
    answers: StreamDeserializer<'static, IoRead<std::io::BufReader<UnixStream>>, Value>,
    last_id: u64,
    /// The last configuration that `ovs-vswitchd` has taken up.
    taken_up: i64,
}

impl Database {
    pub fn connect(path: &Path) -> Result<Self> {
        let mut database = Self::open(path)?;
        let watched = json!({"Open_vSwitch": {"columns": ["cur_cfg"]}});
        let content = database.call("monitor", json!(["Open_vSwitch", "cur_cfg", watched]))?;
        database.follow(&content);
        Ok(database)
    }

    /// A connection that follows nothing.
    pub fn open(path: &Path) -> Result<Self> {
        let requests = UnixStream::connect(path).with_context(|| format!("{}", path.display()))?;
        requests.set_read_timeout(Some(DEADLINE))?;
        let answers = Deserializer::from_reader(std::io::BufReader::new(requests.try_clone()?)).into_iter();
        Ok(Self { path: path.to_owned(), requests, answers, last_id: 0, taken_up: -1 })
    }

    /// Reads, on a connection of its own, all that a daemon has to read when it starts: the content of the tables that it
    /// mirrors. Returns the number of rows.
    pub fn read_all(path: &Path) -> Result<usize> {
        let columns = |names: &[&str]| json!([{"columns": names}]);
        let watched = json!({
            "Open_vSwitch": columns(&["bridges", "next_cfg", "cur_cfg", "ovs_version"]),
            "Bridge": columns(&["name", "ports", "external_ids", "other_config", "stp_enable", "datapath_type", "protocols"]),
            "Port": columns(&["name", "interfaces", "protected", "external_ids"]),
            "Interface": columns(&["name", "type", "options", "ofport", "error", "mac_in_use", "external_ids"]),
        });
        let content = Self::open(path)?.call("monitor_cond", json!(["Open_vSwitch", null, watched]))?;
        let tables = content.as_object().context("tables")?;
        Ok(tables.values().filter_map(Value::as_object).map(serde_json::Map::len).sum())
    }

    fn call(&mut self, method: &str, params: Value) -> Result<Value> {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({"id": id, "method": method, "params": params}))?;
        loop {
            let mut message = self.next()?;
            if message["id"] == id {
                ensure!(message["error"].is_null(), "the database answers {}", message["error"]);
                return Ok(message["result"].take());
            }
        }
    }

    fn send(&mut self, message: &Value) -> Result<()> {
        self.requests.write_all(message.to_string().as_bytes()).context("the database has gone")
    }

    /// The next message, with what it says of `ovs-vswitchd` taken in and echoes answered.
    fn next(&mut self) -> Result<Value> {
        let message = self.answers.next().with_context(|| format!("{} has closed", self.path.display()))??;
        match message["method"].as_str() {
            Some("echo") => self.send(&json!({"id": message["id"], "result": message["params"], "error": null}))?,
            Some("update") => self.follow(&message["params"][1]),
            _ => {}
        }
        Ok(message)
    }

    fn follow(&mut self, tables: &Value) {
        let rows = tables["Open_vSwitch"].as_object().into_iter().flatten();
        for current in rows.filter_map(|(_, row)| row["new"]["cur_cfg"].as_i64()) {
            self.taken_up = current;
        }
    }

    /// Carries out one transaction; the result of each operation.
    pub fn transact(&mut self, operations: Vec<Value>) -> Result<Vec<Value>> {
        let params = [vec![json!("Open_vSwitch")], operations].concat();
        let Value::Array(results) = self.call("transact", Value::Array(params))? else { bail!("no results") };
        match results.iter().find(|result| !result["error"].is_null()) {
            Some(error) => bail!("the database refuses: {error}"),
            None => Ok(results),
        }
    }

    /// Carries out one transaction, and waits until `ovs-vswitchd` has taken it up.
    pub fn change(&mut self, mut operations: Vec<Value>) -> Result<()> {
        operations
            .push(json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["next_cfg", "+=", 1]]}));
        operations.push(json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}));
        let results = self.transact(operations)?;
        let written = results.last().and_then(|result| result["rows"][0]["next_cfg"].as_i64()).context("next_cfg")?;
        while self.taken_up < written {
            self.next()?;
        }
        Ok(())
    }

    /// Waits until `ovs-vswitchd` has taken up a configuration that it had not when this connected.
    pub fn wait_for_configuration(&mut self) -> Result<()> {
        let before = self.taken_up;
        while self.taken_up <= before {
            self.next()?;
        }
        Ok(())
    }

    /// The rows of a table for which `condition` holds.
    pub fn select(&mut self, table: &str, condition: Value, columns: &[&str]) -> Result<Vec<Value>> {
        let operation = json!({"op": "select", "table": table, "where": condition, "columns": columns});
        let results = self.transact(vec![operation])?;
        match results.into_iter().next().map(|mut result| result["rows"].take()) {
            Some(Value::Array(rows)) => Ok(rows),
            other => bail!("no rows but {other:?}"),
        }
    }

    /// The row id of what has this name, if there is one.
    pub fn uuid(&mut self, table: &str, name: &str) -> Result<Option<String>> {
        let rows = self.select(table, json!([["name", "==", name]]), &["_uuid"])?;
        Ok(rows.first().and_then(|row| row["_uuid"][1].as_str()).map(str::to_owned))
    }
}

/// A map of the database as pairs.
pub fn map(column: &Value) -> impl Iterator<Item = (&str, &str)> {
    let pairs = column[1].as_array().into_iter().flatten();
    pairs.filter_map(|pair| Some((pair[0].as_str()?, pair[1].as_str()?)))
}

/// A set of the database as its items: one by itself is a set, too.
pub fn set(column: &Value) -> Vec<&Value> {
    match column[0].as_str() {
        Some("set") => column[1].as_array().into_iter().flatten().collect(),
        _ => vec![column],
    }
}
