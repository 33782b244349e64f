//! The command line: which function, with which options. Must not judge the options; the daemon does.

use std::collections::BTreeMap;
use std::ffi::OsString;

use ovstunnel_api::PluginArguments;
use ovstunnel_types::text::excerpt;

/// A call of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name, whatever that is.
    pub function: String,
    /// Its options, without their `--`.
    pub options: PluginArguments,
}

/// A command line that is none.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The function, as far as it is known.
    pub function: String,
    /// What is wrong.
    pub reason: String,
}

impl Call {
    /// Reads the program's arguments: the function first, then options in any order, `--option value` or `--option=value`.
    ///
    /// # Errors
    /// Names what is missing, stands twice or is no option.
    pub fn parse_arguments(arguments: &[OsString]) -> Result<Self, Unreadable> {
        let mut texts = arguments.iter().map(|argument| argument.to_str());
        let unreadable = |function: &str, reason: String| Unreadable { function: function.to_owned(), reason };
        let Some(function) = texts.next() else {
            return Err(unreadable("", "a function is required".to_owned()));
        };
        let function = function.ok_or_else(|| unreadable("", "the function is not UTF-8".to_owned()))?;
        match parse_options(texts) {
            Ok(options) => Ok(Call { function: function.to_owned(), options: PluginArguments(options) }),
            Err(reason) => Err(unreadable(function, reason)),
        }
    }
}

fn parse_options<'a>(mut texts: impl Iterator<Item = Option<&'a str>>) -> Result<BTreeMap<String, String>, String> {
    let mut options = BTreeMap::new();
    while let Some(text) = texts.next() {
        let text = text.ok_or("an option is not UTF-8")?;
        let option = text.strip_prefix("--").filter(|option| !option.is_empty());
        let option = option.ok_or_else(|| format!("expected an option such as --bridge; got `{}`", excerpt(text)))?;
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, value),
            None => {
                let value = texts.next().ok_or_else(|| format!("--{} has no value", excerpt(option)))?;
                (option, value.ok_or_else(|| format!("the value of --{} is not UTF-8", excerpt(option)))?)
            }
        };
        if options.insert(name.to_owned(), value.to_owned()).is_some() {
            return Err(format!("--{} stands twice", excerpt(name)));
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(line: &str) -> Result<Call, Unreadable> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        Call::parse_arguments(&arguments)
    }

    #[test]
    fn options_come_in_any_order_and_in_both_forms() {
        let expected = [("bridge", "OVSTunnel7"), ("key", "7")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        for line in [
            "create_tunnel --bridge OVSTunnel7 --key 7",
            "create_tunnel --key 7 --bridge OVSTunnel7",
            "create_tunnel --key=7 --bridge OVSTunnel7",
        ] {
            let call = read(line).unwrap();
            assert_eq!((call.function.as_str(), &call.options.0), ("create_tunnel", &expected), "{line}");
        }
        assert_eq!(read("f --a= --b --c").unwrap().options.0["b"], "--c", "a value may begin like an option");
        assert_eq!(read("f").unwrap().options, PluginArguments::default());
    }

    #[test]
    fn what_is_no_command_line_is_refused_in_words() {
        for (line, words) in [
            ("f bridge", "expected an option"),
            ("f --", "expected an option"),
            ("f -b x", "expected an option"),
            ("f --bridge", "--bridge has no value"),
            ("f --bridge a --bridge b", "--bridge stands twice"),
        ] {
            let refused = read(line).unwrap_err();
            assert!(refused.function == "f" && refused.reason.contains(words), "{line}: {refused:?}");
        }
        assert!(Call::parse_arguments(&[]).is_err());
        for at in 0..3 {
            let mut arguments: Vec<OsString> = ["f", "--a", "b"].map(OsString::from).to_vec();
            arguments[at] = OsString::from_vec(vec![0xff]);
            assert!(Call::parse_arguments(&arguments).unwrap_err().reason.contains("not UTF-8"), "{at}");
        }
    }
}
