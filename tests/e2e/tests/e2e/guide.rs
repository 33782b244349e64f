//! The pages of the guide that show commands and answers: each command is run on a real switch, each answer compared.
//!
//! What a page may have: ```` ```sh ```` blocks, run by bash one after the other in one shell, and behind one of them a
//! ```` ```json ```` or ```` ```text ```` block, its answer. In JSON `"…"` stands for any value, and for any object or list.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use ovstunnel_e2e::{Cloud, ask};
use serde_json::Value;

/// The socket that the pages name.
const SOCKET: &str = "/run/ovstunnel/ovstunneld.sock";

/// Printed between the outputs of two blocks.
const SEPARATOR: &str = "\u{1}";

fn page(name: &str) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide").join(name);
    std::fs::read_to_string(&file).with_context(|| file.display().to_string())
}

/// A block of a page: its language and its text.
struct Block<'a>(&'a str, &'a str);

/// The fenced blocks of a page. A block without a language is only shown.
fn blocks(page: &str) -> Vec<Block<'_>> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.filter_map(|block| block.split_once('\n')).map(|(language, text)| Block(language, text)).collect()
}

/// All commands in one shell, with what each block printed.
fn run(commands: &[&str], socket: &Path) -> Result<Vec<String>> {
    let script: String = commands.iter().map(|command| format!("{command}\nprintf '\\1'\n")).collect();
    ensure!(script.contains(SOCKET), "no command names {SOCKET}");
    let script = script.replace(SOCKET, &socket.display().to_string());
    let output = Command::new("bash").args(["-u", "-c", &script]).output().context("bash")?;
    let stdout = String::from_utf8(output.stdout)?;
    let mut printed: Vec<String> = stdout.split(SEPARATOR).map(str::to_owned).collect();
    ensure!(printed.pop().as_deref() == Some(""), "the script ended early: {stdout}");
    ensure!(printed.len() == commands.len(), "{stdout} {}", String::from_utf8_lossy(&output.stderr));
    Ok(printed)
}

/// Whether an answer must have a key: how tunnels leave is known a moment after the first of them.
fn is_due(key: &str, answer: &serde_json::Map<String, Value>) -> bool {
    key != "max_guest_mtu" || answer.contains_key(key)
}

/// What of `answer` is not as `shown`.
fn differences(place: &str, shown: &Value, answer: &Value, found: &mut Vec<String>) {
    match (shown, answer) {
        (Value::String(any), _) if any == "…" => {}
        // They follow the host's own addresses, a moment after a tunnel that is the first to need them.
        _ if place.ends_with(".flows") || place.ends_with(".health") => {}
        (Value::Object(shown), Value::Object(answer))
            if shown.keys().filter(|key| is_due(key, answer)).eq(answer.keys()) =>
        {
            let shown = shown.iter().filter(|(key, _)| answer.contains_key(*key));
            shown.for_each(|(key, value)| differences(&format!("{place}.{key}"), value, &answer[key], found));
        }
        (Value::Array(shown), Value::Array(answer)) if shown.len() == answer.len() => {
            let pairs = shown.iter().zip(answer).enumerate();
            pairs.for_each(|(n, (shown, answer))| differences(&format!("{place}[{n}]"), shown, answer, found));
        }
        _ if shown == answer => {}
        _ => found.push(format!("{place}: the page has {shown}, the answer {answer}")),
    }
}

fn compare(command: &str, Block(language, shown): &Block, answer: &str) -> Result<()> {
    match *language {
        "text" => ensure!(shown.trim() == answer.trim(), "{command}: the page has {shown}, the answer {answer}"),
        "json" => {
            let shown = serde_json::from_str(shown).with_context(|| format!("the page shows {shown}"))?;
            let answer = serde_json::from_str(answer).with_context(|| format!("{command} answered {answer}"))?;
            let mut found = Vec::new();
            differences("answer", &shown, &answer, &mut found);
            ensure!(found.is_empty(), "{command}: {}", found.join("\n"));
        }
        other => bail!("a block of {other}"),
    }
    Ok(())
}

/// Runs a page's commands and compares; returns how many answers were compared.
fn follow(name: &str, socket: &Path) -> Result<usize> {
    let page = page(name)?;
    let blocks = blocks(&page);
    let is_command = |block: &Block| block.0 == "sh";
    let commands: Vec<&str> = blocks.iter().filter(|block| is_command(block)).map(|block| block.1).collect();
    let printed = run(&commands, socket)?;
    let places: Vec<usize> = (0..blocks.len()).filter(|place| is_command(&blocks[*place])).collect();
    let answered = places.iter().zip(&printed).filter_map(|(place, answer)| {
        let shown = blocks.get(place + 1).filter(|next| !next.0.is_empty() && !is_command(next))?;
        Some(compare(blocks[*place].1, shown, answer))
    });
    let results: Vec<Result<()>> = answered.collect();
    let count = results.len();
    results.into_iter().collect::<Result<Vec<()>>>()?;
    Ok(count)
}

/// The routes of the description that a page does not name as `METHOD /path`.
fn missing_routes(description: &Value, page: &str) -> Vec<String> {
    let paths = description["paths"].as_object().into_iter().flatten();
    let routes = paths.flat_map(|(path, methods)| {
        let methods = methods.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase());
        methods.filter(|method| method != "PARAMETERS").map(move |method| format!("`{method} {path}`"))
    });
    routes.filter(|route| !page.contains(route.as_str())).collect()
}

#[test]
fn the_page_of_the_api_shows_every_route_and_what_it_answers() -> Result<()> {
    let cloud = Cloud::new("guide", 1)?;
    let node = cloud.node(1)?;
    let (status, description) = ask(node, "GET", "/openapi.json")?;
    ensure!(status == 200, "{status}");
    assert_eq!(missing_routes(&description, &page("api.md")?), Vec::<String>::new());
    assert!(follow("api.md", &node.socket())? >= 14);
    Ok(())
}
