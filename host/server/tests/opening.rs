//! What is answered while the data is still being opened: that the process lives, at once; anything else waits a while
//! for the data and is then told to come again.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nacrite::grpc;
use nacrite::http::accept::{HttpEdge, bind, serve};
use nacrite::http::cors::Cors;
use nacrite::http::handler::{Handler, Scrape, Served, labels};
use nacrite::metrics::Metrics;
use nacrite::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What serves nothing yet, until the sender is dropped.
fn start(cors: &str) -> (watch::Sender<Option<Arc<Served>>>, SocketAddr) {
    let (opening, serving) = watch::channel(None);
    let metrics = Metrics::new(&labels(), &grpc::request_types());
    let edge = HttpEdge::new(Settings::default().http_limits(), metrics.http.clone());
    let scrape: Scrape = Arc::new(|| Box::pin(async { String::from("scraped") }));
    let cors = Cors::new(&cors.parse().expect("origins"));
    let handler = Handler::new(serving, edge.clone(), metrics.http.clone(), scrape, cors);
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
    let at = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, edge, handler, pending()));
    (opening, at)
}

async fn ask(at: SocketAddr, path: &str) -> (String, Duration) {
    say(at, &format!("GET {path}"), "").await
}

/// A request with further header lines.
async fn say(at: SocketAddr, what: &str, headers: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = format!("{what} HTTP/1.1\r\nHost: x\r\n{headers}Connection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is sent");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("it is answered");
    (answer, began.elapsed())
}

#[tokio::test]
async fn only_liveness_is_answered_before_the_data_is_there() {
    let (opening, at) = start("");
    let list = "/nacos/v1/ns/service/list?pageNo=1&pageSize=1";
    let ((lives, soon), (scraped, _), (waited, late)) = tokio::join!(
        ask(at, "/nacos/v1/console/health/liveness"),
        ask(at, "/metrics"),
        ask(at, list),
    );
    assert!(lives.starts_with("HTTP/1.1 200"), "{lives}");
    assert!(scraped.ends_with("scraped"), "{scraped}");
    assert!(waited.starts_with("HTTP/1.1 503"), "{waited}");
    assert!(late >= Duration::from_millis(1_900), "{late:?}");
    assert!(soon < late, "{soon:?} of {late:?}");
    drop(opening);
}

#[tokio::test]
async fn answers_say_which_pages_may_read_them() {
    let (_opening, at) = start("https://a.example");
    let lives = "GET /nacos/v1/console/health/liveness";
    let asks = "OPTIONS /nacos/v1/ns/instance";
    let mine = "Origin: https://a.example\r\n";
    let asking = format!("{mine}Access-Control-Request-Method: POST\r\n");
    let other = "Origin: https://b.example\r\nAccess-Control-Request-Method: POST\r\n";
    let allows = "access-control-allow-origin: https://a.example\r\n";
    let said = |what, headers| async move { say(at, what, headers).await.0.to_lowercase() };

    let told = said(lives, mine).await;
    assert!(
        told.starts_with("http/1.1 200") && told.contains(allows),
        "{told}"
    );
    let told = said(asks, &asking).await;
    assert!(
        told.starts_with("http/1.1 204") && told.contains(allows),
        "{told}"
    );
    // What a stranger's page may do is not answered, but what anybody may.
    let told = said(asks, other).await;
    assert!(told.starts_with("http/1.1 503"), "{told}");
    assert!(
        told.contains("vary: origin\r\n") && !told.contains("access-control"),
        "{told}"
    );
    let told = said("GET /metrics", mine).await;
    assert!(
        !told.contains("access-control") && !told.contains("vary"),
        "{told}"
    );
    let (_opening, at) = start("");
    let told = say(at, lives, mine).await.0.to_lowercase();
    assert!(
        !told.contains("access-control") && !told.contains("vary"),
        "{told}"
    );
}
