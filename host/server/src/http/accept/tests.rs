use std::convert::Infallible;
use std::time::Duration;

use http_body_util::Full;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tower::service_fn;

use super::*;
use crate::http::limits::read_body;
use crate::http::longurl::query;

const PATIENCE: Duration = Duration::from_secs(20);

/// Short times, so that tests need not wait; each test makes generous what it does not test.
fn limits() -> HttpLimits {
    HttpLimits {
        max_body: 1 << 20,
        max_body_memory: 4 << 20,
        ..HttpLimits::default()
    }
}

struct Server {
    address: SocketAddr,
    metrics: Arc<HttpMetrics>,
    edge: Arc<HttpEdge>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(limits: HttpLimits) -> Self {
        Self::start_on("127.0.0.1:0", limits).await.unwrap()
    }

    /// Answers `METHOD path?query body` cut to what a test can compare; some paths misbehave.
    async fn start_on(address: &str, limits: HttpLimits) -> io::Result<Self> {
        let metrics = HttpMetrics::new(&[]);
        let edge = HttpEdge::new(limits, metrics.clone());
        let shared = edge.clone();
        let handler = service_fn(move |request: Request<Incoming>| {
            let edge = shared.clone();
            assert_ne!(request.uri().path(), "/panic-early", "asked to");
            async move {
                let (parts, body) = request.into_parts();
                let connect = parts
                    .extensions
                    .get::<ConnectInfo>()
                    .expect("each request has its connection");
                let path = parts.uri.path();
                let mut text = match path {
                    "/panic" => panic!("asked to"),
                    "/big" => "x".repeat(32 << 20),
                    "/peer" => format!("{} {}", connect.peer, connect.local),
                    "/id" => connect.id.to_string(),
                    "/slow" => {
                        tokio::time::sleep(Duration::from_millis(300)).await;
                        "slow".to_owned()
                    }
                    "/stuck" => std::future::pending().await,
                    _ => {
                        let query = query(&parts.uri, &parts.extensions);
                        format!(
                            "{} {path} {} {}",
                            parts.method,
                            query.len(),
                            String::from_utf8_lossy(&query[..query.len().min(20)])
                        )
                    }
                };
                let mut status = 200;
                let parking = parts.extensions.get::<Parking>().cloned();
                match read_body(
                    body,
                    edge.limits().max_body,
                    edge.limits().body_timeout,
                    edge.memory(),
                )
                .await
                {
                    Ok(body) if body.bytes.is_empty() => {}
                    Ok(body) => {
                        text.push_str(&format!(" +{}", body.bytes.len()));
                        if path.starts_with("/park") {
                            parking.expect("it has a body").park(&body);
                            let length = if path == "/park-now" { 0 } else { 200 };
                            drop(body);
                            tokio::time::sleep(Duration::from_millis(length)).await;
                            assert_ne!(path, "/park-panic", "asked to");
                            if path == "/park-stuck" {
                                std::future::pending::<()>().await;
                            }
                        }
                    }
                    Err(error) => (status, text) = (error.status().as_u16(), error.to_string()),
                }
                let mut response = Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        let listener = bind(address.parse().unwrap())?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, edge.clone(), handler, async move {
            let _ = stopped.await;
        }));
        Ok(Server {
            address,
            metrics,
            edge,
            stop: Some(stop),
            task,
        })
    }

    async fn connect(&self) -> Client {
        Client {
            tcp: TcpStream::connect(self.address).await.unwrap(),
            unread: Vec::new(),
        }
    }

    fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
    }
}

struct Client {
    tcp: TcpStream,
    unread: Vec<u8>,
}

impl Client {
    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.tcp.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads one answer: status and body. Panics when the connection ends instead.
    async fn answer(&mut self) -> (u16, String) {
        self.try_answer()
            .await
            .expect("the connection ended before the answer")
    }

    async fn try_answer(&mut self) -> Option<(u16, String)> {
        loop {
            if let Some(end) = self.unread.windows(4).position(|w| w == b"\r\n\r\n") {
                let head = String::from_utf8_lossy(&self.unread[..end]).to_lowercase();
                let length: usize = head
                    .split("content-length: ")
                    .nth(1)
                    .map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                if self.unread.len() >= end + 4 + length {
                    let rest = self.unread.split_off(end + 4 + length);
                    let body = String::from_utf8(self.unread.split_off(end + 4)).unwrap();
                    self.unread = rest;
                    return Some((head[9..12].parse().unwrap(), body));
                }
            }
            let mut piece = [0; 4096];
            match timeout(PATIENCE, self.tcp.read(&mut piece))
                .await
                .expect("the server was silent")
            {
                Ok(0) | Err(_) => return None,
                Ok(n) => self.unread.extend_from_slice(&piece[..n]),
            }
        }
    }

    /// Waits until the server closes, and says whether it sent nothing more.
    async fn closed(&mut self) -> bool {
        let mut piece = [0; 4096];
        matches!(
            timeout(PATIENCE, self.tcp.read(&mut piece))
                .await
                .expect("the server kept the connection"),
            Ok(0) | Err(_)
        )
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")
}

#[tokio::test]
async fn requests_pipelined_and_kept_alive_are_answered_in_order() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let post = "POST /b?q=1 HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client
        .send(format!("{}{post}{}", get("/a"), get("/id")))
        .await;
    assert_eq!(client.answer().await, (200, "GET /a 0 ".into()));
    assert_eq!(client.answer().await, (200, "POST /b 3 q=1 +3".into()));
    let (_, id) = client.answer().await;
    client.send(get("/id")).await;
    assert_eq!(client.answer().await.1, id, "one connection, one id");
    let mut other = server.connect().await;
    other.send(get("/id")).await;
    assert_ne!(other.answer().await.1, id);
    client.send(get("/peer")).await;
    let expected = format!("{} {}", client.tcp.local_addr().unwrap(), server.address);
    assert_eq!(client.answer().await.1, expected);
    assert_eq!(server.metrics.connections_open.get(), 2);
}

#[tokio::test]
async fn long_urls_arrive_whole_over_one_connection_with_bodies_between() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    for length in [10, 40_000, 70_000, 160_000, 511 << 10] {
        let query = format!("content={}", "%E4".repeat(length / 3));
        let head =
            format!("POST /long?{query} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody");
        // Two at once: the second is pipelined behind the body of the first.
        client.send(format!("{head}{}", get("/short?a=b"))).await;
        assert_eq!(
            client.answer().await,
            (
                200,
                format!(
                    "POST /long {} {} +4",
                    query.len(),
                    &query[..query.len().min(20)]
                )
            )
        );
        assert_eq!(client.answer().await, (200, "GET /short 3 a=b".into()));
    }
    assert_eq!(
        server.edge.memory().used(),
        0,
        "long queries give their memory back"
    );
}

#[tokio::test]
async fn what_is_too_large_is_refused_with_its_own_status() {
    let server = Server::start(HttpLimits {
        max_headers: 20,
        max_head: 8 << 10,
        ..limits()
    })
    .await;
    let cases = [
        (get(&format!("/?{}", "x".repeat(512 << 10))), 414),
        (format!("GET /?{}", "x".repeat(2 << 20)), 414),
        (get(&format!("/{}", "x".repeat(70_000))), 414),
        (
            format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(21)),
            431,
        ),
        (format!("GET / HTTP/1.1\r\na: {}", "b".repeat(9 << 10)), 431),
        (
            format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n", 2 << 20),
            413,
        ),
        ("NONSENSE\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in cases {
        let mut client = server.connect().await;
        // A request before it is answered first.
        client.send(get("/first")).await;
        client.send(&request).await;
        assert_eq!(client.answer().await.0, 200);
        assert_eq!(client.answer().await.0, status, "{request:.60}");
    }
    assert_eq!(server.metrics.requests_refused.get(), 5);
}

#[tokio::test]
async fn bodies_under_way_share_a_bounded_memory() {
    let server = Server::start(HttpLimits {
        max_body_memory: 100 << 10,
        ..limits()
    })
    .await;
    let mut holder = server.connect().await;
    holder
        .send(format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
            80 << 10
        ))
        .await;
    holder.send("x".repeat(60 << 10)).await;
    while server.edge.memory().used() < 60 << 10 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut client = server.connect().await;
    client
        .send(format!(
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{}",
            50 << 10,
            "x".repeat(50 << 10)
        ))
        .await;
    assert_eq!(client.answer().await.0, 503);
    let mut client = server.connect().await;
    client
        .send(get(&format!("/?{}", "x".repeat(50 << 10))))
        .await;
    assert_eq!(client.answer().await.0, 503, "long queries count too");
    holder.send("x".repeat(20 << 10)).await;
    assert_eq!(
        holder.answer().await,
        (200, format!("POST / 0  +{}", 80 << 10))
    );
}

#[tokio::test]
async fn slow_heads_idle_connections_and_slow_bodies_are_given_up() {
    let short = Duration::from_millis(150);
    let server = Server::start(HttpLimits {
        head_timeout: short,
        idle_timeout: short,
        body_timeout: short,
        ..limits()
    })
    .await;
    let mut silent = server.connect().await;
    assert!(silent.closed().await);
    let mut loris = server.connect().await;
    loris.send("GET / HT").await;
    assert!(loris.closed().await);
    let mut idle = server.connect().await;
    // A request that takes longer than the idle time is not idleness.
    idle.send(get("/slow")).await;
    assert_eq!(idle.answer().await.1, "slow");
    idle.send(get("/slow")).await;
    assert_eq!(idle.answer().await.1, "slow");
    assert!(idle.closed().await);
    let mut slow = server.connect().await;
    slow.send("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\nabc")
        .await;
    assert_eq!(slow.answer().await.0, 408);
    assert!(server.metrics.connections_timed_out.get() >= 3);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed() {
    let server = Server::start(HttpLimits {
        write_timeout: Duration::from_millis(150),
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send(get("/big")).await;
    timeout(PATIENCE, async {
        while server.metrics.connections_timed_out.get() == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the answer waits for ever");
    assert_eq!(server.metrics.connections_open.get(), 0);
}

#[tokio::test]
async fn a_panic_is_answered_and_counted() {
    let server = Server::start(limits()).await;
    for path in ["/panic", "/panic-early"] {
        let mut client = server.connect().await;
        client.send(get(path)).await;
        assert_eq!(client.answer().await, (500, "internal error".into()));
    }
    assert_eq!(server.metrics.panics.get(), 2);
    let mut client = server.connect().await;
    client.send(get("/a")).await;
    assert_eq!(client.answer().await.0, 200);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    for limits in [
        HttpLimits {
            max_connections: 1,
            ..limits()
        },
        HttpLimits {
            max_connections_per_address: 1,
            ..limits()
        },
    ] {
        let server = Server::start(limits).await;
        let mut first = server.connect().await;
        first.send(get("/a")).await;
        assert_eq!(first.answer().await.0, 200);
        let mut second = server.connect().await;
        second.send(get("/a")).await;
        assert_eq!(second.answer().await, (503, "too many connections".into()));
        assert_eq!(server.metrics.connections_refused.get(), 1);
        drop(first);
        while server.metrics.connections_open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut third = server.connect().await;
        third.send(get("/a")).await;
        assert_eq!(third.answer().await.0, 200);
    }
}

#[tokio::test]
async fn shutdown_finishes_what_is_under_way_and_waits_no_longer_than_allowed() {
    let mut server = Server::start(HttpLimits {
        shutdown_timeout: Duration::from_millis(900),
        ..limits()
    })
    .await;
    let mut idle = server.connect().await;
    idle.send(get("/a")).await;
    idle.answer().await;
    let mut slow = server.connect().await;
    slow.send(get("/slow")).await;
    let mut stuck = server.connect().await;
    stuck.send(get("/stuck")).await;
    let all_sent = async {
        while server.metrics.connections_open.get() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    timeout(PATIENCE, all_sent).await.unwrap();
    server.stop();
    assert!(idle.closed().await);
    assert_eq!(slow.answer().await, (200, "slow".into()));
    assert!(slow.closed().await);
    assert_eq!(stuck.try_answer().await, None);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
    assert!(
        TcpStream::connect(server.address).await.is_err(),
        "the port is closed"
    );
}

#[tokio::test]
async fn a_client_that_leaves_ends_its_request() {
    let server = Server::start(limits()).await;
    for ahead in ["", "GET /pipelined"] {
        let mut client = server.connect().await;
        client.send(get("/a")).await;
        assert_eq!(client.answer().await.0, 200);
        client.send(format!("{}{ahead}", get("/stuck"))).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(server.metrics.connections_open.get(), 1);
        drop(client);
        let gone = async {
            while server.metrics.connections_open.get() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(PATIENCE, gone)
            .await
            .expect("the server did not notice");
    }
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}content-length: 4\r\n\r\nbody")
}

#[tokio::test]
async fn parked_requests_are_answered_in_their_place() {
    let server = Server::start(limits()).await;
    let mut client = server.connect().await;
    let long = "x".repeat(40_000);
    // Pipelined around, with a long query before and behind.
    client
        .send(format!(
            "{}{}{}{}",
            get(&format!("/a?{long}")),
            post("/park", ""),
            get("/b"),
            get(&format!("/c?{long}"))
        ))
        .await;
    assert_eq!(client.answer().await.1, "GET /a 40000 xxxxxxxxxxxxxxxxxxxx");
    assert_eq!(client.answer().await, (200, "POST /park 0  +4".into()));
    assert_eq!(client.answer().await, (200, "GET /b 0 ".into()));
    assert_eq!(client.answer().await.1, "GET /c 40000 xxxxxxxxxxxxxxxxxxxx");
    client.send(post("/park-now", "")).await;
    assert_eq!(client.answer().await, (200, "POST /park-now 0  +4".into()));
    client.send(post("/park", "Connection: Close\r\n")).await;
    assert_eq!(client.answer().await.0, 200);
    assert!(client.closed().await);
}

#[tokio::test]
async fn a_parked_request_keeps_every_promise() {
    let mut server = Server::start(HttpLimits {
        shutdown_timeout: Duration::from_millis(900),
        ..limits()
    })
    .await;
    let mut client = server.connect().await;
    client.send(post("/park-panic", "")).await;
    assert_eq!(client.answer().await, (500, "internal error".into()));
    let mut client = server.connect().await;
    client.send(post("/park-stuck", "")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(client);
    let gone = async {
        while server.metrics.connections_open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, gone)
        .await
        .expect("the server did not notice that the client left");
    let (mut client, mut stuck) = (server.connect().await, server.connect().await);
    client.send(post("/park", "")).await;
    stuck.send(post("/park-stuck", "")).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    server.stop();
    assert_eq!(client.answer().await, (200, "POST /park 0  +4".into()));
    assert!(client.closed().await);
    assert_eq!(stuck.try_answer().await, None);
    timeout(PATIENCE, server.task).await.unwrap().unwrap();
}

#[tokio::test]
async fn ipv6_works() {
    let Ok(server) = Server::start_on("[::1]:0", limits()).await else {
        // A machine without IPv6 cannot show this.
        return;
    };
    let mut client = server.connect().await;
    client.send(get("/peer")).await;
    assert!(client.answer().await.1.starts_with("[::1]:"));
}

#[test]
fn failed_accepts_wait_longer_each_time() {
    let mut backoff = Backoff::default();
    let full = io::Error::from_raw_os_error(libc::EMFILE);
    let waits: Vec<_> = (0..9)
        .map(|_| backoff.after(&full).unwrap().as_millis())
        .collect();
    assert_eq!(waits, [10, 20, 40, 80, 160, 320, 640, 640, 640]);
    assert_eq!(
        Backoff::default().after(&io::Error::from_raw_os_error(libc::ECONNABORTED)),
        None
    );
}
