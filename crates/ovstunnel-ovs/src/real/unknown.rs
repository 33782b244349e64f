//! Questions that this Open vSwitch does not know: what a version lacks is learnt from its own answers, not from its number.
//!
//! What it does: says each once, with what the daemon does without. What it must not do: take another error for one of these: a
//! bridge that has just gone is no lack.

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What has been said. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unknown(Arc<Mutex<BTreeSet<String>>>);

impl Unknown {
    /// Notes what an answer says of the question; gives whether that was news.
    pub(crate) fn note_answer(&self, method: &str, parameters: &[&str], error: &io::Error) -> bool {
        let words = error.to_string();
        let question = match words.as_str() {
            // `"fdb/stats-show" is not a valid command (use "list-commands" to see a list of valid commands)`
            words if words.contains("is not a valid command") => method.to_owned(),
            words if words.contains("No such counter") => [&[method], parameters].concat().join(" "),
            _ => return false,
        };
        let news = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(question.clone());
        if news {
            tracing::info!(question, without = fallback_words(method), "this Open vSwitch cannot be asked this");
        }
        news
    }
}

/// What the daemon does where a question is not known.
fn fallback_words(method: &str) -> &'static str {
    match method {
        "coverage/read-counter" => "changes are looked for at intervals, not counted",
        "bridge/dump-flows" => "flows are read by ovs-ofctl",
        "fdb/stats-show" | "fdb/show" => "nothing is told of the addresses that bridges have learnt",
        "dpif/show" | "ofproto/trace" => "no frame is followed through the tables",
        _ => "nothing is told of it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_question_is_said_once_other_errors_are_not() {
        let (unknown, error) = (Unknown::default(), |text: &str| io::Error::other(text.to_owned()));
        let command = error("fdb/stats-show: \"fdb/stats-show\" is not a valid command (use \"list-commands\" to …)");
        let counter = error("coverage/read-counter: No such counter");
        assert!(unknown.note_answer("fdb/stats-show", &["xapi1"], &command));
        assert!(
            !unknown.clone().note_answer("fdb/stats-show", &["xapi2"], &command),
            "it is said once, whatever bridge"
        );
        assert!(unknown.note_answer("coverage/read-counter", &["rev_flow_table"], &counter));
        assert!(unknown.note_answer("coverage/read-counter", &["rev_reconfigure"], &counter), "another counter");
        for other in [error("fdb/stats-show: no such bridge"), io::ErrorKind::UnexpectedEof.into()] {
            assert!(!unknown.note_answer("fdb/show", &["xapi1"], &other), "{other}");
        }
    }
}
