//! The last look over each text: private keys, values that call themselves secret, and users and passwords in URLs are taken out wherever
//! they come from.
//! Must not be the only guard: nothing that is a secret is meant to get here.

const BEGIN: &str = "-----BEGIN ";
const END: &str = "-----END ";

/// Words before a value that make it a secret.
const WORDS: [&str; 5] = ["password", "passwd", "secret", "token", "authorization"];

/// Takes them out.
pub fn leave_out(text: &mut String) {
    if text.contains("://") {
        *text = without_users(text);
    }
    if !text.contains(BEGIN) && !has_word(text) {
        return;
    }
    let (mut clean, mut in_key) = (String::with_capacity(text.len()), false);
    for line in text.split_inclusive('\n') {
        // In JSON a whole key may stand on one line.
        let (begins, ends) = (line.contains(BEGIN) && line.contains("PRIVATE KEY"), line.contains(END));
        if begins || in_key {
            in_key = !ends;
            clean.push_str("(a private key is left out)\n");
        } else {
            clean.push_str(&without_value(line));
        }
    }
    *text = clean;
}

/// The text with each `scheme://user:password@` as `scheme://(left out)@`. A password may have any character but those that end a URL.
fn without_users(text: &str) -> String {
    const ENDS: [char; 6] = ['"', '\'', '<', '>', '`', '\\'];
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || ENDS.contains(&c)).unwrap_or(after.len());
        // The last `@` ends the user; a path behind the host has none in the URLs that name a database.
        match after[..end].rfind('@') {
            Some(user) => {
                clean.push_str("(left out)");
                rest = &after[user..];
            }
            None => rest = after,
        }
    }
    clean + rest
}

fn has_word(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    WORDS.iter().any(|word| lower.contains(word))
}

/// The line up to the value of a word of [`WORDS`], where one is followed by `=` or `:`.
fn without_value(line: &str) -> String {
    let lower = line.to_ascii_lowercase();
    let value = |word: &&str| {
        let after = lower.find(*word)? + word.len();
        let rest = lower.get(after..)?.trim_start_matches(['"', '\'', ' ']);
        rest.starts_with(['=', ':']).then_some(after)
    };
    match WORDS.iter().filter_map(value).min() {
        Some(after) => format!("{} (left out)\n", line.get(..after).unwrap_or_default()),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_urls_go_and_hosts_stay() {
        let mut text = "x mysql://u:p@ss/word@192.0.2.9/cloud failed; see https://h:8443/v1 and a@b\n\"url\": \"postgres://u:geheim@h/db\"\n".to_owned();
        leave_out(&mut text);
        let wanted = "x mysql://(left out)@192.0.2.9/cloud failed; see https://h:8443/v1 and a@b\n\"url\": \"postgres://(left out)@h/db\"\n";
        assert_eq!(text, wanted);
    }

    #[test]
    fn keys_and_values_go_and_the_rest_stays() {
        let mut text = "a\n-----BEGIN EC PRIVATE KEY-----\nMHc\nxyz\n-----END EC PRIVATE KEY-----\nb\napi_token = \"abc\"\ntokens are fine\n".to_owned();
        leave_out(&mut text);
        assert!(!["MHc", "xyz", "abc"].iter().any(|secret| text.contains(secret)), "{text}");
        assert!(
            text.starts_with("a\n(a private key") && text.contains("\nb\napi_token (left out)\ntokens are fine\n"),
            "{text}"
        );
        let mut json =
            "{\"text\": \"-----BEGIN PRIVATE KEY-----\\nMHc\\n-----END PRIVATE KEY-----\"}\n\"Password\": \"abc\"\nc\n"
                .to_owned();
        leave_out(&mut json);
        assert_eq!(json, "(a private key is left out)\n\"Password (left out)\nc\n");
        let mut cut = "-----BEGIN PRIVATE KEY-----\nMHc".to_owned();
        leave_out(&mut cut);
        assert!(!cut.contains("MHc"));
        let mut plain = "-----BEGIN CERTIFICATE-----\nabc\n".to_owned();
        leave_out(&mut plain);
        assert!(plain.contains("abc"));
    }
}
