//! Browsers without a certificate: links that let one in once, the sessions that they begin, and what shows that a form is ours.
//!
//! What it does: keeps them in memory, for a time each; a restart ends them all. What it must not do: keep what a browser shows itself by (only a
//! sum of it), give anybody more than who made the link may, or know a route.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ovstunnel_server::config::Role;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use sha2::{Digest, Sha256};

/// How long a link lets somebody in.
pub const LINK: Duration = Duration::from_secs(10 * 60);

/// How long a form may lie before it is sent.
const FORM: Duration = Duration::from_secs(12 * 3600);

/// How long a note of what was done is shown.
const NOTE: Duration = Duration::from_secs(10 * 60);

/// Links, sessions and notes at most; the oldest go first.
const MOST: usize = 1000;

/// The cookie of a session. The prefix has browsers take it from HTTPS only, for this host only.
pub const COOKIE: &str = "__Host-ovstunnel";

/// A session that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Who made its link.
    pub by: String,
    /// What it may.
    pub role: Role,
    /// A name for it that lets nobody in.
    pub id: String,
}

/// All links and sessions. Clones share them.
#[derive(Clone)]
pub struct Sessions(Arc<Shared>);

struct Shared {
    random: SystemRandom,
    key: hmac::Key,
    length: Duration,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: HashMap<Sum, (Session, Instant)>,
    sessions: HashMap<Sum, (Session, Instant)>,
    notes: VecDeque<(String, String, String, Instant)>,
}

/// Of a secret; whoever sees it can do nothing with it.
type Sum = [u8; 32];

fn text_digest(text: &str) -> Sum {
    Sha256::digest(text.as_bytes()).into()
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").field("length", &self.0.length).finish_non_exhaustive()
    }
}

/// The system has no randomness to give, so that nothing secret can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub struct NoRandom;

impl Sessions {
    /// None yet; each lasts so long.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new(length: Duration) -> Result<Sessions, NoRandom> {
        let random = SystemRandom::new();
        let mut secret = [0u8; 32];
        random.fill(&mut secret).map_err(|_| NoRandom)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        Ok(Sessions(Arc::new(Shared { random, key, length, start: Instant::now(), state: Mutex::default() })))
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn new_secret(&self) -> Result<String, NoRandom> {
        let mut bytes = [0u8; 32];
        self.0.random.fill(&mut bytes).map_err(|_| NoRandom)?;
        Ok(to_hex(&bytes))
    }

    /// How long a session lasts.
    pub fn session_length(&self) -> Duration {
        self.0.length
    }

    /// A secret that lets its bearer in once, in this role.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn new_link(&self, by: &str, role: Role) -> Result<String, NoRandom> {
        self.link_at(by, role, Instant::now())
    }

    fn link_at(&self, by: &str, role: Role, now: Instant) -> Result<String, NoRandom> {
        let secret = self.new_secret()?;
        let session = Session { by: by.to_owned(), role, id: self.new_secret()?[..16].to_owned() };
        let mut state = self.lock_state();
        make_room(&mut state.links, now);
        state.links.insert(text_digest(&secret), (session, now + LINK));
        Ok(secret)
    }

    /// Whether a link would let somebody in; gives what it would begin.
    pub fn peek_link(&self, link: &str) -> Option<Session> {
        let now = Instant::now();
        self.lock_state()
            .links
            .get(&text_digest(link))
            .filter(|(_, until)| now < *until)
            .map(|(session, _)| session.clone())
    }

    /// Begins the session of a link, which is used up by that. Gives what its browser shows itself by from then on.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn begin_session(&self, link: &str) -> Result<Option<(String, Session)>, NoRandom> {
        self.begin_at(link, Instant::now())
    }

    fn begin_at(&self, link: &str, now: Instant) -> Result<Option<(String, Session)>, NoRandom> {
        let secret = self.new_secret()?;
        let mut state = self.lock_state();
        let Some((session, _)) = state.links.remove(&text_digest(link)).filter(|(_, until)| now < *until) else {
            return Ok(None);
        };
        make_room(&mut state.sessions, now);
        state.sessions.insert(text_digest(&secret), (session.clone(), now + self.0.length));
        Ok(Some((secret, session)))
    }

    /// The session of a browser that shows itself by this.
    pub fn find_session(&self, secret: &str) -> Option<Session> {
        self.session_at(secret, Instant::now())
    }

    fn session_at(&self, secret: &str, now: Instant) -> Option<Session> {
        self.lock_state()
            .sessions
            .get(&text_digest(secret))
            .filter(|(_, until)| now < *until)
            .map(|(session, _)| session.clone())
    }

    /// Ends a session.
    pub fn end_session(&self, secret: &str) {
        self.lock_state().sessions.remove(&text_digest(secret));
    }

    /// What a form for this one has, so that it is known for ours.
    pub fn form_token(&self, owner: &str) -> String {
        let at = self.0.start.elapsed().as_secs();
        format!("{at}-{}", to_hex(hmac::sign(&self.0.key, signed_text(owner, at).as_bytes()).as_ref()))
    }

    /// Whether a form is ours, made for this one, and not too old.
    pub fn is_token(&self, owner: &str, token: &str) -> bool {
        let Some((at, tag)) = token.split_once('-') else { return false };
        let Ok(at) = at.parse::<u64>() else { return false };
        let Some(tag) = from_hex(tag) else { return false };
        let is_young = self.0.start.elapsed().as_secs().saturating_sub(at) <= FORM.as_secs();
        hmac::verify(&self.0.key, signed_text(owner, at).as_bytes(), &tag).is_ok() && is_young
    }

    /// Keeps a note of what somebody has done, to be shown to them. Gives by which it is asked for; nothing where there is no randomness.
    pub fn take_note(&self, owner: &str, text: String) -> String {
        let Ok(id) = self.new_secret().map(|id| id[..16].to_owned()) else { return String::new() };
        let mut state = self.lock_state();
        state.notes.push_back((id.clone(), owner.to_owned(), text, Instant::now() + NOTE));
        if state.notes.len() > MOST {
            state.notes.pop_front();
        }
        id
    }

    /// A note that was kept for this one.
    pub fn kept_note(&self, owner: &str, id: &str) -> Option<String> {
        let now = Instant::now();
        let state = self.lock_state();
        let is_it =
            |(note, of, _, until): &&(String, String, String, Instant)| note == id && of == owner && now < *until;
        state.notes.iter().find(is_it).map(|(_, _, text, _)| text.clone())
    }
}

fn signed_text(owner: &str, at: u64) -> String {
    format!("form\n{at}\n{owner}")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !text.is_ascii() || digits.len() != 64 {
        return None;
    }
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Forgets those that are over, and where there are too many still, the one that is over first.
fn make_room(all: &mut HashMap<Sum, (Session, Instant)>, now: Instant) {
    all.retain(|_, (_, until)| now < *until);
    if all.len() >= MOST {
        let oldest = all.iter().min_by_key(|(_, (_, until))| *until).map(|(sum, _)| *sum);
        oldest.map(|sum| all.remove(&sum));
    }
}

/// The secret of a session in the header of a request.
pub fn of_cookies(header: &str) -> Option<&str> {
    header.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn sessions() -> Sessions {
        Sessions::new(Duration::from_secs(3600)).unwrap()
    }

    #[test]
    fn a_link_lets_in_once_and_not_for_long() {
        let (sessions, now) = (sessions(), Instant::now());
        let link = sessions.link_at("ops", Role::Operator, now).unwrap();
        assert_eq!(sessions.peek_link(&link).unwrap().role, Role::Operator, "to look does not use it up");
        let (secret, session) = sessions.begin_at(&link, now).unwrap().unwrap();
        assert_eq!((session.by.as_str(), session.role), ("ops", Role::Operator));
        assert_eq!(sessions.begin_at(&link, now).unwrap(), None, "used up");
        assert_eq!(sessions.find_session(&link), None, "a link is no session");
        assert_eq!(sessions.session_at(&secret, now), Some(session));
        assert_eq!(sessions.session_at(&secret, now + Duration::from_secs(3601)), None);
        let late = sessions.link_at("ops", Role::Viewer, now).unwrap();
        assert_eq!(sessions.begin_at(&late, now + LINK).unwrap(), None);
        sessions.end_session(&secret);
        assert_eq!(sessions.session_at(&secret, now), None);
    }

    #[test]
    fn a_form_is_for_one_person_of_one_manager() {
        let (one, other) = (sessions(), sessions());
        let token = one.form_token("ops");
        assert!(one.is_token("ops", &token));
        let of_tomorrow = token.replacen('0', "9", 1);
        for (owner, token) in [("eve", token.as_str()), ("ops", ""), ("ops", "0-00"), ("ops", &of_tomorrow)] {
            assert!(!one.is_token(owner, token), "{owner} {token}");
        }
        assert!(!other.is_token("ops", &token));
    }

    #[test]
    fn a_note_is_for_who_did_it() {
        let sessions = sessions();
        let note = sessions.take_note("ops", "done".into());
        assert_eq!(sessions.kept_note("ops", &note).as_deref(), Some("done"));
        assert_eq!((sessions.kept_note("eve", &note), sessions.kept_note("ops", "")), (None, None));
    }

    #[test]
    fn a_cookie_is_found_by_its_whole_name() {
        assert_eq!(of_cookies("a=b; __Host-ovstunnel=abc; c=d"), Some("abc"));
        assert_eq!(of_cookies("__Host-ovstunnelx=abc"), None);
        assert_eq!(of_cookies(""), None);
    }

    #[test]
    fn links_do_not_grow_without_end() {
        let sessions = sessions();
        (0..MOST + 5).for_each(|_| drop(sessions.new_link("ops", Role::Viewer).unwrap()));
        assert_eq!(sessions.lock_state().links.len(), MOST);
    }
}
