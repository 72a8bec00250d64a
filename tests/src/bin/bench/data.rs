//! A server with 100 000 configs: how long it takes to start with them, and what it keeps of a load that is over.

use std::{
    path::Path,
    rc::Rc,
    time::{Duration, Instant},
};

use nacrite_tests::{
    requests::{
        beat, content, deregister, grpc_read_config, list, publish, publish_one, read_config,
        register,
    },
    server::memory,
    way::Protocol,
};
use tokio::time::sleep;

use crate::{
    Failure,
    load::{Connections, Make, once_each},
    memory::mib,
    process::{Served, Stop, cpu},
    rows::spread,
    table::judged,
};

/// Name of the row.
pub(crate) const NAME: &str = "data-100000";
const CONFIGS: u64 = 100_000;
const INSTANCES: u64 = 20_000;
const SERVICES: u64 = 200;
/// Connections of the load.
const CONNECTIONS: usize = 64;
/// Time of each kind of load.
const LOAD: Duration = Duration::from_secs(3);
/// After the load, until memory is read: as the target says it.
const QUIET: Duration = Duration::from_secs(30);
/// What may be kept of a load that is over, bytes.
const KEPT: u64 = 15 << 20;
/// A start with all this data.
const START: Duration = Duration::from_millis(500);

/// Measures starts and memory with the data.
pub(crate) async fn measure(program: &Path) -> Result<Vec<String>, Failure> {
    let served = Served::start(program).await?;
    let publishes: Make = Rc::new(publish_one);
    once_each(served.address, Protocol::Http, 0..CONFIGS, &publishes).await?;
    load(&served).await?;
    sleep(QUIET).await;
    let (loaded_own, loaded) = memory(served.pid())?;
    let started = Instant::now();
    let (served, clean) = served.again(program, Stop::Clean).await?;
    let ended = started.elapsed() - clean;
    let clean_cpu = cpu(served.pid())?;
    sleep(QUIET).await;
    let (fresh_own, fresh) = memory(served.pid())?;
    // What is killed has written something just before.
    once_each(served.address, Protocol::Http, 0..5_000, &publishes).await?;
    let (served, killed) = served.again(program, Stop::Killed).await?;
    let killed_cpu = cpu(served.pid())?;
    let millis = |time: Duration| time.as_millis();
    let kept = loaded.saturating_sub(fresh);
    Ok(vec![
        format!(
            "memory 30 s after load: {:.1} MiB resident ({:.1} of its own), {:.1} MiB ({:.1}) with the same data after a restart, so {:.1} MiB kept; target 15 MiB: {}",
            mib(loaded),
            mib(loaded_own),
            mib(fresh),
            mib(fresh_own),
            mib(kept),
            judged(kept <= KEPT)
        ),
        format!(
            "start-up with {CONFIGS} configs: {} ms after a clean stop ({} ms of CPU; the stop took {} ms), {} ms after kill -9 ({} ms of CPU); target 500 ms: {}",
            millis(clean),
            millis(clean_cpu),
            millis(ended),
            millis(killed),
            millis(killed_cpu),
            judged(clean <= START && killed <= START)
        ),
    ])
}

/// Everything that a server is asked for, a while each; what is ephemeral is taken away again.
async fn load(served: &Served) -> Result<(), Failure> {
    let at = served.address;
    let mixed: Make = Rc::new(|number, out| match number % 4 {
        0 => publish(spread(number) % CONFIGS, &content(number), out),
        1 => list(number % SERVICES, out),
        2 => beat(number % INSTANCES % SERVICES, number % INSTANCES, out),
        _ => read_config(spread(number) % CONFIGS, out),
    });
    let registers: Make = Rc::new(|number, out| register(number % SERVICES, number, out));
    let deregisters: Make = Rc::new(|number, out| deregister(number % SERVICES, number, out));
    let reads: Make = Rc::new(|number, out| read_config(spread(number) % CONFIGS, out));
    let grpc: Make = Rc::new(|number, out| grpc_read_config(spread(number) % CONFIGS, out));
    once_each(at, Protocol::Http, 0..INSTANCES, &registers).await?;
    for (protocol, make) in [
        (Protocol::Http, &mixed),
        (Protocol::Http, &reads),
        (Protocol::Grpc, &grpc),
    ] {
        let mut connections = Connections::open(at, protocol, CONNECTIONS).await?;
        connections.run(LOAD, make).await?;
    }
    once_each(at, Protocol::Http, 0..INSTANCES, &deregisters).await
}
