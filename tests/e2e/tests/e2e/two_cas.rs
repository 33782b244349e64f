//! The CA gets another key: a host that joined and one with a certificate issued by hand stay in their zone through each step, with certificates of
//! either CA side by side, until the one before is taken out and nobody takes its certificates any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use ovstunnel_e2e::{Cloud, Zone, program};
use ovstunnel_lab::{output, wait_until};
use ovstunnel_manager_api::{HostState, Mode, PutHost};
use serde_json::Value;

use crate::joins::{enrolling, join, renew, token, without_certificate};

const PATIENCE: Duration = Duration::from_secs(60);

struct Stage {
    cloud: Cloud,
    zone: Zone,
    /// The folder of the CA.
    authority: PathBuf,
    /// The folder of the host's certificate that joined.
    joined: PathBuf,
}

impl Stage {
    fn new() -> Result<Stage> {
        let cloud = Cloud::new("twocas", 2)?;
        let zone = enrolling(&cloud)?;
        let authority = zone.dir().join("authority");
        // What was issued by hand lies in the CA's folder, as it does where `pki issue` was called there.
        for name in ["host1.crt", "zone.crt"] {
            std::fs::copy(cloud.pki().join(name), authority.join(name))?;
        }
        let api = cloud.node(1)?.url();
        let body = PutHost { api, number: None, rack: None, label: None, mode: Mode::Observe };
        zone.ask(&cloud, move |client| async move { client.put_host("h1", &body, false).await })?;
        let made = token(&cloud, &zone, &["create", "--hosts", "1", "--ttl", "1h"])?;
        let node = cloud.node(2)?;
        let joined = node.dir().join("tls");
        node.stop()?;
        without_certificate(&cloud, 2)?;
        let (code, said) = join(&cloud, 2, made["text"].as_str().context("a text")?, "joined2", &joined)?;
        ensure!(code == Some(0), "{said}");
        node.start()?;
        Ok(Stage { cloud, zone, authority, joined })
    }

    /// `ovstunnelctl pki …` on the CA's folder: its exit status, and what it said.
    fn pki(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = self.cloud.lab().fabric().command(program("ovstunnelctl")?);
        command.arg("--json").arg("pki").args(words).arg("--dir").arg(&self.authority);
        let told = output(command, PATIENCE)?;
        let said = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        Ok((told.status.code(), said))
    }

    /// A step of the change: which CAs are trusted then, the one that signs first.
    fn rotate(&self, step: &str) -> Result<Vec<String>> {
        let (code, said) = self.pki(&["rotate", step])?;
        ensure!(code == Some(0), "{step}: {said}");
        let done: Value = serde_json::from_str(&said)?;
        let names = done["names"].as_array().context("names")?;
        Ok(names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
    }

    /// Copies these files to where the manager and the first host have theirs, as an operator does, and has them read.
    fn copy(&self, files: &[&str]) -> Result<()> {
        for file in files {
            std::fs::copy(self.authority.join(file), self.cloud.pki().join(file))?;
        }
        self.cloud.node(1)?.signal(Signal::SIGHUP)?;
        self.zone.stop()?;
        self.zone.start(&self.cloud)
    }

    /// The daily renewal of the host that joined: whether its certificate and its CA are others now.
    fn renew_joined(&self) -> Result<(bool, bool)> {
        let (code, said) = renew(&self.cloud, &[])?;
        ensure!(code == Some(0), "{said}");
        let done: Value = serde_json::from_str(&said)?;
        self.cloud.node(2)?.signal(Signal::SIGHUP)?;
        Ok((done["renewed"] == true, done["ca_changed"] == true))
    }

    /// That both hosts are connected on, and of which CA the certificate of each is.
    fn expect_connected(&self, issuers: [&str; 2]) -> Result<()> {
        wait_until("both hosts to be connected", PATIENCE, || {
            let hosts = self.zone.ask(&self.cloud, |client| async move { client.hosts().await })?.hosts;
            ensure!(hosts.len() == 2 && hosts.iter().all(|host| host.state == HostState::Ok), "{hosts:?}");
            Ok(())
        })?;
        let found = [self.cloud.pki().join("host1.crt"), self.joined.join("joined2.crt")].map(|file| issuer(&file));
        for (found, wanted) in found.into_iter().zip(issuers) {
            ensure!(found? == format!("CN={wanted}"), "not of {wanted}");
        }
        Ok(())
    }
}

fn issuer(file: &Path) -> Result<String> {
    Ok(ovstunnel_pki::read_details(file)?.into_iter().next().context("no certificate")?.issuer)
}

#[test]
fn hosts_of_two_cas_are_in_one_zone_until_the_old_one_goes() -> Result<()> {
    const OLD: &str = "ovstunnel lab";
    const NEW: &str = "ovstunnel lab 2";
    let stage = Stage::new()?;
    stage.expect_connected([OLD, OLD])?;

    ensure!(stage.rotate("begin")? == [OLD, NEW], "the old one signs still");
    stage.copy(&["ca.crt"])?;
    ensure!(stage.renew_joined()? == (false, true), "it trusts both from now on, and keeps its certificate");
    stage.expect_connected([OLD, OLD])?;

    ensure!(stage.rotate("switch")? == [NEW, OLD], "the new one signs");
    let (code, said) = stage.pki(&["renew", "zone"])?;
    ensure!(code == Some(0), "{said}");
    stage.copy(&["ca.crt", "zone.crt"])?;
    ensure!(stage.renew_joined()? == (true, true), "its certificate is due, though it is new");
    // One of each, and the manager takes both as both take it.
    stage.expect_connected([OLD, NEW])?;
    ensure!(stage.cloud.call(1, |client| async move { client.healthz().await })?.is_ok(), "a client of the old one");

    let (code, said) = stage.pki(&["rotate", "finish"])?;
    ensure!(code == Some(1) && said.contains("host1 is of the CA before"), "{code:?}: {said}");
    let (code, said) = stage.pki(&["renew", "host1"])?;
    ensure!(code == Some(0), "{said}");
    stage.copy(&["host1.crt"])?;
    ensure!(stage.rotate("finish")? == [NEW], "the old one is trusted");
    stage.copy(&["ca.crt"])?;
    ensure!(stage.renew_joined()? == (false, true), "it trusts the new one alone");
    stage.expect_connected([NEW, NEW])?;
    wait_until("a client of the old CA to be refused", PATIENCE, || {
        let asked = stage.cloud.call(1, |client| async move { client.healthz().await })?;
        ensure!(asked.is_err(), "it was let in");
        Ok(())
    })
}
