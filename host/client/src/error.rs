//! What can go wrong for a caller of this client.

use std::time::Duration;

/// Why a request of this client failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A setting cannot be used.
    #[error("setting {name}: {why}")]
    Setting {
        /// Which.
        name: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// No server list could be had from the address server.
    #[error("no server list from {0}")]
    NoServers(String),
    /// There was no connection to any server in time.
    #[error("no connection to a server within {0:?}")]
    NotConnected(Duration),
    /// The answer did not come in time.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The transport failed.
    #[error("{0}")]
    Transport(String),
    /// The server refused the request.
    #[error("the server refused it with code {code}: {message}")]
    Refused {
        /// `errorCode`, or the HTTP status.
        code: i64,
        /// What it said.
        message: String,
    },
    /// The same request was made more often than five times in a second (code −503 of the Java client).
    #[error("the same request was made more than 5 times in a second")]
    TooOften,
    /// The service has no instance that may be called, and why.
    #[error("no instance of {service}: {why}")]
    NoInstance {
        /// Which service.
        service: String,
        /// Reason in one word.
        why: &'static str,
    },
    /// The client was shut down.
    #[error("the client was shut down")]
    ShutDown,
}

impl Error {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<i64> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}
