//! The control socket of `ovs-vswitchd`, asked on connections that are kept: how many flows bridges have at this moment, without a process.
//! Must not use a line of the product.

use std::fs;
use std::io::{BufReader, Write};
use std::os::unix::net::UnixStream;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::Host;
use serde_json::{Deserializer, StreamDeserializer, Value, de::IoRead, json};

/// A connection for each bridge: the switch answers one question of each in one round of its main loop.
pub struct Control(Vec<Asked>);

struct Asked {
    bridge: String,
    requests: UnixStream,
    answers: StreamDeserializer<'static, IoRead<BufReader<UnixStream>>, Value>,
    /// Lines that are printed of the bridge when all is there.
    whole: usize,
}

impl Control {
    /// Connects for each of these bridges, and takes what they have for what they must have.
    pub fn connect<'a>(host: &Host, bridges: impl Iterator<Item = &'a str>) -> Result<Self> {
        let pid = fs::read_to_string(host.rundir().join("ovs-vswitchd.pid")).context("the switch's pid")?;
        let socket = host.rundir().join(format!("ovs-vswitchd.{}.ctl", pid.trim()));
        let asked = bridges.map(|bridge| {
            let requests = UnixStream::connect(&socket).with_context(|| socket.display().to_string())?;
            let answers = Deserializer::from_reader(BufReader::new(requests.try_clone()?)).into_iter();
            Ok(Asked { bridge: bridge.to_owned(), requests, answers, whole: 0 })
        });
        let mut control = Control(asked.collect::<Result<_>>()?);
        let counts = control.counts()?;
        control.0.iter_mut().zip(counts).for_each(|(asked, count)| asked.whole = count);
        Ok(control)
    }

    /// Whether all bridges have what they had in the beginning.
    pub fn is_whole(&mut self) -> Result<bool> {
        let counts = self.counts()?;
        Ok(self.0.iter().zip(counts).all(|(asked, count)| asked.whole == count))
    }

    fn counts(&mut self) -> Result<Vec<usize>> {
        for Asked { bridge, requests, .. } in &mut self.0 {
            let question = json!({"id": 1, "method": "bridge/dump-flows", "params": [bridge]});
            requests.write_all(question.to_string().as_bytes())?;
        }
        let count = |asked: &mut Asked| {
            let answer = asked.answers.next().context("the switch has gone")??;
            ensure!(answer["error"].is_null(), "{answer}");
            Ok(answer["result"].as_str().context("no text")?.lines().count())
        };
        self.0.iter_mut().map(count).collect()
    }
}
