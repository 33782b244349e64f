//! What a client sees of the layers around the handlers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use axum::routing::{get, post};
use ovstunnel_api::PutBridge;
use serde_json::Value;
use tower::Service;

use bytes::Bytes;
use http::header::CONNECTION;

use super::*;
use crate::extract::ValidJson;

fn app() -> Router {
    wrap_routes(
        Router::new()
            .route("/ok", get(async || "fine"))
            .route("/echo", post(async |body: Bytes| body.len().to_string()))
            .route("/put", post(async |ValidJson(body): ValidJson<PutBridge>| body.key.to_string()))
            .route("/panic", get(async || -> &'static str { panic!("on purpose") }))
            .route("/library", get(async || (StatusCode::BAD_REQUEST, "plain words")))
            .route("/large", get(async || "x".repeat(100_000)))
            .route("/events", get(async || ([(CONTENT_TYPE, "text/event-stream")], "data: x\n\n".repeat(10_000))))
            .route("/away", get(async || ApiError::new(Code::Unavailable, "the database is away")))
            .route("/own", get(async || (StatusCode::SERVICE_UNAVAILABLE, axum::Json(5)))),
        None,
    )
}

async fn ask(request: http::request::Builder, body: impl Into<Body>) -> (StatusCode, HeaderMap, Bytes) {
    let response = app().call(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    (parts.status, parts.headers, axum::body::to_bytes(body, usize::MAX).await.unwrap())
}

async fn problem(request: http::request::Builder, body: impl Into<Body>) -> (HeaderMap, Value) {
    let (status, headers, body) = ask(request, body).await;
    assert_eq!(headers[CONTENT_TYPE], "application/problem+json", "{body:?}");
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["status"], status.as_u16());
    assert_eq!(body["request_id"], headers[REQUEST_ID].to_str().unwrap());
    (headers, body)
}

#[tokio::test]
async fn a_good_request_id_is_kept_and_a_bad_one_replaced() {
    for (given, kept) in
        [("a.B_c-9", true), (&"x".repeat(64), true), (&"x".repeat(65), false), ("a b", false), ("", false)]
    {
        let (_, headers, _) = ask(Request::get("/ok").header(REQUEST_ID, given), Body::empty()).await;
        let id = headers[REQUEST_ID].to_str().unwrap();
        assert_eq!(id == given, kept, "{given}: {id}");
        assert!(kept || (id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit())), "{id}");
    }
}

#[tokio::test]
async fn routing_errors_and_panics_are_problems() {
    let (_, body) = problem(Request::get("/no%0Asuch"), Body::empty()).await;
    assert_eq!(body["code"], "not_found");
    let (headers, body) = problem(Request::delete("/echo"), Body::empty()).await;
    assert_eq!((&body["code"], headers["allow"].to_str().unwrap()), (&"method_not_allowed".into(), "POST"));
    let (_, body) = problem(Request::get("/panic"), Body::empty()).await;
    assert_eq!(body["code"], "internal");
    assert!(!body["detail"].as_str().unwrap().contains("on purpose"));
    let (headers, body) = problem(Request::get("/away"), Body::empty()).await;
    assert_eq!((&body["code"], headers["retry-after"].to_str().unwrap()), (&"unavailable".into(), "5"));
    let (headers, body) = problem(Request::get("/library"), Body::empty()).await;
    assert!(!headers.contains_key("retry-after"), "{headers:?}");
    assert_eq!(body["code"], "invalid_request");
}

#[tokio::test]
async fn what_a_handler_cannot_read_is_told_under_the_requests_id() {
    let put = || Request::post("/put").header(REQUEST_ID, "r1").header(CONTENT_TYPE, "application/json");
    let (status, _, body) = ask(put(), r#"{"key": 7}"#).await;
    assert_eq!((status.as_u16(), &body[..]), (200, &b"7"[..]));
    let (_, body) = problem(put(), "{\n\"key\": 7").await;
    assert!(body["detail"].as_str().unwrap().contains("line 2, column 8"), "{body}");
    let (_, body) = problem(put(), r#"{"key": 7, "kye": 8}"#).await;
    assert_eq!(
        (&body["code"], &body["field"], &body["request_id"]),
        (&"invalid_request".into(), &"kye".into(), &"r1".into())
    );
    let (_, body) = problem(Request::post("/put"), "{}").await;
    assert_eq!((&body["code"], &body["status"]), (&"unsupported_media_type".into(), &415.into()));
}

#[tokio::test]
async fn a_handlers_own_json_stays() {
    let (status, headers, body) = ask(Request::get("/own"), Body::empty()).await;
    assert_eq!(
        (status.as_u16(), &headers[CONTENT_TYPE], &body[..]),
        (503, &"application/json".parse().unwrap(), &b"5"[..])
    );
}

#[tokio::test]
async fn a_body_up_to_the_limit_is_taken_and_one_byte_more_is_not() {
    let (status, _, body) = ask(Request::post("/echo"), vec![b' '; BODY_LIMIT]).await;
    assert_eq!((status.as_u16(), &body[..]), (200, BODY_LIMIT.to_string().as_bytes()));
    let (_, body) = problem(Request::post("/echo"), vec![b' '; BODY_LIMIT + 1]).await;
    assert_eq!(body["code"], "too_large");
    // Without a declared length it is found out while reading.
    let chunks = futures_util::stream::iter((0..20).map(|_| Ok::<_, std::io::Error>(vec![0u8; 100_000])));
    let (_, body) = problem(Request::post("/echo"), Body::from_stream(chunks)).await;
    assert_eq!(body["code"], "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for_for_ever() {
    let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let (headers, body) = problem(Request::post("/echo"), never).await;
    assert_eq!((&body["code"], headers[CONNECTION].to_str().unwrap()), (&"invalid_request".into(), "close"));
}

/// What encoding an answer has for who takes `accepted`, and its body as it was before.
async fn encoded(path: &str, accepted: &str) -> (Option<String>, Vec<u8>) {
    let request = Request::get(path).header("accept-encoding", accepted);
    let (_, headers, body) = ask(request, Body::empty()).await;
    let encoding = headers.get("content-encoding").map(|value| value.to_str().unwrap().to_owned());
    let plain = match encoding.as_deref() {
        Some("gzip") => std::io::read_to_string(flate2::read::GzDecoder::new(&body[..])).unwrap().into_bytes(),
        Some("zstd") => zstd::decode_all(&body[..]).unwrap(),
        Some(other) => panic!("{other}"),
        None => body.to_vec(),
    };
    assert!(encoding.is_none() || body.len() < plain.len() / 10, "{} of {} bytes", body.len(), plain.len());
    (encoding, plain)
}

#[tokio::test]
async fn large_answers_are_compressed_for_who_asks() {
    for (accepted, encoding) in [("gzip", Some("gzip")), ("zstd, gzip", Some("zstd")), ("br", None), ("", None)] {
        let (got, body) = encoded("/large", accepted).await;
        assert_eq!((got.as_deref(), body), (encoding, "x".repeat(100_000).into_bytes()), "{accepted:?}");
    }
    let (encoding, body) = encoded(&format!("/{}", "no".repeat(2000)), "gzip").await;
    assert_eq!(encoding, None, "an error's explanation is short: {}", String::from_utf8_lossy(&body));
}

#[tokio::test]
async fn events_and_tiny_answers_go_out_as_they_are() {
    for path in ["/ok", "/events"] {
        assert_eq!(encoded(path, "zstd, gzip").await.0, None, "{path}");
    }
}
