//! Drives the core: whoever queued an input tries the engine's lock, and the holder works for all.
//!
//! 1. An input goes into one of two queues: control (ticks, commits, acks; small by construction) or requests (bounded).
//! 2. Who gets the lock takes up to 256 inputs as one batch, hands them to the engine, and turns with consensus until
//!    neither has more to say: proposals go in, committed entries come out and into the engine.
//! 3. Views are published, then replies are released; pushes, datagrams and probes leave after the lock.
//! 4. After the lock the holder looks at the queues once more; after a millisecond it hands on by a task of its own.
//!
//! The lock is never held across an `.await`, rendering or disk. A panic under it ends the process with its reason.

mod clock;
mod engine_memory;
mod inner;
mod queues;
mod waiting;

use std::pin::Pin;
use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering},
};
use std::time::{Duration, Instant};

use nacrite_core::{
    api::ClientRequest,
    node::{
        input::{Input, Origin},
        op::Op,
        output::Output,
        reply::{Answered, Refusal, Reply},
    },
    view::Delta,
};
use tokio::sync::{Notify, oneshot, watch};

pub use clock::Clock;
pub use inner::{Inner, Progress, Replayed};
pub use queues::{QueueLimits, Queues, Submission};

use crate::{
    admission::Admission, contents::Contents, engine::Runner, fatal::fatal, metrics::Metrics,
    views::Views,
};

/// Inputs of one batch, at most.
const BATCH: usize = 256;
/// How long one task works for others before it hands on.
const SHIFT: Duration = Duration::from_millis(1);

/// Causes of an overload: the queue is full, or the edges refuse.
const FULL: u8 = 1;
const SHEDDING: u8 = 2;

/// What leaves the drive, besides replies: the edges take it.
pub trait Edges: Send + Sync + 'static {
    /// A push to connections, a datagram, a probe, or the end of a connection. Called without the lock, in order.
    fn send(&self, output: Output);

    /// Asks gRPC clients something; the answers that come in time. By default there are no clients.
    fn ask(&self, ids: Vec<Arc<str>>, request: ClientRequest) -> Asked {
        drop((ids, request));
        Box::pin(std::future::ready(Vec::new()))
    }
}

/// Answers of clients, once they have come.
pub type Asked = Pin<Box<dyn Future<Output = Vec<Vec<u8>>> + Send>>;

/// The core, what drives it, and everyone's way to it.
pub struct Drive {
    inner: Mutex<Inner>,
    queues: Queues,
    /// Where the log and the state are, and what readers see.
    pub views: Arc<Views>,
    /// Contents by log index.
    pub contents: Arc<Contents>,
    /// The two clocks.
    pub clock: Clock,
    edges: std::sync::OnceLock<Arc<dyn Edges>>,
    metrics: std::sync::OnceLock<Arc<Metrics>>,
    deadline: AtomicU64,
    deadline_moved: Notify,
    next_request: AtomicU64,
    /// Index up to which the state store has applied, as far as it said.
    stored: watch::Receiver<u64>,
    /// Index up to which the core has applied.
    applied: AtomicU64,
    /// Why there is an overload; none if there is none.
    overloaded: AtomicU8,
    ready: watch::Sender<bool>,
    ending: watch::Sender<bool>,
    /// Bytes of contents that the state store may be behind before writes are refused as "busy".
    max_behind: usize,
    /// Publishes under way, and how many may be: more would only wait for one another at the log.
    publishes: AtomicUsize,
    max_publishes: usize,
    admission: std::sync::OnceLock<Arc<Admission>>,
    labels: watch::Sender<u64>,
    inputs: AtomicU64,
    batches: AtomicU64,
    refused: AtomicU64,
    memory: engine_memory::Watch,
    swapping: Mutex<()>,
}

/// What waits for the core, and what it has done since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests that wait.
    pub waiting: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Requests that were refused as "busy".
    pub refused: u64,
    /// Inputs handled.
    pub inputs: u64,
    /// Batches they came in.
    pub batches: u64,
}

/// A request that waits for something to happen. Small, as many wait at a time; dropping it tells the node that its
/// caller went away.
pub struct Parked {
    drive: Arc<Drive>,
    id: u64,
    answer: oneshot::Receiver<Answered>,
    answered: bool,
}

impl Parked {
    /// What came of it. At the end of the process that is "nothing changed": the clients come again.
    pub async fn answered(mut self) -> Answered {
        let mut ending = self.drive.ending.subscribe();
        tokio::select! {
            result = &mut self.answer => {
                self.answered = true;
                result.unwrap_or(Err(Refusal::Busy))
            }
            _ = ending.wait_for(|e| *e) => Ok(Reply::Changed(Vec::new())),
        }
    }
}

/// A publish's place among those under way.
struct UnderWay<'a>(Option<&'a AtomicUsize>);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(count) = self.0 {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if !self.answered {
            self.drive.control(Input::Gone { id: self.id });
        }
    }
}

impl Drive {
    /// A drive around what start-up has opened.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a part or a bound of its own, and it is called at start alone"
    )]
    #[must_use]
    pub fn new(
        inner: Inner,
        limits: QueueLimits,
        views: Arc<Views>,
        contents: Arc<Contents>,
        clock: Clock,
        stored: watch::Receiver<u64>,
        max_behind: usize,
        max_publishes: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(inner),
            queues: Queues::new(limits),
            views,
            contents,
            clock,
            edges: std::sync::OnceLock::new(),
            metrics: std::sync::OnceLock::new(),
            deadline: AtomicU64::new(u64::MAX),
            deadline_moved: Notify::new(),
            next_request: AtomicU64::new(1),
            stored,
            applied: AtomicU64::new(0),
            overloaded: AtomicU8::new(0),
            ready: watch::Sender::new(false),
            ending: watch::Sender::new(false),
            max_behind,
            publishes: AtomicUsize::new(0),
            max_publishes,
            admission: std::sync::OnceLock::new(),
            labels: watch::Sender::new(0),
            inputs: AtomicU64::new(0),
            batches: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            memory: engine_memory::Watch::default(),
            swapping: Mutex::new(()),
        })
    }

    /// Names the edges that outputs go to; once, before the first request.
    pub fn attach(&self, edges: Arc<dyn Edges>) {
        assert!(self.edges.set(edges).is_ok(), "edges are attached once");
    }

    /// Names where times are recorded.
    pub fn observe(&self, metrics: Arc<Metrics>) {
        // A second one changes nothing.
        let _ = self.metrics.set(metrics);
    }

    /// The log writer has written a group, with its sync, in this time.
    pub fn log_written(&self, took: Duration) {
        if let Some(metrics) = self.metrics.get() {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            metrics.raft.fsync.record(micros);
        }
    }

    /// Whether requests are served: all rows are restored and the log is replayed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.ready.borrow()
    }

    /// Waits until requests are served, at most so long; whether they are.
    pub async fn wait_ready(&self, at_most: Duration) -> bool {
        if self.is_ready() {
            return true;
        }
        let mut ready = self.ready.subscribe();
        tokio::time::timeout(at_most, ready.wait_for(|r| *r))
            .await
            .is_ok_and(|r| r.is_ok())
    }

    /// Hands an operation to the node and waits for what comes of it. If the future is dropped, a poll is forgotten;
    /// a write that was handed over happens all the same.
    pub async fn submit(
        self: &Arc<Self>,
        origin: Origin,
        op: Op,
        content: Option<Arc<[u8]>>,
    ) -> Answered {
        let parks = matches!(op, Op::Poll { wait_ms: 1.., .. });
        let Some(_under_way) = self.enter(content.is_some()) else {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.overload(FULL, true);
            if let Some(admission) = self.admission.get() {
                admission.hold().await;
            }
            return Err(Refusal::Busy);
        };
        let (id, answer) = self.hand_over(origin, op, content)?;
        if parks {
            return self.parked(id, answer).answered().await;
        }
        answer.await.unwrap_or(Err(Refusal::Busy))
    }

    /// As [`Drive::submit`] for what waits long, in a future that keeps nothing of the operation.
    ///
    /// # Errors
    /// [`Refusal::Busy`].
    pub fn park(self: &Arc<Self>, origin: Origin, op: Op) -> Result<Parked, Refusal> {
        let (id, answer) = self.hand_over(origin, op, None)?;
        Ok(self.parked(id, answer))
    }

    fn parked(self: &Arc<Self>, id: u64, answer: oneshot::Receiver<Answered>) -> Parked {
        Parked {
            drive: self.clone(),
            id,
            answer,
            answered: false,
        }
    }

    fn hand_over(
        self: &Arc<Self>,
        origin: Origin,
        op: Op,
        content: Option<Arc<[u8]>>,
    ) -> Result<(u64, oneshot::Receiver<Answered>), Refusal> {
        let (reply, answer) = oneshot::channel();
        let id = self.next_request.fetch_add(1, Ordering::Relaxed);
        let behind = content.is_some() && self.contents.pinned_bytes() > self.max_behind;
        if behind
            || self.memory.refuses(&op)
            || !self.queues.push_request(Submission {
                id,
                origin,
                op,
                content,
                reply,
            })
        {
            self.refused.fetch_add(1, Ordering::Relaxed);
            self.overload(FULL, true);
            return Err(Refusal::Busy);
        }
        self.run();
        Ok((id, answer))
    }

    /// Counts a publish in, unless there are too many under way; what is no publish always has a place.
    fn enter(&self, publish: bool) -> Option<UnderWay<'_>> {
        if !publish {
            return Some(UnderWay(None));
        }
        let before = self.publishes.fetch_add(1, Ordering::Relaxed);
        let place = UnderWay(Some(&self.publishes));
        (before < self.max_publishes).then_some(place)
    }

    /// Names who holds refusals back; once.
    pub fn hold_with(&self, admission: Arc<Admission>) {
        // A second one changes nothing.
        let _ = self.admission.set(admission);
    }

    /// Tells the node something that is no request.
    pub fn control(self: &Arc<Self>, input: Input) {
        self.controls([input]);
    }

    /// Tells the node several things that are no requests, in this order.
    pub fn controls(self: &Arc<Self>, inputs: impl IntoIterator<Item = Input>) {
        self.queues
            .push_controls(inputs.into_iter().map(queues::Control::Input));
        self.run();
    }

    /// The log writer has persisted up to this number.
    pub fn persisted(self: &Arc<Self>, number: u64) {
        self.queues
            .push_controls([queues::Control::Persisted(number)]);
        self.run();
    }

    /// The state store is durable up to this index.
    pub fn durable(self: &Arc<Self>, index: u64) {
        self.queues.push_controls([queues::Control::Durable(index)]);
        self.run();
    }

    /// Waits until the state store has reached what has been applied so far; false if it takes longer than 5 s.
    pub async fn settled(&self) -> bool {
        let want = self.applied.load(Ordering::Acquire);
        let mut stored = self.stored.clone();
        let reached = stored.wait_for(|s| *s >= want);
        tokio::time::timeout(Duration::from_secs(5), reached)
            .await
            .is_ok_and(|r| r.is_ok())
    }

    /// Parked polls are answered from now on; for the end of the process.
    pub fn end_polls(&self) {
        self.ending.send_replace(true);
    }

    /// Whether the process is about to end.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    /// Waits for the end of the process.
    pub async fn ended(&self) {
        // The sender lives as long as this does.
        let _ = self.ending.subscribe().wait_for(|e| *e).await;
    }

    /// What waits, and what was done.
    #[must_use]
    pub fn load(&self) -> Load {
        let (waiting, bytes) = self.queues.waiting();
        Load {
            waiting,
            bytes,
            refused: self.refused.load(Ordering::Relaxed),
            inputs: self.inputs.load(Ordering::Relaxed),
            batches: self.batches.load(Ordering::Relaxed),
        }
    }

    /// Changes whenever the config of the labels may have.
    #[must_use]
    pub fn labels_changed(&self) -> watch::Receiver<u64> {
        self.labels.subscribe()
    }

    /// Looks at the parts under the lock; for tests and metrics that are asked for seldom.
    pub fn inspect<R>(&self, look: impl FnOnce(&mut Inner) -> R) -> R {
        look(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at the engine under the lock, then works off what came meanwhile.
    pub fn with_engine<R>(self: &Arc<Self>, look: impl FnOnce(&mut Runner) -> R) -> R {
        let result = self.inspect(|inner| look(inner.engine()));
        self.run();
        result
    }

    /// Held by who makes another engine take over.
    pub(crate) fn swapping(&self) -> &Mutex<()> {
        &self.swapping
    }

    /// Works off the queues if nobody else does.
    fn run(self: &Arc<Self>) {
        let start = Instant::now();
        while !self.queues.is_empty() {
            let Ok(mut inner) = self.inner.try_lock() else {
                return;
            };
            let worked =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.batch(&mut inner)));
            drop(inner);
            match worked {
                Ok(outputs) => self.release(outputs),
                Err(panic) => fatal(&format!(
                    "the core stopped: {}",
                    crate::fatal::panic_text(&*panic)
                )),
            }
            if start.elapsed() > SHIFT && !self.queues.is_empty() {
                let drive = self.clone();
                // Outside of a runtime (the writers' threads) there is nobody to hand on to.
                if let Ok(runtime) = tokio::runtime::Handle::try_current() {
                    runtime.spawn(async move { drive.run() });
                    return;
                }
            }
        }
    }

    /// One batch under the lock; what must leave afterwards.
    fn batch(&self, inner: &mut Inner) -> Vec<Output> {
        let now = self.clock.now();
        let (controls, requests) = self.queues.take(BATCH);
        self.inputs
            .fetch_add((controls.len() + requests.len()) as u64, Ordering::Relaxed);
        let mut leaving = Vec::new();
        let mut deltas: Vec<Delta> = Vec::new();
        inner.work(
            now,
            controls,
            requests,
            &self.contents,
            &mut deltas,
            &mut leaving,
        );
        let labels = deltas.iter().any(
            |d| matches!(d, Delta::Config { key, .. } if &*key.data_id == crate::labels::DATA_ID),
        );
        if nacrite_core::planted!(ViewsMissADelta) && deltas.len() > 1 {
            deltas.pop();
        }
        self.views.publish(deltas);
        if labels {
            self.labels.send_modify(|n| *n += 1);
        }
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.applied.store(inner.applied(), Ordering::Release);
        inner.answer();
        if inner.is_ready() && !self.is_ready() {
            self.ready.send_replace(true);
        }
        self.memory.look(inner.engine().memory());
        let deadline = inner.deadline().unwrap_or(u64::MAX);
        if self.deadline.swap(deadline, Ordering::AcqRel) != deadline {
            self.deadline_moved.notify_one();
        }
        leaving
    }

    /// Asks gRPC clients something; the answers that come in time.
    pub async fn ask_clients(&self, ids: Vec<Arc<str>>, request: ClientRequest) -> Vec<Vec<u8>> {
        match self.edges.get() {
            Some(edges) => edges.ask(ids, request).await,
            None => Vec::new(),
        }
    }

    fn release(self: &Arc<Self>, outputs: Vec<Output>) {
        if self.overloaded.load(Ordering::Relaxed) & FULL != 0 && self.queues.has_room() {
            self.overload(FULL, false);
        }
        if self.memory.wants_new_instance() {
            engine_memory::renew(self);
        }
        let Some(edges) = self.edges.get() else {
            return;
        };
        for output in outputs {
            edges.send(output);
        }
    }

    /// Whether the edges refuse requests; the node then takes nobody's silence for an end.
    pub fn shedding(self: &Arc<Self>, now: bool) {
        self.overload(SHEDDING, now);
    }

    /// A request was refused at an edge.
    pub fn shed(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    fn overload(self: &Arc<Self>, cause: u8, now: bool) {
        let before = match now {
            true => self.overloaded.fetch_or(cause, Ordering::Relaxed),
            false => self.overloaded.fetch_and(!cause, Ordering::Relaxed),
        };
        let after = if now { before | cause } else { before & !cause };
        if (before == 0) != (after == 0) {
            self.control(Input::Overloaded(now));
        }
    }

    /// Sends the node its ticks; runs until the process ends.
    pub async fn keep_time(self: Arc<Self>) {
        loop {
            let deadline = self.deadline.load(Ordering::Acquire);
            let now = self.clock.now().mono;
            if deadline <= now {
                self.control(Input::Tick);
                // A node whose deadline does not move would make this spin.
                tokio::task::yield_now().await;
                if self.deadline.load(Ordering::Acquire) <= now {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                continue;
            }
            let wait = Duration::from_millis(deadline.saturating_sub(now).min(60_000));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.deadline_moved.notified() => {}
            }
        }
    }
}
