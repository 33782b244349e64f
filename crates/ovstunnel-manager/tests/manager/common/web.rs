//! A browser without a window: curl, with one of the certificates or none. Must not follow a link by itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use super::Bench;

/// Who asks the page, and how.
pub struct Browser {
    url: String,
    arguments: Vec<String>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: String,
}

impl Answer {
    /// A header by its name in small letters; an empty text where there is none.
    pub fn header(&self, name: &str) -> String {
        let line = |line: &str| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        };
        self.headers.lines().find_map(line).unwrap_or_default()
    }

    /// What stands between two texts.
    pub fn between(&self, before: &str, after: &str) -> String {
        let (_, rest) = self.body.split_once(before).unwrap_or_else(|| panic!("no {before} in {}", self.body));
        rest.split_once(after).unwrap().0.to_owned()
    }

    /// The token of its first form.
    pub fn token(&self) -> String {
        self.between("name=\"token\" value=\"", "\"")
    }
}

/// The files of a certificate of this name, which is made.
pub fn issue(dir: &Path, name: &str) -> (PathBuf, PathBuf) {
    let pki = dir.join("pki");
    if !pki.join(format!("{name}.crt")).exists() {
        let leaf = Leaf { name: name.parse().unwrap(), role: Role::Client, days: 90 };
        Authority::open(&pki).unwrap().issue_certificate(&leaf, OffsetDateTime::now_utc()).unwrap();
    }
    (pki.join(format!("{name}.crt")), pki.join(format!("{name}.key")))
}

impl Browser {
    /// One without a certificate.
    pub fn stranger(bench: &Bench) -> Browser {
        let ca = bench.dir.path().join("pki/ca.crt").display().to_string();
        let arguments = ["--silent", "--show-error", "--include", "--max-time", "60", "--cacert", &ca];
        Browser { url: bench.url.clone(), arguments: arguments.map(str::to_owned).to_vec() }
    }

    /// One with a certificate of this name.
    pub fn named(bench: &Bench, name: &str) -> Browser {
        let (certificate, key) = issue(bench.dir.path(), name);
        let of = [certificate.display().to_string(), key.display().to_string()];
        Browser::stranger(bench).with(&["--cert", &of[0], "--key", &of[1]])
    }

    /// The same with more arguments.
    pub fn with(mut self, more: &[&str]) -> Browser {
        self.arguments.extend(more.iter().map(|&word| word.to_owned()));
        self
    }

    /// Opens a page.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    /// Sends a form.
    pub fn post(&self, path: &str, form: &[(&str, &str)], more: &[&str]) -> Answer {
        let fields: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body = ["--data", &fields.join("&")];
        self.ask(path, &body.iter().chain(more).copied().collect::<Vec<_>>())
    }

    fn ask(&self, path: &str, more: &[&str]) -> Answer {
        let output =
            Command::new("curl").args(&self.arguments).args(more).arg(format!("{}{path}", self.url)).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let (headers, body) = text.split_once("\r\n\r\n").unwrap();
        let status = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, headers: headers.to_owned(), body: body.to_owned() }
    }
}
