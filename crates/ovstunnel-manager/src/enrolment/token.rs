//! Tokens by which hosts join: their text, and what is kept of them. Must not keep what lets a host in, only its SHA-256.

use ovstunnel_manager_api::{Token, to_hex};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::sessions::NoRandom;
use crate::zone::format_time;

/// What is kept of a token, under its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    sum: String,
    pub(crate) hosts: u32,
    pub(crate) left: u32,
    /// Unix time, seconds.
    pub(crate) ends: i64,
    by: String,
}

/// Why a token lets nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    /// None of that text is kept.
    #[error("the token is not one of this manager's, or was removed")]
    Unknown,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// As many hosts have joined as it was for.
    #[error("the token is used up")]
    UsedUp,
}

fn secret_digest(secret: &str) -> String {
    to_hex(Sha256::digest(secret.as_bytes()).as_slice())
}

impl Kept {
    /// A new token for so many hosts: its id, its text, and what is kept of it.
    pub(crate) fn new_token(
        hosts: u32,
        ends: OffsetDateTime,
        by: &str,
        fingerprint: &str,
    ) -> Result<(String, String, Kept), NoRandom> {
        let mut bytes = [0u8; 24];
        SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
        let (id, secret) = (to_hex(&bytes[..4]), to_hex(&bytes[4..]));
        let kept =
            Kept { sum: secret_digest(&secret), hosts, left: hosts, ends: ends.unix_timestamp(), by: by.to_owned() };
        Ok((id.clone(), format!("{id}.{secret}.{fingerprint}"), kept))
    }

    /// That this secret is its own, and lets a host in now.
    pub(crate) fn check_secret(&self, secret: &str, now: OffsetDateTime) -> Result<(), BadToken> {
        // In the same time wherever the two differ.
        let given = secret_digest(secret);
        let differs = given.bytes().zip(self.sum.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
        if differs != 0 || given.len() != self.sum.len() {
            return Err(BadToken::Unknown);
        }
        match () {
            () if now.unix_timestamp() >= self.ends => Err(BadToken::Expired),
            () if self.left == 0 => Err(BadToken::UsedUp),
            () => Ok(()),
        }
    }

    /// The same once one more host has joined.
    pub(crate) fn after_use(&self) -> Kept {
        Kept { left: self.left.saturating_sub(1), ..self.clone() }
    }

    /// How it is told.
    pub(crate) fn to_wire(&self, id: &str, now: OffsetDateTime) -> Token {
        let state = match (now.unix_timestamp() >= self.ends, self.left) {
            (true, _) => "expired",
            (false, 0) => "used up",
            _ => "valid",
        };
        let ends = OffsetDateTime::from_unix_timestamp(self.ends).map(format_time).unwrap_or_default();
        let (id, by, state) = (id.to_owned(), self.by.clone(), state.to_owned());
        Token { id, hosts: self.hosts, left: self.left, ends, by, state }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_manager_api::TokenText;
    use time::Duration;

    use super::*;

    #[test]
    fn a_token_admits_by_its_secret_until_it_expires_or_is_used_up() {
        let (now, fingerprint) = (OffsetDateTime::now_utc(), "ab".repeat(32));
        let (id, text, kept) = Kept::new_token(2, now + Duration::hours(1), "root", &fingerprint).unwrap();
        let TokenText { id: found, secret, .. } = TokenText::parse_token(&text).unwrap();
        assert_eq!((found, kept.check_secret(secret, now)), (id.as_str(), Ok(())));
        assert!(!serde_json::to_string(&kept).unwrap().contains(secret), "the secret is not kept");
        let other = Kept::new_token(2, now, "root", &fingerprint).unwrap().1;
        assert_eq!(kept.check_secret(TokenText::parse_token(&other).unwrap().secret, now), Err(BadToken::Unknown));
        assert_eq!(kept.check_secret(secret, now + Duration::hours(1)), Err(BadToken::Expired));
        let used = Kept { left: 0, ..kept.clone() };
        assert_eq!(used.check_secret(secret, now), Err(BadToken::UsedUp));
        let state = |kept: &Kept, now| kept.to_wire(&id, now).state;
        assert_eq!((state(&kept, now), state(&used, now)), ("valid".into(), "used up".into()));
        assert_eq!(state(&kept, now + Duration::hours(2)), "expired");
        for bad in ["", "a.b.c", &text[1..], &format!("{text}.x"), &text.to_uppercase()] {
            assert_eq!(TokenText::parse_token(bad), None, "{bad}");
        }
    }
}
