//! One transport as others see it: its identity, its set-up, what waits to be written, and the means to wake and to end it.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use nacrite_core::node::input::{ConnDetails, ConnId};
use tokio::sync::Notify;

/// Bytes that may wait for one stream; beyond that a push fails and is tried again later.
const MOST_WAITING: usize = 8 << 20;
/// Frames that a queue keeps room for when it is empty.
const KEPT: usize = 8;

/// What is known of a transport.
pub(super) struct Connection {
    /// Its number for the core.
    pub(super) conn: ConnId,
    /// The client's socket.
    pub(super) peer: SocketAddr,
    /// `<epoch ms>_<ip>_<port>`, as APIs show it.
    pub(super) id: Arc<str>,
    /// What it said of itself; there once it is set up and the core knows it.
    pub(super) details: OnceLock<ConnDetails>,
    pub(super) set_up: Notify,
    /// Requests that wait for the set-up.
    pub(super) early: AtomicUsize,
    /// When it last spoke, milliseconds of the monotonic clock.
    pub(super) active: AtomicU64,
    /// A detection was asked for and not answered yet: its number.
    pub(super) detection: AtomicU64,
    /// The task that serves it.
    pub(super) task: Turn,
    out: Mutex<Out>,
}

/// What waits for the newest stream that the client opened.
#[derive(Default)]
struct Out {
    open: bool,
    frames: VecDeque<Bytes>,
    bytes: usize,
    /// When something began to wait, or the last was taken while more waited; 0 if nothing waits.
    blocked: u64,
}

/// A task's turn: while it lasts the task looks itself at what is to be done.
#[derive(Default)]
pub(super) struct Turn {
    pub(super) lasts: AtomicBool,
    pub(super) waker: AtomicWaker,
    /// A frame waits that was not there when the task looked last.
    pub(super) pushed: AtomicBool,
    /// The transport is to end.
    pub(super) closed: AtomicBool,
}

impl Turn {
    /// Has the task look again.
    pub(super) fn come(&self) {
        if !self.lasts.load(Ordering::SeqCst) {
            self.waker.wake();
        }
    }
}

impl Connection {
    pub(super) fn new(conn: ConnId, peer: SocketAddr, id: Arc<str>, now: u64) -> Self {
        Self {
            conn,
            peer,
            id,
            details: OnceLock::new(),
            set_up: Notify::new(),
            early: AtomicUsize::new(0),
            active: AtomicU64::new(now),
            detection: AtomicU64::new(0),
            task: Turn::default(),
            out: Mutex::default(),
        }
    }

    /// Whether the core knows it.
    pub(super) fn is_set_up(&self) -> bool {
        self.details.get().is_some()
    }

    /// Waits until the core knows it, at most so long.
    pub(super) async fn wait_set_up(&self, at_most: Duration) -> bool {
        let waited = async {
            loop {
                let told = self.set_up.notified();
                if self.is_set_up() {
                    return;
                }
                told.await;
            }
        };
        tokio::time::timeout(at_most, waited).await.is_ok()
    }

    fn out(&self) -> MutexGuard<'_, Out> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There is a stream that can be written to.
    pub(super) fn open_out(&self) {
        self.out().open = true;
    }

    /// Queues a framed payload; whether there was room and a stream.
    pub(super) fn send(&self, frame: Bytes, now: u64) -> bool {
        let mut out = self.out();
        if !out.open || out.bytes + frame.len() > MOST_WAITING {
            return false;
        }
        if out.frames.is_empty() {
            out.blocked = now;
        }
        out.bytes += frame.len();
        out.frames.push_back(frame);
        drop(out);
        self.task.pushed.store(true, Ordering::SeqCst);
        self.task.come();
        true
    }

    /// The frame that waits longest, and whether there are more. `now` is asked for if there are.
    pub(super) fn take(&self, now: impl FnOnce() -> u64) -> Option<(Bytes, bool)> {
        let mut out = self.out();
        let frame = out.frames.pop_front()?;
        out.bytes -= frame.len();
        let more = !out.frames.is_empty();
        out.blocked = if more { now() } else { 0 };
        if !more {
            out.frames.shrink_to(KEPT);
        }
        Some((frame, more))
    }

    /// Since when what waits has been waiting; 0 if nothing does.
    pub(super) fn blocked(&self) -> u64 {
        self.out().blocked
    }

    /// Ends the transport.
    pub(super) fn close(&self) {
        *self.out() = Out::default();
        self.task.closed.store(true, Ordering::SeqCst);
        self.task.come();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        Connection::new(ConnId(1), peer, "1".into(), 0)
    }

    #[test]
    fn frames_wait_in_order_for_a_stream_and_how_long_is_known() {
        let connection = connection();
        let frame = Bytes::from_static(b"a");
        assert!(!connection.send(frame.clone(), 1), "there is no stream");
        connection.open_out();
        assert!(connection.send(frame.clone(), 2));
        assert!(connection.send(Bytes::from_static(b"b"), 3));
        assert_eq!(connection.blocked(), 2);
        assert_eq!(connection.take(|| 5), Some((frame, true)));
        assert_eq!(connection.blocked(), 5);
        assert_eq!(
            connection.take(|| 6),
            Some((Bytes::from_static(b"b"), false))
        );
        assert_eq!((connection.blocked(), connection.take(|| 7)), (0, None));
    }

    #[test]
    fn what_waits_is_bounded_and_goes_with_the_transport() {
        let connection = connection();
        connection.open_out();
        let large = Bytes::from(vec![0; MOST_WAITING]);
        assert!(connection.send(large.clone(), 1));
        assert!(!connection.send(Bytes::from_static(b"a"), 1));
        connection.close();
        assert!(connection.task.closed.load(Ordering::SeqCst));
        assert!(!connection.send(Bytes::from_static(b"a"), 1));
        assert_eq!(connection.take(|| 1), None);
    }
}
