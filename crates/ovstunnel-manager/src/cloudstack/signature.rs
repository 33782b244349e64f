//! How requests to CloudStack's API are signed, and its webhooks.
//!
//! What it does: writes a request's parameters as CloudStack signs them. What it must not do: send anything; keep a key longer than its owner.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use crate::config::Signature;

/// The two keys of a user of CloudStack's.
pub(super) struct Keys {
    pub api: String,
    pub secret: hmac::Key,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.write_str("Keys(…)")
    }
}

/// By what requests are signed.
pub(super) fn algorithm(signature: Signature) -> hmac::Algorithm {
    match signature {
        Signature::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
        Signature::Sha256 => hmac::HMAC_SHA256,
        Signature::Sha512 => hmac::HMAC_SHA512,
    }
}

/// The query of a request with its signature: of all parameters in the order of their names, in lower case, with `%20` for a blank.
pub(super) fn signed_query(keys: &Keys, parameters: &[(&str, &str)]) -> String {
    let mut all = parameters.to_vec();
    all.push(("apiKey", &keys.api));
    all.push(("response", "json"));
    all.sort_by_key(|(name, _)| name.to_lowercase());
    let query: Vec<String> = all.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    let query = query.join("&");
    let tag = hmac::sign(&keys.secret, query.to_lowercase().as_bytes());
    format!("{query}&signature={}", encode(&STANDARD.encode(tag)))
}

/// A value as it stands in a query.
fn encode(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for byte in value.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'*' => text.push(char::from(byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// Whether a webhook's body is signed by this key (`X-CS-Signature`: HMAC-SHA256, base64).
pub(super) fn is_signed(key: &hmac::Key, body: &[u8], signature: &str) -> bool {
    STANDARD.decode(signature.trim()).is_ok_and(|tag| hmac::verify(key, body, &tag).is_ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn keys(signature: Signature) -> Keys {
        // The example of CloudStack's own guide for developers.
        let secret = "VDaACYb0LV9eNjTetIOElcVQkvJck_J_QljX_FcHRj87ZKiy0z0ty0ZsYBkoXkY9b7eq1EhwJaw7FF3akA3KBQ";
        let api = "plgWJfZK4gyS3mOMTVmjUVg-X-jlWlnfaUJ9GAbBbf9EdM-kAYMmAiLqzzq1ElZLYq_u38zCm0bewzGUdP66mg";
        Keys { api: api.into(), secret: hmac::Key::new(algorithm(signature), secret.as_bytes()) }
    }

    #[test]
    fn a_request_is_signed_as_cloudstacks_guide_has_it() {
        let signed = signed_query(&keys(Signature::Sha1), &[("command", "listUsers")]);
        assert!(signed.ends_with("&response=json&signature=TTpdDq%2F7j%2FJ58XCRHomKoQXEQds%3D"), "{signed}");
        assert!(signed.starts_with("apiKey=plgWJfZK4gyS3mOMTVmjUVg-X-"), "{signed}");
    }

    #[test]
    fn each_algorithm_signs_otherwise_and_blanks_are_percent_20() {
        let all = [Signature::Sha1, Signature::Sha256, Signature::Sha512];
        let signed = all.map(|one| signed_query(&keys(one), &[("keyword", "Über all"), ("command", "listHosts")]));
        assert!(signed.iter().all(|query| query.contains("keyword=%C3%9Cber%20all&response")), "{signed:?}");
        // So many bytes in base64, of which `=`, `+` and `/` take three letters each.
        let tags = signed.map(|query| query.rsplit_once("signature=").unwrap().1.to_owned());
        let bytes = |tag: &String| tag.replace("%2B", "+").replace("%2F", "/").replace("%3D", "=").len() / 4 * 3;
        assert_eq!(tags.each_ref().map(bytes), [21, 33, 66]);
    }

    #[test]
    fn a_webhook_is_known_by_its_signature_alone() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"geheim");
        let tag = STANDARD.encode(hmac::sign(&key, b"{}"));
        assert!(is_signed(&key, b"{}", &tag));
        for (body, signature) in [(&b"{ }"[..], tag.as_str()), (b"{}", ""), (b"{}", "%%%"), (b"{}", "YWJj")] {
            assert!(!is_signed(&key, body, signature), "{signature}");
        }
    }
}
