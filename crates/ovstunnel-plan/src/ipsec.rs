//! What the switch's own row has for the encryption of all tunnels, and who put it there.
//!
//! What it does: the edits that bring it to what is configured, with a mark that says which keys were not there before us
//! (docs/adr/0057-ipsec-with-a-guard.md). What it must not do: touch a key that somebody else has set, or know of tunnels.

use std::collections::BTreeSet;

use crate::{BridgePlan, Plan, Settings, Step, SwitchEdit, View, ids};

/// A key of the switch's `other_config` that somebody else has set to something else than what encryption needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InTheWay {
    /// The key.
    pub key: &'static str,
    /// What it is.
    pub there: String,
    /// What it should be.
    pub wanted: String,
}

/// The keys of the switch's `other_config` that are ours.
fn recorded_keys(view: &dyn View) -> BTreeSet<String> {
    let mark = view.switch_id(ids::IPSEC).unwrap_or_default();
    mark.split_whitespace().map(str::to_owned).collect()
}

/// What keeps the configured encryption from being what it should be.
pub fn ipsec_in_the_way(view: &dyn View, settings: &Settings) -> Vec<InTheWay> {
    let ours = recorded_keys(view);
    let wanted = settings.tunnel_options.ipsec.switch_config().into_iter();
    let others = wanted.filter(|(key, _)| !ours.contains(*key));
    let differs = |(key, wanted): (&'static str, String)| {
        let there = view.switch_config(key).filter(|there| *there != wanted)?;
        Some(InTheWay { key, there, wanted })
    };
    others.filter_map(differs).collect()
}

/// The edits of the switch's own row.
fn switch_edits(view: &dyn View, settings: &Settings) -> Vec<SwitchEdit> {
    let ours = recorded_keys(view);
    let wanted = settings.tunnel_options.ipsec.switch_config();
    let (mut edits, mut mark) = (Vec::new(), BTreeSet::new());
    for (key, value) in &wanted {
        let there = view.switch_config(key);
        if ours.contains(*key) || there.is_none() {
            mark.insert((*key).to_owned());
            edits.extend(
                (there.as_ref() != Some(value)).then(|| SwitchEdit::SetConfig((*key).to_owned(), value.clone())),
            );
        }
    }
    let left_over = ours.iter().filter(|key| !mark.contains(*key) && view.switch_config(key).is_some());
    edits.extend(left_over.cloned().map(SwitchEdit::DropConfig));
    if mark != ours {
        let words = mark.into_iter().collect::<Vec<_>>().join(" ");
        edits.push(match words.is_empty() {
            true => SwitchEdit::DropId(ids::IPSEC.to_owned()),
            false => SwitchEdit::SetId(ids::IPSEC.to_owned(), words),
        });
    }
    edits
}

impl Plan {
    /// With what the switch's own row needs: the guard is there before a tunnel goes by it, and goes after none does any more.
    #[must_use]
    pub fn with_switch_row(self, view: &dyn View, settings: &Settings) -> Plan {
        let edits = switch_edits(view, settings);
        if edits.is_empty() {
            return self;
        }
        let own = BridgePlan { database: vec![Step::EditSwitch(edits)], ..BridgePlan::for_bridge("") };
        match settings.tunnel_options.ipsec.is_on() {
            true => std::iter::once(own).chain(self).collect(),
            false => self.into_iter().chain([own]).collect(),
        }
    }
}
