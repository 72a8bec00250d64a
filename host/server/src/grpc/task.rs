//! The task of a transport: hyper's connection and the futures of its streams, polled together.
//!
//! hyper hands the future of each stream to an executor. Here that is the task of the transport itself: a push wakes one
//! task, which writes it at once, and not a stream's task that wakes the transport's. One transport's requests share one
//! processor at a time; transports are many.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use futures_util::{Stream, stream::FuturesUnordered, task::AtomicWaker};

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What else the task of a transport is to do: streams, as hyper finds them, and what their calls add.
#[derive(Clone, Default)]
pub(super) struct Spawner(Arc<Mutex<Vec<Work>>>);

impl Spawner {
    fn added(&self) -> Vec<Work> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Spawner {
    fn execute(&self, future: F) {
        let mut added = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        added.push(Box::pin(future));
    }
}

/// A side of a task that is to be polled, and whether the task must be told so.
struct Bell {
    rung: AtomicBool,
    turn: Arc<Turn>,
}

/// A task's turn: while it lasts the task looks at its bells itself.
#[derive(Default)]
struct Turn {
    lasts: AtomicBool,
    waker: AtomicWaker,
}

impl Bell {
    /// Rung, as what is new must be polled once.
    fn new(turn: &Arc<Turn>) -> Arc<Self> {
        Arc::new(Self {
            rung: AtomicBool::new(true),
            turn: turn.clone(),
        })
    }

    fn take(&self) -> bool {
        self.rung.swap(false, Ordering::SeqCst)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::SeqCst);
        if !self.turn.lasts.load(Ordering::SeqCst) {
            self.turn.waker.wake();
        }
    }
}

/// How often one turn goes round; more is another turn, after other tasks.
const ROUNDS: usize = 16;

/// Serves one transport until it ends; its streams end with it.
pub(super) struct Task<C> {
    connection: Pin<Box<C>>,
    connection_bell: Arc<Bell>,
    streams: FuturesUnordered<Work>,
    streams_bell: Arc<Bell>,
    turn: Arc<Turn>,
    spawner: Spawner,
}

impl<C> Task<C> {
    /// `connection` was made with this spawner.
    pub(super) fn new(connection: C, spawner: Spawner) -> Self {
        let turn = Arc::default();
        Self {
            connection: Box::pin(connection),
            connection_bell: Bell::new(&turn),
            streams: FuturesUnordered::new(),
            streams_bell: Bell::new(&turn),
            turn,
            spawner,
        }
    }
}

impl<C> Drop for Task<C> {
    fn drop(&mut self) {
        // What was added last was never polled. It holds the spawner, which holds it.
        drop(self.spawner.added());
    }
}

/// What came of looking at the bells once.
enum Round<T> {
    /// The transport ended.
    Ended(T),
    /// Something was polled, which may have rung.
    Moved,
    /// Nothing had rung.
    Rest,
}

impl<C: Future> Task<C> {
    /// Polls what wants it, and only that: a push is framed and written without the way of a read in between.
    fn round(&mut self) -> Round<C::Output> {
        let added = self.spawner.added();
        let streams = self.streams_bell.take() || !added.is_empty();
        if streams {
            self.streams.extend(added);
            let waker = Waker::from(self.streams_bell.clone());
            let mut context = Context::from_waker(&waker);
            while let Poll::Ready(Some(())) = Pin::new(&mut self.streams).poll_next(&mut context) {}
        }
        let connection = self.connection_bell.take();
        if connection {
            let waker = Waker::from(self.connection_bell.clone());
            let mut context = Context::from_waker(&waker);
            if let Poll::Ready(end) = self.connection.as_mut().poll(&mut context) {
                return Round::Ended(end);
            }
        }
        if streams || connection {
            Round::Moved
        } else {
            Round::Rest
        }
    }
}

impl<C: Future> Future for Task<C> {
    type Output = C::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<C::Output> {
        self.turn.waker.register(context.waker());
        self.turn.lasts.store(true, Ordering::SeqCst);
        let mut rested = false;
        for _ in 0..ROUNDS {
            match self.round() {
                Round::Ended(end) => return Poll::Ready(end),
                Round::Moved => {}
                Round::Rest => {
                    rested = true;
                    break;
                }
            }
        }
        self.turn.lasts.store(false, Ordering::SeqCst);
        // A bell that another thread rang after it was looked at told nobody.
        let rung = |bell: &Bell| bell.rung.load(Ordering::SeqCst);
        if !rested || rung(&self.streams_bell) || rung(&self.connection_bell) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper::rt::Executor;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_bell_is_missed_whoever_rings_it() {
        let spawner = Spawner::default();
        let (there, mut here) = tokio::sync::mpsc::channel::<u32>(1);
        let (back, mut got) = tokio::sync::mpsc::channel::<u32>(1);
        spawner.execute(async move {
            while let Some(number) = here.recv().await {
                back.send(number).await.unwrap();
            }
        });
        let (end, ended) = oneshot::channel::<()>();
        let task = tokio::spawn(Task::new(ended, spawner));
        for number in 0..10_000 {
            there.send(number).await.unwrap();
            assert_eq!(got.recv().await, Some(number));
        }
        end.send(()).unwrap();
        assert_eq!(task.await.unwrap(), Ok(()));
    }

    #[test]
    fn work_that_was_never_polled_ends_with_its_task() {
        let spawner = Spawner::default();
        let alive = Arc::downgrade(&spawner.0);
        let own = spawner.clone();
        let task = Task::new(std::future::ready(()), spawner.clone());
        spawner.execute(async move {
            let _own = own;
            std::future::pending::<()>().await;
        });
        drop((task, spawner));
        assert!(alive.upgrade().is_none());
    }

    #[tokio::test]
    async fn work_that_adds_work_is_done_in_one_turn_and_all_ends_with_the_connection() {
        let spawner = Spawner::default();
        let (told, mut heard) = oneshot::channel();
        let (_never, waits) = oneshot::channel::<()>();
        let (held, dropped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel::<()>();
        let inner = spawner.clone();
        spawner.execute(async move {
            inner.execute(async move { told.send(()).unwrap() });
        });
        spawner.execute(async move {
            let _held = held;
            let _waited = waits.await;
        });
        let mut task = Task::new(ended, spawner);
        assert!((&mut task).now_or_never().is_none());
        assert!(!task.turn.lasts.load(Ordering::SeqCst));
        assert_eq!(heard.try_recv(), Ok(()));
        end.send(()).unwrap();
        assert_eq!(task.await, Ok(()));
        assert!(dropped.await.is_err(), "work ends with its transport");
    }
}
