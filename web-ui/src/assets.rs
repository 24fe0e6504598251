//! The page itself: files embedded at compile time from `page/dist`.

use axum::{
    http::{StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
};
use rust_embed::{EmbeddedFile, RustEmbed};

use crate::api::ApiError;

#[derive(RustEmbed)]
#[folder = "page/dist"]
struct Dist;

/// What `/` shows where the page was not built before the server was compiled.
const NOT_BUILT: &str = include_str!("not_built.html");

pub(crate) async fn asset(uri: Uri) -> Response {
    match uri.path().trim_start_matches('/') {
        "" | "index.html" => index(Dist::get("index.html")),
        path if path.starts_with("api/") => ApiError::NoSuchPath.into_response(),
        path => match Dist::get(path) {
            // Vite puts a hash of the content into the names below assets/.
            Some(file) if path.starts_with("assets/") => send(path, file, "max-age=31536000, immutable"),
            Some(file) => send(path, file, "no-cache"),
            None => (StatusCode::NOT_FOUND, "there is no such file; the page is at /\n").into_response(),
        },
    }
}

fn index(built: Option<EmbeddedFile>) -> Response {
    match built {
        Some(file) => send("index.html", file, "no-cache"),
        None => Html(NOT_BUILT).into_response(),
    }
}

fn send(path: &str, file: EmbeddedFile, cache: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type(path)), (header::CACHE_CONTROL, cache)], file.data).into_response()
}

/// The types of the files that the page's build writes.
fn media_type(path: &str) -> &'static str {
    match path.rsplit_once('.').map_or("", |(_, ending)| ending) {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "json" | "map" => "application/json",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn without_the_page_the_server_says_how_to_build_it() {
        let answer = index(None);
        assert_eq!(answer.status(), StatusCode::OK);
        let body = to_bytes(answer.into_body(), 10_000).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        assert!(text.contains("make page"), "{text}");
        assert!(text.contains("npm ci"), "{text}");
    }

    #[tokio::test]
    async fn what_is_not_there_is_refused_in_words() {
        let answer = asset(Uri::from_static("/api/nonsense")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        let answer = asset(Uri::from_static("/../Cargo.toml")).await;
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }

    #[test]
    fn a_script_is_sent_as_one() {
        assert!(media_type("assets/index-3f.js").starts_with("text/javascript"));
        assert_eq!(media_type("nothing"), "application/octet-stream");
    }
}
