//! Puts the parts together: one router, one ticker, one listener.

use std::{io, net::SocketAddr};

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tokio::net::TcpListener;

use crate::{
    api, assets, events, guard,
    present::PresentRun,
    quarantine, slots,
    ticker::Ticker,
    token::{self, Token},
};

/// A server that runs until the last sender of its [`PresentRun`] is dropped.
pub(crate) struct Server {
    pub(crate) bound: SocketAddr,
    pub(crate) ticker: Ticker,
}

impl Server {
    pub(crate) fn start(
        listener: TcpListener,
        present: PresentRun,
        token: Option<Token>,
    ) -> io::Result<Self> {
        let bound = listener.local_addr()?;
        let ticker = Ticker::start(present.clone());
        let routes = router(bound, present.clone(), ticker.clone(), token);
        tokio::spawn(async move {
            let serving = axum::serve(listener, routes).with_graceful_shutdown(present.gone());
            if let Err(error) = serving.await {
                eprintln!("the page at http://{bound} ended: {error}; the run goes on without it");
            }
        });
        Ok(Self { bound, ticker })
    }
}

fn router(bound: SocketAddr, present: PresentRun, ticker: Ticker, token: Option<Token>) -> Router {
    let asks = Router::new()
        .route("/api/graph", get(api::graph))
        .route("/api/snapshot", get(api::snapshot))
        .route("/api/lineage/{record}", get(api::lineage))
        .route("/api/drain", post(api::drain))
        .route("/api/stop", post(api::stop))
        .route("/api/pause", post(api::pause))
        .route("/api/resume", post(api::resume))
        .route("/api/questions", get(api::questions))
        .route("/api/questions/{node}/{number}", get(api::question).post(api::answer))
        .route("/api/slots", get(slots::slots))
        .route("/api/slots/{node}", post(slots::fill))
        .route("/api/quarantine", get(quarantine::faults))
        .route("/api/quarantine/{id}", get(quarantine::fault))
        .route("/api/quarantine/replay", post(quarantine::replay))
        .route("/api/nodes/{node}/pause", post(api::pause_node))
        .route("/api/nodes/{node}/resume", post(api::resume_node))
        .with_state(present);
    let reads = Router::new().route("/api/events", get(events::events)).with_state(ticker);
    let all = asks.merge(reads).fallback(get(assets::asset));
    all.layer(middleware::from_fn_with_state(token, token::ask_for))
        .layer(middleware::from_fn_with_state(bound, guard::guard))
}
