//! Requests that the typed client cannot express: bad paths, bad bodies, bad certificates, plain HTTP. Sent by `curl`,
//! so that what is tested is what any client meets, byte for byte. Must not judge the answer beyond reading it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, Problem};

use crate::Cloud;

/// How long one request may take.
const DEADLINE: Duration = Duration::from_secs(40);

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// None.
    None,
    /// Text, sent as `application/json`.
    Json(&'a str),
    /// The content of a file, sent as `application/json`.
    File(&'a Path),
}

/// Who asks: a name under which the PKI's folder has a certificate and a key.
#[derive(Clone, Debug)]
pub struct Caller {
    url: String,
    ca: PathBuf,
    identity: Option<PathBuf>,
    /// More arguments of `curl`.
    pub more: Vec<String>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `content-type`.
    pub content_type: String,
    /// The body as it came.
    pub body: String,
}

impl Caller {
    /// The management server, calling host number `number`.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn new(cloud: &Cloud, number: usize) -> Result<Self> {
        let (url, pki) = (cloud.node(number)?.url(), cloud.pki());
        Ok(Caller { url, ca: pki.join("ca.crt"), identity: Some(pki.join("manager")), more: vec![] })
    }

    /// The same with the certificate `identity`.crt and its key, or with none.
    #[must_use]
    pub fn with_identity(mut self, identity: Option<PathBuf>) -> Self {
        self.identity = identity;
        self
    }

    /// The same with another `scheme://host:port`.
    #[must_use]
    pub fn with_scheme(mut self, scheme: &str) -> Self {
        self.url = self.url.replacen("https", scheme, 1);
        self
    }

    /// Sends one request. `path` goes on the wire as it stands here.
    ///
    /// # Errors
    /// When no HTTP answer comes: with `curl`'s words.
    pub fn ask(&self, cloud: &Cloud, method: &str, path: &str, body: Body<'_>) -> Result<Answer> {
        let mut command = cloud.lab().fabric().command("curl");
        command.args(["--silent", "--show-error", "--path-as-is", "--noproxy", "*", "--max-time", "35"]);
        command.args(["--request", method, "--write-out", "\n%{http_code} %{content_type}"]);
        command.arg("--cacert").arg(&self.ca);
        if let Some(identity) = &self.identity {
            command.arg("--cert").arg(identity.with_extension("crt"));
            command.arg("--key").arg(identity.with_extension("key"));
        }
        let data = match body {
            Body::None => None,
            Body::Json(text) => Some(text.to_owned()),
            Body::File(path) => Some(format!("@{}", path.display())),
        };
        if let Some(data) = data {
            command.args(["--header", "content-type: application/json", "--data-binary", &data]);
        }
        command.args(&self.more).arg(format!("{}{path}", self.url));
        Answer::read(&ovstunnel_lab::run(command, DEADLINE)?)
    }
}

impl Answer {
    fn read(output: &str) -> Result<Self> {
        let (body, last) = output.rsplit_once('\n').context("curl's last line")?;
        let (status, content_type) = last.split_once(' ').unwrap_or((last, ""));
        Ok(Answer { status: status.parse()?, content_type: content_type.to_owned(), body: body.to_owned() })
    }

    /// The problem that it is, which must be one of `code` with the status, content type and kind that go with that.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn problem(&self, code: Code) -> Result<Problem> {
        ensure!(self.content_type == "application/problem+json", "not a problem: {self}");
        let problem: Problem = serde_json::from_str(&self.body).map_err(|error| anyhow!("{error}: {self}"))?;
        ensure!(problem.code == code, "not {code:?}: {self}");
        ensure!((self.status, problem.status) == (code.status(), code.status()), "the wrong status: {self}");
        ensure!(!problem.detail.is_empty() && problem.request_id.is_some(), "no detail or no request id: {self}");
        Ok(problem)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.status, self.content_type, self.body)
    }
}
