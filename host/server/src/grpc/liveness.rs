//! Finds clients that are silent or do not read (Nacos 2.x connection ejector).

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use nacrite_core::api::grpc;

use super::{accept::GrpcLimits, connection::Connection, connections::Connections};

/// Between two rounds.
const EVERY: Duration = Duration::from_secs(3);
/// Time for its answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Watches all connections; runs until the process ends.
pub(super) async fn watch(connections: Arc<Connections>, limits: GrpcLimits) {
    tokio::time::sleep(Duration::from_secs(1)).await;
    loop {
        round(&connections, &limits).await;
        tokio::time::sleep(EVERY).await;
    }
}

async fn round(connections: &Arc<Connections>, limits: &GrpcLimits) {
    for connection in connections.overdue(limits.set_up_within) {
        tracing::debug!("closing {}: it was never set up", connection.id);
        connection.close();
    }
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    let (silent, long_blocked) = (millis(limits.idle), millis(limits.blocked));
    let now = connections.now();
    let suspects: Vec<Arc<Connection>> = connections
        .snapshot()
        .into_iter()
        .filter(|c| {
            let blocked = c.blocked();
            now.saturating_sub(c.active.load(Ordering::Relaxed)) >= silent
                || (blocked != 0 && now.saturating_sub(blocked) > long_blocked)
        })
        .collect();
    if suspects.is_empty() {
        return;
    }
    for connection in &suspects {
        let number = connections.next_detection();
        connection.detection.store(number, Ordering::Release);
        let answer = grpc::detection(number);
        connection.send(nacrite_wire::frame(answer.kind, answer.json), now);
    }
    let end = tokio::time::Instant::now() + ANSWER;
    while tokio::time::Instant::now() < end {
        if suspects
            .iter()
            .all(|c| c.detection.load(Ordering::Acquire) == 0)
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for connection in suspects {
        if connection.detection.load(Ordering::Acquire) != 0 {
            connections.close(
                connection.conn,
                "it is silent and did not answer a detection in 5 s",
            );
        }
    }
}
