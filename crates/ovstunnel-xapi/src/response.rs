//! The answer that xapi reads: one XML-RPC methodResponse. Must not contain a character that XML does not have.

use dxr::{MethodResponse, Value};

/// The code of an exception.
const EXCEPTION: &str = "XENAPI_PLUGIN_FAILURE";

/// The code of a function that there is not.
const UNKNOWN: &str = "UNKNOWN_XENAPI_PLUGIN_FUNCTION";

/// Longest detail of a failure, in characters.
const LONGEST: usize = 500;

/// What is answered.
#[derive(Debug, PartialEq, Eq)]
pub enum Response {
    /// What a function returned.
    Success(String),
    /// That it could not be called: a code and what belongs to it.
    Failure(Vec<String>),
}

impl Response {
    /// There is no such function.
    pub fn unknown(function: &str) -> Self {
        Response::Failure(vec![UNKNOWN.to_owned(), sanitize_line(function)])
    }

    /// The call went wrong before there was a function.
    pub fn exception(function: &str, class: &str, message: &str) -> Self {
        Response::Failure(vec![EXCEPTION.to_owned(), sanitize_line(function), class.to_owned(), sanitize_line(message)])
    }

    /// The function failed, by the convention of this plugin: a success whose value says so.
    pub fn failed(reason: &str, words: &str) -> Self {
        Response::Success(format!("FAILURE:{reason} {}", sanitize_line(words)))
    }

    /// As XML.
    pub fn to_xml(&self) -> String {
        let text = |text: &str| Value::String(text.chars().filter(|c| is_xml(*c)).collect());
        let (status, name, value) = match self {
            Response::Success(value) => ("Success", "Value", text(value)),
            Response::Failure(details) => {
                ("Failure", "ErrorDescription", Value::Array(details.iter().map(|detail| text(detail)).collect()))
            }
        };
        let members = [("Status".to_owned(), text(status)), (name.to_owned(), value)];
        let response = MethodResponse { value: Value::Struct(members.into_iter().collect()) };
        // A struct of texts: writing it cannot fail. An empty answer is none, and xapi says so.
        response.to_xml().unwrap_or_default()
    }
}

/// Characters that XML 1.0 allows.
fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Text of the caller's or of the daemon's as it may be shown: one line, not for ever.
fn sanitize_line(text: &str) -> String {
    let mut characters = text.chars().flat_map(shown_char);
    let mut short: String = characters.by_ref().take(LONGEST).collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}

fn shown_char(c: char) -> impl Iterator<Item = char> {
    let escaped = if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    escaped.chars().collect::<Vec<_>>().into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_and_failure_look_as_xapi_expects() {
        let start = "<methodResponse><params><param><value><struct><member><name>";
        let end = "</member></struct></value></param></params></methodResponse>";
        let success = "Status</name><value><string>Success</string></value></member><member><name>Value</name><value>\
                       <string>SUCCESS:xapi12</string></value>";
        assert_eq!(Response::Success("SUCCESS:xapi12".into()).to_xml(), format!("{start}{success}{end}"));
        let details =
            ["UNKNOWN_XENAPI_PLUGIN_FUNCTION", "f&lt;"].map(|d| format!("<value><string>{d}</string></value>"));
        let failure = format!(
            "ErrorDescription</name><value><array><data>{}</data></array></value></member><member><name>Status</name>\
             <value><string>Failure</string></value>",
            details.concat()
        );
        assert_eq!(Response::unknown("f<").to_xml(), format!("{start}{failure}{end}"));
    }

    #[test]
    fn nothing_that_xml_does_not_have_gets_out() {
        let nasty: String = (0u8..0x20).map(char::from).chain("\u{7f}\u{fffe}\u{ffff}]]>&\u{1f600}".chars()).collect();
        for response in [
            Response::Success(nasty.clone()),
            Response::unknown(&nasty),
            Response::exception(&nasty, "X", &nasty),
            Response::failed("X", &nasty),
        ] {
            let xml = response.to_xml();
            let bad = |c: char| !is_xml(c);
            assert!(!xml.is_empty() && !xml.contains(bad), "{xml:?}");
            assert!(MethodResponse::from_xml(&xml).is_ok(), "{xml:?}");
        }
        for long in ["x", "\u{1}"] {
            assert!(Response::unknown(&long.repeat(100_000)).to_xml().len() < 1000, "{long:?}");
        }
    }
}
