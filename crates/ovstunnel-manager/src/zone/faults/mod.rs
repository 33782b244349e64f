//! What is wrong in the zone, each cause once, since when, and what to do about it.
//!
//! What it does: looks through what the proofs found and what hosts say of themselves, again and again, and remembers since when each
//! thing stands. What it must not do: ask a host, or judge what was found: where it comes from is `ovstunnel_mesh::faults`.

mod patience;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_manager_api::{Fault, FaultList, Trouble};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::faults::{self, Shape, Symptom};
use ovstunnel_mesh::proof::{Finding, What};
use ovstunnel_types::{GreKey, HostNumber};
use time::OffsetDateTime;

use super::wire::{rounded_seconds, saturating_u32};
use super::{Happened, SETTLING, State, Zone};

/// How often it is looked at least.
const LOOKING: Duration = Duration::from_secs(2);

/// The time between two looks at least.
const REST: Duration = Duration::from_millis(300);

/// Faults that are told of as events in one look; more are counted.
const TOLD: usize = 20;

/// A finding, without its words.
type Sign = (GreKey, What, HostNumber, Option<HostNumber>);

/// What is wrong with a host by its own words, without them.
type HostSign = (HostNumber, String);

/// What is wrong, as it was found in the last look.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// Since when each finding stands.
    signs: BTreeMap<Sign, Moment>,
    /// Since when each trouble of a host stands.
    troubles: BTreeMap<HostSign, Moment>,
    found: Vec<Found>,
    looked: Option<Moment>,
    /// When the manager had its first picture of all hosts.
    pictured: Option<Moment>,
    /// How many are not told, for a host is worked at.
    silenced: usize,
}

/// A fault, and the networks that it concerns.
#[derive(Clone, Debug)]
struct Found {
    fault: Fault,
    keys: BTreeSet<GreKey>,
}

/// Which faults are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wrong {
    /// Only those at this host, or at its tunnels.
    pub host: Option<String>,
    /// Only those that concern the network with this key.
    pub key: Option<GreKey>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// So many at most.
    pub limit: usize,
}

impl Wrong {
    fn includes_fault(&self, found: &Found) -> bool {
        let place = &found.fault.place;
        let is_at = |host: &String| place.host.as_ref() == Some(host) || place.peer.as_ref() == Some(host);
        self.host.as_ref().is_none_or(is_at)
            && self.key.is_none_or(|key| found.keys.contains(&key))
            && self.kind.as_ref().is_none_or(|kind| found.fault.kind == *kind)
    }
}

/// What stands for long enough to be told.
struct Standing {
    findings: Vec<(GreKey, Finding, Moment)>,
    /// What stands for as long, and cannot be mended yet: it is no news, and stays told where it was.
    held: Vec<(GreKey, Finding, Moment)>,
    troubles: Vec<(HostNumber, Trouble, Moment)>,
    shape: Shape,
    /// Whether something is to be told soon, though nothing changes.
    is_waiting: bool,
}

impl State {
    /// All findings of networks that are not whole.
    fn all_findings(&self) -> impl Iterator<Item = (GreKey, &Finding)> {
        self.networks.iter().filter(|(_, known)| !known.proof.is_whole()).flat_map(|(key, known)| {
            // Of what only all hosts together tell there is one for each host, and the proof has it.
            let together = |finding: &&Finding| {
                matches!(finding.what, What::Ipv6Mixed | What::KindMixed | What::MtuMixed | What::MtuSmall)
            };
            let whole = known.proof.findings.iter().filter(together);
            self.prover.findings_of(known.mesh.network).chain(whole).map(|finding| (*key, finding))
        })
    }

    fn standing_faults(&mut self, now: Moment) -> Standing {
        self.note_first_picture(now);
        let (mut signs, mut findings, mut held, mut is_waiting) = (BTreeMap::new(), Vec::new(), Vec::new(), false);
        let proven = self.all_findings().map(|(key, finding)| (key, finding.clone(), None));
        // A session takes its time to begin, and to be told.
        let patience = |is_certain| if is_certain { self.settling_time(false) } else { SETTLING };
        let by_bfd = self
            .bfd_findings()
            .into_iter()
            .map(|(key, finding, is_certain)| (key, finding, Some(patience(is_certain))));
        let on_wire = Some(self.settling_time(false));
        let swept = self.all_swept(now).map(|(key, finding)| (key, finding.clone(), on_wire));
        let counted = self.all_counted().into_iter().map(|(key, finding)| (key, finding, on_wire));
        for (key, finding, patience) in proven.chain(by_bfd).chain(swept).chain(counted) {
            let sign = (key, finding.what, finding.host, finding.to);
            let since = self.faults.signs.get(&sign).copied().unwrap_or(now);
            signs.insert(sign, since);
            let patience = match patience {
                Some(given) => Some((given, since)),
                None => self.patience_with(key, &finding, since),
            };
            if patience.is_some_and(|(patience, counts)| now.since(counts) >= patience) {
                findings.push((key, finding, since));
                continue;
            }
            is_waiting = true;
            if now.since(since) >= self.settling_time(false) {
                held.push((key, finding, since));
            }
        }
        self.faults.signs = signs;
        let troubles = self.standing_troubles(now, &mut is_waiting);
        let racks = self.hosts.values().filter_map(|host| Some((host.row.number, host.row.rack.as_deref()?)));
        let is_empty = findings.is_empty() && held.is_empty();
        let meshes = self.networks.values().filter(|_| !is_empty).map(|known| &known.mesh);
        Standing { findings, held, troubles, shape: Shape::new(meshes, racks), is_waiting }
    }

    /// Whether a finding has stood, when it was last looked for, for as long as a session takes to begin.
    pub(super) fn has_settled(&self, finding: &Finding, now: Moment) -> bool {
        let is_it = |(_, what, host, to): &Sign| (*what, *host, *to) == (finding.what, finding.host, finding.to);
        self.faults.signs.iter().any(|(sign, since)| is_it(sign) && now.since(*since) >= SETTLING)
    }

    /// What hosts say of themselves for long enough.
    fn standing_troubles(&mut self, now: Moment, is_waiting: &mut bool) -> Vec<(HostNumber, Trouble, Moment)> {
        let (mut signs, mut troubles) = (BTreeMap::new(), Vec::new());
        for (number, host) in &self.hosts {
            for trouble in host.all_troubles(self.bridges_of(*number), &self.missed_networks(*number)) {
                let sign = (*number, trouble.kind.clone());
                let since = self.faults.troubles.get(&sign).copied().unwrap_or(now);
                signs.insert(sign, since);
                match now.since(since) >= self.settling_time(!host.is_connected()) {
                    true => troubles.push((*number, trouble, since)),
                    false => *is_waiting = true,
                }
            }
        }
        self.faults.troubles = signs;
        troubles
    }
}

impl State {
    /// Whether a fault is at a host that is worked at, or at a tunnel of it.
    fn is_silenced(&self, found: &Found, now: OffsetDateTime) -> bool {
        let place = &found.fault.place;
        let hosts = [&place.host, &place.peer].into_iter().flatten();
        let hosts = hosts.filter_map(|name| self.hosts.get(self.names.get(name)?));
        hosts.into_iter().any(|host| host.maintenance_until(now).is_some())
    }
}

impl Zone {
    /// Faults of a host are not told until then, or are told.
    pub fn set_maintenance(&self, number: HostNumber, until: Option<OffsetDateTime>) {
        if let Some(host) = self.lock_state().hosts.get_mut(&number) {
            host.maintenance = until;
        }
    }

    /// What is wrong, each cause once, the worst first.
    pub fn faults(&self, wanted: &Wrong) -> FaultList {
        let (now, state) = (self.now(), self.lock_state());
        let found: Vec<&Found> = state.faults.found.iter().filter(|found| wanted.includes_fault(found)).collect();
        FaultList {
            total: saturating_u32(found.len()),
            faults: found.into_iter().take(wanted.limit).map(|found| found.fault.clone()).collect(),
            silenced: saturating_u32(state.faults.silenced),
            age: state.faults.looked.map(|looked| rounded_seconds(now.since(looked))),
        }
    }

    /// How many faults are told, and how many are not since a host is worked at.
    pub fn fault_counts(&self) -> (u32, u32) {
        let state = self.lock_state();
        (saturating_u32(state.faults.found.len()), saturating_u32(state.faults.silenced))
    }

    /// Looks for what is wrong, again and again. Ends with the task that it runs in.
    pub async fn keep_faults(self) {
        let mut pulse = self.0.pulse.subscribe();
        loop {
            let is_waiting = self.look_for_faults(self.now());
            tokio::time::sleep(REST).await;
            if !is_waiting {
                let _ = tokio::time::timeout(LOOKING, pulse.changed()).await;
            }
        }
    }

    /// Looks for what is wrong. Whether something is to be told soon, though nothing changes.
    pub fn look_for_faults(&self, now: Moment) -> bool {
        let standing = self.lock_state().standing_faults(now);
        let mut symptoms: Vec<Symptom<'_>> = standing.findings.iter().map(symptom_of).collect();
        // Without the lock: where much is wrong this takes its time.
        let causes = faults::find_faults(&symptoms, &standing.shape);
        symptoms.extend(standing.held.iter().map(symptom_of));
        let with_held = (!standing.held.is_empty()).then(|| faults::find_faults(&symptoms, &standing.shape));
        let told = self.told_faults(causes, with_held.unwrap_or_default(), &standing, now);
        let is_waiting = standing.is_waiting;
        told.into_iter().for_each(|happened| self.send_event(happened));
        is_waiting
    }

    /// Keeps what was found, and gives what is news of it.
    fn told_faults(
        &self,
        causes: Vec<faults::Fault>,
        with_held: Vec<faults::Fault>,
        standing: &Standing,
        now: Moment,
    ) -> Vec<Happened> {
        let at = OffsetDateTime::now_utc();
        let mut state = self.lock_state();
        let mut all = state.faults_on_the_wire(causes, standing, self.origin());
        let new: BTreeSet<String> = all.iter().map(|found| found.fault.id.clone()).collect();
        let was_told = |one: &Found| state.faults.found.iter().any(|before| before.fault.id == one.fault.id);
        let held = state.faults_on_the_wire(with_held, standing, self.origin()).into_iter();
        all.extend(held.filter(|one| !new.contains(&one.fault.id) && was_told(one)));
        let (silenced, found): (Vec<_>, Vec<_>) = all.into_iter().partition(|found| state.is_silenced(found, at));
        state.faults.silenced = silenced.len();
        let before = std::mem::replace(&mut state.faults.found, found);
        state.faults.looked = Some(now);
        let ids = |faults: &[Found]| faults.iter().map(|found| found.fault.id.clone()).collect::<BTreeSet<_>>();
        let (old, new) = (ids(&before), ids(&state.faults.found));
        let come = state.faults.found.iter().map(|found| &found.fault).filter(|fault| !old.contains(&fault.id));
        let gone = before.iter().map(|found| &found.fault).filter(|fault| !new.contains(&fault.id));
        let come: Vec<_> = come.map(|fault| fault_event(at, "fault_found", fault)).collect();
        let gone: Vec<_> = gone.map(|fault| fault_event(at, "fault_gone", fault)).collect();
        [come, gone].into_iter().flat_map(|news| limit_events(at, news)).collect()
    }
}

fn symptom_of((key, finding, since): &(GreKey, Finding, Moment)) -> Symptom<'_> {
    Symptom { key: *key, finding, since: *since }
}

fn fault_event(at: OffsetDateTime, kind: &'static str, fault: &Fault) -> Happened {
    let place = &fault.place;
    let text = format!("{}: {}", fault.id, fault.evidence);
    Happened { host: place.host.clone(), network: place.network.clone(), ..Happened::new(at, kind, text) }
}

/// Not more of them than somebody reads.
fn limit_events(at: OffsetDateTime, mut news: Vec<Happened>) -> Vec<Happened> {
    let more = news.len().saturating_sub(TOLD);
    let kind = news.first().map(|first| first.kind);
    news.truncate(TOLD);
    let rest = kind.filter(|_| more > 0);
    news.extend(
        rest.map(|kind| {
            Happened::new(at, kind, format!("{more} more; `ovstunnelctl zone faults` lists those there are"))
        }),
    );
    news
}

#[cfg(test)]
mod tests;
