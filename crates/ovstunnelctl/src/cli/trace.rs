//! `trace`: where a frame comes out of a bridge. Must not judge: what it must come out by, whoever asks knows.

use ovstunnel_api::{AclDecision, FollowedFrame};
use ovstunnel_client::Packet;

use super::args::Trace;
use super::show::Page;
use super::{Failure, Report};
use crate::client::Client;

pub(super) async fn run(client: &Client, args: &Trace, json: bool) -> Result<Report, Failure> {
    let followed = match (args.from_ip, args.to_ip) {
        (Some(from), Some(to)) => {
            let (protocol, to_port) = args.packet.clone().unwrap_or_else(|| ("icmp".to_owned(), None));
            let packet = Packet { from, to, protocol, to_port };
            client.trace_packet(&args.bridge, &args.port, (&args.source, &args.destination), &packet).await?
        }
        _ => client.trace(&args.bridge, &args.port, &args.source, &args.destination).await?,
    };
    let is_lost = followed.outs.as_ref().is_none_or(Vec::is_empty);
    Ok(Report::new(json, &followed, trace_page)?.wrong_if(is_lost))
}

fn trace_page(followed: &FollowedFrame) -> Page {
    let mut page = Page::new();
    let times = |n: u32| if n == 1 { String::new() } else { format!(" ({n} times)") };
    let outs = match &followed.outs {
        None => "what Open vSwitch answers is not understood".to_owned(),
        Some(outs) if outs.is_empty() => "nowhere".to_owned(),
        Some(outs) => {
            let names: Vec<String> = outs.iter().map(|out| format!("{}{}", out.port, times(out.times))).collect();
            names.join(", ")
        }
    };
    let flooded = if followed.flooded { "yes: its destination was not learnt" } else { "no" };
    page.pairs(&[
        ("Frame", followed.frame.clone()),
        ("Comes out by", outs),
        ("To all ports", flooded.to_owned()),
        ("Open vSwitch", followed.evidence.clone()),
    ]);
    for AclDecision { tier, direction, acl, item, passes } in &followed.acl {
        let acl = acl.as_ref().map_or_else(|| "no ACL".to_owned(), |acl| format!("ACL {acl}"));
        let item = item.map_or_else(|| "no item is about it".to_owned(), |item| format!("item {item} decides"));
        let what = if *passes { "it passes" } else { "it is dropped" };
        page.line(format!("Tier {tier}, {}, {acl}: {item}, and {what}.", direction.as_str()));
    }
    if !followed.unresolved.is_empty() {
        let hosts = followed.unresolved.join(", ");
        page.line(format!(
            "The Ethernet address of {hosts} is not known at this moment: what goes there is not listed."
        ));
    }
    page
}
