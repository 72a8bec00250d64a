//! What is answered while the data is still being opened: that the process lives, at once; anything else waits a while
//! for the data and is then told to come again.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use nacrite::grpc;
use nacrite::http::accept::{HttpEdge, bind, serve};
use nacrite::http::handler::{Handler, Scrape, labels};
use nacrite::metrics::Metrics;
use nacrite::settings::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

async fn ask(at: SocketAddr, path: &str) -> (String, Duration) {
    let began = Instant::now();
    let mut stream = TcpStream::connect(at).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
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
    let (opening, serving) = watch::channel(None);
    let metrics = Metrics::new(&labels(), &grpc::request_types());
    let edge = HttpEdge::new(Settings::default().http_limits(), metrics.http.clone());
    let scrape: Scrape = Arc::new(|| Box::pin(async { String::from("scraped") }));
    let handler = Handler::new(serving, edge.clone(), metrics.http.clone(), scrape);
    let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a port is free");
    let at = listener.local_addr().expect("it is bound");
    tokio::spawn(serve(listener, edge, handler, pending()));

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
