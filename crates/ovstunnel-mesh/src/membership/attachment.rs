//! The attachment of a host to a network: joins by one word, leaves by none against it and one fresh word for it, after a while.
//!
//! What it does: judges what witnesses say. What it must not do: let a host leave because nobody can tell.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Says, Testimony, Witness};
use crate::Moment;

/// By what is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Who is heard. What others say is not.
    pub witnesses: BTreeSet<Witness>,
    /// How long a host stays after the last witness has let go.
    pub linger: Duration,
    /// Up to which age an *out* counts: a host that has not been heard of for longer may have a VM since.
    pub fresh: Duration,
    /// The same of what CloudStack's API told, which is not asked all the time.
    pub fresh_cloudstack: Duration,
    /// Up to which age an *in* counts: a host that was silent for longer is taken for dead, and cannot tell.
    pub dead_after: Duration,
    /// After how long a disagreement is shown.
    pub shown_after: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            witnesses: [Witness::Api, Witness::Bridges, Witness::Vifs].into(),
            linger: Duration::from_secs(30),
            // A host gives a sign of life every 2 s.
            fresh: Duration::from_secs(10),
            fresh_cloudstack: Duration::from_secs(150),
            dead_after: Duration::from_secs(600),
            shown_after: Duration::from_secs(60),
        }
    }
}

/// How a host stands to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Attachment {
    /// It is not in the network's mesh.
    Out,
    /// It is.
    In,
    /// It still is; nobody has wanted it since.
    Lingering {
        /// Since when.
        since: Moment,
    },
}

impl Attachment {
    /// How to begin where nothing is remembered: a host that has anything of the network, or to which a tunnel of it leads, is in
    /// until there is a word against it.
    pub fn from_sight(has_anything: bool) -> Attachment {
        if has_anything { Attachment::In } else { Attachment::Out }
    }

    /// Whether the host belongs to the mesh.
    pub fn is_in_mesh(self) -> bool {
        self != Attachment::Out
    }
}

/// Why a host stands to a network as it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// This witness says that it has VMs of it.
    SaidIn(Witness),
    /// This witness says that it has none, and nobody says otherwise.
    SaidOut(Witness),
    /// Nobody can tell now.
    NobodyKnows,
}

/// How a host stands to a network from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// How it stands.
    pub attachment: Attachment,
    /// Why.
    pub because: Because,
    /// When to judge again though nobody says anything new: the end of the lingering.
    pub again_at: Option<Moment>,
    /// Whether a witness says that it has VMs, and another one that it has none.
    pub disagree: bool,
    /// Since when witnesses contradict each other, where that is for longer than is normal.
    pub disagree_since: Option<Moment>,
}

/// Judges a host's attachment to a network. Of each witness one testimony at most is expected; one that is not there cannot tell.
pub fn judge_attachment(before: Attachment, testimonies: &[Testimony], rules: &Rules, now: Moment) -> Judgement {
    let counted = counted_testimonies(testimonies, rules, now);
    let first = |says: Says| counted.iter().filter(move |t| t.says == says).min_by_key(|t| (t.since, t.witness));
    let (said_in, said_out) = (first(Says::In), first(Says::Out));
    let (attachment, because) = match (said_in, said_out) {
        (Some(said), _) => (Attachment::In, Because::SaidIn(said.witness)),
        (None, Some(said)) => (let_go(before, rules, now), Because::SaidOut(said.witness)),
        (None, None) => (keep_attachment(before), Because::NobodyKnows),
    };
    let disagree_since = match (said_in, said_out) {
        (Some(a), Some(b)) => Some(a.since.max(b.since)).filter(|since| now.since(*since) > rules.shown_after),
        _ => None,
    };
    let again_at = match attachment {
        Attachment::Lingering { since } => Some(since + rules.linger),
        _ => None,
    };
    Judgement { attachment, because, again_at, disagree: said_in.is_some() && said_out.is_some(), disagree_since }
}

/// What counts of what witnesses say.
fn counted_testimonies<'a>(testimonies: &'a [Testimony], rules: &Rules, now: Moment) -> Vec<&'a Testimony> {
    let heard = testimonies.iter().filter(|testimony| rules.witnesses.contains(&testimony.witness));
    heard.filter(|testimony| testimony_counts(testimony, rules, now)).collect()
}

/// What counts of what witnesses say, where one says *in* and another one *out*; nothing where they agree.
pub fn contradicting(testimonies: &[Testimony], rules: &Rules, now: Moment) -> Vec<Testimony> {
    let counted = counted_testimonies(testimonies, rules, now);
    let says = |word: Says| counted.iter().any(|testimony| testimony.says == word);
    if says(Says::In) && says(Says::Out) { counted.into_iter().copied().collect() } else { Vec::new() }
}

/// Whether what a witness said is young enough to count for what it is.
fn testimony_counts(testimony: &Testimony, rules: &Rules, now: Moment) -> bool {
    let age = now.since(testimony.as_of);
    match testimony.says {
        Says::In => age <= rules.dead_after,
        Says::Out if testimony.witness == Witness::CloudStack => age <= rules.fresh_cloudstack,
        Says::Out => age <= rules.fresh,
        Says::Unknown => false,
    }
}

fn let_go(before: Attachment, rules: &Rules, now: Moment) -> Attachment {
    let since = match before {
        Attachment::Out => return Attachment::Out,
        Attachment::In => now,
        Attachment::Lingering { since } => since,
    };
    match now.since(since) >= rules.linger {
        true => Attachment::Out,
        false => Attachment::Lingering { since },
    }
}

/// Nobody can tell: no host joins, none leaves, and a lingering begins anew.
fn keep_attachment(before: Attachment) -> Attachment {
    match before {
        Attachment::Out => Attachment::Out,
        Attachment::In | Attachment::Lingering { .. } => Attachment::In,
    }
}
