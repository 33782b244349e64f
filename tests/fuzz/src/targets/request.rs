//! What programs of the hypervisor and of the host call ours with: xapi's requests, and udev's and the hook's arguments.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use dxr::{MethodCall, MethodResponse, Value};
use ovstunnel_vif::event;
use ovstunnel_xapi::{Request, Response};

use crate::readable;

/// A request that was read is read the same again from what a server would write of it; whatever comes is answered by XML
/// that xapi can read, and that is not large.
pub(crate) fn request(data: &[u8]) {
    let argument = OsString::from_vec(data.to_vec());
    match Request::parse_arguments(&[argument]) {
        Ok(request) => {
            answered(&Response::unknown(&request.function));
            answered(&Response::failed("X", &request.function));
            written_again(&request);
        }
        Err(unreadable) => {
            assert!(!unreadable.reason.is_empty());
            answered(&Response::exception(&unreadable.function, "MalformedRequest", &unreadable.reason));
        }
    }
}

fn answered(response: &Response) {
    let xml = response.to_xml();
    assert!(MethodResponse::from_xml(&xml).is_ok(), "{xml:?}");
    assert!(xml.len() < 20_000, "{} bytes", xml.len());
}

fn written_again(request: &Request) {
    let members = request.arguments.0.iter().map(|(name, text)| (name.clone(), Value::String(text.clone())));
    let params = vec![Value::String("OpaqueRef:0".into()), Value::Struct(members.collect())];
    // Not all that can be read can be written: a name or text with a character that XML has only escaped.
    let Ok(xml) = (MethodCall { name: request.function.clone().into(), params }).to_xml() else { return };
    let strange = |text: &str| text.contains(|c: char| c == '\r' || (c.is_control() && c != '\n' && c != '\t'));
    let texts = request.arguments.0.iter().flat_map(|(name, text)| [name, text]);
    if !strange(&request.function) && !texts.into_iter().any(|text| strange(text)) {
        assert_eq!(Request::parse_arguments(&[OsString::from(&xml)]).as_ref(), Ok(request), "{xml:?}");
    }
}

/// A name that gets through is one that can stand in a request's path; a refusal is one line.
pub(crate) fn vif(data: &[u8]) {
    let arguments: Vec<OsString> = data.split(|b| *b == 0).map(|word| OsString::from_vec(word.to_vec())).collect();
    match event::parse_arguments(&arguments) {
        Ok((event::Call::Tell(event), _)) => {
            let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            let first = event.vif.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
            assert!(first && event.vif.len() <= 36 && event.vif.bytes().all(plain), "{event}");
        }
        Ok(_) => {}
        Err(refused) => readable(&refused, 800),
    }
}
