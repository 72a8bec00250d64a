//! gRPC pushes: how long after a register each subscriber has the new list, and what a push costs the server.
//!
//! Every change is a lone one: the windows that gather changes are left to pass in between. For the cost, clients first
//! read and keep still, then acknowledge all at once, so that writing and acknowledging are told apart.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use nacrite_tests::{
    bodies::named,
    grpc::{Client, framed},
};
use serde_json::{Value, json};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    Effort, Failure,
    process::Served,
    rows,
    table::{Target, judged, percentile},
};

/// Name of the row.
pub(crate) const NAME: &str = "push-grpc";
const SERVICE: &str = "bench-push";
/// Hosts in the service.
const HOSTS: usize = 30;
/// Subscribers of a run, and lone changes whose way is timed.
const RUNS: [(usize, usize); 2] = [(100, 60), (1_000, 20)];
/// Lone changes whose cost is measured.
const COSTED: usize = 10;
/// More than the window in which the server gathers changes.
const APART: Duration = Duration::from_millis(650);
/// What netty-shaded clients announce: bytes of a stream, and of a connection.
const WINDOW: u32 = 1 << 20;
/// No push takes that long.
const LATEST: Duration = Duration::from_secs(30);
/// Targets: of 100 subscribers the 99th, of 1 000 the last (ms).
const TIMES: (f64, f64) = (20.0, 60.0);
/// Targets: CPU of a push until it is written, and with its acknowledgement.
const COSTS: (Target, Target) = (Target::Micros(12.0), Target::Micros(20.0));

/// Measures and prints.
pub(crate) async fn say(program: &Path, effort: Effort) {
    let bare = match rows::bare_post(program, effort).await {
        Ok(bare) => bare,
        Err(failure) => return println!("* {NAME}: not measured: {failure}"),
    };
    for (subscribers, rounds) in RUNS {
        match measure(program, subscribers, rounds, bare).await {
            Ok(text) => println!("* {NAME}-{subscribers}: {text}"),
            Err(failure) => println!("* {NAME}-{subscribers}: not measured: {failure}"),
        }
    }
}

/// `bare` is the CPU of a bare POST in this run, µs.
async fn measure(
    program: &Path,
    subscribers: usize,
    rounds: usize,
    bare: f64,
) -> Result<String, Failure> {
    let served = Served::start(program).await?;
    let port = served.address.port();
    let others = Client::ready(port).await;
    let batch: Vec<Value> = (1..HOSTS).map(|n| instance(n, 0)).collect();
    let batch = json!({"type": "batchRegisterInstance", "instances": batch});
    accepted(&others, "BatchInstanceRequest", &named(SERVICE, batch)).await?;
    let registrar = Client::ready(port).await;
    change(&registrar, 0).await?;

    let (told, mut heard) = mpsc::unbounded_channel();
    let at_once = Arc::new(AtomicBool::new(true));
    let mut clients = Vec::with_capacity(subscribers);
    let subscribe = named(SERVICE, json!({"subscribe": true, "clusters": ""}));
    for _ in 0..subscribers {
        let mut address = served.address;
        address.set_port(port + 1_000);
        let mut client = Client::connect_with(address, WINDOW).await?;
        client.set_up(false).await;
        let (stream, out) = client.take_stream().ok_or("a stream is open")?;
        tokio::spawn(read(stream, out, at_once.clone(), told.clone()));
        accepted(&client, "SubscribeServiceRequest", &subscribe).await?;
        clients.push(client);
    }
    // What subscribing itself pushes.
    sleep(APART * 2).await;
    while heard.try_recv().is_ok() {}

    let (mut waits, mut lasts) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        sleep(APART).await;
        let sent = Instant::now();
        change(&registrar, round).await?;
        let arrived = all(&mut heard, subscribers).await?;
        let each = arrived.iter().map(|push| push.at - sent);
        waits.extend(each.clone());
        lasts.push(each.max().unwrap_or_default());
    }
    waits.sort_unstable();
    lasts.sort_unstable();

    let (mut written, mut whole, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for round in 1..=COSTED {
        at_once.store(true, Ordering::Relaxed);
        sleep(APART).await;
        at_once.store(false, Ordering::Relaxed);
        let begun = cpu(served.pid())?;
        change(&registrar, rounds + round).await?;
        let arrived = all(&mut heard, subscribers).await?;
        written += cpu(served.pid())?.saturating_sub(begun);
        for push in &arrived {
            push.acknowledge();
        }
        sleep(APART / 2).await;
        whole += cpu(served.pid())?.saturating_sub(begun);
        bytes = arrived.first().map_or(0, |push| push.bytes);
    }
    // Numbers of pushes are far below 2^52.
    let pushes = (COSTED * subscribers) as f64;
    let micros = |used: Duration| used.as_secs_f64() * 1e6 / pushes;
    let at = |list: &[Duration], percent: usize| percentile(list, percent).as_secs_f64() * 1e3;
    let (middle, p99, last) = (at(&waits, 50), at(&waits, 99), at(&lasts, 50));
    let judged =
        |figure: f64, target: f64| format!("target {target}: {}", judged(figure <= target));
    let way = if subscribers == 100 {
        judged(p99, TIMES.0)
    } else {
        judged(last, TIMES.1)
    };
    Ok(format!(
        "a lone change of a service of {HOSTS} hosts ({bytes} bytes) reaches {subscribers} subscribers in {middle:.1} ms \
         median, {p99:.1} ms p99, the last in {last:.1} ms median and {:.1} ms at most of {rounds} rounds ({way}); server \
         CPU a push {:.1} µs until written ({}), {:.1} µs with its acknowledgement ({})",
        at(&lasts, 100),
        micros(written),
        COSTS.0.judge(micros(written), bare),
        micros(whole),
        COSTS.1.judge(micros(whole), bare),
    ))
}

/// As the Java client registers.
fn instance(port: usize, round: usize) -> Value {
    json!({
        "ip": "10.20.30.40", "port": port, "weight": 1.0, "healthy": true, "enabled": true, "ephemeral": true,
        "clusterName": "DEFAULT", "serviceName": format!("DEFAULT_GROUP@@{SERVICE}"),
        "metadata": {"preserved.register.source": "SPRING_CLOUD", "round": round.to_string()},
        "instanceHeartBeatInterval": 5_000, "instanceHeartBeatTimeOut": 15_000, "ipDeleteTimeout": 30_000,
    })
}

async fn change(registrar: &Client, round: usize) -> Result<(), Failure> {
    let body = json!({"type": "registerInstance", "instance": instance(HOSTS, round)});
    accepted(registrar, "InstanceRequest", &named(SERVICE, body)).await
}

async fn accepted(client: &Client, kind: &str, body: &Value) -> Result<(), Failure> {
    let answer = client.ask(kind, body).await;
    if answer.code() == 0 {
        Ok(())
    } else {
        Err(format!("{kind}: {}", answer.body).into())
    }
}

type Out = Arc<Mutex<SendStream<Bytes>>>;

/// A push that came.
struct Push {
    at: Instant,
    bytes: usize,
    id: Bytes,
    out: Out,
}

impl Push {
    fn acknowledge(&self) {
        answer(&self.out, "NotifySubscriberResponse", &self.id);
    }
}

fn answer(out: &Out, kind: &str, id: &[u8]) {
    let mut body = br#"{"resultCode":200,"errorCode":0,"requestId":""#.to_vec();
    body.extend_from_slice(id);
    body.extend_from_slice(br#""}"#);
    let mut out = out.lock().unwrap_or_else(PoisonError::into_inner);
    // A connection that ended shows in the pushes that do not come.
    let _sent = out.send_data(framed(kind, &body), false);
}

/// Reads a client's stream, and no more of it than it must: the load shall not be dearer than the server.
async fn read(
    mut stream: RecvStream,
    out: Out,
    at_once: Arc<AtomicBool>,
    told: mpsc::UnboundedSender<Push>,
) {
    let mut buffer = BytesMut::new();
    while let Some(Ok(chunk)) = stream.data().await {
        // It fails when the transport has just ended, which the next read shows too.
        let _released = stream.flow_control().release_capacity(chunk.len());
        buffer.extend_from_slice(&chunk);
        while let Some(message) = whole(&mut buffer) {
            let head = &message[..message.len().min(300)];
            let Some(id) = id(head) else {
                continue;
            };
            if !has(head, b"NotifySubscriberRequest") {
                answer(&out, "ClientDetectionResponse", id);
                continue;
            }
            let push = Push {
                at: Instant::now(),
                bytes: message.len(),
                id: Bytes::copy_from_slice(id),
                out: out.clone(),
            };
            if at_once.load(Ordering::Relaxed) {
                push.acknowledge();
            }
            // The run may be over.
            let _told = told.send(push);
        }
    }
}

/// Takes a whole message off the front.
fn whole(buffer: &mut BytesMut) -> Option<BytesMut> {
    let length: [u8; 4] = buffer.get(1..5)?.try_into().ok()?;
    let length = u32::from_be_bytes(length) as usize;
    if buffer.len() < 5 + length {
        return None;
    }
    buffer.advance(5);
    Some(buffer.split_to(length))
}

fn position(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|part| part == what)
}

fn has(text: &[u8], what: &[u8]) -> bool {
    position(text, what).is_some()
}

/// What an answer must name.
fn id(head: &[u8]) -> Option<&[u8]> {
    const BEFORE: &[u8] = br#""requestId":""#;
    let from = position(head, BEFORE)? + BEFORE.len();
    let rest = &head[from..];
    Some(&rest[..position(rest, b"\"")?])
}

/// The next pushes, one of each subscriber.
async fn all(
    heard: &mut mpsc::UnboundedReceiver<Push>,
    subscribers: usize,
) -> Result<Vec<Push>, Failure> {
    let mut arrived = Vec::with_capacity(subscribers);
    let until = Instant::now() + LATEST;
    while arrived.len() < subscribers {
        let left = until.saturating_duration_since(Instant::now());
        match timeout(left, heard.recv()).await {
            Ok(Some(push)) => arrived.push(push),
            _ => return Err(format!("{} of {subscribers} pushes came", arrived.len()).into()),
        }
    }
    Ok(arrived)
}

/// CPU that the threads of a process have used, to the nanosecond.
fn cpu(pid: u32) -> Result<Duration, Failure> {
    let mut by_thread = BTreeMap::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread = thread?;
        // A thread may have ended since.
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap_or_default();
        let nanos: u64 = text
            .split(' ')
            .next()
            .and_then(|word| word.parse().ok())
            .unwrap_or_default();
        by_thread.insert(thread.file_name(), nanos);
    }
    Ok(Duration::from_nanos(by_thread.values().sum()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_taken_whole_and_its_number_found() {
        let mut buffer = BytesMut::new();
        let sent = framed(
            "NotifySubscriberRequest",
            br#"{"headers":{},"requestId":"17","module":"naming"}"#,
        );
        buffer.extend_from_slice(&sent[..sent.len() - 1]);
        assert!(whole(&mut buffer).is_none());
        buffer.extend_from_slice(&sent[sent.len() - 1..]);
        let message = whole(&mut buffer).expect("a whole message");
        assert_eq!(id(&message), Some(&b"17"[..]));
        assert!(has(&message, b"NotifySubscriberRequest"));
    }
}
