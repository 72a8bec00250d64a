//! The receiver of UDP pushes: reads them, acknowledges them, and hands their lists on.

use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokio::net::UdpSocket;

use crate::tasks::Task;

/// Largest datagram.
const LARGEST: usize = 65_536;
/// Largest list that a compressed datagram may become.
const MAX_LIST: u64 = 16 << 20;

/// A socket that is listened to until this is dropped.
#[derive(Debug)]
pub(super) struct UdpReceiver {
    port: u16,
    _task: Task,
}

impl UdpReceiver {
    /// Binds a free port, and gives each list that arrives to `take`.
    pub(super) async fn start(take: impl Fn(&Value) + Send + 'static) -> io::Result<Self> {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        let port = socket.local_addr()?.port();
        let task = Task::spawn(async move {
            let mut buffer = vec![0; LARGEST];
            loop {
                let (length, from) = match socket.recv_from(&mut buffer).await {
                    Ok(received) => received,
                    Err(error) => {
                        // An earlier acknowledgement may have met a closed port; the next datagram is another matter.
                        tracing::debug!("a datagram cannot be received: {error}");
                        tokio::task::yield_now().await;
                        continue;
                    }
                };
                let Some((list, ack)) = understood(&buffer[..length]) else {
                    tracing::debug!("a datagram of {from} is no push");
                    continue;
                };
                if let Some(list) = list {
                    take(&list);
                }
                if let Err(error) = socket.send_to(ack.as_bytes(), from).await {
                    tracing::debug!("a push of {from} cannot be acknowledged: {error}");
                }
            }
        });
        Ok(Self { port, _task: task })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

/// The list in a datagram (if it is of a kind that has one), and the acknowledgement.
fn understood(datagram: &[u8]) -> Option<(Option<Value>, String)> {
    let mut plain = Vec::new();
    let text = if datagram.starts_with(&[0x1f, 0x8b]) {
        let mut decoder = GzDecoder::new(datagram).take(MAX_LIST);
        decoder.read_to_end(&mut plain).ok()?;
        &plain[..]
    } else {
        datagram
    };
    let packet: Value = serde_json::from_slice(text).ok()?;
    let kind = packet.get("type")?.as_str()?;
    let number = packet.get("lastRefTime")?;
    let number = match number.as_str() {
        Some(text) => text.to_owned(),
        None => number.to_string(),
    };
    let (list, answer) = match kind {
        "dom" | "service" => {
            let data = packet.get("data")?.as_str()?;
            (Some(serde_json::from_str(data).ok()?), "push-ack")
        }
        "dump" => (None, "dump-ack"),
        _ => (None, "unknown-ack"),
    };
    let ack = json!({"type": answer, "lastRefTime": number, "data": ""});
    Some((list, ack.to_string()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_push_of_this_servers_making_is_understood_and_acknowledged() {
        let list = br#"{"name":"g@@s","hosts":[]}"#;
        let packet = nacrite_core::api::udp::packet(list, 42);
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&packet).unwrap();
        for datagram in [packet, gzip.finish().unwrap()] {
            let (list, ack) = understood(&datagram).unwrap();
            assert_eq!(list.unwrap()["name"], "g@@s");
            assert_eq!(nacrite_core::api::udp::parse_ack(ack.as_bytes()), Some(42));
        }
    }

    #[test]
    fn other_kinds_are_acknowledged_and_noise_is_not() {
        let (list, ack) = understood(br#"{"type":"x","lastRefTime":"7","data":""}"#).unwrap();
        assert!(list.is_none() && ack.contains("unknown-ack"), "{ack}");
        for noise in [&b""[..], b"{", &[0x1f, 0x8b, 1], br#"{"type":"dom"}"#] {
            assert!(understood(noise).is_none(), "{noise:?}");
        }
    }
}
