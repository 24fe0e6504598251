//! Keeps other web sites out: a name re-bound to this machine cannot read, another origin cannot steer.

use std::net::{IpAddr, SocketAddr};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};

/// Nothing from elsewhere runs in the page, and nobody may put the page into a frame.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

pub(crate) async fn guard(State(bound): State<SocketAddr>, request: Request, next: Next) -> Response {
    if let Err(refusal) = judge(bound, request.method(), request.headers()) {
        return (StatusCode::FORBIDDEN, refusal + "\n").into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn judge(bound: SocketAddr, method: &Method, headers: &HeaderMap) -> Result<(), String> {
    let host = text(headers, header::HOST)
        .ok_or_else(|| format!("refused: no Host header; open http://{bound} in a browser"))?;
    if !host_may_look(bound, host) {
        return Err(format!("refused: this page is not {host}; open http://{bound} or http://localhost"));
    }
    let Some(origin) =
        headers.get(header::ORIGIN).filter(|_| method != Method::GET && method != Method::HEAD)
    else {
        return Ok(());
    };
    let same = origin.to_str().is_ok_and(|origin| {
        origin.split_once("://").is_some_and(|(scheme, rest)| {
            matches!(scheme, "http" | "https") && rest.eq_ignore_ascii_case(host)
        })
    });
    if same { Ok(()) } else { Err(format!("refused: only the page at http://{host} may steer this run")) }
}

/// `localhost` and loopback addresses may look, through any port, since people forward ports; so may the bound address,
/// and every numeric address where the server listens on all of them. What is refused is every other *name*: it may
/// have been bound to this machine by somebody else's name server.
fn host_may_look(bound: SocketAddr, host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    match name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() || bound.ip().is_unspecified() => true,
        Ok(ip) => ip == bound.ip() && authority.port_u16().unwrap_or(80) == bound.port(),
        Err(_) => false,
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOPBACK: &str = "127.0.0.1:8080";

    fn may_look(bound: &str, host: &str) -> bool {
        host_may_look(bound.parse().unwrap(), host)
    }

    #[test]
    fn this_machine_may_look() {
        for host in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST", "[::1]:8080", "127.0.0.2:8080"] {
            assert!(may_look(LOOPBACK, host), "{host}");
        }
        assert!(may_look(LOOPBACK, "localhost:9000"), "a forwarded port");
    }

    #[test]
    fn a_name_that_was_bound_to_this_machine_may_not() {
        for host in
            ["evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "a@localhost", ""]
        {
            assert!(!may_look(LOOPBACK, host), "{host}");
        }
        assert!(!may_look(LOOPBACK, "192.168.0.7:8080"));
    }

    #[test]
    fn the_bound_address_may_look_and_any_number_where_all_are_bound() {
        assert!(may_look("192.168.0.7:8080", "192.168.0.7:8080"));
        assert!(!may_look("192.168.0.7:8080", "192.168.0.7:81"));
        assert!(may_look("0.0.0.0:8080", "192.168.0.7:8080"));
        assert!(!may_look("0.0.0.0:8080", "evil.example:8080"));
    }

    #[test]
    fn only_the_page_itself_may_steer() {
        let judge_origin = |origin: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("localhost:8080"));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            judge(LOOPBACK.parse().unwrap(), &Method::POST, &headers)
        };
        assert!(judge_origin(None).is_ok());
        assert!(judge_origin(Some("http://localhost:8080")).is_ok());
        for origin in ["http://evil.example", "null", "http://localhost:8081", "ftp://localhost:8080"] {
            assert!(judge_origin(Some(origin)).is_err(), "{origin}");
        }
    }
}
