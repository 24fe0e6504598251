//! The peer written by hand: tokio tasks that pass chunks of 256 records over channels of 8 chunks.

use tokio::sync::mpsc;

use crate::record::Rec;

pub const CHUNK: usize = 256;
const CHANNEL: usize = 8;

pub type Chunk = Vec<Rec>;

/// A task that makes the chunks of `n` records.
pub fn source(n: u64, make: impl Fn(u64) -> Rec + Send + 'static) -> mpsc::Receiver<Chunk> {
    let (to, chunks) = mpsc::channel(CHANNEL);
    tokio::spawn(async move {
        let mut from = 0;
        while from < n {
            let until = (from + CHUNK as u64).min(n);
            if to.send((from..until).map(&make).collect()).await.is_err() {
                return;
            }
            from = until;
        }
    });
    chunks
}

/// A task that changes each chunk in place; empty ones are dropped.
pub fn step(
    mut from: mpsc::Receiver<Chunk>,
    mut f: impl FnMut(&mut Chunk) + Send + 'static,
) -> mpsc::Receiver<Chunk> {
    let (to, chunks) = mpsc::channel(CHANNEL);
    tokio::spawn(async move {
        while let Some(mut chunk) = from.recv().await {
            f(&mut chunk);
            if !chunk.is_empty() && to.send(chunk).await.is_err() {
                return;
            }
        }
    });
    chunks
}
