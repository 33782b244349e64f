//! What a caller is told about each kind of bad body, query and path.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::body::Body;
use ovstunnel_api::{PostTunnel, Problem, PutBridge};
use serde::Deserialize;

use super::*;

fn refusal<T: DeserializeOwned + std::fmt::Debug>(body: &str) -> Problem {
    from_json::<T>(body.as_bytes()).unwrap_err().problem().clone()
}

#[test]
fn a_wrong_field_is_told_with_its_path_the_rule_and_the_value() {
    let tunnels = |t: &str| format!(r#"{{"key": 5, "tunnels": [{{"to": 1, "remote_ip": "192.0.2.1"}}, {t}]}}"#);
    let cases = [
        (r#"{"key": "five"}"#.to_owned(), "key", "must be a whole number", Some("five")),
        (r#"{"key": 1.5}"#.to_owned(), "key", "must be a whole number", Some("1.5")),
        (r#"{}"#.to_owned(), "key", "is required", None),
        (r#"{"key": 1, "key": 2}"#.to_owned(), "key", "may be given only once", None),
        (r#"{"key": 1, "ipv6": "deny"}"#.to_owned(), "ipv6", "must be `drop` or `allow`", Some("deny")),
        (r#"{"key": 1, "tunnels": {}}"#.to_owned(), "tunnels", "must be a list", Some("{}")),
        (tunnels(r#"{"to": 2, "remote_ip": 7}"#), "tunnels[1].remote_ip", "must be a string", Some("7")),
        (tunnels(r#"{"to": 2}"#), "tunnels[1].remote_ip", "is required", None),
        (tunnels("5"), "tunnels[1]", "must be an object", Some("5")),
        (
            tunnels(r#"{"to": -1, "remote_ip": "192.0.2.1"}"#),
            "tunnels[1].to",
            "must be a text or a whole number, not negative",
            Some("-1"),
        ),
        ("7".to_owned(), "body", "must be a JSON object", Some("7")),
        // serde would read a struct from a list.
        (
            "[5, null, null, null, null]".to_owned(),
            "body",
            "must be a JSON object",
            Some("[5, null, null, null, null]"),
        ),
    ];
    for (body, field, rule, value) in cases {
        let problem = refusal::<PutBridge>(&body);
        assert_eq!(problem.code, Code::InvalidRequest);
        assert_eq!(problem.field.as_deref(), Some(field), "{body}: {problem:?}");
        assert_eq!(problem.rule.as_deref(), Some(rule), "{body}: {problem:?}");
        assert_eq!(problem.value.as_deref(), value, "{body}: {problem:?}");
        assert!(problem.detail.starts_with(&format!("{field} {rule}")), "{}", problem.detail);
    }
}

#[test]
fn an_unknown_field_is_named_with_the_known_ones() {
    let problem = refusal::<PutBridge>(r#"{"key": 1, "tunnels": [{"to": 1, "remote_ip": "x", "prot`ected": true}]}"#);
    assert_eq!(problem.field.as_deref(), Some("tunnels[0].prot`ected"));
    let rule = problem.rule.unwrap();
    assert!(rule.contains("not known") && rule.contains("`remote_ip`"), "{rule}");
    assert_eq!(refusal::<PostTunnel>(r#"{"frm": 1}"#).field.as_deref(), Some("frm"));
}

#[test]
fn broken_json_is_told_with_line_and_column() {
    for (body, place) in [
        ("{\n  \"key\": 5,\n}", "line 3, column 1"),
        ("{\"key\": 5", "line 1, column 9"),
        ("{\"key\": 5} {}", "line 1, column 12"),
        ("nonsense", "line 1, column 2"),
    ] {
        let problem = refusal::<PutBridge>(body);
        assert_eq!(problem.field.as_deref(), Some("body"));
        assert!(problem.detail.contains(place), "{body}: {}", problem.detail);
    }
}

#[test]
fn a_very_deep_document_is_refused_like_any_other() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refusal::<PutBridge>(&deep).rule.as_deref(), Some("must be a JSON object"));
    let problem = refusal::<PutBridge>(&format!(r#"{{"key": {deep}}}"#));
    assert_eq!((problem.field.as_deref(), problem.value), (Some("key"), None));
}

#[test]
fn bytes_that_are_not_text_are_refused() {
    let problem = from_json::<PutBridge>(b"{\"key\xff").unwrap_err();
    assert!(problem.to_string().contains("byte 5 is not"), "{problem}");
}

async fn through(content_type: Option<&str>, body: &str) -> Result<ValidJson<PutBridge>, ApiError> {
    let mut request = Request::builder();
    if let Some(value) = content_type {
        request = request.header("content-type", value);
    }
    ValidJson::from_request(request.body(Body::from(body.to_owned())).unwrap(), &()).await
}

#[tokio::test]
async fn the_content_type_must_be_json() {
    for good in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(through(Some(good), r#"{"key": 1}"#).await.unwrap().0.key, 1);
    }
    for bad in [None, Some("text/plain"), Some("application/jsonp")] {
        let error = through(bad, r#"{"key": 1}"#).await.unwrap_err();
        assert_eq!(error.problem().code, Code::UnsupportedMediaType, "{bad:?}");
        assert!(error.to_string().contains(bad.unwrap_or("none")), "{error}");
    }
    let error = through(None, " ").await.unwrap_err();
    assert_eq!(error.problem().code, Code::InvalidRequest);
    assert!(error.to_string().contains("empty"), "{error}");
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Change {
    dry_run: bool,
    n: u8,
}

async fn asked(query: &str) -> Result<ValidQuery<Change>, ApiError> {
    let (mut parts, ()) = Request::builder().uri(format!("/x?{query}")).body(()).unwrap().into_parts();
    ValidQuery::from_request_parts(&mut parts, &()).await
}

#[tokio::test]
async fn the_query_is_read_strictly() {
    assert!(asked("dry_run=true").await.unwrap().0.dry_run);
    assert!(!asked("").await.unwrap().0.dry_run);
    let cases = [
        ("dry_run=maybe%0a", "dry_run", "must be true or false", Some("maybe\\n")),
        ("dry_run", "dry_run", "must be true or false", Some("")),
        ("n=300", "n", "must be a smaller number", Some("300")),
        ("n=x", "n", "must be a whole number", Some("x")),
        ("n=", "n", "must be a whole number", Some("")),
        ("dry_run=true&dry_run=false", "dry_run", "may be given only once", None),
    ];
    for (query, field, rule, value) in cases {
        let error = asked(query).await.unwrap_err();
        let problem = error.problem();
        assert_eq!(problem.field.as_deref(), Some(field), "{problem:?}");
        assert_eq!(problem.rule.as_deref(), Some(rule), "{problem:?}");
        assert_eq!(problem.value.as_deref(), value, "{problem:?}");
    }
    for (query, field) in [("dry_run=true", "dry_run"), ("=", "\"\""), ("a%0a=1", "a\\n")] {
        let (mut parts, ()) = Request::builder().uri(format!("/x?{query}")).body(()).unwrap().into_parts();
        let error = NoQuery::from_request_parts(&mut parts, &()).await.unwrap_err();
        assert_eq!(error.problem().field.as_deref(), Some(field));
        assert!(error.to_string().ends_with("there are no parameters"), "{error}");
    }
    assert_eq!(asked("dryrun=true").await.unwrap_err().problem().field.as_deref(), Some("dryrun"));
}
