//! The rows of the table that are requests: what is asked, on how many connections, and what must be there first.

use std::{net::SocketAddr, ops::Range, path::Path, rc::Rc, time::Duration};

use crate::{
    Effort, Failure, Peer, bare,
    load::{Connections, Make, Run, once_each},
    process::{Served, cpu},
    table::{Line, Measured},
    wire::{Wire, form, request},
};

/// Writes the request of a number.
type Write = fn(u64, &mut Vec<u8>);

/// One row.
pub(crate) struct Row {
    /// Its name in the table.
    pub(crate) name: &'static str,
    connections: usize,
    /// Requests that come first, once each.
    before: Option<(Range<u64>, Write)>,
    ask: Write,
}

/// Configs that are read at random.
const CONFIGS: u64 = 10_000;
/// Instances that beat.
const BEATING: u64 = 1_000;

/// All rows, in the order of the table.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "config-read-hot",
        connections: 32,
        before: Some((0..1, publish_one)),
        ask: |_, out| read_config(0, out),
    },
    Row {
        name: "config-read-random",
        connections: 32,
        before: Some((0..CONFIGS, publish_one)),
        ask: |number, out| read_config(spread(number) % CONFIGS, out),
    },
    Row {
        name: "publish-1",
        connections: 1,
        before: None,
        ask: publish_some,
    },
    Row {
        name: "publish-32",
        connections: 32,
        before: None,
        ask: publish_some,
    },
    Row {
        name: "publish-256",
        connections: 256,
        before: None,
        ask: publish_some,
    },
    Row {
        name: "register",
        connections: 32,
        before: None,
        ask: |number, out| register(number % 1_000, number, out),
    },
    Row {
        name: "beat",
        connections: 32,
        before: Some((0..BEATING, |number, out| {
            register(number % 100, number, out);
        })),
        ask: |number, out| beat(number % BEATING % 100, number % BEATING, out),
    },
    Row {
        name: "list-10",
        connections: 32,
        before: Some((0..10, |number, out| register(0, number, out))),
        ask: |_, out| list(0, out),
    },
    Row {
        name: "list-1000",
        connections: 32,
        before: Some((0..1_000, |number, out| register(0, number, out))),
        ask: |_, out| list(0, out),
    },
];

/// Two numbers next to each other become two far apart (the finaliser of splitmix64).
fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn read_config(number: u64, out: &mut Vec<u8>) {
    out.extend(request(
        "GET",
        &format!("/v1/cs/configs?dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant="),
    ));
}

/// A content of 1 KiB that differs from number to number.
pub(crate) fn content(number: u64) -> String {
    format!("{number:016}={}", "v".repeat(1_024 - 17))
}

fn publish_one(number: u64, out: &mut Vec<u8>) {
    publish(number, &content(number), out);
}

/// A thousand configs take turns; each time the content is another.
fn publish_some(number: u64, out: &mut Vec<u8>) {
    publish(number % 1_000, &content(number), out);
}

/// Publishes a content without characters that a form must escape, but for one.
pub(crate) fn publish(number: u64, content: &str, out: &mut Vec<u8>) {
    let content = content.replace('=', "%3D");
    out.extend(form(
        "POST",
        "/v1/cs/configs",
        "",
        &format!(
            "dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant=&type=properties&content={content}"
        ),
    ));
}

/// Address of an instance.
fn ip(number: u64) -> String {
    let [.., b, c, d] = number.to_be_bytes();
    format!("10.{b}.{c}.{d}")
}

/// Registers an ephemeral instance with two metadata keys, as a 1.4 client does.
pub(crate) fn register(service: u64, number: u64, out: &mut Vec<u8>) {
    let ip = ip(number);
    out.extend(request(
        "POST",
        &format!(
            "/v1/ns/instance?app=bench&metadata=%7B%22version%22%3A%221.0%22%2C%22zone%22%3A%22a%22%7D&ip={ip}&weight=1.0&ephemeral=true&serviceName=DEFAULT_GROUP%40%40bench-{service}&encoding=UTF-8&enable=true&groupName=DEFAULT_GROUP&clusterName=DEFAULT&namespaceId=public&port=8080&healthy=true"
        ),
    ));
}

/// A light beat.
fn beat(service: u64, number: u64, out: &mut Vec<u8>) {
    let ip = ip(number);
    out.extend(request(
        "PUT",
        &format!(
            "/v1/ns/instance/beat?app=bench&serviceName=DEFAULT_GROUP%40%40bench-{service}&namespaceId=public&port=8080&clusterName=DEFAULT&ip={ip}"
        ),
    ));
}

/// Lists a service without subscribing.
pub(crate) fn list(service: u64, out: &mut Vec<u8>) {
    out.extend(request(
        "GET",
        &format!(
            "/v1/ns/instance/list?app=bench&healthyOnly=false&namespaceId=public&clientIP=127.0.0.1&serviceName=DEFAULT_GROUP%40%40bench-{service}&udpPort=0&encoding=UTF-8&clusters="
        ),
    ));
}

/// A server and its open connections.
struct Target {
    connections: Connections,
    pid: Option<u32>,
    best: Option<Measured>,
}

impl Target {
    async fn open(address: SocketAddr, pid: Option<u32>, count: usize) -> Result<Self, Failure> {
        Ok(Self {
            connections: Connections::open(address, count).await?,
            pid,
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
    let taken = Wire::open(served.address).await?.take(&first).await?;
    if taken.status != 200 {
        return Err(format!("answered {}", taken.status).into());
    }
    let bare = Served::bare(&bare::answers(&taken)).await?;
    let count = row.connections;
    let mut targets = vec![
        Target::open(served.address, Some(served.pid()), count).await?,
        Target::open(bare.address, Some(bare.pid()), count).await?,
    ];
    if let Some(peer) = peer {
        prepare(row, peer.address).await?;
        targets.push(Target::open(peer.address, peer.pid, count).await?);
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
    let (Some(ours), Some(bare)) = (best.next(), best.next()) else {
        return Err("nothing was run".into());
    };
    Ok(Line {
        name: row.name,
        connections: count,
        ours,
        bare,
        peer: best.next(),
    })
}

async fn prepare(row: &Row, address: SocketAddr) -> Result<(), Failure> {
    match &row.before {
        Some((numbers, write)) => {
            once_each(address, numbers.clone(), &(Rc::new(*write) as Make)).await
        }
        None => Ok(()),
    }
}
