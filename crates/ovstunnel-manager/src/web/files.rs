//! The files that pages load: one style sheet, one script of our own, and htmx. Must not serve anything from a disk.
//!
//! htmx and its extension are as npm has them (src/web/files/package-lock.json names version and sum, a test compares).

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use ovstunnel_server::problem::ApiError;
use sha2::{Digest, Sha256};

/// A file, with its type.
struct File {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

static FILES: [File; 5] = [
    File { name: "page.css", kind: "text/css; charset=utf-8", content: include_bytes!("files/page.css") },
    File { name: "page.js", kind: "text/javascript; charset=utf-8", content: include_bytes!("files/page.js") },
    File { name: "htmx.min.js", kind: "text/javascript; charset=utf-8", content: include_bytes!("files/htmx.min.js") },
    File { name: "sse.min.js", kind: "text/javascript; charset=utf-8", content: include_bytes!("files/sse.min.js") },
    File { name: "mark.svg", kind: "image/svg+xml", content: include_bytes!("files/mark.svg") },
];

/// A sum of all of them: a page of another version never meets what a browser has kept of this one.
static SUM: LazyLock<String> = LazyLock::new(|| {
    let mut sum = Sha256::new();
    FILES.iter().for_each(|file| sum.update(file.content));
    sum.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// Where a page finds a file.
pub(super) fn file_path(name: &str) -> String {
    format!("/files/{name}?v={}", *SUM)
}

/// One of them. What follows the `?` only tells versions apart.
pub(super) async fn serve_file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let file = FILES.iter().find(|file| file.name == name);
    let file = file.ok_or_else(|| ApiError::not_found("there is no such file"))?;
    let headers = [(header::CONTENT_TYPE, file.kind), (header::CACHE_CONTROL, "public, max-age=31536000, immutable")];
    Ok((headers, file.content).into_response())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    /// What was committed is what the lock file names, byte for byte.
    #[test]
    fn htmx_is_what_the_list_of_sums_says() {
        let list = include_str!("files/SHA256SUMS");
        for line in list.lines() {
            let (sum, name) = line.split_once("  ").unwrap();
            let file = FILES.iter().find(|file| file.name == name).unwrap();
            let is: String = Sha256::digest(file.content).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(is, sum, "{name}");
        }
        assert_eq!(list.lines().count(), 2);
    }

    #[test]
    fn what_pages_load_is_small() {
        let all: usize = FILES.iter().map(|file| file.content.len()).sum();
        assert!(all < 90_000, "{all} bytes before they are compressed");
    }
}
