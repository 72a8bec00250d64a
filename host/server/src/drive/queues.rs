//! The two queues into the core.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use nacrite_core::node::{
    input::{Input, Origin},
    op::Op,
    reply::Answered,
};
use tokio::sync::oneshot;

/// A request on its way to the node.
pub struct Submission {
    /// Its number.
    pub id: u64,
    /// Who asks.
    pub origin: Origin,
    /// What for.
    pub op: Op,
    /// Content of a publish.
    pub content: Option<Arc<[u8]>>,
    /// Where the answer goes.
    pub reply: oneshot::Sender<Answered>,
}

impl Submission {
    /// Roughly what it holds.
    fn bytes(&self) -> usize {
        let op = match &self.op {
            Op::Poll { keys, .. } => keys.len() * 64,
            Op::Listen { keys, .. } => keys.len() * 64,
            Op::BatchRegister { instances, .. } => instances.len() * 256,
            _ => 0,
        };
        256 + op + self.content.as_ref().map_or(0, |c| c.len())
    }
}

/// What is not a request.
pub(super) enum Control {
    /// An input of the node's.
    Input(Input),
    /// The log is written up to this number.
    Persisted(u64),
    /// The state is durable up to this index.
    Durable(u64),
}

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub struct QueueLimits {
    /// Requests.
    pub count: usize,
    /// Their bytes.
    pub bytes: usize,
}

#[derive(Default)]
struct Waiting {
    control: VecDeque<Control>,
    requests: VecDeque<Submission>,
    bytes: usize,
}

/// Both queues.
pub struct Queues {
    limits: QueueLimits,
    waiting: Mutex<Waiting>,
}

impl Queues {
    /// Empty queues.
    #[must_use]
    pub fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            waiting: Mutex::default(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push_controls(&self, controls: impl IntoIterator<Item = Control>) {
        self.lock().control.extend(controls);
    }

    /// Whether there was room.
    pub(super) fn push_request(&self, submission: Submission) -> bool {
        let bytes = submission.bytes();
        let mut waiting = self.lock();
        if waiting.requests.len() >= self.limits.count
            || (waiting.bytes > 0 && waiting.bytes + bytes > self.limits.bytes)
        {
            return false;
        }
        waiting.bytes += bytes;
        waiting.requests.push_back(submission);
        true
    }

    pub(super) fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.control.is_empty() && waiting.requests.is_empty()
    }

    /// Whether at least half of the room is free.
    pub(super) fn has_room(&self) -> bool {
        let waiting = self.lock();
        waiting.requests.len() <= self.limits.count / 2 && waiting.bytes <= self.limits.bytes / 2
    }

    /// Requests that wait, and their bytes.
    pub(super) fn waiting(&self) -> (usize, usize) {
        let waiting = self.lock();
        (waiting.requests.len(), waiting.bytes)
    }

    /// Up to so many inputs, control first; but a deadline's tick goes after the requests that waited when it passed,
    /// so that a beat which had arrived counts.
    pub(super) fn take(&self, most: usize) -> (Vec<Control>, Vec<Submission>) {
        let mut waiting = self.lock();
        let controls: Vec<Control> = {
            let count = waiting.control.len().min(most);
            waiting.control.drain(..count).collect()
        };
        let count = waiting.requests.len().min(most - controls.len());
        let requests: Vec<Submission> = waiting.requests.drain(..count).collect();
        waiting.bytes -= requests.iter().map(Submission::bytes).sum::<usize>();
        (controls, requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(content: usize) -> Submission {
        Submission {
            id: 1,
            origin: Origin::default(),
            op: Op::DeleteNamespace { id: "a".into() },
            content: Some(vec![0; content].into()),
            reply: oneshot::channel().0,
        }
    }

    #[test]
    fn count_and_bytes_are_bounded_but_one_large_request_is_taken() {
        let queues = Queues::new(QueueLimits {
            count: 2,
            bytes: 1_000,
        });
        assert!(queues.push_request(request(5_000)));
        assert!(!queues.push_request(request(0)));
        assert_eq!(queues.take(10).1.len(), 1);
        assert!(queues.push_request(request(0)) && queues.push_request(request(0)));
        assert!(!queues.push_request(request(0)));
        assert_eq!(queues.waiting().0, 2);
        assert_eq!((queues.take(1).1.len(), queues.take(9).1.len()), (1, 1));
        assert_eq!(queues.waiting(), (0, 0));
    }

    #[test]
    fn control_goes_first_and_is_never_refused() {
        let queues = Queues::new(QueueLimits { count: 0, bytes: 0 });
        queues.push_controls((0..300).map(Control::Persisted));
        assert!(!queues.push_request(request(0)));
        assert_eq!(queues.take(256).0.len(), 256);
        assert_eq!(queues.take(256).0.len(), 44);
        assert!(queues.is_empty());
    }
}
