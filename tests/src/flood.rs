//! Load made by one thread of this process, which is another than the server's: closed loops, where each connection
//! asks again when it is answered, and open ones, where requests come at their own rate whatever the server does.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{sync::Semaphore, task::LocalSet};

use crate::way::{Protocol, Way};

/// Streams that share one connection over gRPC.
const SHARED: usize = 64;

/// What is asked, and what is remembered of it.
pub trait Asks {
    /// Writes the request of a number that this connection sends next.
    fn make(&self, connection: usize, number: u64, out: &mut Vec<u8>);

    /// It was answered.
    fn answered(&self, connection: usize, number: u64, status: u16) {
        let _ = (connection, number, status);
    }
}

/// What a load showed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Microseconds from sending to the answer of what was answered with 200, sorted.
    pub admitted: Vec<u32>,
    /// Other answers, by status.
    pub others: BTreeMap<u16, u64>,
    /// Requests that came when every connection was waiting: in an open loop nobody waits for them.
    pub turned_away: u64,
    /// How long it took.
    pub time: Duration,
}

impl Outcome {
    /// The latency that this share of what was admitted did not exceed.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.admitted.len().saturating_sub(1);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index is far below 2^52"
        )]
        let at = (last as f64 * share) as usize;
        Duration::from_micros(u64::from(
            self.admitted.get(at).copied().unwrap_or_default(),
        ))
    }

    /// Requests admitted in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count is far below 2^52")]
        let count = self.admitted.len() as f64;
        count / self.time.as_secs_f64()
    }

    /// Requests that were answered otherwise.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.others.values().sum()
    }
}

/// Connections to one server, and the numbers of what they ask.
pub struct Flood {
    ways: Vec<Way>,
    next: Rc<Cell<u64>>,
}

impl Flood {
    /// Opens connections; over gRPC several of these share one.
    ///
    /// # Errors
    /// What the operating system says.
    pub async fn open(protocol: Protocol, at: SocketAddr, connections: usize) -> io::Result<Self> {
        let mut ways: Vec<Way> = Vec::with_capacity(connections);
        for n in 0..connections {
            let beside = ways
                .last()
                .filter(|_| n % SHARED != 0)
                .and_then(Way::beside);
            ways.push(match beside {
                Some(way) => way,
                None => Way::open(protocol, at).await?,
            });
        }
        Ok(Self {
            ways,
            next: Rc::default(),
        })
    }

    /// Each connection asks, is answered, and asks again.
    ///
    /// # Errors
    /// If a connection ends.
    pub async fn closed(
        &mut self,
        time: Duration,
        asks: &Rc<impl Asks + 'static>,
    ) -> io::Result<Outcome> {
        let (gate, counted) = (
            Rc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
            Rc::default(),
        );
        self.run(Instant::now() + time, asks, &gate, &counted).await
    }

    /// So many requests come in a second, whether those before were answered or not. One that finds no connection that
    /// waits for nothing is turned away here: no client asks twice at a time.
    ///
    /// # Errors
    /// If a connection ends.
    pub async fn at_rate(
        &mut self,
        rate: f64,
        time: Duration,
        asks: &Rc<impl Asks + 'static>,
    ) -> io::Result<Outcome> {
        let gate = Rc::new(Semaphore::new(0));
        let turned_away = Rc::new(Cell::new(0));
        let start = Instant::now();
        let ticking = {
            let (gate, turned_away) = (gate.clone(), turned_away.clone());
            async move {
                let mut tick = tokio::time::interval(Duration::from_millis(1));
                let mut come = 0;
                loop {
                    tick.tick().await;
                    let left = gate.available_permits();
                    turned_away.set(turned_away.get() + left as u64);
                    gate.forget_permits(left);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a rate and a time are positive and small"
                    )]
                    let due = (start.elapsed().as_secs_f64() * rate) as usize;
                    gate.add_permits(due - come);
                    come = due;
                }
            }
        };
        let run = self.run(start + time, asks, &gate, &turned_away);
        tokio::select! {
            outcome = run => outcome,
            () = ticking => unreachable!("it ticks until it is dropped"),
        }
    }

    async fn run(
        &mut self,
        end: Instant,
        asks: &Rc<impl Asks + 'static>,
        gate: &Rc<Semaphore>,
        turned_away: &Rc<Cell<u64>>,
    ) -> io::Result<Outcome> {
        let start = Instant::now();
        let found = Rc::new(RefCell::new(Outcome::default()));
        let local = LocalSet::new();
        let mut tasks = Vec::new();
        for (connection, mut way) in self.ways.drain(..).enumerate() {
            let (asks, gate, next, found) =
                (asks.clone(), gate.clone(), self.next.clone(), found.clone());
            tasks.push(local.spawn_local(async move {
                let mut request = Vec::new();
                loop {
                    let turn = tokio::time::timeout_at(end.into(), gate.acquire()).await;
                    let Ok(Ok(permit)) = turn else { break };
                    permit.forget();
                    let sent = Instant::now();
                    if sent >= end {
                        break;
                    }
                    let number = next.replace(next.get() + 1);
                    request.clear();
                    asks.make(connection, number, &mut request);
                    let status = way.ask(&request).await?;
                    let micros = u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX);
                    asks.answered(connection, number, status);
                    let mut found = found.borrow_mut();
                    match status {
                        200 => found.admitted.push(micros),
                        _ => *found.others.entry(status).or_default() += 1,
                    }
                }
                io::Result::Ok(way)
            }));
        }
        let ways = &mut self.ways;
        local
            .run_until(async {
                for task in tasks {
                    ways.push(task.await.map_err(io::Error::other)??);
                }
                io::Result::Ok(())
            })
            .await?;
        let mut outcome = found.take();
        outcome.admitted.sort_unstable();
        outcome.time = start.elapsed();
        outcome.turned_away = turned_away.get();
        Ok(outcome)
    }
}
