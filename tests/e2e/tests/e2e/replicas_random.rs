//! Random faults of three managers on one database: at random moments of a call the one that leads is killed, stands still, or is cut off from the
//! database; another one is killed; the database is, stands still, or is cut off from all of them; or the database and the one that leads at once. After each of them one manager leads, every host has its epoch and takes nothing that is written
//! under the one before, and each NIC that was answered for is there. Must not count on who follows whom.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{Dice, Replicas, number};
use ovstunnel_lab::wait_until;

use crate::replicas::{HOSTS, PATIENCE, Stage};

/// How many faults there are, where nothing else is said.
const FAULTS: u64 = 10;

/// Longer than a lease: a database may be away for less and for more.
const AWAY: Duration = Duration::from_secs(13);

#[derive(Clone, Copy, Debug)]
enum Fault {
    KillLeader,
    FreezeLeader,
    CutLeader,
    KillFollower,
    KillDatabase,
    FreezeDatabase,
    CutAll,
    KillBoth,
    FreezeBoth,
}

const ALL: [Fault; 9] = [
    Fault::KillLeader,
    Fault::FreezeLeader,
    Fault::CutLeader,
    Fault::KillFollower,
    Fault::KillDatabase,
    Fault::FreezeDatabase,
    Fault::CutAll,
    Fault::KillBoth,
    Fault::FreezeBoth,
];

#[test]
fn after_each_random_fault_one_manager_writes() -> Result<()> {
    let (faults, seed) = (number("OVSTUNNEL_REPLICA_FAULTS", FAULTS), number("OVSTUNNEL_SEED", 1));
    let mut stage = Stage::new("random", |cloud| Replicas::new(cloud, 3))?;
    let (leader, mut epoch) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    (1..=HOSTS).try_for_each(|host| stage.prepare(leader, host))?;
    let streams = stage.streams()?;
    let mut dice = Dice::new(seed);
    for turn in 0..faults {
        // Each kind once, and then as the dice fall.
        let kinds = ALL.len() as u64;
        let fault = ALL[usize::try_from(if turn < kinds { turn } else { dice.below(kinds) })?];
        epoch = one_fault(&mut stage, &mut dice, fault, epoch)
            .with_context(|| format!("fault {turn} of seed {seed}: {fault:?}"))?;
    }
    println!("{faults} faults of seed {seed}; the epoch is {epoch}");
    for stream in streams {
        stream.stop()?.expect_no_duplicates()?;
    }
    stage.managers.stop()
}

/// Gives the epoch afterwards.
fn one_fault(stage: &mut Stage, dice: &mut Dice, fault: Fault, epoch: u64) -> Result<u64> {
    let (leader, before) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    ensure!(before >= epoch, "epoch {before} after {epoch}");
    let any = usize::try_from(1 + dice.below(3))?;
    let caller = stage.managers.begin_preparing(&stage.cloud, any, "web", "h1")?;
    dice.pause(Duration::from_secs(1));
    let next = carry_out(stage, dice, fault, leader)?;
    let answers = caller.finish();
    let (now, newest) = loop {
        let (now, newest) = wait_for_word(stage)?;
        let Err(error) = stage.expect_epoch(newest) else { break (now, newest) };
        // On a machine that does much else a lease may end once more.
        let (_, later) = stage.managers.wait_for_leader(&stage.cloud, None)?;
        ensure!(later > newest, "{error:#}");
    };
    ensure!(newest >= before && (now == leader || newest > before), "m{now} {newest} after m{leader} {before}");
    if let Some(next) = next {
        ensure!(next != leader && newest > before, "m{next} leads after m{leader} under {newest}, not {before}");
    }
    let there = stage.managers.ask(&stage.cloud, now, |client| async move { client.nics("web").await })?;
    for (id, code) in answers.iter().filter(|(_, code)| (200..300).contains(code)) {
        ensure!(there.nics.iter().any(|nic| nic.id == *id), "{id} was answered with {code}, and is lost");
    }
    Ok(newest)
}

/// Waits until one manager leads and prepares a NIC on each host. A lease may end after its database has come back, before it is renewed: for that
/// moment a client is told to come again.
fn wait_for_word(stage: &Stage) -> Result<(usize, u64)> {
    wait_until("one manager to lead and to prepare NICs", PATIENCE, || {
        let (now, epoch) = stage.managers.wait_for_leader(&stage.cloud, None)?;
        (1..=HOSTS).try_for_each(|host| stage.prepare(now, host))?;
        let (still, newest) = stage.managers.wait_for_leader(&stage.cloud, None)?;
        ensure!((still, newest) == (now, epoch), "m{still} {newest}, and m{now} {epoch} before");
        Ok((now, epoch))
    })
}

/// Does it and what ends it. Gives who leads then, where another one has to.
fn carry_out(stage: &mut Stage, dice: &mut Dice, fault: Fault, leader: usize) -> Result<Option<usize>> {
    let another = |stage: &Stage| Ok(stage.managers.wait_for_leader(&stage.cloud, Some(leader))?.0);
    match fault {
        Fault::KillLeader => {
            stage.managers.kill(leader)?;
            let next = another(stage);
            stage.managers.start(&stage.cloud, leader)?;
            next.map(Some)
        }
        Fault::FreezeLeader => {
            stage.managers.freeze(leader)?;
            let next = another(stage);
            stage.managers.thaw(leader)?;
            next.map(Some)
        }
        Fault::CutLeader => {
            let cut = stage.managers.cut_off(&[leader])?;
            let next = another(stage)?;
            let old = stage.managers.overview(&stage.cloud, leader)?;
            ensure!(!old.leads, "m{leader} still leads beside m{next}: {old:?}");
            drop(cut);
            Ok(Some(next))
        }
        Fault::KillFollower => {
            let follower = leader % 3 + 1;
            stage.managers.kill(follower)?;
            dice.pause(AWAY);
            stage.managers.start(&stage.cloud, follower)?;
            Ok(None)
        }
        Fault::KillDatabase => {
            stage.managers.kill_database(1)?;
            dice.pause(AWAY);
            stage.managers.start_database(1)?;
            Ok(None)
        }
        Fault::FreezeDatabase => {
            stage.managers.freeze_database(1)?;
            dice.pause(AWAY);
            stage.managers.thaw_database(1)?;
            Ok(None)
        }
        Fault::CutAll => {
            let cut = stage.managers.cut_off(&[1, 2, 3])?;
            dice.pause(AWAY);
            drop(cut);
            Ok(None)
        }
        Fault::FreezeBoth => {
            stage.managers.freeze(leader)?;
            stage.managers.freeze_database(1)?;
            dice.pause(AWAY);
            stage.managers.thaw_database(1)?;
            let next = another(stage);
            stage.managers.thaw(leader)?;
            next.map(Some)
        }
        Fault::KillBoth => {
            stage.managers.kill(leader)?;
            stage.managers.kill_database(1)?;
            dice.pause(AWAY);
            stage.managers.start_database(1)?;
            let next = another(stage);
            stage.managers.start(&stage.cloud, leader)?;
            next.map(Some)
        }
    }
}
