//! From the arguments of udev's rule or of the hook to what the daemon is told. Must not let a name through that could be
//! anything but a name where it is put into a request.

use std::ffi::{OsStr, OsString};
use std::fmt;

/// Longest name of a network device (Linux `IFNAMSIZ` less the final NUL).
const NAME_MAX: usize = 15;

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Call {
    /// Tell the daemon.
    Tell(VifEvent),
    /// The action says nothing about a VIF's coming or going.
    Nothing,
    /// Explain the usage.
    Help,
}

/// A VIF came or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VifEvent {
    /// It came; else it went.
    pub came: bool,
    /// Name of its port, or its UUID in xapi. Only letters, digits, `.`, `_` and `-`, the first one none of the last three.
    pub vif: String,
}

impl fmt::Display for VifEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.vif, if self.came { "came" } else { "went" })
    }
}

/// Where things are.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// The daemon's Unix socket.
    pub socket: OsString,
    /// The daemon's program.
    pub daemon: OsString,
    /// The daemon's configuration file; its default one where absent.
    pub config: Option<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        let (socket, daemon) = ("/run/ovstunnel/ovstunneld.sock".into(), "/usr/sbin/ovstunneld".into());
        Options { socket, daemon, config: None }
    }
}

/// Reads the arguments; says why they mean nothing.
pub fn parse_arguments(arguments: &[OsString]) -> Result<(Call, Options), String> {
    let (mut options, mut hook, mut plain) = (Options::default(), Hook::default(), Vec::new());
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || rest.next().cloned().ok_or_else(|| format!("{} has no value", sanitize_line(argument)));
        match argument.to_str() {
            Some("--help" | "-h") => return Ok((Call::Help, options)),
            Some("--socket") => options.socket = value()?,
            Some("--daemon") => options.daemon = value()?,
            Some("--config") => options.config = Some(value()?),
            Some("-action") => hook.action = Some(value()?),
            Some("-vifuuid") => hook.vif = Some(value()?),
            Some("-vmuuid") => drop(value()?),
            _ => plain.push(argument.clone()),
        }
    }
    let call = match (plain.as_slice(), hook) {
        ([], Hook { action: Some(action), vif: Some(vif) }) => parse_call(&action, parse_uuid(&vif)?)?,
        ([action, device], Hook { action: None, vif: None }) => parse_call(action, device_port(device)?)?,
        _ => return Err(format!("{} arguments that mean nothing; see --help", arguments.len())),
    };
    Ok((call, options))
}

/// What `/etc/xapi.d/vif-hotplug` is given.
#[derive(Default)]
struct Hook {
    action: Option<OsString>,
    vif: Option<OsString>,
}

/// `move` is a device that got its name. The hook is given `online` and `remove`; the other two are there for what calls
/// itself hotplug elsewhere.
fn parse_call(action: &OsStr, vif: String) -> Result<Call, String> {
    match action.to_str() {
        Some("online" | "add" | "move" | "plug") => Ok(Call::Tell(VifEvent { came: true, vif })),
        Some("offline" | "remove" | "unplug") => Ok(Call::Tell(VifEvent { came: false, vif })),
        Some("change" | "bind" | "unbind") => Ok(Call::Nothing),
        _ => Err(format!("{} is no action", sanitize_line(action))),
    }
}

/// The port of a device: its own name, or for Xen's backend device `vif-<domid>-<device>` the name of its network device.
fn device_port(device: &OsStr) -> Result<String, String> {
    let name = device.to_str().ok_or_else(|| format!("{} is no device", sanitize_line(device)))?;
    let name = xen_device(name).unwrap_or_else(|| name.to_owned());
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    match plain && first && name.len() <= NAME_MAX {
        true => Ok(name),
        false => Err(format!("{} is no device", sanitize_line(device))),
    }
}

fn xen_device(name: &str) -> Option<String> {
    let (domain, device) = name.strip_prefix("vif-")?.split_once('-')?;
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (number(domain) && number(device)).then(|| format!("vif{domain}.{device}"))
}

fn parse_uuid(text: &OsStr) -> Result<String, String> {
    let hyphens = [8, 13, 18, 23];
    let fits = |(at, b): (usize, u8)| if hyphens.contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() };
    let good = |text: &&str| text.len() == 36 && text.bytes().enumerate().all(fits);
    text.to_str().filter(good).map(str::to_owned).ok_or_else(|| format!("{} is no UUID", sanitize_line(text)))
}

/// For the log: one line, not for ever.
fn sanitize_line(text: &OsStr) -> String {
    let text = text.to_string_lossy();
    let short: String = text.chars().take(60).collect();
    format!("`{}`{}", short.escape_default(), if short.len() < text.len() { "…" } else { "" })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn told(arguments: &[&str]) -> Result<String, String> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        match parse_arguments(&arguments)?.0 {
            Call::Tell(event) => Ok(event.to_string()),
            other => Ok(format!("{other:?}")),
        }
    }

    #[test]
    fn udev_and_the_hook_are_understood() {
        for (arguments, expected) in [
            (["online", "vif-3-0"], "vif3.0 came"),
            (["offline", "vif-31-12"], "vif31.12 went"),
            (["add", "vif3.0"], "vif3.0 came"),
            (["add", "tap3.0"], "tap3.0 came"),
            (["move", "vif3.0"], "vif3.0 came"),
            (["remove", "vnet7"], "vnet7 went"),
            // Names that only look like the backend's are names.
            (["add", "vif-x-0"], "vif-x-0 came"),
            (["add", "vif-3-"], "vif-3- came"),
            (["change", "vif3.0"], "Nothing"),
        ] {
            assert_eq!(told(&arguments).as_deref(), Ok(expected), "{arguments:?}");
        }
        let (vif, vm) = ("0a1b2c3d-0000-4000-8000-00000000abcd", "11111111-0000-4000-8000-000000000000");
        let hook = |action| told(&["-action", action, "-vifuuid", vif, "-vmuuid", vm]);
        assert_eq!(hook("online"), Ok(format!("{vif} came")));
        assert_eq!(hook("remove"), Ok(format!("{vif} went")));
        assert_eq!(told(&["--socket", "/s", "--help"]).as_deref(), Ok("Help"));
    }

    #[test]
    fn options_may_stand_anywhere() {
        let arguments = ["--socket", "/a b", "add", "--daemon", "/d", "vif1.0", "--config", "/c"].map(OsString::from);
        let (_, options) = parse_arguments(&arguments).unwrap();
        let expected = Options { socket: "/a b".into(), daemon: "/d".into(), config: Some("/c".into()) };
        assert_eq!(options, expected);
    }

    #[test]
    fn nothing_hostile_gets_into_a_request() {
        let long = "v".repeat(65_536);
        for device in [
            "",
            ".",
            "..",
            "../bridges/xapi1",
            "vif1.0/..",
            "vif 1",
            "vif1.0 HTTP/1.1",
            "vif1.0\r\nx: y",
            "vif1.0\n",
            "vif%2e%2e",
            "vif1.0?dry_run=true",
            "vif1.0#",
            "-vif1",
            ".vif1",
            "vif-1-2/..",
            "sixteen-letters-",
            "vif\0",
            "vifé",
            "`id`",
            "$(id)",
            &long,
        ] {
            let refused = told(&["add", device]).unwrap_err();
            assert!(refused.contains("no device") && refused.len() < 500 && !refused.contains('\n'), "{refused}");
            assert!(told(&["-action", "online", "-vifuuid", device, "-vmuuid", "x"]).is_err(), "{device:?}");
        }
        let bytes = [OsString::from("add"), OsString::from_vec(vec![b'v', 0xff])];
        assert!(parse_arguments(&bytes).is_err());
        let injected = "0a1b2c3d-0000-4000-8000-00000000abc\n";
        assert!(told(&["-action", "online", "-vifuuid", injected, "-vmuuid", "x"]).is_err());
    }

    #[test]
    fn nonsense_is_refused_in_words() {
        let nonsense: [&[&str]; 7] = [
            &[],
            &["add"],
            &["add", "vif1.0", "more"],
            &["explode", "vif1.0"],
            &["--socket"],
            &["-action", "online"],
            &["-action", "online", "-vifuuid", "x", "-vmuuid", "y"],
        ];
        for arguments in nonsense {
            assert!(!told(arguments).unwrap_err().is_empty(), "{arguments:?}");
        }
    }
}
