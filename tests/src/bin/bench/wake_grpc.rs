//! Listens over gRPC: how long after a publish is answered the push about it has come.
//!
//! Each round changes another config: two pushes of one to one connection are kept apart by the server.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use nacrite_tests::{
    grpc::Client,
    requests::{content, grpc_listen, grpc_publish},
    way::Way,
};
use tokio::time::{Instant, sleep};

use crate::{Failure, process::Served, wake::told};

/// Name of the row.
pub(crate) const NAME: &str = "wake-grpc";
const ROUNDS: u64 = 200;
/// Connections that listen to configs which do not change.
const OTHERS: u64 = 500;

/// Measures the server.
pub(crate) async fn measure(program: &Path) -> Result<String, Failure> {
    let served = Served::start(program).await?;
    let port = served.address.port();
    let mut publisher = Way::Grpc(Client::ready(port).await.into());
    for number in 0..ROUNDS + OTHERS {
        put(&mut publisher, number, 0).await?;
    }
    let mut others = Vec::new();
    for number in ROUNDS..ROUNDS + OTHERS {
        let other = Client::ready(port).await;
        listen(&other, number).await?;
        others.push(other);
    }
    let mut listener = Client::ready(port).await;
    for number in 0..ROUNDS {
        listen(&listener, number).await?;
    }
    let (mut waits, mut wholes) = (Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        sleep(Duration::from_millis(10)).await;
        let sent = Instant::now();
        let published = async {
            put(&mut publisher, number, 1).await?;
            Ok::<_, Failure>(Instant::now())
        };
        let woken = async {
            listener.push("ConfigChangeNotifyRequest").await;
            Instant::now()
        };
        let (published, woken) = tokio::join!(published, woken);
        waits.push(woken.saturating_duration_since(published?));
        wholes.push(woken - sent);
    }
    let others = format!("{OTHERS} other connections listen");
    Ok(told(waits, wholes, &others))
}

async fn put(publisher: &mut Way, number: u64, round: u64) -> Result<(), Failure> {
    let mut request = Vec::new();
    grpc_publish(number, &content(round), &mut request);
    match publisher.ask(&request).await? {
        200 => Ok(()),
        status => Err(format!("a publish was answered {status}").into()),
    }
}

/// With an MD5 that no content has, which does not matter to what changes later.
async fn listen(client: &Client, number: u64) -> Result<(), Failure> {
    let mut request = Vec::new();
    grpc_listen(number, "", &mut request);
    client.call(Bytes::from(request)).await?;
    Ok(())
}
