//! Whatever waits and in whatever order it came: once an epoch is recorded, nothing is written any more under an older one. Told from what the
//! simulated switch was given to do, in its order.

use std::time::Duration;

use crate::sim::{Answer, Sim, mesh};
use futures_util::future::join_all;
use ovstunnel_ovs::{Pace, SimulatedSwitch, Work};
use serde_json::{Value, json};

const ZONE: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

/// Numbers that look like any, the same for a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        // Knuth's MMIX.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A request of a leader, and where in the switch its work would be seen.
#[derive(Debug)]
struct Asked {
    epoch: Option<u64>,
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// What of a command tells that it was carried out.
    seen_by: Option<String>,
}

fn request(random: &mut Random, n: u64) -> Asked {
    let epoch = (random.below(5) > 0).then(|| 1 + random.below(4));
    let bridge = format!("b{n}");
    // Some work on the same bridge, so that they cannot be carried out together.
    let shared = format!("s{}", random.below(3));
    let name = |bridge: &str| Some(format!("\"{bridge}\""));
    let (method, path, body, seen_by) = match random.below(6) {
        0 | 1 => {
            ("PUT", format!("/v1/bridges/{bridge}"), Some(mesh(u32::try_from(100 + n).unwrap(), [2])), name(&bridge))
        }
        2 => {
            let key = 10 + shared.as_bytes()[1] - b'0';
            let to = u32::try_from(3 + n).unwrap();
            let port = format!("\"t{key}-1-{to}\"");
            ("PUT", format!("/v1/bridges/{shared}"), Some(mesh(key.into(), [to])), Some(port))
        }
        3 => ("POST", "/v1/reconcile".to_owned(), None, None),
        4 => ("PUT", "/v1/vifs/vif1.0".to_owned(), None, None),
        _ => {
            let number = epoch.unwrap_or(1);
            let seen_by = format!("\"ovstunnel-epoch\"=\"{ZONE}:{number}\"");
            ("PUT", "/v1/epoch".to_owned(), Some(json!({"zone": ZONE, "epoch": number})), Some(seen_by))
        }
    };
    Asked { epoch, method, path, body, seen_by }
}

/// That is read off the commands: under which epoch each is run.
fn check(seed: u64, asked: &[Asked], answers: &[Answer], ran: &[String]) {
    let mark = format!("\"ovstunnel-epoch\"=\"{ZONE}:");
    let mut recorded = 0;
    for line in ran {
        if let Some((_, rest)) = line.split_once(&mark) {
            let number: u64 = rest.split('"').next().unwrap().parse().unwrap();
            assert!(number > recorded, "seed {seed}: {number} was recorded after {recorded}");
            recorded = number;
            continue;
        }
        for one in asked.iter().filter(|one| one.seen_by.as_ref().is_some_and(|word| line.contains(word.as_str()))) {
            let written = one.epoch.unwrap_or(recorded);
            assert_eq!(written, recorded, "seed {seed}: {one:?} was carried out while {recorded} was recorded");
        }
    }
    for (one, answer) in asked.iter().zip(answers) {
        match answer.status {
            200 | 201 => {}
            409 => {
                assert_eq!(answer.body["code"], "stale_epoch", "seed {seed}: {one:?}: {}", answer.body);
                let newer = answer.body["recorded"]["epoch"].as_u64().unwrap();
                let of_body = one.body.as_ref().and_then(|body| body["epoch"].as_u64());
                assert!(one.epoch.or(of_body).unwrap() < newer, "seed {seed}: {one:?}: {}", answer.body);
            }
            other => panic!("seed {seed}: {one:?}: {other} {}", answer.body),
        }
    }
    let largest = asked.iter().zip(answers).filter(|(_, answer)| answer.status < 300).filter_map(|(one, _)| one.epoch);
    assert!(largest.max().unwrap_or(0) <= recorded, "seed {seed}: an epoch was written under and never recorded");
}

/// Each run sends its requests at once to a switch that takes its time, so that they wait for each other.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_under_an_epoch_older_than_the_record() {
    let (mut refused, mut done) = (0, 0);
    for seed in 0..60 {
        let mut random = Random(seed);
        let takes = |work: &Work<'_>| match work {
            Work::Transaction { .. } => Duration::from_millis(20),
            _ => Duration::from_millis(5),
        };
        let sim = Sim::over(SimulatedSwitch::new().with_pace(Pace::new(takes))).await;
        let asked: Vec<Asked> = (0..24).map(|n| request(&mut random, n)).collect();
        sim.switch.record_commands();
        let delays: Vec<u64> = asked.iter().map(|_| random.below(120)).collect();
        let sent = asked.iter().zip(delays).map(|(one, delay)| {
            let sim = &sim;
            async move {
                tokio::time::sleep(Duration::from_millis(delay)).await;
                let epochs: Vec<String> = one.epoch.iter().map(|number| format!("{ZONE}:{number}")).collect();
                let epochs: Vec<&str> = epochs.iter().map(String::as_str).collect();
                sim.ask_under(&epochs, one.method, &one.path, one.body.clone()).await
            }
        });
        let answers = join_all(sent).await;
        let ran: Vec<String> = sim.switch.take_commands().iter().map(|command| command.argv.join(" ")).collect();
        check(seed, &asked, &answers, &ran);
        refused += answers.iter().filter(|answer| answer.status == 409).count();
        done += answers.iter().filter(|answer| answer.status < 300).count();
    }
    // Else it shows nothing.
    assert!(refused > 100 && done > 100, "{refused} refused, {done} done");
}
