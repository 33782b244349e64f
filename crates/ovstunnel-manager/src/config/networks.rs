//! The sections of the configuration that are about networks: where their keys come from, and by which rules hosts join and leave.
//!
//! What it does: gives each key a type and a default. What it must not do: decide by them; that is `ovstunnel-mesh`'s.

use std::time::Duration;

use ovstunnel_mesh::keys::Ranges;
use ovstunnel_mesh::membership::{Rules, Witness};
use ovstunnel_types::Isolation;
use ovstunnel_types::text::excerpt;
use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};

use super::values;

/// `[[physical_networks]]`: where networks get their keys from, for a database that has no physical network yet. From then on the API
/// changes them and what stands here is only compared: a difference is a warning at start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PhysicalNetwork {
    /// Its name: 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`; each at most once.
    #[serde(deserialize_with = "values::name")]
    pub name: String,
    /// How its networks are told apart: `"GRE"` or `"VLAN"`.
    pub isolation: Isolation,
    /// The keys of its networks: ranges and single numbers such as `"1001-65535,70000-80000"`, from 1 to 2147483647, and to 4096 where the
    /// isolation is not `"GRE"`.
    pub vnet: String,
    /// The device, bridge or network of a host whose address its tunnels end at, where the host has no label of its own.
    #[serde(default, deserialize_with = "values::some_label")]
    pub label: Option<String>,
    /// The same on XenServer and XCP-ng.
    #[serde(default, deserialize_with = "values::some_label")]
    pub label_xen: Option<String>,
    /// The same on all other hosts.
    #[serde(default, deserialize_with = "values::some_label")]
    pub label_kvm: Option<String>,
}

/// `[membership]`: who says that a host has VMs of a network, and when it leaves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Membership {
    /// Whose word counts: `"api"` (NICs that were prepared and released), `"bridges"` (the plugin's last call), `"vifs"` (VIFs that are
    /// plugged), `"cloudstack"` (what CloudStack's API tells, which `[cloudstack]` names). At least one, each once.
    #[serde(deserialize_with = "witnesses")]
    pub witnesses: Vec<String>,
    /// For how long a host stays in a network after the last witness has let go: from `"0s"` to `"1d"`.
    #[serde(deserialize_with = "values::linger", serialize_with = "humantime_serde::serialize")]
    pub linger: Duration,
    /// Once the manager may act: after how long a migration of which nobody said how it ended is settled by where the VIFs are, from `"1m"`
    /// to `"7d"`.
    #[serde(deserialize_with = "values::migration", serialize_with = "humantime_serde::serialize")]
    pub migration: Duration,
}

/// `[network]`: what holds for each network, once the manager may act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkRules {
    /// What a NIC's preparation does while a tunnel is missing: `"continue"` says so and succeeds, `"fail"` fails.
    pub on_failure: OnFailure,
    /// For how long a network without a NIC keeps its key: from `"1m"` to `"30d"`.
    #[serde(deserialize_with = "values::gc", serialize_with = "humantime_serde::serialize")]
    pub gc: Duration,
    /// Of which family the addresses are at which the tunnels of all hosts end: `"ipv4"` or `"ipv6"`.
    pub family: Family,
    /// Whether each host is told the MAC and address of each NIC of its networks, so that its switch answers requests for them where
    /// `[network] answer_neighbours` of its daemon says so. What others have told a host of such a network is replaced.
    pub tell_neighbours: bool,
}

/// Of which family the addresses are at which a zone's tunnels end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// IPv4.
    #[default]
    Ipv4,
    /// IPv6: not for GRE on the kernel's datapath, which carries none of it.
    Ipv6,
}

impl Family {
    /// Its name, in words.
    pub fn word(self) -> &'static str {
        match self {
            Family::Ipv4 => "IPv4",
            Family::Ipv6 => "IPv6",
        }
    }
}

/// What a NIC's preparation does while a tunnel is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// It succeeds, and says what is missing.
    #[default]
    Continue,
    /// It fails.
    Fail,
}

/// `[brakes]`: once the manager may act, how much may be removed in one pass without a question, of what nobody asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Brakes {
    /// The largest share of the zone's tunnels: from 0 to 1.
    #[serde(deserialize_with = "values::share")]
    pub zone: f64,
    /// The largest share of one network's tunnels: from 0 to 1.
    #[serde(deserialize_with = "values::share")]
    pub network: f64,
}

impl Default for Membership {
    fn default() -> Self {
        let witnesses =
            [Witness::Api, Witness::Bridges, Witness::Vifs].map(|witness| witness.as_str().to_owned()).into();
        Membership { witnesses, linger: Duration::from_secs(30), migration: Duration::from_secs(3600) }
    }
}

impl Default for NetworkRules {
    fn default() -> Self {
        NetworkRules {
            on_failure: OnFailure::Continue,
            gc: Duration::from_secs(1200),
            family: Family::Ipv4,
            tell_neighbours: false,
        }
    }
}

impl Default for Brakes {
    fn default() -> Self {
        Brakes { zone: 0.1, network: 0.5 }
    }
}

/// All witnesses that there are.
const WITNESSES: [Witness; 4] = [Witness::Api, Witness::Bridges, Witness::Vifs, Witness::CloudStack];

impl Membership {
    /// Whether what CloudStack's API tells counts.
    pub fn hears_cloudstack(&self) -> bool {
        self.witnesses.iter().any(|word| word == Witness::CloudStack.as_str())
    }

    /// By what the attachment of a host to a network is judged; `dead_after` is that of `[hosts]`, and CloudStack is asked each `interval`.
    pub fn membership_rules(&self, dead_after: Duration, interval: Duration) -> Rules {
        let heard = WITNESSES.into_iter().filter(|witness| self.witnesses.iter().any(|word| word == witness.as_str()));
        // Two readings that fail, and the time that one takes.
        let fresh_cloudstack = interval * 2 + Duration::from_secs(30);
        Rules { witnesses: heard.collect(), linger: self.linger, dead_after, fresh_cloudstack, ..Rules::default() }
    }
}

fn witnesses<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let words = Vec::<String>::deserialize(d)?;
    let rule = "a list of \"api\", \"bridges\", \"vifs\" and \"cloudstack\": at least one, each at most once";
    let is_known = |word: &String| WITNESSES.iter().any(|witness| witness.as_str() == word);
    let is_second = |(n, word): (usize, &String)| words[..n].contains(word);
    match words.iter().enumerate().find(|(n, word)| !is_known(word) || is_second((*n, word))) {
        Some((_, word)) => Err(D::Error::invalid_value(Unexpected::Str(word), &rule)),
        None if words.is_empty() => Err(D::Error::invalid_length(0, &rule)),
        None => Ok(words),
    }
}

pub(super) fn physical_networks<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<PhysicalNetwork>, D::Error> {
    let all = Vec::<PhysicalNetwork>::deserialize(d)?;
    for (n, one) in all.iter().enumerate() {
        if all[..n].iter().any(|other| other.name == one.name) {
            return Err(D::Error::custom(format!("the name `{}` is there twice", one.name)));
        }
        if let Err(bad) = Ranges::parse(&one.vnet, one.isolation) {
            let (name, value) = (&one.name, excerpt(&bad.value));
            return Err(D::Error::custom(format!("vnet of `{name}` {}; got `{value}`", bad.rule)));
        }
    }
    Ok(all)
}
