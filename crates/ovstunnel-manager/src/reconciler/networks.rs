//! Bridges that xapi has: where a network has none on such a host, its daemon has xapi make the network.
//!
//! What it must not do: hold up anything else of the host or of the network: `xe` takes seconds, and with a busy pool minutes.

use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;
use tokio::time::Instant;

use super::attempts::Result;
use super::send::error_reason;
use super::{AGAIN, Reconciler, Work};
use crate::hosts::By;
use crate::zone::Happened;

impl Reconciler {
    /// Begins to have networks made on hosts that can and that are not at it.
    pub(super) fn make_networks(&self, wanted: Vec<(GreKey, HostNumber)>, work: &mut Work, now: Instant) {
        for (key, host) in wanted.into_iter().filter(|(_, host)| self.0.zone.makes_networks(*host)) {
            let connection = self.0.writers.connection_count(host);
            let mut state = self.lock_state();
            match state.attempts.next_attempt(key, host, &[], connection, now) {
                Some(at) => drop(work.due.insert(key, at)),
                None if state.making.insert((key, host)) => {
                    drop(state);
                    work.jobs.spawn(self.clone().make_network(key, host, connection));
                }
                None => drop(work.due.insert(key, now + AGAIN)),
            }
        }
    }

    async fn make_network(self, key: GreKey, host: HostNumber, connection: u64) {
        let network = self.0.zone.network_name(key);
        let sender = self.sender_for(&network, host);
        let (command, name, id) = ("OvsSetupBridge", &sender.name, &sender.request_id);
        let made = self.put_network(key, host, id).await;
        let (result, text) = match made {
            Ok(bridge) => {
                tracing::info!(
                    event = "sent",
                    command,
                    network,
                    host = name,
                    request_id = id,
                    "PUT /v1/networks/{key} on host {name}: bridge {bridge}"
                );
                let text = format!("networks: {name}: bridge {bridge} of xapi's");
                match bridge.parse() {
                    Ok(bridge) => {
                        self.0.zone.record_bridge(key, host, bridge);
                        (Result::default(), text)
                    }
                    Err(invalid) => (Result::all_failed(invalid.to_string()), text),
                }
            }
            Err(why) => {
                tracing::warn!(
                    event = "not_sent",
                    command,
                    network,
                    host = name,
                    request_id = id,
                    "PUT /v1/networks/{key} on host {name}: {why}"
                );
                let text = format!("networks: {name}: none of xapi's: {why}");
                (Result::all_failed(why), text)
            }
        };
        let is_news = {
            let mut state = self.lock_state();
            state.making.remove(&(key, host));
            state.asked.insert(key);
            state.attempts.record_result(key, host, Vec::new(), connection, result)
        };
        if is_news {
            let happened = Happened::new(OffsetDateTime::now_utc(), "reconciled", text);
            self.0.zone.send_event(Happened { network: Some(network.clone()), ..happened });
        }
        self.0.wake.notify_one();
    }

    async fn put_network(&self, key: GreKey, host: HostNumber, id: &str) -> std::result::Result<String, String> {
        let epoch = self.0.leader.epoch()?;
        let client = self.0.writers.client_of(host).ok_or("it cannot be written to now")?;
        let by = By { epoch, request_id: id.to_owned() };
        client.make_network(&by, key, host).await.map_err(|error| error_reason(&error))
    }
}
