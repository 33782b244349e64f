//! A host that joins a zone by a token: what is typed on it, what it has then, and that its daemon and the manager take each other's
//! certificates. What is refused leaves nothing behind.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use ovstunnel_e2e::{Cloud, Zone, program};
use ovstunnel_lab::{output, wait_until};
use ovstunnel_manager_api::{HostState, Mode};
use serde_json::Value;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);

/// A zone whose manager signs for hosts by a copy of the lab's CA, in which no host's certificate lies yet.
pub(crate) fn enrolling(cloud: &Cloud) -> Result<Zone> {
    let zone = Zone::new(cloud)?;
    let authority = zone.dir().join("authority");
    std::fs::create_dir(&authority)?;
    for file in ["ca.crt", "ca.key"] {
        std::fs::copy(cloud.pki().join(file), authority.join(file))?;
    }
    zone.stop()?;
    let config = zone.dir().join("manager.toml");
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, format!("{text}[enrolment]\nauthority = \"{}\"\n", authority.display()))?;
    zone.start(cloud)?;
    Ok(zone)
}

/// What `ovstunnelctl zone token …` answers as JSON.
pub(crate) fn token(cloud: &Cloud, zone: &Zone, words: &[&str]) -> Result<Value> {
    let mut command = cloud.lab().fabric().command(program("ovstunnelctl")?);
    command.arg("--json").arg("--socket").arg(zone.dir().join("manager.sock")).args(["zone", "token"]).args(words);
    let told = output(command, PATIENCE)?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    Ok(serde_json::from_slice(&told.stdout)?)
}

/// Joins on a host of the cloud: its exit status, and what it said on either output.
pub(crate) fn join(cloud: &Cloud, number: usize, token: &str, name: &str, dir: &Path) -> Result<(Option<i32>, String)> {
    let node = cloud.node(number)?;
    let mut command = node.host().command(program("ovstunnelctl")?);
    command.args(["join", "--manager", &format!("https://{}:8444", cloud.lab().fabric().ip()), "--no-restart"]);
    command.args(["--token", token, "--name", name]).arg("--dir").arg(dir).arg("--config").arg(node.config_file());
    let told = output(command, PATIENCE)?;
    let said = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((told.status.code(), said))
}

/// As a package has it: no certificate, and no HTTPS.
pub(crate) fn without_certificate(cloud: &Cloud, number: usize) -> Result<()> {
    let node = cloud.node(number)?;
    let configured = std::fs::read_to_string(node.config_file())?;
    let of_tls = |line: &&str| ["[tls]", "certificate", "key", "client_ca"].iter().any(|word| line.starts_with(word));
    let plain: Vec<&str> = configured.lines().filter(|line| !of_tls(line)).collect();
    let listen = format!("listen = \"{}:8443\"", node.host().ip());
    let packaged = plain.join("\n").replace(&listen, "listen = \"off\" # no HTTPS yet");
    ensure!(packaged.contains("no HTTPS yet"), "{packaged}");
    Ok(std::fs::write(node.config_file(), packaged)?)
}

fn files(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_host_joins_by_a_token_and_is_looked_at() -> Result<()> {
    let cloud = Cloud::new("joins", 2)?;
    let zone = enrolling(&cloud)?;
    let made = token(&cloud, &zone, &["create", "--hosts", "2", "--ttl", "1h"])?;
    let (text, id) = (made["text"].as_str().context("a text")?.to_owned(), made["token"]["id"].clone());

    let node = cloud.node(2)?;
    node.stop()?;
    let dir = node.dir().join("tls");
    let expect_refused = |token: &str, status, words: &str| -> Result<()> {
        let before = std::fs::read_to_string(node.config_file())?;
        let (code, said) = join(&cloud, 2, token, "joined2", &dir)?;
        ensure!(code == Some(status) && said.contains(words), "{code:?}: {said}");
        ensure!(files(&dir).is_empty() && std::fs::read_to_string(node.config_file())? == before, "something is left");
        Ok(())
    };
    expect_refused(&text, 1, "`certificate` in [tls] is")?;

    without_certificate(&cloud, 2)?;
    // Somebody else's CA, and a token that nobody made.
    let other = |digit: &str| if digit == "0" { "1" } else { "0" };
    let (most, last) = text.split_at(text.len() - 1);
    expect_refused(
        &format!("{most}{}", other(last)),
        1,
        "is not the one that the token names; the token was not sent",
    )?;
    let (first, rest) = text.split_at(1);
    expect_refused(&format!("{}{rest}", other(first)), 1, "the token is not one of this manager's")?;

    let (code, said) = join(&cloud, 2, &text, "joined2", &dir)?;
    ensure!(
        code == Some(0) && said.contains("joined2 has joined: number 1, mode observe, https://"),
        "{code:?}: {said}"
    );
    ensure!(files(&dir) == ["ca.crt", "joined2.crt", "joined2.key", "zone.toml"], "{:?}", files(&dir));
    let now = std::fs::read_to_string(node.config_file())?;
    ensure!(now.contains("listen = \"0.0.0.0:8443\" # no HTTPS yet") && now.contains("joined2.key"), "{now}");
    node.start()?;
    wait_until("the host to be connected", PATIENCE, || {
        let host = zone.ask(&cloud, |client| async move { client.host("joined2").await })?;
        ensure!(host.state == HostState::Ok && host.mode == Mode::Observe, "{host:?}");
        Ok(())
    })?;

    // Its name is nobody else's, and the token is good for one host more, until it is taken away.
    let elsewhere: PathBuf = cloud.node(1)?.dir().join("tls");
    let config = cloud.node(1)?.config_file();
    std::fs::write(&config, "")?;
    let (code, said) = join(&cloud, 1, &text, "joined2", &elsewhere)?;
    ensure!(code == Some(1) && files(&elsewhere).is_empty(), "{code:?}: {said}");
    let list = token(&cloud, &zone, &["list"])?;
    ensure!((&list["tokens"][0]["id"], &list["tokens"][0]["left"]) == (&id, &1.into()), "{list}");
    let removed = token(&cloud, &zone, &["remove", id.as_str().context("an id")?])?;
    ensure!(removed["id"] == id, "{removed}");
    let (code, said) = join(&cloud, 1, &text, "joined1", &elsewhere)?;
    ensure!(code == Some(1) && said.contains("was removed") && files(&elsewhere).is_empty(), "{code:?}: {said}");
    ensure!(std::fs::read_to_string(&config)?.is_empty(), "the configuration was changed");
    Ok(())
}

/// Has the certificate renewed on the second host: its exit status, and what it said on either output.
pub(crate) fn renew(cloud: &Cloud, words: &[&str]) -> Result<(Option<i32>, String)> {
    let node = cloud.node(2)?;
    let mut command = node.host().command(program("ovstunnelctl")?);
    command.args(["--json", "renew", "--no-reload", "--config"]).arg(node.config_file()).args(words);
    let told = output(command, PATIENCE)?;
    let said = [told.stdout, told.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((told.status.code(), said))
}

/// The serial number of the certificate that the daemon of the second host shows on a new connection.
fn shown(cloud: &Cloud) -> Result<String> {
    let ask = format!(
        "openssl s_client -connect {}:8443 -servername joined2 </dev/null 2>/dev/null | openssl x509 -noout -serial",
        cloud.node(2)?.host().ip()
    );
    let mut command = cloud.lab().fabric().command("sh");
    command.args(["-c", &ask]);
    let told = output(command, PATIENCE)?;
    let text = String::from_utf8_lossy(&told.stdout).trim().to_lowercase();
    text.strip_prefix("serial=").map(str::to_owned).context("no certificate is shown")
}

fn serial(file: &Path) -> Result<String> {
    let found = ovstunnel_pki::read_details(file)?.into_iter().next().context("no certificate")?;
    Ok(found.serial.replace(':', "").to_lowercase())
}

/// A host that has joined and whose certificate is in its last third: the folder of its files.
fn joined_long_ago(cloud: &Cloud, zone: &Zone) -> Result<PathBuf> {
    let made = token(cloud, zone, &["create", "--hosts", "1", "--ttl", "1h"])?;
    let text = made["text"].as_str().context("a text")?.to_owned();
    let node = cloud.node(2)?;
    node.stop()?;
    without_certificate(cloud, 2)?;
    let before = std::fs::read_to_string(node.config_file())?;
    let (dir, name) = (node.dir().join("tls"), "joined2");
    ensure!(join(cloud, 2, &text, name, &dir)?.0 == Some(0), "it has not joined");

    // Its answer was lost: it asks again with the same key and token.
    std::fs::rename(dir.join("joined2.key"), dir.join("joined2.key.asked"))?;
    std::fs::remove_file(dir.join("joined2.crt"))?;
    std::fs::write(node.config_file(), before)?;
    let (code, said) = join(cloud, 2, &text, name, &dir)?;
    ensure!(code == Some(0), "{said}");
    let log = zone.log();
    let done = |word: &str| log.lines().filter(|line| line.contains("audit: done") && line.contains(word)).count();
    ensure!(done("enrolled") == 2 && done("enrolled_again") == 1, "{log}");

    // Of 120 days 35 are left: less than a third, and so many that nobody warns.
    let authority = ovstunnel_pki::Authority::open(&zone.dir().join("authority"))?;
    let then = time::OffsetDateTime::now_utc() - time::Duration::days(85);
    authority.renew_certificate(&name.parse().map_err(anyhow::Error::msg)?, ovstunnel_pki::Key::Same, 120, then)?;
    std::fs::copy(zone.dir().join("authority/joined2.crt"), dir.join("joined2.crt"))?;
    node.start()?;
    Ok(dir)
}

#[test]
fn a_certificate_is_renewed_while_the_manager_stays_connected() -> Result<()> {
    let cloud = Cloud::new("renews", 2)?;
    let zone = enrolling(&cloud)?;
    let (node, dir) = (cloud.node(2)?, joined_long_ago(&cloud, &zone)?);
    let file = dir.join("joined2.crt");
    let connected = || {
        let host = zone.ask(&cloud, |client| async move { client.host("joined2").await })?;
        ensure!(host.state == HostState::Ok && host.certificate_expires.is_some(), "{host:?}");
        Ok(())
    };
    wait_until("the host to be connected", PATIENCE, connected)?;
    let (old, pid) = (serial(&file)?, node.pid());
    ensure!(shown(&cloud)? == old, "{} and {old}", shown(&cloud)?);

    let (code, said) = renew(&cloud, &[])?;
    let done: Value = serde_json::from_str(&said).context(said.clone())?;
    ensure!(code == Some(0) && done["renewed"] == true && done["ca_changed"] == false, "{said}");
    let new = serial(&file)?;
    ensure!(new != old && serial(&dir.join("joined2.crt.old1"))? == old && shown(&cloud)? == old, "not beside");
    node.signal(nix::sys::signal::Signal::SIGHUP)?;
    wait_until("the new certificate to be shown", PATIENCE, || {
        let shown = shown(&cloud)?;
        ensure!(shown == new, "{shown}");
        Ok(())
    })?;
    // A reload has who watches ask again, by the connection that there is.
    wait_until("the host to be watched on", PATIENCE, connected)?;
    ensure!(node.pid() == pid && node.errors().is_empty(), "{:?}", node.errors());

    // Again it is not due, and by force neither.
    for words in [&[][..], &["--force"]] {
        let (code, said) = renew(&cloud, words)?;
        ensure!(code == Some(0) && said.contains("\"renewed\": false") && serial(&file)? == new, "{said}");
    }
    ensure!(
        files(&dir) == ["ca.crt", "joined2.crt", "joined2.crt.old1", "joined2.key", "zone.toml"],
        "{:?}",
        files(&dir)
    );
    // The CA itself is renewed, with its key: the host gets it, and the daemon takes up what it has.
    ovstunnel_pki::Authority::renew_authority(&zone.dir().join("authority"), 99, time::OffsetDateTime::now_utc())?;
    let (code, said) = renew(&cloud, &[])?;
    ensure!(code == Some(0) && said.contains("\"ca_changed\": true") && serial(&file)? == new, "{said}");
    let ca = |folder: &Path| std::fs::read_to_string(folder.join("ca.crt"));
    ensure!(ca(&dir)? == ca(&zone.dir().join("authority"))?, "another CA");
    node.signal(nix::sys::signal::Signal::SIGHUP)?;
    wait_until("the host to be watched on", PATIENCE, connected)?;
    it_is_refused_what_is_not_its_own(&cloud, &zone, &dir)
}

fn it_is_refused_what_is_not_its_own(cloud: &Cloud, zone: &Zone, dir: &Path) -> Result<()> {
    let file = dir.join("joined2.crt");
    let before = serial(&file)?;
    // Removed from its zone it gets no other one, and keeps what it has.
    zone.ask(cloud, |client| async move { client.delete_host("joined2", false).await })?;
    let (code, said) = renew(cloud, &["--force"])?;
    ensure!(
        code == Some(1) && said.contains("the certificate joined2 was revoked") && serial(&file)? == before,
        "{said}"
    );
    // And nobody is asked whom the CA does not vouch for.
    ovstunnel_pki::Authority::create(&dir.join("other"), "other", 9, time::OffsetDateTime::now_utc())?;
    std::fs::copy(dir.join("other/ca.crt"), dir.join("ca.crt"))?;
    let (code, said) = renew(cloud, &[])?;
    ensure!(code != Some(0) && said.contains("not issued by the CA"), "{code:?}: {said}");
    Ok(())
}
