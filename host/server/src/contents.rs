//! Contents of configs by log index: pinned until they are stored, then cached within bounds, else read from the store.

use std::collections::BTreeMap;
use std::sync::{
    Arc, Mutex, PoisonError, RwLock,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use nacrite_core::model::ContentRef;
use nacrite_storage::StateReader;
use quick_cache::{Weighter, sync::Cache};

#[derive(Clone)]
struct Bytes;

impl Weighter<u64, Arc<[u8]>> for Bytes {
    fn weight(&self, _: &u64, content: &Arc<[u8]>) -> u64 {
        64 + content.len() as u64
    }
}

type Cached = Cache<u64, Arc<[u8]>, Bytes>;

/// An empty cache of so many bytes.
fn cache_of(bytes: u64) -> Arc<Cached> {
    // A guess at how many fit: it only sizes the cache's tables.
    let items = usize::try_from(bytes / 2_048).unwrap_or(usize::MAX).max(16);
    Arc::new(Cache::with_weighter(items, bytes, Bytes))
}

/// Where contents are found.
pub struct Contents {
    /// Committed, but not yet in the state store.
    pinned: Mutex<BTreeMap<u64, Arc<[u8]>>>,
    pinned_bytes: AtomicUsize,
    cache: RwLock<Arc<Cached>>,
    cache_bytes: u64,
    store: StateReader,
    cold_reads: AtomicU64,
    /// Contents that were found at hand since it was last looked.
    found: AtomicU64,
    /// How often in a row hardly any was.
    quiet: AtomicU64,
}

/// Contents up to so many bytes are read on the thread that asks, as long as the system has them in memory: that takes
/// less than to hand them to another.
const SHORT: u32 = 64 << 10;
/// Looks in a row that must find hardly any read before the cache is given back.
const QUIET_LOOKS: u64 = 2;
/// So few reads between two looks are hardly any.
const HARDLY: u64 = 16;

impl Contents {
    /// Contents of this store, with a cache of so many bytes.
    #[must_use]
    pub fn new(store: StateReader, cache_bytes: u64) -> Self {
        Self {
            pinned: Mutex::default(),
            pinned_bytes: AtomicUsize::new(0),
            cache: RwLock::new(cache_of(cache_bytes)),
            cache_bytes,
            store,
            cold_reads: AtomicU64::new(0),
            found: AtomicU64::new(0),
            quiet: AtomicU64::new(0),
        }
    }

    fn cache(&self) -> std::sync::RwLockReadGuard<'_, Arc<Cached>> {
        self.cache.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn pins(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Arc<[u8]>>> {
        self.pinned.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a committed content until the store has it.
    pub fn pin(&self, index: u64, bytes: Arc<[u8]>) {
        self.pinned_bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        self.pins().insert(index, bytes);
    }

    /// The store has everything up to this index.
    pub fn stored(&self, upto: u64) {
        let released = {
            let mut pins = self.pins();
            let later = pins.split_off(&(upto + 1));
            std::mem::replace(&mut *pins, later)
        };
        for (index, bytes) in released {
            self.pinned_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
            self.cache().insert(index, bytes);
        }
    }

    /// How many bytes wait for the store.
    #[must_use]
    pub fn pinned_bytes(&self) -> usize {
        self.pinned_bytes.load(Ordering::Relaxed)
    }

    /// How many contents were read from disk.
    #[must_use]
    pub fn cold_reads(&self) -> u64 {
        self.cold_reads.load(Ordering::Relaxed)
    }

    /// A content that is at hand.
    #[must_use]
    pub fn hot(&self, index: u64) -> Option<Arc<[u8]>> {
        self.found.fetch_add(1, Ordering::Relaxed);
        self.cache()
            .get(&index)
            .or_else(|| self.pins().get(&index).cloned())
    }

    /// A content that is at hand, or is short enough to be read here and now; none is no answer, but a reason to ask
    /// [`Contents::get`].
    #[must_use]
    pub fn at_once(&self, content: &ContentRef) -> Option<Arc<[u8]>> {
        self.hot(content.index).or_else(|| {
            if content.bytes > SHORT {
                return None;
            }
            self.read(content.index).ok().flatten()
        })
    }

    /// Reads a content from the store, and keeps it.
    fn read(&self, index: u64) -> Result<Option<Arc<[u8]>>, String> {
        self.cold_reads.fetch_add(1, Ordering::Relaxed);
        let read = self.store.content(index).map_err(|e| e.to_string())?;
        if let Some(bytes) = &read {
            self.cache().insert(index, bytes.clone());
        }
        Ok(read)
    }

    /// Looks whether contents are still read, and gives the cache's memory back if they are not: what a load of an
    /// hour ago left is of no use now. Whoever calls this does so every few seconds.
    pub fn look(&self) {
        if self.found.swap(0, Ordering::Relaxed) >= HARDLY {
            self.quiet.store(0, Ordering::Relaxed);
            return;
        }
        if self.quiet.fetch_add(1, Ordering::Relaxed) + 1 >= QUIET_LOOKS && !self.cache().is_empty()
        {
            // Not cleared: that would keep its tables, some MiB.
            let empty = cache_of(self.cache_bytes);
            *self.cache.write().unwrap_or_else(PoisonError::into_inner) = empty;
        }
    }

    /// A content, read from the store on the blocking pool if need be; readers of the same one wait for one read.
    ///
    /// # Errors
    /// What the store says; none if it no longer has it.
    pub async fn get(self: &Arc<Self>, index: u64) -> Result<Option<Arc<[u8]>>, String> {
        if let Some(bytes) = self.hot(index) {
            return Ok(Some(bytes));
        }
        let this = self.clone();
        let read = || async move {
            this.cold_reads.fetch_add(1, Ordering::Relaxed);
            let store = this.store.clone();
            match tokio::task::spawn_blocking(move || store.content(index)).await {
                Ok(Ok(Some(bytes))) => Ok(bytes),
                Ok(Ok(None)) => Err(None),
                Ok(Err(error)) => Err(Some(error.to_string())),
                Err(panic) => Err(Some(panic.to_string())),
            }
        };
        let cache = self.cache().clone();
        match cache.get_or_insert_async(&index, read()).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(None) => Ok(None),
            Err(Some(error)) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nacrite_storage::{Options, SimDisk, Store};

    #[test]
    fn what_nobody_reads_is_given_back() {
        let options = Options {
            new_node_id: 1,
            ..Options::default()
        };
        let store = Store::open(Arc::new(SimDisk::new()), &options).expect("a new disk is sound");
        let contents = Contents::new(store.state.reader(), 1 << 20);
        contents.pin(7, Arc::from(*b"seven"));
        contents.stored(7);
        assert_eq!(contents.pinned_bytes(), 0);
        for _ in 0..10 {
            for _ in 0..HARDLY {
                assert!(contents.hot(7).is_some(), "it is read, so it is kept");
            }
            contents.look();
        }
        (0..QUIET_LOOKS).for_each(|_| contents.look());
        assert!(contents.hot(7).is_none());
        // What is only written is given back as well.
        contents.pin(8, Arc::from(*b"eight"));
        assert!(contents.hot(8).is_some());
        contents.stored(8);
        contents.look();
        assert!(contents.hot(8).is_none());
    }
}
