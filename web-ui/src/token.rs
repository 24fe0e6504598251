//! Who may steer: where a token is set, requests that change something must carry it.

use std::sync::Arc;

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use eddyline_runtime::observer::ObserverError;
use serde_json::json;

/// Where a program's surroundings say it.
pub(crate) const VARIABLE: &str = "EDDYLINE_TOKEN";

/// What requests must carry that steer the run.
#[derive(Clone)]
pub(crate) struct Token(Arc<str>);

impl Token {
    /// The one that the surroundings name.
    pub(crate) fn from_environment() -> Option<Self> {
        std::env::var(VARIABLE).ok().filter(|token| !token.is_empty()).map(Self::new)
    }

    pub(crate) fn new(token: impl Into<String>) -> Self {
        Self(token.into().into())
    }

    /// A token travels in a header, as one word.
    pub(crate) fn check(&self) -> Result<(), ObserverError> {
        if !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(());
        }
        Err(ObserverError {
            what: "the page's token cannot be sent in a header".into(),
            advice: format!(
                "give `.token(…)`, or {VARIABLE}, one word of letters, digits and signs, without spaces"
            ),
        })
    }

    fn is_carried(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|given| same(given, &self.0))
    }
}

/// Takes as long for a wrong text as for a right one of its length, so that nobody finds it out letter by letter.
fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && a.bytes().zip(b.bytes()).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

pub(crate) async fn ask_for(State(token): State<Option<Token>>, request: Request, next: Next) -> Response {
    let steers = request.method() != Method::GET && request.method() != Method::HEAD;
    if !steers || token.is_none_or(|token| token.is_carried(request.headers())) {
        return next.run(request).await;
    }
    let body = Json(json!({
        "what": "who steers this run must say its token",
        "advice": format!("send the header `Authorization: Bearer …` with what the program was given as {VARIABLE}, `--token` or `.token(…)`"),
    }));
    let mut response = (StatusCode::UNAUTHORIZED, body).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_token_is_the_token() {
        let token = Token::new("a-river-7");
        for (header, is) in [
            ("Bearer a-river-7", true),
            ("Bearer a-river-8", false),
            ("Bearer a-river-77", false),
            ("Bearer ", false),
            ("Basic a-river-7", false),
            ("a-river-7", false),
        ] {
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(header))]);
            assert_eq!(token.is_carried(&headers), is, "{header}");
        }
        assert!(!token.is_carried(&HeaderMap::new()));
    }

    #[test]
    fn what_cannot_be_sent_is_refused_with_advice() {
        assert!(Token::new("a-river-7").check().is_ok());
        for wrong in ["", "two words", "flüsse", "line\nbreak"] {
            let error = Token::new(wrong).check().unwrap_err();
            assert!(error.advice.contains("EDDYLINE_TOKEN"), "{error}");
        }
    }
}
