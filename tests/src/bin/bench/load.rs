//! A closed loop: so many connections, each with one request under way, for so long.

use std::{
    cell::RefCell,
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use nacrite_tests::way::{Protocol, Way};
use tokio::task::LocalSet;

use crate::Failure;

/// Writes the request of a number into a buffer that is empty.
pub(crate) type Make = Rc<dyn Fn(u64, &mut Vec<u8>)>;

/// What a run showed.
pub(crate) struct Run {
    /// Requests answered with 200.
    pub(crate) answered: u64,
    /// Other answers.
    pub(crate) refused: u64,
    /// How long it took.
    pub(crate) time: Duration,
    /// Microseconds of every answer, sorted.
    pub(crate) latencies: Vec<u32>,
}

impl Run {
    /// The latency in microseconds that this share of the answers did not exceed.
    pub(crate) fn quantile(&self, share: f64) -> u32 {
        let last = self.latencies.len().saturating_sub(1);
        // Indexes are far below 2^52.
        let at = (last as f64 * share) as usize;
        self.latencies.get(at).copied().unwrap_or_default()
    }
}

/// Open connections to one server.
pub(crate) struct Connections {
    ways: Vec<Way>,
    next: Rc<RefCell<u64>>,
}

impl Connections {
    /// Opens so many.
    pub(crate) async fn open(
        address: SocketAddr,
        protocol: Protocol,
        count: usize,
    ) -> Result<Self, Failure> {
        Self::over(count, async || Way::open(protocol, address).await).await
    }

    /// As [`Connections::open`], to a bare server.
    pub(crate) async fn open_bare(
        address: SocketAddr,
        protocol: Protocol,
        count: usize,
    ) -> Result<Self, Failure> {
        Self::over(count, async || Way::open_bare(protocol, address).await).await
    }

    async fn over(count: usize, open: impl AsyncFn() -> io::Result<Way>) -> Result<Self, Failure> {
        let mut ways = Vec::with_capacity(count);
        for _ in 0..count {
            ways.push(open().await?);
        }
        Ok(Self {
            ways,
            next: Rc::default(),
        })
    }

    /// Asks on all connections for `time`; numbers of requests go on from run to run.
    pub(crate) async fn run(&mut self, time: Duration, make: &Make) -> Result<Run, Failure> {
        let start = Instant::now();
        let end = start + time;
        let local = LocalSet::new();
        let mut tasks = Vec::new();
        for mut way in self.ways.drain(..) {
            let (make, next) = (make.clone(), self.next.clone());
            tasks.push(local.spawn_local(async move {
                let mut request = Vec::new();
                let mut latencies = Vec::with_capacity(65_536);
                let mut refused = 0;
                let mut asked = Instant::now();
                while asked < end {
                    let number = next.replace_with(|n| *n + 1);
                    request.clear();
                    make(number, &mut request);
                    let status = way.ask(&request).await?;
                    let now = Instant::now();
                    if status == 200 {
                        let micros = (now - asked).as_micros();
                        latencies.push(u32::try_from(micros).unwrap_or(u32::MAX));
                    } else {
                        refused += 1;
                    }
                    asked = now;
                }
                Ok::<_, io::Error>((way, latencies, refused))
            }));
        }
        let mut latencies = Vec::new();
        let mut refused = 0;
        let ways = &mut self.ways;
        local
            .run_until(async {
                for task in tasks {
                    let (way, mut more, not) = task.await??;
                    ways.push(way);
                    latencies.append(&mut more);
                    refused += not;
                }
                Ok::<_, Failure>(())
            })
            .await?;
        let time = start.elapsed();
        latencies.sort_unstable();
        Ok(Run {
            answered: latencies.len() as u64,
            refused,
            time,
            latencies,
        })
    }
}

/// Connections for what is done once each: as many as let writes share their syncs.
const ONCE: usize = 128;

/// Asks for these numbers; every answer must be 200.
pub(crate) async fn once_each(
    address: SocketAddr,
    protocol: Protocol,
    numbers: std::ops::Range<u64>,
    make: &Make,
) -> Result<(), Failure> {
    let next = Rc::new(RefCell::new(numbers.start));
    let local = LocalSet::new();
    let mut tasks = Vec::new();
    for _ in 0..ONCE {
        let (make, next, end) = (make.clone(), next.clone(), numbers.end);
        tasks.push(local.spawn_local(async move {
            let mut way = Way::open(protocol, address).await?;
            let mut request = Vec::new();
            loop {
                let number = next.replace_with(|n| *n + 1);
                if number >= end {
                    return Ok::<_, Failure>(());
                }
                request.clear();
                make(number, &mut request);
                let status = way.ask(&request).await?;
                if status != 200 {
                    let text = String::from_utf8_lossy(&request);
                    let line = text.lines().next().unwrap_or_default();
                    return Err(format!(
                        "{status} for {}",
                        line.chars().take(120).collect::<String>()
                    )
                    .into());
                }
            }
        }));
    }
    local
        .run_until(async {
            for task in tasks {
                task.await??;
            }
            Ok(())
        })
        .await
}
