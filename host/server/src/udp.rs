//! The socket of UDP pushes: renders and sends what the core asks for, hands acknowledgements back.

use std::{
    io::Write,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use flate2::{Compression, write::GzEncoder};
use nacrite_core::{
    api::{hosts, udp},
    node::{input::Input, output::Output},
    view::Reading,
};
use tokio::net::UdpSocket;

use crate::drive::Drive;

/// From this size on a packet is compressed (the receiver looks at its first two bytes).
const COMPRESS_FROM: usize = 1_024;
/// Largest datagram that is read; acknowledgements are tiny.
const READ: usize = 64 << 10;

/// The socket. It is bound to the unspecified address whatever the server's own is: a socket bound to loopback cannot
/// reach clients that name their own address.
pub struct UdpEdge {
    socket: UdpSocket,
}

impl UdpEdge {
    /// Binds a port of the system's choice, for both families where it can.
    ///
    /// # Errors
    /// What the system says.
    pub async fn bind() -> std::io::Result<Arc<Self>> {
        let socket = match UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).await {
            Ok(socket) => socket,
            Err(_) => UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?,
        };
        Ok(Arc::new(Self { socket }))
    }

    /// Sends a push, if the socket takes it: what is lost is asked for again by its timer.
    pub fn send(&self, drive: &Drive, output: &Output) {
        let Output::Datagram {
            push,
            ip,
            port,
            service,
            class,
        } = output
        else {
            return;
        };
        let Ok(ip) = ip.parse::<IpAddr>() else { return };
        let view = &*drive.views;
        let cache_millis = view.switches().default_push_cache_millis;
        let list = hosts::service_list(view, service, class, cache_millis, drive.clock.now().wall);
        let packet = compressed(udp::packet(&list, *push));
        let ip = match (ip, self.socket.local_addr()) {
            (IpAddr::V4(v4), Ok(SocketAddr::V6(_))) => IpAddr::V6(v4.to_ipv6_mapped()),
            (ip, _) => ip,
        };
        if let Err(error) = self.socket.try_send_to(&packet, SocketAddr::new(ip, *port)) {
            tracing::debug!("a push to {ip}:{port} was not sent: {error}");
        }
    }

    /// Takes acknowledgements in; noise is dropped. Runs until the process ends.
    pub async fn receive(self: Arc<Self>, drive: Arc<Drive>) {
        let mut buffer = vec![0; READ];
        loop {
            // Errors are those of earlier sends (nobody listens at a port); the next datagram may be fine.
            let Ok((length, from)) = self.socket.recv_from(&mut buffer).await else {
                tokio::task::yield_now().await;
                continue;
            };
            if let Some(push) = udp::parse_ack(&buffer[..length]) {
                let ip = from.ip().to_canonical().to_string().into();
                drive.control(Input::UdpAck {
                    ip,
                    port: from.port(),
                    push,
                });
            }
        }
    }
}

fn compressed(packet: Vec<u8>) -> Vec<u8> {
    if packet.len() < COMPRESS_FROM {
        return packet;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(&packet)
        .and_then(|()| encoder.finish())
        .unwrap_or(packet)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn only_large_packets_are_compressed() {
        assert_eq!(compressed(vec![b'a'; 1_023]), vec![b'a'; 1_023]);
        let large = compressed(vec![b'a'; 1_024]);
        assert_eq!(large[..2], [0x1f, 0x8b]);
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&large[..])
            .read_to_end(&mut back)
            .unwrap();
        assert_eq!(back, vec![b'a'; 1_024]);
    }
}
