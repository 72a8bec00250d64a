//! A way to a server that load is made on: one request under way, over HTTP/1.1 or gRPC.

use std::{io, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use crate::{grpc::Client, wire::Wire};

/// What is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// gRPC, on the port that belongs to the one of HTTP.
    Grpc,
}

/// A connection; over gRPC several may share one.
pub enum Way {
    /// HTTP/1.1.
    Http(Wire),
    /// gRPC, set up.
    Grpc(Arc<Client>),
}

impl Way {
    /// gRPC listens so far above HTTP.
    pub const ABOVE: u16 = 1_000;

    /// Connects to the server whose HTTP is at this address.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(protocol: Protocol, http: SocketAddr) -> io::Result<Self> {
        Ok(match protocol {
            Protocol::Http => Self::Http(Wire::open(http).await?),
            Protocol::Grpc => {
                let client = Client::connect_to(Self::grpc(http)).await?;
                Self::Grpc(Arc::new(client.made_ready().await))
            }
        })
    }

    /// As [`Way::open`], to a server that knows no set-up.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open_bare(protocol: Protocol, http: SocketAddr) -> io::Result<Self> {
        Ok(match protocol {
            Protocol::Http => Self::Http(Wire::open(http).await?),
            Protocol::Grpc => Self::Grpc(Arc::new(Client::connect_to(Self::grpc(http)).await?)),
        })
    }

    fn grpc(http: SocketAddr) -> SocketAddr {
        SocketAddr::new(http.ip(), http.port() + Self::ABOVE)
    }

    /// Another one over the same connection, if the protocol has such.
    #[must_use]
    pub fn beside(&self) -> Option<Self> {
        match self {
            Self::Http(_) => None,
            Self::Grpc(client) => Some(Self::Grpc(client.clone())),
        }
    }

    /// Asks; the status of the answer as HTTP has it (over gRPC that of the message in it).
    ///
    /// # Errors
    /// What the operating system or the transport says.
    pub async fn ask(&mut self, request: &[u8]) -> io::Result<u16> {
        match self {
            Self::Http(wire) => wire.ask(request).await,
            Self::Grpc(client) => {
                let answer = client.call(Bytes::copy_from_slice(request)).await;
                Ok(status(&answer.map_err(io::Error::other)?))
            }
        }
    }
}

/// What a message says of itself, without reading it whole.
pub fn status(answer: &[u8]) -> u16 {
    let after = |name: &[u8]| {
        let at = answer.windows(name.len()).position(|w| w == name)? + name.len();
        let digits = answer[at..].iter().take_while(|b| b.is_ascii_digit());
        str::from_utf8(&answer[at..at + digits.count()])
            .ok()?
            .parse()
            .ok()
    };
    match after(b"\"resultCode\":") {
        Some(200) => 200,
        _ => after(b"\"errorCode\":").unwrap_or(500),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_messages() {
        assert_eq!(status(br#"x{"resultCode":200,"errorCode":0}"#), 200);
        assert_eq!(
            status(br#"{"resultCode":500,"errorCode":503,"success":false}"#),
            503
        );
        assert_eq!(status(b""), 500);
    }
}
