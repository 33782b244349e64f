//! Asking before something goes that cannot be had back by an undo: several tunnels, what was there before us, a whole network.
//!
//! What it does: tells what will be gone, and asks on the terminal; where there is none, `--yes` has to say so. What it must not
//! do: decide whether it may go; the daemon does.

use std::io::{self, BufRead, IsTerminal, Write};

use ovstunnel_api::{Bridge, EpochState, PutTunnel};

use super::Failure;
use super::show::printable;
use crate::client::Client;

/// Names that are shown.
const NAMED: usize = 10;

/// Before the complete set of tunnels is given.
pub(super) async fn set_of_tunnels(client: &Client, name: &str, new: &[PutTunnel], yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    // Where nothing can be known of it, the request itself says why.
    let Ok(bridge) = client.bridge(name).await else { return Ok(()) };
    confirm_removals(lost_tunnels(&bridge, new).as_slice(), yes)
}

/// The tunnels that a bridge loses with a new set of them, in words; none where it is not more than one.
pub(super) fn lost_tunnels(bridge: &Bridge, new: &[PutTunnel]) -> Option<String> {
    let stays = |to: &str| new.iter().any(|tunnel| tunnel.to.to_string() == to);
    let gone = bridge.tunnels.iter().filter(|tunnel| !stays(&tunnel.to)).map(|tunnel| tunnel.port.as_str());
    let gone: Vec<&str> = gone.collect();
    (gone.len() > 1).then(|| format!("{} of bridge {}", counted_ports(&gone), bridge.name))
}

/// Before all that goes, in words; where that is nothing, nobody is asked.
pub(super) fn confirm_removals(words: &[String], yes: bool) -> Result<(), Failure> {
    if yes || words.is_empty() { Ok(()) } else { ask_user(&format!("this removes {}", words.join("; "))) }
}

/// Before a bridge is destroyed.
pub(super) async fn end_of_bridge(client: &Client, name: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let Ok(bridge) = client.bridge(name).await else { return Ok(()) };
    match bridge.adopted || bridge.tunnels.len() > 1 {
        true => ask_user(&format!("this removes {}", of_bridge(&bridge))),
        false => Ok(()),
    }
}

/// Before a bridge is released.
pub(super) async fn confirm_release(client: &Client, name: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let Ok(bridge) = client.bridge(name).await else { return Ok(()) };
    ask_user(&format!("this removes {}; the bridge stays and is nobody's", of_bridge(&bridge)))
}

/// Before the recorded epoch is cleared.
pub(super) async fn end_of_epoch(client: &Client, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    // What cannot be read, or is not there, keeps nobody out.
    let Ok(EpochState { zone: Some(zone), epoch: Some(epoch) }) = client.epoch().await else { return Ok(()) };
    ask_user(&format!(
        "this clears epoch {epoch} of zone {zone}: a manager of any zone, and one that leads no more, can write here then"
    ))
}

/// All that goes with a bridge, in words.
pub(super) fn of_bridge(bridge: &Bridge) -> String {
    let ports: Vec<&str> = bridge.tunnels.iter().map(|tunnel| tunnel.port.as_str()).collect();
    let adopted = if bridge.adopted { ", which was there before ovstunnel" } else { "" };
    format!("{} and our marks and flows of bridge {}{adopted}", counted_ports(&ports), bridge.name)
}

fn counted_ports(ports: &[&str]) -> String {
    let shown = ports.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = ports.len().checked_sub(NAMED).filter(|more| *more > 0).map(|more| format!(" and {more} more"));
    match ports {
        [] => "no tunnel".to_owned(),
        [one] => format!("tunnel {one}"),
        several => format!("{} tunnels ({shown}{})", several.len(), more.unwrap_or_default()),
    }
}

fn ask_user(what: &str) -> Result<(), Failure> {
    let what = printable(what);
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(Failure::Usage(format!(
            "{what}: say --yes, for there is no terminal to ask at; nothing was changed"
        )));
    }
    eprint!("{what}. Go on? [y/N] ");
    io::stderr().flush().map_err(Failure::Output)?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(Failure::Output)?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Failure::Declined),
    }
}
