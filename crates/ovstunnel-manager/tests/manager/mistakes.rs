//! Fifty mistakes, planted in a zone whose VMs go on: nothing of theirs goes without somebody's word. The manager's own code decides.

mod plant;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::sim::{Setup, World};
use plant::Among::{All, Each, Four, Half, One};
use plant::Mistake;
use plant::Plant::*;
use plant::Run::{ByHand, Plugin, Told};
use plant::Size::{Large, Medium, Small};

/// By what a mistake is kept from harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopped {
    /// Nothing is even to go: a witness, a partial picture or a refusal stands against it.
    Never,
    /// The brakes stop it.
    Brakes,
    /// It comes host by host, and the brakes stop it at the fourth.
    AtTheFourth,
    /// It is asked for all that would go.
    Asked,
}
use Stopped::{Asked, AtTheFourth, Brakes, Never};

/// The mistakes; `blind` are those in a zone whose daemons know no VIF, so that no host can refuse.
fn mistakes() -> Vec<(Mistake, Stopped)> {
    let seeing = |plant, run, size, stopped| (Mistake { plant, run, size, is_blind: false }, stopped);
    let blind = |plant, run, size, stopped| (Mistake { plant, run, size, is_blind: true }, stopped);
    vec![
        // The database.
        seeing(NicsLost(All), Told, Small, Never),
        seeing(NicsLost(All), Told, Large, Never),
        seeing(NicsLost(Half), Told, Medium, Never),
        seeing(NicsLost(One), Told, Medium, Never),
        blind(NicsLost(All), Told, Small, Brakes),
        blind(NicsLost(All), Told, Medium, Brakes),
        blind(NicsLost(All), Told, Large, Brakes),
        blind(NicsLost(Half), Told, Medium, Brakes),
        blind(NicsLost(Half), Told, Large, Brakes),
        blind(NicsLost(Four), Told, Large, Brakes),
        blind(NicsOnOneHost, Told, Medium, Brakes),
        blind(NicsOnOneHost, Told, Large, Brakes),
        seeing(EmptyDatabase, Told, Medium, Never),
        blind(EmptyDatabase, Told, Large, Never),
        blind(EmptyDatabase, Plugin, Medium, Never),
        seeing(OldBackup, Told, Medium, Never),
        blind(OldBackup, Told, Medium, Asked),
        seeing(BackupWithoutNetwork, Told, Large, Never),
        blind(BackupWithoutNetwork, Told, Large, Asked),
        // The configuration.
        seeing(OnlyVifs, Told, Medium, Never),
        blind(OnlyVifs, Told, Small, Brakes),
        blind(OnlyVifs, Told, Large, Brakes),
        blind(OnlyVifs, Plugin, Medium, Never),
        blind(WithoutApi, Told, Medium, Brakes),
        blind(OnlyBridges, Told, Medium, Never),
        blind(OnlyApi, Plugin, Large, Never),
        blind(NoLingerAndNicsLost, Told, Medium, Brakes),
        blind(OffAndOn, Told, Small, Asked),
        blind(OffAndOn, Told, Large, Asked),
        // What hosts say.
        seeing(Empty(Half), Told, Medium, Never),
        seeing(Empty(All), Told, Small, Never),
        seeing(Empty(Half), Plugin, Medium, Never),
        blind(Empty(Half), Told, Large, Never),
        blind(Empty(Each), Plugin, Medium, Never),
        seeing(NoTunnels(Half), Told, Large, Never),
        seeing(OtherHostIds(Half), Told, Medium, Never),
        seeing(GoBlind(Half), Told, Medium, Never),
        seeing(GoBlind(All), Plugin, Medium, Never),
        seeing(NicsLostAndGoBlind(Half), Told, Medium, Brakes),
        seeing(NicsLostAndGoBlind(Each), Told, Large, AtTheFourth),
        blind(Silent(Half), Told, Medium, Never),
        blind(Silent(All), Plugin, Large, Never),
        seeing(PluginDestroysAll, Plugin, Medium, Never),
        // Labels and addresses.
        seeing(NoLabel(Half), Told, Medium, Never),
        blind(NoLabel(All), Plugin, Large, Never),
        seeing(WrongLabel(All), Told, Medium, Brakes),
        blind(WrongLabel(Half), Plugin, Large, Brakes),
        seeing(WrongLabel(Each), Told, Medium, AtTheFourth),
        seeing(OneAddress, Told, Medium, Never),
        // Orders.
        blind(AdoptedWithOneNic, ByHand, Medium, Brakes),
        seeing(AdoptedWithOneNic, ByHand, Large, Never),
        blind(HostsRemoved(Half), Plugin, Medium, Never),
        blind(HalfCorrected, Told, Small, Brakes),
        blind(RefusedAndRestarted, Told, Medium, Brakes),
    ]
}

fn setup() -> Setup {
    // Shorter than what is waited for: a network without NICs is shut down meanwhile, where that is a mistake.
    Setup { gc: Duration::from_secs(240), ..Setup::default() }
}

async fn planted(mistake: Mistake, setup: Setup) -> World {
    let mut world = mistake.world(setup).await;
    assert_eq!((world.truth().losses.clone(), world.holds().len()), (vec![], 0), "before {mistake}");
    mistake.plant(&mut world).await;
    world.pass(600).await;
    world
}

/// Runs what takes no real time, on a clock of its own.
fn on_a_clock<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(what)
}

#[test]
fn fifty_mistakes_take_nothing_from_a_vm() {
    let mistakes = mistakes();
    let names: BTreeSet<String> = mistakes.iter().map(|(mistake, _)| mistake.to_string()).collect();
    assert!(names.len() >= 50 && names.len() == mistakes.len(), "{} of {} differ", names.len(), mistakes.len());
    let judged = mistakes.into_iter().filter_map(|(mistake, stopped)| {
        let world = on_a_clock(planted(mistake, setup()));
        judge(&world, stopped).err().map(|why| format!("{mistake}: {why}"))
    });
    assert_eq!(judged.collect::<Vec<_>>(), Vec::<String>::new());
}

/// Whether a mistake did no harm, and was stopped as it must be.
fn judge(world: &World, stopped: Stopped) -> Result<(), String> {
    let most = if stopped == AtTheFourth { 3 } else { 0 };
    let (lost, held) = (world.truth().lost.clone(), world.held.lock().unwrap().clone());
    if lost.len() > most {
        return Err(format!("hosts {lost:?} lost something: {}", world.truth().losses[0]));
    }
    let waits = !world.holds().is_empty();
    let is_as_said = match stopped {
        Never => !waits && held.is_empty(),
        Brakes | AtTheFourth => waits,
        Asked => waits && held[0].contains("first pass"),
    };
    is_as_said.then_some(()).ok_or_else(|| format!("it was not stopped by {stopped:?}; holds: {held:?}"))
}

#[test]
fn without_brakes_those_that_they_stop_do_harm() {
    for (mistake, _) in mistakes().into_iter().filter(|(_, stopped)| matches!(stopped, Brakes | AtTheFourth)) {
        let world = on_a_clock(planted(mistake, Setup { brakes: (1.0, 1.0), ..setup() }));
        let lost = world.truth().lost.clone();
        assert!(lost.len() > 3, "{mistake}: it would do no harm but to {lost:?}");
    }
}
