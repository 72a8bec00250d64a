//! One member over a simulated disk, driven by hand: the server's own parts joined as `nacrite serve` joins them, but
//! without a thread and with clocks that stand where they are put, so that the same seed does the same again.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use nacrite::{
    drive::{Clock, Drive, Edges, QueueLimits},
    engine::{Checkpoints, Core},
    open::{Joined, OpenError, OpenSettings},
};
use nacrite_core::{
    config::WatchLimits,
    node::{
        NodeSettings,
        input::{Input, Now, Origin},
        op::Op,
        output::Output,
        reply::Answered,
    },
    push::PushLimits,
};
use nacrite_storage::{Options, SimDisk, Store};

/// A wall clock that began in 2026.
const BEGAN: u64 = 1_780_000_000_000;

/// What left the drive and nobody took yet.
#[derive(Default)]
struct Left(Mutex<Vec<Output>>);

impl Edges for Left {
    fn send(&self, output: Output) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.push(output);
    }
}

type Answering = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// A request that was handed over.
pub enum Asked {
    /// It waits.
    Waiting(Answering),
    /// What came of it, unless that was taken already.
    Done(Option<Answered>),
}

impl Asked {
    /// What came of it, once it is there; given once.
    pub fn answer(&mut self) -> Option<Answered> {
        if let Self::Waiting(future) = self
            && let Poll::Ready(answered) = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
        {
            *self = Self::Done(Some(answered));
        }
        match self {
            Self::Waiting(_) => None,
            Self::Done(answered) => answered.take(),
        }
    }
}

/// A member.
pub struct Member {
    joined: Joined,
    mono: Arc<AtomicU64>,
    wall: Arc<AtomicU64>,
    left: Arc<Left>,
}

/// How every member here is opened.
#[must_use]
pub fn settings(seed: u64) -> OpenSettings {
    OpenSettings {
        store: Options {
            new_node_id: seed.max(1),
            log_cache: 1 << 20,
            state_cache: 1 << 20,
            verify_data: true,
        },
        node: NodeSettings {
            seed,
            quotas: None,
            watch: WatchLimits::default(),
            push: PushLimits::default(),
            retention_days: 30,
            max_locks: 1_000,
            max_namespaces: 1_000,
        },
        core: Core::Native,
        checkpoints: Checkpoints::default(),
        queues: QueueLimits {
            count: 10_000,
            bytes: 64 << 20,
        },
        content_cache: 1 << 20,
        sync_every: Duration::from_secs(1),
        sync_bytes: 16 << 20,
        max_behind: 64 << 20,
        max_publishes: 512,
    }
}

impl Member {
    /// Opens the files, making them where there are none. Nothing is written but what opening writes.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(disk: &SimDisk, seed: u64) -> Result<Self, OpenError> {
        let now = Now {
            mono: 1,
            wall: BEGAN,
        };
        Self::open_at(disk, &settings(seed), now)
    }

    /// As [`Member::open`], with settings and at a time.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open_at(disk: &SimDisk, settings: &OpenSettings, now: Now) -> Result<Self, OpenError> {
        let store = Store::open(Arc::new(disk.clone()), &settings.store)?;
        let clocks = [now.mono, now.wall].map(|ms| Arc::new(AtomicU64::new(ms)));
        let [mono, wall] = clocks;
        let left = Arc::new(Left::default());
        let clock = Clock::by_hand(mono.clone(), wall.clone());
        let joined = Joined::new(store, settings, clock, |_| left.clone())?;
        Ok(Self {
            joined,
            mono,
            wall,
            left,
        })
    }

    /// Puts its clocks.
    pub fn at(&self, now: Now) {
        self.mono.store(now.mono, Ordering::Relaxed);
        self.wall.store(now.wall, Ordering::Relaxed);
    }

    /// What left it since the last call, but for answers.
    #[must_use]
    pub fn take_left(&self) -> Vec<Output> {
        let mut left = self.left.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut left)
    }

    /// Lets it lead and replay its log.
    ///
    /// # Errors
    /// What its disk says.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn start(&mut self) -> Result<(), String> {
        self.joined.drive.control(Input::Tick);
        for _ in 0..10 {
            if self.joined.drive.is_ready() {
                return Ok(());
            }
            self.turn_log()?;
        }
        panic!("a single voter is ready after its first entry");
    }

    /// Hands over a request; it may be answered already.
    #[must_use]
    pub fn ask(&self, op: Op, content: Option<&[u8]>) -> Asked {
        let origin = Origin {
            ip: "10.0.0.1".into(),
            ..Origin::default()
        };
        self.ask_from(origin, op, content)
    }

    /// As [`Member::ask`], of somebody.
    #[must_use]
    pub fn ask_from(&self, origin: Origin, op: Op, content: Option<&[u8]>) -> Asked {
        let drive = self.joined.drive.clone();
        let content = content.map(Arc::from);
        let mut future: Answering =
            Box::pin(async move { drive.submit(origin, op, content).await });
        // A future does nothing before it is asked.
        match future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
        {
            Poll::Ready(answered) => Asked::Done(Some(answered)),
            Poll::Pending => Asked::Waiting(future),
        }
    }

    /// The log's writer writes what waits for it.
    ///
    /// # Errors
    /// What the disk says.
    pub fn turn_log(&mut self) -> Result<(), String> {
        if let Some(number) = self.joined.log.turn_waiting()?.persisted {
            self.joined.drive.persisted(number);
        }
        Ok(())
    }

    /// The state's writer applies up to so many entries that wait for it, durably if `due`.
    ///
    /// # Errors
    /// What the disk says.
    pub fn turn_state(&mut self, most: usize, due: bool) -> Result<(), String> {
        if let Some(index) = self.joined.state.turn_waiting(most, due)? {
            self.joined.drive.durable(index);
        }
        Ok(())
    }

    /// The core.
    #[must_use]
    pub fn drive(&self) -> &Arc<Drive> {
        &self.joined.drive
    }

    /// A content, wherever it is.
    ///
    /// # Errors
    /// What the store says.
    pub fn content(&self, index: u64) -> Result<Option<Arc<[u8]>>, String> {
        match self.joined.drive.contents.hot(index) {
            Some(bytes) => Ok(Some(bytes)),
            None => self.joined.store.content(index).map_err(|e| e.to_string()),
        }
    }
}
