//! The rows of the table that are requests: what is asked, on how many connections, and what must be there first.

use std::{net::SocketAddr, ops::Range, path::Path, rc::Rc, time::Duration};

use nacrite_tests::{
    requests::{
        beat, content, grpc_list, grpc_publish, grpc_read_config, grpc_register, list, publish_one,
        publish_some, read_config, register,
    },
    way::{self, Protocol},
};

use crate::{
    Effort, Failure, Peer, bare, bare_grpc,
    load::{Connections, Make, Run, once_each},
    process::{Served, cpu},
    table::{Line, Measured, Target as Aim},
    wire::Wire,
};

/// Writes the request of a number.
type Write = fn(u64, &mut Vec<u8>);

/// One row.
pub(crate) struct Row {
    /// Its name in the table.
    pub(crate) name: &'static str,
    protocol: Protocol,
    connections: usize,
    /// Requests over HTTP that come first, once each.
    before: Option<(Range<u64>, Write)>,
    ask: Write,
    target: Option<Aim>,
}

/// Configs that are read at random.
const CONFIGS: u64 = 100_000;
/// Instances that beat.
const BEATING: u64 = 1_000;

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "config-read-hot",
        protocol: Protocol::Http,
        connections: 32,
        before: Some((0..1, publish_one)),
        ask: |_, out| read_config(0, out),
        target: Some(Aim::Ratio(1.3)),
    },
    Row {
        name: "config-read-random",
        protocol: Protocol::Http,
        connections: 32,
        before: Some((0..CONFIGS, publish_one)),
        ask: |number, out| read_config(spread(number) % CONFIGS, out),
        target: Some(Aim::Ratio(2.5)),
    },
    Row {
        name: "publish-1",
        protocol: Protocol::Http,
        connections: 1,
        before: None,
        ask: publish_some,
        target: None,
    },
    Row {
        name: "publish-32",
        protocol: Protocol::Http,
        connections: 32,
        before: None,
        ask: publish_some,
        target: Some(Aim::Micros(60.0)),
    },
    Row {
        name: "publish-256",
        protocol: Protocol::Http,
        connections: 256,
        before: None,
        ask: publish_some,
        target: None,
    },
    Row {
        name: "register",
        protocol: Protocol::Http,
        connections: 32,
        before: None,
        ask: |number, out| register(number % 1_000, number, out),
        target: Some(Aim::Micros(12.0)),
    },
    Row {
        name: "beat",
        protocol: Protocol::Http,
        connections: 32,
        before: Some((0..BEATING, |number, out| {
            register(number % 100, number, out);
        })),
        ask: |number, out| beat(number % BEATING % 100, number % BEATING, out),
        target: Some(Aim::Micros(10.0)),
    },
    Row {
        name: "list-10",
        protocol: Protocol::Http,
        connections: 32,
        before: Some((0..10, |number, out| register(0, number, out))),
        ask: |_, out| list(0, out),
        target: Some(Aim::Ratio(1.3)),
    },
    Row {
        name: "list-1000",
        protocol: Protocol::Http,
        connections: 32,
        before: Some((0..1_000, |number, out| register(0, number, out))),
        ask: |_, out| list(0, out),
        target: None,
    },
    Row {
        name: "grpc-config-read",
        protocol: Protocol::Grpc,
        connections: 32,
        before: Some((0..1, publish_one)),
        ask: |_, out| grpc_read_config(0, out),
        target: None,
    },
    Row {
        name: "grpc-publish-32",
        protocol: Protocol::Grpc,
        connections: 32,
        before: None,
        ask: |number, out| grpc_publish(number % 1_000, &content(number), out),
        target: None,
    },
    Row {
        name: "grpc-register",
        protocol: Protocol::Grpc,
        connections: 32,
        before: None,
        ask: |number, out| grpc_register(number % 1_000, number, out),
        target: None,
    },
    Row {
        name: "grpc-list-10",
        protocol: Protocol::Grpc,
        connections: 32,
        before: Some((0..10, |number, out| register(0, number, out))),
        ask: |_, out| grpc_list(0, out),
        target: None,
    },
];

/// Two numbers next to each other become two far apart (the finaliser of splitmix64).
pub(crate) fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A server and its open connections.
struct Target {
    connections: Connections,
    pid: Option<u32>,
    best: Option<Measured>,
}

impl Target {
    async fn open(address: SocketAddr, pid: Option<u32>, row: &Row) -> Result<Self, Failure> {
        Ok(Self {
            connections: Connections::open(address, row.protocol, row.connections).await?,
            pid,
            best: None,
        })
    }

    async fn bare(bare: &Served, row: &Row) -> Result<Self, Failure> {
        let (address, count) = (bare.address, row.connections);
        Ok(Self {
            connections: Connections::open_bare(address, row.protocol, count).await?,
            pid: Some(bare.pid()),
            best: None,
        })
    }

    async fn run(&mut self, time: Duration, make: &Make) -> Result<Run, Failure> {
        let run = self.connections.run(time, make).await?;
        if run.refused > run.answered / 100 {
            return Err(format!(
                "{} of {} were refused",
                run.refused,
                run.refused + run.answered
            )
            .into());
        }
        Ok(run)
    }

    /// One run; kept if it took less CPU (or time) than those before.
    async fn again(&mut self, time: Duration, make: &Make) -> Result<(), Failure> {
        let before = self.pid.map(cpu).transpose()?;
        let run = self.run(time, make).await?;
        let after = self.pid.map(cpu).transpose()?;
        let used = after.zip(before).map(|(after, before)| after - before);
        let measured = Measured::of(&run, used);
        if self
            .best
            .as_ref()
            .is_none_or(|best| measured.is_better_than(best))
        {
            self.best = Some(measured);
        }
        Ok(())
    }
}

/// Measures a row: server, bare server and peer take turns.
pub(crate) async fn measure(
    row: &Row,
    program: &Path,
    effort: Effort,
    peer: Option<Peer>,
) -> Result<Line, Failure> {
    let ask = row.ask;
    let make: Make = Rc::new(ask);
    let served = Served::start(program).await?;
    let mut first = Vec::new();
    ask(0, &mut first);
    prepare(row, served.address).await?;
    // Before any connection is open: one that is idle for long is closed.
    if let Some(peer) = peer {
        prepare(row, peer.address).await?;
    }
    let mut targets = vec![Target::open(served.address, Some(served.pid()), row).await?];
    let bare = match row.protocol {
        Protocol::Http => {
            let taken = Wire::open(served.address).await?.take(&first).await?;
            if taken.status != 200 {
                return Err(format!("answered {}", taken.status).into());
            }
            Served::bare(&bare::answers(&taken), row.protocol).await?
        }
        Protocol::Grpc => {
            let answer = bare_grpc::answer(served.address, &first).await?;
            let status = way::status(&answer);
            if status != 200 {
                return Err(format!("answered {status}").into());
            }
            Served::bare(&answer, row.protocol).await?
        }
    };
    targets.push(Target::bare(&bare, row).await?);
    if let Some(peer) = peer {
        targets.push(Target::open(peer.address, peer.pid, row).await?);
    }
    for target in &mut targets {
        target.run(effort.time / 4, &make).await?;
    }
    for _ in 0..effort.runs {
        for target in &mut targets {
            target.again(effort.time, &make).await?;
        }
    }
    let mut best = targets.into_iter().filter_map(|t| t.best);
    let Some(ours) = best.next() else {
        return Err("nothing was run".into());
    };
    let line = Line {
        name: row.name,
        connections: row.connections,
        ours,
        bare: best.next(),
        peer: best.next(),
        target: row.target,
    };
    // A server that has just stopped may still write: the next row begins when it is gone.
    drop(served);
    Ok(line)
}

/// CPU of a bare POST, in microseconds: what targets of other rows are in proportion to.
pub(crate) async fn bare_post(program: &Path, effort: Effort) -> Result<f64, Failure> {
    let row = ROWS.iter().find(|row| row.name == "register");
    let line = measure(
        row.ok_or("there is no row register")?,
        program,
        effort,
        None,
    )
    .await?;
    let bare = line.bare.and_then(|bare| bare.cpu);
    bare.ok_or_else(|| "the bare server was not measured".into())
}

/// The best run of a row on each of these servers, which take turns.
pub(crate) async fn compare(
    name: &str,
    servers: &[Served],
    effort: Effort,
) -> Result<Vec<Measured>, Failure> {
    let row = ROWS.iter().find(|row| row.name == name);
    let row = row.ok_or_else(|| format!("there is no row {name}"))?;
    let make: Make = Rc::new(row.ask);
    let mut targets = Vec::new();
    for served in servers {
        prepare(row, served.address).await?;
        let pid = Some(served.pid());
        targets.push(Target::open(served.address, pid, row).await?);
    }
    for target in &mut targets {
        target.run(effort.time / 4, &make).await?;
    }
    for _ in 0..effort.runs {
        for target in &mut targets {
            target.again(effort.time, &make).await?;
        }
    }
    Ok(targets.into_iter().filter_map(|t| t.best).collect())
}

async fn prepare(row: &Row, address: SocketAddr) -> Result<(), Failure> {
    match &row.before {
        Some((numbers, write)) => {
            let make = Rc::new(*write) as Make;
            once_each(address, Protocol::Http, numbers.clone(), &make).await
        }
        None => Ok(()),
    }
}
