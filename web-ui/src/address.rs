//! Where to listen, and what to tell the author where that cannot be done.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

use eddyline_runtime::observer::ObserverError;
use tokio::net::TcpListener;

/// Reads `127.0.0.1:8080`, `[::1]:8080` or `localhost:8080`.
pub(crate) fn parse(text: &str, beyond_loopback: bool) -> Result<SocketAddr, ObserverError> {
    let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
    let address = match local {
        Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
        None => text.parse().map_err(|_| ObserverError {
            what: format!("`{text}` is not an address to listen on"),
            advice: "write an IP address and a port, e.g. 127.0.0.1:8080".into(),
        })?,
    };
    if !address.ip().is_loopback() && !beyond_loopback {
        return Err(ObserverError {
            what: format!(
                "{address} can be reached from other machines, and whoever reaches the page sees the records that failed"
            ),
            advice: format!(
                "listen on 127.0.0.1:{} and forward the port, or call `.listen_beyond_loopback()`, best with a `.token(…)`",
                address.port()
            ),
        });
    }
    Ok(address)
}

/// Listens on `address`.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, ObserverError> {
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(error) => Err(explain(address, &error).await),
    }
}

async fn explain(address: SocketAddr, error: &io::Error) -> ObserverError {
    match error.kind() {
        io::ErrorKind::AddrInUse => ObserverError {
            what: format!("{address} is in use"),
            advice: format!(
                "stop what listens there or give another port, e.g. {}",
                SocketAddr::new(address.ip(), free_port_after(address).await)
            ),
        },
        io::ErrorKind::PermissionDenied => ObserverError {
            what: format!("this user may not listen on {address}"),
            advice: "give a port above 1023, e.g. 127.0.0.1:8080".into(),
        },
        io::ErrorKind::AddrNotAvailable => ObserverError {
            what: format!("{} is not an address of this machine", address.ip()),
            advice: format!("listen on 127.0.0.1:{}", address.port()),
        },
        _ => ObserverError {
            what: format!("cannot listen on {address}: {error}"),
            advice: "give another address, e.g. 127.0.0.1:8080".into(),
        },
    }
}

/// The next port that is free now; 0, which means any, where none of the next few is.
async fn free_port_after(address: SocketAddr) -> u16 {
    for port in (1..=16).filter_map(|more| address.port().checked_add(more)) {
        if TcpListener::bind((address.ip(), port)).await.is_ok() {
            return port;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_an_example() {
        for text in ["8080", "page", "127.0.0.1", "127.0.0.1:99999", "http://127.0.0.1:8080"] {
            let error = parse(text, false).unwrap_err();
            assert!(error.to_string().contains("127.0.0.1:8080"), "{error}");
        }
        assert_eq!(parse("localhost:8080", false).unwrap().to_string(), "127.0.0.1:8080");
    }

    #[test]
    fn beyond_loopback_only_when_asked() {
        let error = parse("0.0.0.0:8080", false).unwrap_err();
        assert!(error.advice.contains("listen_beyond_loopback"), "{error}");
        assert!(error.advice.contains("127.0.0.1:8080"), "{error}");
        assert!(parse("0.0.0.0:8080", true).is_ok());
        assert!(parse("[::1]:8080", false).is_ok());
    }

    #[tokio::test]
    async fn an_address_in_use_is_told_with_one_that_is_free() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).await.unwrap_err();
        assert_eq!(error.what, format!("{address} is in use"));
        assert!(error.advice.starts_with("stop what listens there or give another port, e.g. 127.0.0.1:"));
    }
}
