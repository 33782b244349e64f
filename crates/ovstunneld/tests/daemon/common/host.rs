//! A simulated daemon on a host whose files are in a folder of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::UnixStream;

use super::{Answer, Authority, exchange, prepare, program, request, wait_for};

/// A simulated daemon on a host whose files are in a folder of its own. Killed when dropped.
pub struct Host {
    dir: TempDir,
    pub ca: Authority,
    child: Child,
}

impl Host {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// With more at the end of the configuration, under `[log]`; `DIR` in it is the host's folder.
    pub fn start_with(more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ca = prepare(dir.path(), &more.replace("DIR", &dir.path().display().to_string()));
        let mut command = program(dir.path());
        command.arg("--simulate").env("OVSTUNNEL_DOCTOR_ROOT", dir.path().join("root")).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let host = Host { dir, ca, child };
        wait_for("the daemon serves", || {
            // The socket is bound before.
            std::os::unix::net::UnixStream::connect(host.path().join("run/o.sock")).ok()
        });
        wait_for("its log says so", || {
            std::fs::read_to_string(host.path().join("log")).ok().filter(|text| text.contains("serving"))
        });
        host
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Puts a file of the host there, executable.
    pub fn put(&self, path: &str, text: &str) {
        let file = self.path().join("root").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Has the configuration read again, and waits until the log says that it was, naming this key.
    pub fn reload(&self, key: &str) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGHUP).unwrap();
        wait_for("the reload", || {
            let log = std::fs::read_to_string(self.path().join("log")).ok()?;
            log.lines().any(|line| line.contains("read again") && line.contains(key)).then_some(())
        });
    }

    /// Has the daemon write a line of its log.
    pub async fn have_a_line_logged(&self) {
        let (stream, body) = (UnixStream::connect(self.path().join("run/o.sock")).await.unwrap(), br#"{"key":7}"#);
        let line = "PUT /v1/bridges/x?dry_run=true";
        exchange(stream, &request(line, &[("content-type", "application/json")], body)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }

    pub async fn get(&self, path: &str) -> Answer {
        // A test may have moved it.
        let names = ["run/moved.sock", "run/o.sock"].map(|name| self.path().join(name));
        let socket = names.iter().find(|name| name.exists()).unwrap();
        let stream = UnixStream::connect(socket).await.unwrap();
        exchange(stream, &request(&format!("GET {path}"), &[], b"")).await.unwrap()
    }

    /// All findings that are not well: check, level, reason and remedy.
    pub async fn unwell(&self) -> Vec<[String; 4]> {
        let answer: Value = serde_json::from_str(&self.get("/v1/doctor").await.body).unwrap();
        let unwell = answer["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] != "ok");
        let text = |finding: &Value, key: &str| finding[key].as_str().unwrap_or_default().to_owned();
        unwell.map(|finding| ["check", "level", "reason", "remedy"].map(|key| text(finding, key))).collect()
    }

    /// Level and text of the first finding of a check.
    pub async fn found(&self, check: &str) -> (String, String) {
        let answer: Value = serde_json::from_str(&self.get("/v1/doctor").await.body).unwrap();
        let mut findings = answer["findings"].as_array().unwrap().iter();
        let finding =
            findings.find(|finding| finding["check"] == check).unwrap_or_else(|| panic!("no {check}: {answer}"));
        assert_eq!(finding["remedy"].is_string(), finding["level"] != "ok", "{finding}");
        (finding["level"].as_str().unwrap().to_owned(), finding.to_string())
    }

    pub async fn expect(&self, check: &str, level: &str, words: &str) {
        let (found, text) = self.found(check).await;
        assert!(found == level && text.contains(words), "{check} {level} {words}: {text}");
    }

    /// The metric that says when a certificate file expires.
    pub async fn seconds(&self, file: &str) -> Option<f64> {
        let name = format!("ovstunnel_certificate_expires_in_seconds{{file=\"{file}\"}} ");
        self.get("/metrics").await.body.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
