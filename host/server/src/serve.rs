//! `nacrite serve`: joins the parts, serves until it is told to stop, and stops in order.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, RwLock},
    time::Duration,
};

use nacrite_core::{
    api::Routes,
    config::{Quotas, WatchLimits},
    node::{
        NodeSettings,
        input::Origin,
        op::{Op, Question},
        reply::Reply,
    },
    push::PushLimits,
};
use nacrite_storage::Options;
use tokio::sync::watch;

use crate::{
    admin::Admin,
    admission::{Admission, AdmissionLimits},
    cli::Serve,
    drive::{Clock, Drive, Edges, QueueLimits},
    edges::Outlets,
    engine::{Checkpoints, Core, EngineLimits, FaultFolder},
    facts::{Machine, facts},
    fatal::{fatal, panic_text},
    grpc::{self, Connections, GrpcLimits},
    http::{
        accept::{HttpEdge, bind, serve as serve_http},
        cors::Cors,
        handler::{Handler, Served, labels},
    },
    labels::follow,
    logs,
    metrics::Metrics,
    open::{OpenError, OpenSettings, Opened},
    record::{Recorder, RecorderSettings},
    settings::Settings,
    udp::UdpEdge,
};

/// How often what the machine says of itself is read.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// gRPC listens so far above HTTP.
const GRPC_OFFSET: u16 = 1_000;
/// How long a scrape waits for the core's totals.
const TOTALS_WAIT: Duration = Duration::from_secs(2);

/// Tasks that a worker runs before it asks the system what else there is: as many as one answer can wake. Those that its own
/// queue has no room for (of 256) stand in one that it turns to when its own is empty. By tokio's default (61) it never is
/// while there is too much to do: newer requests overtake, and those in the other queue wait for 150 ms.
const TASKS_BETWEEN_EVENTS: u32 = 1_024;

/// Runs a server until it is told to stop.
///
/// # Errors
/// What keeps it from serving.
pub fn serve(command: &Serve) -> Result<(), String> {
    let settings = &command.settings;
    let metrics = Metrics::new(&labels(), &grpc::request_types());
    let logging = logs::init(&settings.log, metrics.log_lines_dropped.clone(), |reason| {
        fatal(&reason)
    })
    .map_err(|e| format!("the log cannot be written: {e}"))?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if settings.server.workers > 0 {
        builder.worker_threads(settings.server.workers);
    }
    let runtime = builder
        .enable_all()
        .event_interval(TASKS_BETWEEN_EVENTS)
        .thread_name("io")
        .build()
        .map_err(|e| format!("no threads: {e}"))?;
    let result = runtime.block_on(run(settings.clone(), command.start_empty, metrics));
    runtime.shutdown_timeout(Duration::from_secs(1));
    drop(logging);
    result
}

fn open_settings(settings: &Settings) -> Result<OpenSettings, String> {
    let number = || -> Result<u64, String> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes)
            .map_err(|e| format!("the system gives no random numbers: {e}"))?;
        // 0 is no node.
        Ok(u64::from_le_bytes(bytes).max(1))
    };
    let capacity = &settings.capacity;
    let least = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
    Ok(OpenSettings {
        store: Options {
            new_node_id: number()?,
            log_cache: settings.cache.log.bytes(),
            state_cache: settings.cache.state.bytes(),
            verify_data: settings.server.verify_data,
        },
        node: NodeSettings {
            seed: number()?,
            quotas: capacity.is_capacity_limit_check.then(|| Quotas {
                cluster: capacity.default_cluster_quota,
                group: capacity.default_group_quota,
                namespace: capacity.default_tenant_quota,
                max_size: least(capacity.default_max_size.bytes()),
            }),
            watch: WatchLimits {
                polls: least(settings.poll.max_parked),
                keys_per_poll: least(settings.poll.max_keys),
                listens_per_connection: least(settings.grpc.max_listens),
                ..WatchLimits::default()
            },
            push: PushLimits {
                fuzzy_patterns: settings.grpc.max_fuzzy_patterns,
                fuzzy_matches: settings.grpc.max_fuzzy_matches,
                delay_ms: millis(settings.push.delay_ms),
                udp_ack_ms: millis(settings.push.udp_ack_timeout_ms),
                ..PushLimits::default()
            },
            retention_days: settings.config.history_retention_days,
            max_locks: least(settings.grpc.max_locks),
            max_namespaces: least(settings.config.max_namespaces),
        },
        core: Core::of(settings).map_err(|e| e.to_string())?,
        checkpoints: Checkpoints {
            bytes: settings.core.checkpoint_bytes.bytes(),
            every: settings.core.checkpoint_ms,
        },
        queues: QueueLimits {
            count: settings.queue.max_count,
            bytes: settings.queue.max_bytes.bytes(),
        },
        content_cache: settings.cache.content.bytes() as u64,
        sync_every: settings.store.sync_interval_ms,
        sync_bytes: settings.store.sync_bytes.bytes() as u64,
        max_behind: settings.store.max_behind.bytes(),
        max_publishes: settings.queue.max_publishes,
    })
}

async fn run(settings: Settings, start_empty: bool, metrics: Arc<Metrics>) -> Result<(), String> {
    let bind_to = |port: u16| SocketAddr::new(settings.server.bind, port);
    let (http_at, grpc_at) = (
        bind_to(settings.server.port),
        bind_to(settings.server.port + GRPC_OFFSET),
    );
    let taken = |at: SocketAddr| move |e: std::io::Error| format!("cannot listen on {at}: {e}");
    let http_listener = bind(http_at).map_err(taken(http_at))?;
    let grpc_listener = grpc::bind(grpc_at).map_err(taken(grpc_at))?;
    let udp = match settings.push.udp {
        true => Some(
            UdpEdge::bind()
                .await
                .map_err(|e| format!("no UDP socket: {e}"))?,
        ),
        false => None,
    };

    // Sockets answer while the data is opened: health at once, everything else when it is there or after a while.
    let clock = Clock::start();
    let (served, serving) = watch::channel::<Option<Arc<Served>>>(None);
    let stop = watch::Sender::new(false);
    let stopped = || {
        let mut stop = stop.subscribe();
        async move {
            // The sender lives until the end of this function.
            let _ = stop.wait_for(|s| *s).await;
        }
    };
    let edge = HttpEdge::new(settings.http_limits(), metrics.http.clone());
    let scraped = (metrics.clone(), serving.clone());
    let scrape: crate::http::handler::Scrape = Arc::new(move || {
        let (metrics, serving) = scraped.clone();
        Box::pin(async move { scrape(&metrics, &serving).await })
    });
    let handler = Handler::new(
        serving.clone(),
        edge.clone(),
        metrics.http.clone(),
        scrape,
        Cors::new(&settings.http.cors_origins),
    );
    let http = tokio::spawn(serve_http(http_listener, edge, handler, stopped()));
    let connections = Connections::new(clock.clone(), metrics.clone());
    let limits = GrpcLimits {
        max_message: settings.grpc.max_message.bytes(),
        max_connections: settings.grpc.max_connections,
        max_connections_per_address: settings.grpc.max_connections_per_address,
        max_early: settings.grpc.max_early_requests,
        early_wait: settings.grpc.early_request_timeout_ms,
        set_up_within: settings.grpc.setup_timeout_ms,
        idle: settings.grpc.idle_timeout_ms,
        blocked: settings.grpc.write_timeout_ms,
    };
    let grpc = grpc::serve(
        grpc_listener,
        limits,
        serving,
        connections.clone(),
        stopped(),
    );
    let grpc = tokio::spawn(grpc);

    let data = settings.server.data.clone();
    let open = open_settings(&settings)?;
    let runtime = tokio::runtime::Handle::current();
    let (outlets_udp, outlets_connections) = (udp.clone(), connections.clone());
    let opened = tokio::task::spawn_blocking(move || {
        let edges = |drive: &Arc<Drive>| -> Arc<dyn Edges> {
            Arc::new(Outlets::new(
                drive,
                runtime.clone(),
                outlets_connections.clone(),
                outlets_udp.clone(),
            ))
        };
        let opened = match Opened::folder(&data, &open, clock.clone(), edges) {
            Err(error) if start_empty && is_damage(&error) => {
                tracing::warn!(target: "nacrite", "{error}");
                set_aside(&data)?;
                Opened::folder(&data, &open, clock, edges)
            }
            opened => opened,
        };
        opened.map_err(|e| explain(&data, &e))
    })
    .await
    .map_err(|e| panicked(e, "opening the data"))??;
    let drive = opened.drive.clone();
    connections.attach(drive.clone());
    drive.observe(metrics.clone());
    let admin = Admin::open(&settings.server.data, EngineLimits::of(&settings))
        .map_err(|e| format!("no admin token: {e}"))?;
    keep_what_happens(&settings, &drive)?;
    tokio::spawn(drive.clone().keep_time());
    tokio::spawn(follow(drive.clone()));
    if let Some(udp) = udp {
        tokio::spawn(udp.receive(drive.clone()));
    }
    let told = facts(&settings);
    let admission = Admission::new(AdmissionLimits {
        target: settings.admission.target_wait_ms,
        hold: settings.admission.hold_ms,
    });
    drive.hold_with(admission.clone());
    tokio::spawn({
        let watched = admission.clone().watch(drive.clone());
        async move {
            if let Err(error) = watched.await {
                tracing::warn!(target: "nacrite", "waits cannot be measured, so nothing is refused early: {error}");
            }
        }
    });
    let now_serving = Arc::new(Served {
        drive: drive.clone(),
        admission,
        store: opened.store.clone(),
        routes: Routes::all(),
        admin,
        facts: RwLock::new(Arc::new(told.clone())),
    });
    served.send_replace(Some(now_serving.clone()));
    tokio::spawn(async move {
        let mut machine = Machine::default();
        loop {
            now_serving.drive.contents.look();
            let fresh = machine.look(&told);
            *now_serving
                .facts
                .write()
                .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    });
    announce(&settings, &opened, http_at, grpc_at);

    signal().await;
    tracing::info!(target: "nacrite", "stopping");
    // Parked polls are answered first, so that their connections can end.
    drive.end_polls();
    stop.send_replace(true);
    let patience = settings.http.shutdown_timeout_ms + Duration::from_secs(1);
    if tokio::time::timeout(patience, http).await.is_err() {
        tracing::warn!(target: "nacrite", "some HTTP requests did not end in time");
    }
    if tokio::time::timeout(Duration::from_secs(1), grpc)
        .await
        .is_err()
    {
        tracing::warn!(target: "nacrite", "gRPC did not end in time");
    }
    // What is recorded is on disk before this ends.
    let recorded = drive.clone();
    tokio::task::spawn_blocking(move || {
        recorded.with_engine(|runner| runner.record(None));
        opened.close();
    })
    .await
    .map_err(|e| panicked(e, "closing the data"))?;
    tracing::info!(target: "nacrite", "stopped");
    Ok(())
}

/// Recordings: of everything if that is wanted, and of faults.
fn keep_what_happens(settings: &Settings, drive: &Arc<Drive>) -> Result<(), String> {
    let faults = FaultFolder::new(settings.server.data.join("faults"));
    let record = &settings.record;
    let recorder = (!record.dir.as_os_str().is_empty())
        .then(|| {
            Recorder::start(&RecorderSettings {
                folder: record.dir.clone(),
                file_bytes: record.file_bytes.bytes() as u64,
                file_age: record.file_age_ms,
                files: record.files,
                buffer: record.buffer.bytes(),
            })
        })
        .transpose()
        .map_err(|e| format!("{} cannot be recorded to: {e}", record.dir.display()))?;
    drive.with_engine(|runner| {
        runner.tell(Box::new(faults));
        runner.record(recorder);
    });
    Ok(())
}

fn panicked(error: tokio::task::JoinError, doing: &str) -> String {
    match error.try_into_panic() {
        Ok(panic) => format!("{doing}: {}", panic_text(&*panic)),
        Err(_) => format!("{doing} was interrupted"),
    }
}

/// Whether the files themselves are at fault. Only then are they set aside: one who leaves `--start-empty` in a script
/// loses nothing.
fn is_damage(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Store(nacrite_storage::Error::Damaged { .. })
            | OpenError::Start(_)
            | OpenError::Table(_)
    )
}

fn explain(data: &Path, error: &OpenError) -> String {
    let folder = data.display();
    if is_damage(error) {
        format!(
            "{error}\nNothing was changed. `nacrite check-data {folder}` says what is readable, with `--salvage OUT` it is \
             written to OUT; `nacrite serve --start-empty` sets the folder's files aside and begins with none."
        )
    } else {
        format!("the data in {folder} cannot be opened: {error}")
    }
}

/// Renames the files of a damaged folder, so that nothing is lost by starting without them.
fn set_aside(data: &Path) -> Result<(), String> {
    // A server that has opened the folder meanwhile keeps it.
    let _lock = nacrite_storage::Folder::open(data).map_err(|e| e.to_string())?;
    let stamp = Clock::start().now().wall;
    for name in [nacrite_storage::LOG_FILE, nacrite_storage::STATE_FILE] {
        let (from, to) = (data.join(name), data.join(format!("{name}.aside-{stamp}")));
        match std::fs::rename(&from, &to) {
            Ok(()) => {
                tracing::warn!(target: "nacrite", "{} is set aside as {}", from.display(), to.display());
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => return Err(format!("{} cannot be set aside: {e}", from.display())),
        }
    }
    Ok(())
}

fn announce(settings: &Settings, opened: &Opened, http: SocketAddr, grpc: SocketAddr) {
    let state = if opened.is_new { "new" } else { "existing" };
    tracing::info!(
        target: "nacrite",
        "nacrite {} serves HTTP on {http} and gRPC on {grpc}, with {state} data in {}",
        env!("CARGO_PKG_VERSION"),
        settings.server.data.display(),
    );
    tracing::info!(
        target: "nacrite",
        "try: curl -X POST 'http://{http}/nacos/v1/cs/configs' -d dataId=hello -d group=DEFAULT_GROUP -d content=world"
    );
}

/// Waits until the process is told to stop.
async fn signal() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        fatal("signals cannot be waited for");
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// The metrics' text, with what only the core knows.
async fn scrape(metrics: &Arc<Metrics>, serving: &watch::Receiver<Option<Arc<Served>>>) -> String {
    let served = serving.borrow().clone();
    if let Some(served) = served {
        let drive = &served.drive;
        if drive.is_ready() {
            fill(metrics, drive).await;
        }
    }
    metrics.render()
}

#[expect(clippy::cast_possible_wrap, reason = "counts are far below 2^63")]
async fn fill(metrics: &Metrics, drive: &Arc<Drive>) {
    let ask = |question| drive.submit(Origin::default(), Op::Ask(question), None);
    if let Ok(Ok(Reply::Totals(totals))) =
        tokio::time::timeout(TOTALS_WAIT, ask(Question::Totals)).await
    {
        let t = &metrics.totals;
        t.services.set(totals.services as i64);
        t.instances.set(totals.instances as i64);
        t.configs.set(totals.configs as i64);
        t.publishers_v1
            .set((totals.ephemeral_addresses + totals.persistent_addresses) as i64);
        t.publishers_v2.set(totals.grpc_publishers as i64);
        t.subscribers_v1.set(totals.udp_subscriptions as i64);
        t.subscribers_v2
            .set((totals.subscriptions - totals.udp_subscriptions) as i64);
        t.listeners_v1.set(totals.poll_keys as i64);
        t.listeners_v2.set(totals.listens as i64);
        metrics.grpc.connections.set(totals.connections as i64);
        metrics.http.polls_parked.set(totals.polls as i64);
    }
    let asked = ask(Question::PushState { reset: false });
    if let Ok(Ok(Reply::PushState(state))) = tokio::time::timeout(TOTALS_WAIT, asked).await {
        let p = &metrics.push;
        p.sent.set(state.total);
        p.failed.set(state.failed);
        p.empty.set(state.empty);
        p.acked.set(state.acknowledged);
        p.cost_sum.set(state.cost_sum);
        p.cost_max.set(state.cost_max as i64);
        p.pending.set(state.pending as i64);
    }
    let load = drive.load();
    metrics.queue.waiting.set_count(load.waiting);
    metrics.queue.bytes.set_count(load.bytes);
    metrics.queue.refused.set(load.refused);
    metrics.queue.batches.set(load.batches);
    metrics.queue.inputs.set(load.inputs);
    metrics
        .store
        .behind
        .set_count(drive.contents.pinned_bytes());
    metrics.store.cold_reads.set(drive.contents.cold_reads());
    let (raft, faults, recorded) = drive.inspect(|inner| {
        let engine = inner.engine();
        let (faults, recorded) = (engine.faults(), engine.recorded());
        (inner.progress(), faults, recorded)
    });
    metrics.engine.dropped.set(faults.dropped);
    metrics.engine.recoveries.set(faults.recoveries);
    metrics.engine.recorded.set(recorded.0);
    metrics.engine.missing.set(recorded.1);
    metrics.raft.proposals.set(raft.proposals);
    metrics.raft.commits.set(raft.commits);
    metrics.raft.rejected.set(raft.rejected);
    metrics.raft.leader.set(i64::from(raft.leading));
    metrics.raft.term.set(raft.term as i64);
    metrics.raft.applied.set(raft.applied as i64);
}
