//! What connections and requests may cost: limits with their defaults, counts of connections, and the memory that
//! bodies under way share.
//!
//! Not for the limits on content and names: those are rules of the core.

use std::collections::HashMap;
use std::error::Error;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body::Body;
use http_body_util::BodyExt;

use super::longurl::HeadBounds;

/// The limits of the HTTP listener. Each has a setting of the same name in the section `http`
/// (times with `_ms` at the end).
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections; one more is answered 503 and closed.
    pub max_connections: usize,
    /// Open connections of one address; one more is answered 503 and closed.
    pub max_connections_per_address: usize,
    /// Bytes of a request target (path and query); more is 414.
    pub max_url: usize,
    /// Bytes of a request head beside its target; more is 431.
    pub max_head: usize,
    /// Header lines of a request; more is 431.
    pub max_headers: u32,
    /// Time from a head's first byte (or from accepting, for the first head) to its end; then the connection is closed.
    pub head_timeout: Duration,
    /// Time without a request after which a connection is closed.
    pub idle_timeout: Duration,
    /// Time for the whole of a body; then 408.
    pub body_timeout: Duration,
    /// Time in which a waiting answer must move by at least one byte; then the connection is closed.
    pub write_timeout: Duration,
    /// Bytes of one body; more is 413.
    pub max_body: usize,
    /// Bytes of all bodies and long queries under way together; beyond that, 503.
    pub max_body_memory: usize,
    /// Time for requests under way when the server stops.
    pub shutdown_timeout: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        HttpLimits {
            max_connections: 50_000,
            max_connections_per_address: 30_000,
            max_url: 512 << 10,
            max_head: 64 << 10,
            max_headers: 100,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            max_body: 40 << 20,
            max_body_memory: 256 << 20,
            shutdown_timeout: Duration::from_secs(10),
        }
    }
}

/// A target longer than this has its query moved aside; `http::Uri` takes 65,534.
pub(super) const MOVE_OVER: usize = 32 << 10;

impl HttpLimits {
    pub(super) fn head_bounds(&self) -> HeadBounds {
        HeadBounds {
            max_url: self.max_url,
            move_over: MOVE_OVER,
            max_head: self.max_head,
            max_headers: self.max_headers,
        }
    }
}

/// A bounded amount of memory that requests under way share.
#[derive(Debug)]
pub struct BodyMemory {
    used: AtomicUsize,
    limit: usize,
}

impl BodyMemory {
    /// At most `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        Arc::new(BodyMemory {
            used: AtomicUsize::new(0),
            limit,
        })
    }

    /// Bytes in use.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// A permit for `bytes`, or `None` when that would be too much.
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Option<MemoryPermit> {
        let mut permit = MemoryPermit {
            memory: self.clone(),
            bytes: 0,
        };
        permit.grow_to(bytes).then_some(permit)
    }
}

/// A part of [`BodyMemory`], given back when dropped.
#[derive(Debug)]
pub struct MemoryPermit {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

impl MemoryPermit {
    /// Extends the permit to `bytes` in total; false, and unchanged, when that would be too much.
    pub fn grow_to(&mut self, bytes: usize) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else {
            return true;
        };
        let granted = self
            .memory
            .used
            .fetch_update(Relaxed, Relaxed, |used| {
                used.checked_add(more)
                    .filter(|&sum| sum <= self.memory.limit)
            })
            .is_ok();
        if granted {
            self.bytes = bytes;
        }
        granted
    }

    /// Bytes that this permit stands for.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for MemoryPermit {
    fn drop(&mut self) {
        self.memory.used.fetch_sub(self.bytes, Relaxed);
    }
}

/// A whole body, with its share of the memory: keep the permit as long as the bytes.
#[derive(Debug)]
pub struct ReadBody {
    /// The body.
    pub bytes: Bytes,
    /// Its share of [`BodyMemory`].
    pub permit: MemoryPermit,
}

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The memory for bodies under way is used up; the client may try again.
    #[error("too many request bodies are under way, try again later")]
    Busy,
    /// The client took too long.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// The connection broke or its framing is wrong.
    #[error("the body could not be read: {0}")]
    Broken(Box<dyn Error + Send + Sync>),
}

impl BodyError {
    /// The status that answers it.
    pub fn status(&self) -> StatusCode {
        match self {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Busy => StatusCode::SERVICE_UNAVAILABLE,
            BodyError::TimedOut => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
        }
    }
}

/// Reads a body of at most `limit` bytes within `timeout`, charging what has arrived to `memory`.
///
/// A declared length beyond the limit is refused before anything is read.
pub async fn read_body<B>(
    mut body: B,
    limit: usize,
    timeout: Duration,
    memory: &Arc<BodyMemory>,
) -> Result<ReadBody, BodyError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut permit = memory.reserve(0).ok_or(BodyError::Busy)?;
    if body.is_end_stream() {
        return Ok(ReadBody {
            bytes: Bytes::new(),
            permit,
        });
    }
    let hint = body.size_hint();
    if hint.lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut joined = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(piece) = frame
                .map_err(|error| BodyError::Broken(error.into()))?
                .into_data()
            else {
                continue;
            };
            let length = first.len() + joined.len() + piece.len();
            if length > limit {
                return Err(BodyError::TooLarge { limit });
            }
            if !permit.grow_to(length) {
                return Err(BodyError::Busy);
            }
            if length == piece.len() {
                // Most bodies arrive in one piece and are not copied.
                first = piece;
            } else {
                if joined.capacity() < length {
                    // Doubled, but not beyond what was declared; nobody gets memory by declaring alone.
                    let declared = usize::try_from(hint.lower()).unwrap_or(limit);
                    let room = (2 * length).min(declared.max(length));
                    joined.reserve_exact(room - joined.len());
                }
                joined.extend_from_slice(&std::mem::take(&mut first));
                joined.extend_from_slice(&piece);
            }
        }
        Ok(if joined.is_empty() {
            first
        } else {
            Bytes::from(joined)
        })
    };
    let bytes = tokio::time::timeout(timeout, whole)
        .await
        .map_err(|_| BodyError::TimedOut)??;
    Ok(ReadBody { bytes, permit })
}

/// Open connections, in total and by address.
#[derive(Debug)]
pub(super) struct ConnectionCounts {
    max: usize,
    max_per_address: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl ConnectionCounts {
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<Self> {
        Arc::new(ConnectionCounts {
            max,
            max_per_address,
            open: Mutex::default(),
        })
    }

    /// A place for one more connection of `address`, or `None` when there is none left.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionSlot> {
        let address = address.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.by_address.get(&address).copied().unwrap_or(0);
        if open.total >= self.max || here >= self.max_per_address {
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, here + 1);
        Some(ConnectionSlot {
            counts: self.clone(),
            address,
        })
    }
}

/// One connection's place, given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionSlot {
    counts: Arc<ConnectionCounts>,
    address: IpAddr,
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let mut open = self
            .counts
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(here) = open.by_address.get_mut(&self.address) {
            *here -= 1;
            if *here == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Full, StreamBody};

    use super::*;

    const LONG: Duration = Duration::from_secs(5);

    fn pieces(
        pieces: &'static [&'static str],
    ) -> impl Body<Data = Bytes, Error = Infallible> + Unpin {
        StreamBody::new(stream::iter(
            pieces
                .iter()
                .map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))),
        ))
    }

    #[tokio::test]
    async fn a_body_is_joined_and_its_memory_given_back() {
        let memory = BodyMemory::new(10);
        let read = read_body(pieces(&["ab", "", "cde", "f"]), 6, LONG, &memory)
            .await
            .unwrap();
        assert_eq!(
            (read.bytes.as_ref(), read.permit.bytes(), memory.used()),
            (b"abcdef".as_slice(), 6, 6)
        );
        assert!(matches!(
            read_body(pieces(&["ab", "cde"]), 6, LONG, &memory).await,
            Err(BodyError::Busy)
        ));
        assert_eq!(memory.used(), 6);
        drop(read);
        assert_eq!(memory.used(), 0);
        let empty = read_body(pieces(&[]), 6, LONG, &memory).await.unwrap();
        assert!(empty.bytes.is_empty());
    }

    #[tokio::test]
    async fn a_long_body_is_refused_by_what_it_declares_or_sends() {
        let memory = BodyMemory::new(100);
        for (outcome, status) in [
            (
                read_body(Full::new(Bytes::from_static(b"abcd")), 3, LONG, &memory).await,
                413,
            ),
            (
                read_body(pieces(&["ab", "cd"]), 3, LONG, &memory).await,
                413,
            ),
        ] {
            assert_eq!(outcome.unwrap_err().status(), status);
        }
        assert_eq!(memory.used(), 0);
    }

    #[tokio::test]
    async fn a_body_that_never_ends_is_given_up() {
        let memory = BodyMemory::new(100);
        let stalled = StreamBody::new(stream::pending::<Result<Frame<Bytes>, Infallible>>());
        let outcome = read_body(stalled, 3, Duration::from_millis(10), &memory).await;
        assert_eq!(outcome.unwrap_err().status(), 408);
    }

    #[test]
    fn connections_are_counted_in_total_and_by_address() {
        let counts = ConnectionCounts::new(3, 2);
        let [a, b]: [IpAddr; 2] = ["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()];
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        let (first, _second) = (counts.admit(a).unwrap(), counts.admit(mapped).unwrap());
        assert!(counts.admit(a).is_none());
        let other = counts.admit(b).unwrap();
        assert!(counts.admit(b).is_none(), "three in total");
        drop(first);
        drop(other);
        assert!(counts.admit(a).is_some());
        assert_eq!(counts.open.lock().unwrap().by_address.len(), 1);
    }
}
