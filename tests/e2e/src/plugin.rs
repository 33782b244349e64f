//! The plugin as xapi runs it: one argument, one answer, status 0. Must not read anything into an answer that is not there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use dxr::{MethodCall, MethodResponse, Value};
use ovstunnel_lab::Host;

use crate::{Node, program};

/// How long one run may take.
const DEADLINE: Duration = Duration::from_secs(60);

/// The plugin of one host.
#[derive(Clone, Debug)]
pub struct Plugin {
    program: PathBuf,
    socket: PathBuf,
    host: Option<Host>,
}

/// What the plugin answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// `Success` with its value.
    Value(String),
    /// `Failure` with its description.
    Failure(Vec<String>),
}

impl Plugin {
    /// The plugin on a host of the lab.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn on(node: &Node) -> Result<Self> {
        Ok(Plugin { program: program("ovstunnel")?, socket: node.socket(), host: Some(node.host().clone()) })
    }

    /// The plugin beside a daemon with this socket.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn beside(socket: &Path) -> Result<Self> {
        Ok(Plugin { program: program("ovstunnel")?, socket: socket.to_owned(), host: None })
    }

    /// A run with these arguments, in an environment as bare as xapi's.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = match &self.host {
            Some(host) => host.command(&self.program),
            None => Command::new(&self.program),
        };
        command.env_clear().env("OVSTUNNEL_SOCKET", &self.socket).args(arguments);
        command
    }

    /// Runs it with this text as its only argument.
    ///
    /// # Errors
    /// When it does not end with status 0, says anything on standard error, or prints anything but one answer.
    pub fn raw(&self, request: &str) -> Result<Answered> {
        Answered::read(&ovstunnel_lab::output(self.command(&[request]), DEADLINE)?)
    }

    /// Calls a function.
    ///
    /// # Errors
    /// As [`Plugin::raw`], and when the answer is a failure of the call itself.
    pub fn call(&self, function: &str, arguments: &[(&str, &str)]) -> Result<String> {
        match self.raw(&request(function, arguments)?)? {
            Answered::Value(value) => Ok(value),
            Answered::Failure(description) => bail!("{function}: {description:?}"),
        }
    }

    /// Calls a function, whose value must be this.
    ///
    /// # Errors
    /// When it is another one.
    pub fn expect(&self, function: &str, arguments: &[(&str, &str)], value: &str) -> Result<()> {
        let answered = self.call(function, arguments)?;
        ensure!(answered == value, "{function} {arguments:?} answers {answered:?}, not {value:?}");
        Ok(())
    }
}

/// The request that xapi makes of a call.
///
/// # Errors
/// When a text cannot be written as XML.
pub fn request(function: &str, arguments: &[(&str, &str)]) -> Result<String> {
    let text = |text: &str| Value::String(text.to_owned());
    let members = arguments.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    let params = vec![text("OpaqueRef:0a1b2c3d"), Value::Struct(members)];
    Ok(MethodCall { name: function.into(), params }.to_xml()?)
}

impl Answered {
    /// Reads what a run left.
    ///
    /// # Errors
    /// When it is not one answer and status 0.
    pub fn read(output: &Output) -> Result<Self> {
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        ensure!(output.status.success() && err.is_empty(), "it ended with {}: {err}", output.status);
        let response = MethodResponse::from_xml(&out).with_context(|| format!("no answer: {out}"))?;
        let Value::Struct(members) = response.value else { bail!("no struct: {out}") };
        let text = |value: &Value| match value {
            Value::String(text) => Ok(text.clone()),
            other => bail!("no text: {other:?}"),
        };
        let member = |name: &str| members.get(name).with_context(|| format!("no {name}: {out}"));
        ensure!(members.len() == 2, "two members, not {}: {out}", members.len());
        match (text(member("Status")?)?.as_str(), &members) {
            ("Success", _) => Ok(Answered::Value(text(member("Value")?)?)),
            ("Failure", _) => match member("ErrorDescription")? {
                Value::Array(details) => Ok(Answered::Failure(details.iter().map(text).collect::<Result<_>>()?)),
                other => bail!("no array: {other:?}"),
            },
            (other, _) => bail!("a status {other}: {out}"),
        }
    }
}
