//! Finds clients that are silent or do not read (Nacos 2.x connection ejector).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nacrite_core::api::grpc;

use super::{connection::Connection, connections::Connections, wire};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3);
/// Silence after which a client is asked whether it is there, milliseconds.
const SILENT_MS: u64 = 20_000;
/// Time for its answer.
const ANSWER: Duration = Duration::from_secs(5);
/// Time after which a stream that cannot be written is given up, milliseconds.
const BLOCKED_MS: u64 = 300_000;

/// Watches all connections; runs until the process ends.
pub(super) async fn watch(connections: Arc<Connections>) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    loop {
        round(&connections).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn round(connections: &Arc<Connections>) {
    let now = connections.now();
    let suspects: Vec<Arc<Connection>> = connections
        .snapshot()
        .into_iter()
        .filter(|c| {
            let blocked = c.blocked.load(Ordering::Relaxed);
            now.saturating_sub(c.active.load(Ordering::Relaxed)) >= SILENT_MS
                || (blocked != 0 && now.saturating_sub(blocked) > BLOCKED_MS)
        })
        .collect();
    if suspects.is_empty() {
        return;
    }
    for connection in &suspects {
        let number = connections.next_detection();
        connection.detection.store(number, Ordering::Release);
        let answer = grpc::detection(number);
        connection.send(wire::encode(answer.kind, answer.json), now);
    }
    let end = tokio::time::Instant::now() + ANSWER;
    while tokio::time::Instant::now() < end {
        if suspects.iter().all(|c| c.detection.load(Ordering::Acquire) == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for connection in suspects {
        if connection.detection.load(Ordering::Acquire) != 0 {
            connections.close(connection.conn, "it is silent and did not answer a detection in 5 s");
        }
    }
}
