//! The live page of a running workflow: a small server inside the author's process and a browser page over it.
//!
//! ```no_run
//! # use eddyline_runtime::observer::Observer;
//! # async fn run_with(_: impl Observer) {}
//! # async fn demo() {
//! run_with(eddyline_web_ui::on("127.0.0.1:8080").until_ctrl_c()).await;
//! # }
//! ```
//!
//! # Layout
//!
//! A request comes in at the top and ends at the run, which never waits for it:
//!
//! ```text
//! browser ── guard ── token ──┬── assets   the page itself, embedded from page/dist
//!                             ├── api      graph and snapshot once; drain and stop
//!                             ├── quarantine   the faults that fit; replays
//!                             ├── slots    where handlers can be put; puts one there
//!                             └── events   a stream of graphs and snapshots, one per reader
//!                                             ▲ the latest frame; a slow reader skips
//!                                          ticker   one for all readers; looks at the run only while someone reads
//!                                             ▲
//! the author's run ── page ───────────────► present   which run is shown now
//! ```
//!
//! * `page`: [`Page`], the [`Observer`](eddyline_runtime::observer::Observer) that an author hands to a run
//! * `address`: where to listen, and the messages for where that cannot be done
//! * `server`: puts the parts together
//! * `page/` beside `src/`: the browser's half, in Svelte
//!
//! # Who may look
//!
//! The page listens on a loopback address unless [`Page::listen_beyond_loopback`] was called. A web site in the same
//! browser can neither read it (the `Host` header is checked, so a name that was re-bound to 127.0.0.1 is refused) nor
//! steer it (a `POST` from another origin is refused). Where there is a token ([`Page::token`], `EDDYLINE_TOKEN`), a `POST` without it
//! is refused too.
//!
//! # What is absent
//!
//! No clock of its own: times are those in the [`Snapshot`](eddyline_runtime::view::Snapshot). No history: the browser
//! keeps the last minutes. No shutdown call: when the last clone of the [`Page`] is dropped, the server ends.

#![forbid(unsafe_code)]

mod address;
mod api;
mod assets;
mod events;
mod guard;
mod page;
mod present;
mod quarantine;
mod server;
mod slots;
mod ticker;
mod token;

pub use page::{Page, on};
