//! xapi's request: which function, with which arguments. Must not judge the arguments; the daemon does.

use std::collections::BTreeMap;
use std::ffi::OsString;

use dxr::{MethodCall, Value};
use ovstunnel_api::PluginArguments;

/// A call of a function.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// Its name, whatever that is.
    pub function: String,
    /// Its arguments.
    pub arguments: PluginArguments,
}

/// Something that is not a request.
#[derive(Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The function, as far as it is known.
    pub function: String,
    /// What is wrong.
    pub reason: String,
}

impl Request {
    /// Reads the program's arguments, of which there must be one.
    pub fn parse_arguments(arguments: &[OsString]) -> Result<Self, Unreadable> {
        let unreadable = |reason: &str| Unreadable { function: String::new(), reason: reason.to_owned() };
        let [argument] = arguments else {
            return Err(unreadable(&format!("expected one argument, not {}", arguments.len())));
        };
        let text = argument.to_str().ok_or_else(|| unreadable("the request is not UTF-8"))?;
        // The parser's error is the whole text again; it says no more than this.
        let call = MethodCall::from_xml(text).map_err(|_| unreadable("the request is not an XML-RPC methodCall"))?;
        let function = call.name.into_owned();
        match arguments_of(call.params) {
            Ok(arguments) => Ok(Request { function, arguments }),
            Err(reason) => Err(Unreadable { function, reason }),
        }
    }
}

/// The parameters are a session, which is not needed, and a struct of texts.
fn arguments_of(params: Vec<Value>) -> Result<PluginArguments, String> {
    let Ok([session, arguments]) = <[Value; 2]>::try_from(params) else {
        return Err("expected two parameters: a session and a struct of arguments".to_owned());
    };
    let (Value::String(_), Value::Struct(members)) = (session, arguments) else {
        return Err("expected a session, which is a string, and a struct of arguments".to_owned());
    };
    let text = |(name, value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => Err(format!("argument {name} is not a string")),
    };
    members.into_iter().map(text).collect::<Result<BTreeMap<_, _>, _>>().map(PluginArguments)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    fn read(text: &str) -> Result<Request, Unreadable> {
        Request::parse_arguments(&[text.into()])
    }

    fn call(params: &str) -> String {
        format!("<methodCall><methodName>f</methodName><params>{params}</params></methodCall>")
    }

    fn members(members: &str) -> String {
        let param = |value: &str| format!("<param><value>{value}</value></param>");
        call(&(param("OpaqueRef:0") + &param(&format!("<struct>{members}</struct>"))))
    }

    fn value_of(value: &str) -> String {
        let text = members(&format!("<member><name>a</name>{value}</member>"));
        read(&text).unwrap().arguments.0["a"].clone()
    }

    #[test]
    fn texts_are_read_byte_for_byte_with_and_without_a_type() {
        for (value, text) in [
            ("<value>x</value>", "x"),
            ("<value><string>x</string></value>", "x"),
            ("<value/>", ""),
            ("<value></value>", ""),
            ("<value><string/></value>", ""),
            ("<value> a\nb </value>", " a\nb "),
            ("<value><string> a\nb </string></value>", " a\nb "),
            ("<value>{&quot;a&quot;: &lt;1&gt; &amp; &apos;2&apos;}</value>", "{\"a\": <1> & '2'}"),
            ("<value>&#10;&#xe9;\u{e9}</value>", "\n\u{e9}\u{e9}"),
            ("<value>&amp;lt;</value>", "&lt;"),
        ] {
            assert_eq!(value_of(value), text, "{value}");
        }
        assert_eq!(read(&members("")).unwrap().arguments, PluginArguments::default());
        assert_eq!(read(&format!("<?xml version=\"1.0\"?>\n{}\n", members(""))).unwrap().function, "f");
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        let struct_of = |value: &str| members(&format!("<member><name>a</name><value>{value}</value></member>"));
        for text in [
            "",
            "x",
            "<",
            "<a/>",
            "<methodCall>",
            "<methodCall></methodCall>",
            "<methodCall><methodName></methodName><params></params></methodCall>",
            "<!DOCTYPE m [<!ENTITY a \"b\">]><methodCall><methodName>&a;</methodName><params/></methodCall>",
            "<methodResponse><params><param><value>x</value></param></params></methodResponse>",
            &call(""),
            &call("<param><value>s</value></param>"),
            &call("<param><value>s</value></param>").replace("</params>", "<param><value>t</value></param></params>"),
            &call("<param><value><struct></struct></value></param>"),
            &struct_of("<int>1</int>"),
            &struct_of("<boolean>1</boolean>"),
            &struct_of("<array><data></data></array>"),
            &struct_of("<struct></struct>"),
            &struct_of("<string>x"),
            &struct_of("&unknown;"),
        ] {
            assert!(!read(text).unwrap_err().reason.is_empty(), "{text}");
        }
        for arguments in [vec![], vec!["a".into(), "b".into()], vec![OsString::from_vec(vec![b'<', 0xff])]] {
            assert!(Request::parse_arguments(&arguments).is_err(), "{arguments:?}");
        }
        assert_eq!(read(&call("")).unwrap_err().function, "f");
    }

    /// As deep as one argument can be.
    #[test]
    fn depth_is_refused_and_no_more() {
        for open in ["<x>", "<value><array><data>", "<value><struct><member><name>a</name>", "<params><param><value>"] {
            let text = call(&open.repeat(131_000 / open.len()));
            assert!(read(&text).is_err(), "{open}");
        }
        let deep = format!("{}{}", "<value><array><data>".repeat(3_000), "</data></array></value>".repeat(3_000));
        assert!(read(&call(&format!("<param>{deep}</param>"))).is_err());
    }
}
