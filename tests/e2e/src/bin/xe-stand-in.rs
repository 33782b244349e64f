//! A stand-in for XenServer's `xe`: a pool's networks, PIFs and hosts in a JSON file, and of all commands those that the daemon
//! uses. Must not know the daemon, or be kinder than xapi: an unknown command, parameter or UUID is an error, a key that is
//! there cannot be added, and to set a key it is taken away and then added.
//!
//! It is run by the path of a link; the link's folder has `pool.json` and, to make it fail, `xe.mode`: `fails`, `hangs`,
//! `slow`, or `refuses 3` for the next three keys that are added.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};

/// How long a slow one takes, and how long others may look between the two halves of a `param-set`.
const SLOW: Duration = Duration::from_millis(300);
const BETWEEN: Duration = Duration::from_millis(3);

fn main() -> ExitCode {
    let mut words = std::env::args();
    let folder = words.next().map(PathBuf::from).and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let words: Vec<String> = words.collect();
    match answer(&folder, &words) {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("Error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn answer(folder: &Path, words: &[String]) -> Result<String> {
    match std::fs::read_to_string(folder.join("xe.mode")).unwrap_or_default().trim() {
        "" => {}
        "slow" => std::thread::sleep(SLOW),
        "hangs" => loop {
            std::thread::park();
        },
        mode if mode.starts_with("refuses ") => refuse_key(&folder.join("xe.mode"), mode, words)?,
        _ => bail!("Cannot reach the server"),
    }
    let (command, words) = words.split_first().context("Syntax error: no command")?;
    let call = Call::read(words)?;
    let pool = Pool(folder.join("pool.json"));
    match command.as_str() {
        "network-list" => pool.list("networks", &call),
        "pif-list" => pool.list("pifs", &call),
        "network-param-get" => pool.get("networks", &call),
        "host-param-get" => pool.get("hosts", &call),
        "network-create" => pool.create(&call),
        "pool-list" => pool.list("pools", &call),
        "pool-param-get" => pool.get("pools", &call),
        "network-param-set" => pool.set("networks", &call),
        "network-param-add" => pool.add("networks", &call),
        "network-param-remove" => pool.remove("networks", &call),
        "pool-param-add" => pool.add("pools", &call),
        "pool-param-remove" => pool.remove("pools", &call),
        other => bail!("Unknown command: {other}"),
    }
}

/// As where another host's key stood there, which is gone when one looks.
fn refuse_key(file: &Path, mode: &str, words: &[String]) -> Result<()> {
    let left: u32 = mode.trim_start_matches("refuses ").parse()?;
    if !words.first().is_some_and(|command| command.ends_with("-param-add")) {
        return Ok(());
    }
    let then = left.checked_sub(1).filter(|left| *left > 0).map(|left| format!("refuses {left}"));
    std::fs::write(file, then.unwrap_or_default())?;
    bail!("This operation is not valid: the key is already there")
}

/// `name=value …`, and `--minimal`.
struct Call {
    pairs: Vec<(String, String)>,
    minimal: bool,
}

impl Call {
    fn read(words: &[String]) -> Result<Self> {
        let pair = |word: &String| {
            let (name, value) = word.split_once('=').with_context(|| format!("Syntax error: {word}"))?;
            Ok((name.to_owned(), value.to_owned()))
        };
        let pairs = words.iter().filter(|word| *word != "--minimal").map(pair).collect::<Result<_>>()?;
        Ok(Call { pairs, minimal: words.iter().any(|word| word == "--minimal") })
    }

    fn value(&self, name: &str) -> Result<&str> {
        let found = self.pairs.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).with_context(|| format!("Required parameter not found: {name}"))
    }

    /// The pairs that are not among these.
    fn others(&self, known: &[&str]) -> impl Iterator<Item = &(String, String)> {
        self.pairs.iter().filter(move |(name, _)| !known.contains(&name.as_str()))
    }
}

/// The file.
struct Pool(PathBuf);

impl Pool {
    /// Looks at the pool, or changes it, while nobody else does.
    fn with<T>(&self, work: impl FnOnce(&mut Map<String, Value>) -> Result<T>) -> Result<T> {
        let mut file = OpenOptions::new().read(true).write(true).open(&self.0)?;
        File::lock(&file)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let mut pool: Map<String, Value> = serde_json::from_str(&text)?;
        let result = work(&mut pool)?;
        let after = serde_json::to_string_pretty(&pool)?;
        if after != text {
            file.rewind()?;
            file.set_len(0)?;
            file.write_all(after.as_bytes())?;
        }
        Ok(result)
    }

    fn list(&self, class: &str, call: &Call) -> Result<String> {
        let param = call.value("params")?;
        ensure!(call.minimal, "the stand-in lists with --minimal only");
        self.with(|pool| {
            let rows = pool.get(class).and_then(Value::as_object).context("no such class")?;
            let matches = |row: &Value| call.others(&["params"]).all(|(name, value)| row[name] == value.as_str());
            let cell = |(uuid, row): (&String, &Value)| match param {
                "uuid" => Some(uuid.clone()),
                name => row[name].as_str().map(str::to_owned),
            };
            let found: Vec<String> = rows.iter().filter(|(_, row)| matches(row)).filter_map(cell).collect();
            Ok(found.join(","))
        })
    }

    fn get(&self, class: &str, call: &Call) -> Result<String> {
        let name = call.value("param-name")?;
        self.with(|pool| {
            let value = &row(pool, class, call)?[name];
            match (value, call.value("param-key")) {
                (Value::String(text), _) => Ok(text.clone()),
                (Value::Object(map), Ok(key)) => {
                    let value = map.get(key).and_then(Value::as_str);
                    value.map(str::to_owned).with_context(|| format!("Key {key} not found in map"))
                }
                (Value::Object(map), Err(_)) => {
                    let pair =
                        |(key, value): (&String, &Value)| format!("{key}: {}", value.as_str().unwrap_or_default());
                    Ok(map.iter().map(pair).collect::<Vec<_>>().join("; "))
                }
                _ => bail!("Unknown field '{name}'"),
            }
        })
    }

    /// Any number of networks may have one name-label; the bridge's name is the first that is free.
    fn create(&self, call: &Call) -> Result<String> {
        let label = call.value("name-label")?;
        ensure!(call.others(&["name-label", "name-description"]).next().is_none(), "an unknown parameter");
        self.with(|pool| {
            let networks = pool.get_mut("networks").and_then(Value::as_object_mut).context("no networks")?;
            let is_free = |bridge: &String| networks.values().all(|row| row["bridge"] != bridge.as_str());
            let bridge = (0..).map(|n: u32| format!("xapi{n}")).find(is_free).context("no name is free")?;
            let uuid = format!("6f1a9c3e-0b7d-4c58-9c12-{:012}", networks.len());
            networks.insert(uuid.clone(), json!({"name-label": label, "bridge": bridge, "other-config": {}}));
            Ok(uuid)
        })
    }

    fn set(&self, class: &str, call: &Call) -> Result<String> {
        for (name, value) in call.others(&["uuid"]) {
            let key = name.strip_prefix("other-config:").with_context(|| format!("Field '{name}' cannot be set"))?;
            self.with(|pool| Ok(other_config(pool, class, call)?.remove(key).is_some()))?;
            std::thread::sleep(BETWEEN);
            self.add_pair(class, call, key, value)?;
        }
        Ok(String::new())
    }

    fn add(&self, class: &str, call: &Call) -> Result<String> {
        ensure!(call.value("param-name")? == "other-config", "the stand-in adds to other-config only");
        for (key, value) in call.others(&["uuid", "param-name"]) {
            self.add_pair(class, call, key, value)?;
        }
        Ok(String::new())
    }

    fn add_pair(&self, class: &str, call: &Call, key: &str, value: &str) -> Result<()> {
        self.with(|pool| {
            let map = other_config(pool, class, call)?;
            ensure!(!map.contains_key(key), "This operation is not valid: the key {key} is already there");
            map.insert(key.to_owned(), value.into());
            Ok(())
        })
    }

    fn remove(&self, class: &str, call: &Call) -> Result<String> {
        ensure!(call.value("param-name")? == "other-config", "the stand-in removes from other-config only");
        let key = call.value("param-key")?;
        self.with(|pool| Ok(other_config(pool, class, call)?.remove(key)))?;
        Ok(String::new())
    }
}

fn row<'a>(pool: &'a mut Map<String, Value>, class: &str, call: &Call) -> Result<&'a mut Value> {
    let uuid = call.value("uuid")?;
    let found = pool.get_mut(class).and_then(|rows| rows.get_mut(uuid));
    found.with_context(|| format!("The uuid you supplied was invalid. uuid: {uuid}"))
}

fn other_config<'a>(pool: &'a mut Map<String, Value>, class: &str, call: &Call) -> Result<&'a mut Map<String, Value>> {
    row(pool, class, call)?["other-config"].as_object_mut().context("other-config")
}
