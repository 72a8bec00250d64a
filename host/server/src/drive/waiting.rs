//! Requests that have not been answered yet, and contents that have not been committed yet.

use std::collections::HashMap;
use std::sync::Arc;

use nacrite_core::node::reply::Answered;
use tokio::sync::oneshot;

/// What the drive remembers of a request.
pub(super) struct Request {
    pub(super) reply: oneshot::Sender<Answered>,
    pub(super) content: Option<Arc<[u8]>>,
}

/// Requests by number.
#[derive(Default)]
pub(super) struct Waiting(HashMap<u64, Request>);

impl Waiting {
    pub(super) fn insert(&mut self, id: u64, request: Request) {
        self.0.insert(id, request);
    }

    /// The content that came with a request; it is given once.
    pub(super) fn take_content(&mut self, id: u64) -> Option<Arc<[u8]>> {
        self.0.get_mut(&id)?.content.take()
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<oneshot::Sender<Answered>> {
        self.0.remove(&id).map(|r| r.reply)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
