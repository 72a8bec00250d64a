//! Background tasks that end with whom they belong to.

use std::hash::{DefaultHasher, Hash, Hasher};

use std::future::Future;

/// A task that is aborted when this is dropped.
#[derive(Debug)]
pub(crate) struct Task(tokio::task::JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(future: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(future))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Locks held while a server is told something of a key, so that what is told later also arrives later. Keys share
/// them: one may wait for another, none is forgotten or grown.
#[derive(Debug, Default)]
pub(crate) struct Turns([tokio::sync::Mutex<()>; 16]);

impl Turns {
    pub(crate) async fn of(&self, key: &impl Hash) -> tokio::sync::MutexGuard<'_, ()> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        self.0[hasher.finish() as usize % self.0.len()].lock().await
    }
}
