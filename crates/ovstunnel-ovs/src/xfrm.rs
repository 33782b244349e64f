//! Between which addresses the kernel has keys for IPsec, as `ip xfrm state` prints it. Must not change anything, or keep or tell what else
//! is printed there: the keys are.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::runner::{Bounds, run_program};

/// How long the kernel may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Source and destination of each security association of ESP.
///
/// # Errors
/// That it cannot be asked for, with the reason.
pub async fn security_associations() -> Result<BTreeSet<(IpAddr, IpAddr)>, String> {
    let run = run_program(Path::new("ip"), &["xfrm", "state"], &[], "", Bounds::with_deadline(TIMEOUT));
    let finished = run.await.map_err(|error| error.to_string())?;
    match finished.status.success() {
        true => Ok(parse_states(&finished.stdout)),
        false => Err(format!("`ip xfrm state`: {}", finished.stderr.trim())),
    }
}

/// Each state begins with a line of its addresses; that of its protocol follows.
pub(crate) fn parse_states(printed: &str) -> BTreeSet<(IpAddr, IpAddr)> {
    let (mut found, mut addresses) = (BTreeSet::new(), None);
    for line in printed.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["src", from, "dst", to, ..] if !line.starts_with(char::is_whitespace) => {
                addresses = from.parse().ok().zip(to.parse().ok());
            }
            // One that is asked for has no key yet, and no SPI.
            ["proto", "esp", "spi", spi, ..] if *spi != "0x00000000" => found.extend(addresses),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// As iproute2 6.1 prints it; the last is one that the kernel has asked for.
    const PRINTED: &str = "src 192.0.2.1 dst 192.0.2.2
\tproto esp spi 0xc788d866 reqid 1 mode transport
\treplay-window 0 
\taead rfc4106(gcm(aes)) 0xb59e56775ae3 128
\tanti-replay context: seq 0x0, oseq 0x8, bitmap 0x00000000
\tsel src 192.0.2.1/32 dst 192.0.2.2/32 proto gre 
src 192.0.2.2 dst 192.0.2.1
\tproto esp spi 0xccf4df9a reqid 1 mode transport
src 2001:db8::1 dst 2001:db8::2
\tproto esp spi 0xccf4df9b reqid 1 mode transport
src 192.0.2.1 dst 192.0.2.4
\tproto ah spi 0xccf4df9c reqid 1 mode transport
src 192.0.2.1 dst 192.0.2.3
\tproto esp spi 0x00000000 reqid 2 mode transport
";

    #[test]
    fn who_has_keys_is_read_and_no_key_is() {
        let [a, b] = [1, 2].map(|n| IpAddr::from([192, 0, 2, n]));
        let [c, d] = ["2001:db8::1", "2001:db8::2"].map(|ip| ip.parse().unwrap());
        assert_eq!(parse_states(PRINTED), [(a, b), (b, a), (c, d)].into());
        assert_eq!(parse_states("src 192.0.2.1 dst\nproto esp spi"), BTreeSet::new());
    }
}
