//! Whom a certificate names, read from it. Must not judge whether it is trusted.

use x509_parser::extensions::GeneralName;
use x509_parser::prelude::X509Certificate;

/// The first common name of a certificate's subject.
pub(super) fn common_name_of(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).map(str::to_owned)
}

/// The alternative names, as text: DNS names, addresses, e-mail addresses and URIs.
pub(super) fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let all = alternative.iter().flat_map(|names| &names.value.general_names);
    all.map(name_of).collect()
}

/// One alternative name, as text.
pub(super) fn name_of(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => (*text).to_owned(),
        GeneralName::IPAddress(bytes) => format_address(bytes),
        other => other.to_string(),
    }
}

fn format_address(bytes: &[u8]) -> String {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::Ipv4Addr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::Ipv6Addr::from(bytes).to_string()))
        .unwrap_or_else(|_| to_hex(bytes, ":"))
}

/// Bytes as hexadecimal digits.
pub(super) fn to_hex(bytes: &[u8], between: &str) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(between)
}
