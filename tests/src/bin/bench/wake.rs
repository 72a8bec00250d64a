//! Long polls: how long after the publish is answered its parked poll is.

use std::{net::SocketAddr, path::Path, time::Duration};

use nacrite_tests::requests::{content, publish};
use tokio::time::{Instant, sleep};

use crate::{
    Failure, Peer,
    process::Served,
    table::{judged, percentile},
    wire::{Wire, form, request},
};

/// Name of the row.
pub(crate) const NAME: &str = "poll-wake";
const ROUNDS: u64 = 200;
/// Polls that stay parked on other configs.
const OTHERS: u64 = 500;

/// Measures the server, and the peer after it.
pub(crate) async fn measure(program: &Path, peer: Option<Peer>) -> Result<String, Failure> {
    let served = Served::start(program).await?;
    let mut text = rounds(served.address).await?;
    if let Some(peer) = peer {
        text.push_str("; peer: ");
        text.push_str(&rounds(peer.address).await?);
    }
    Ok(text)
}

async fn rounds(address: SocketAddr) -> Result<String, Failure> {
    let mut publisher = Wire::open(address).await?;
    let mut others = Vec::new();
    for number in 1..=OTHERS {
        put(&mut publisher, number, 0).await?;
        let md5 = md5_of(&mut publisher, number).await?;
        let mut wire = Wire::open(address).await?;
        wire.send(&poll(number, &md5)).await?;
        others.push(wire);
    }
    put(&mut publisher, 0, 0).await?;
    let (mut waits, mut wholes) = (Vec::new(), Vec::new());
    let mut poller = Wire::open(address).await?;
    for round in 1..=ROUNDS {
        let md5 = md5_of(&mut publisher, 0).await?;
        poller.send(&poll(0, &md5)).await?;
        // Until it is parked.
        sleep(Duration::from_millis(10)).await;
        let sent = Instant::now();
        let published = async {
            put(&mut publisher, 0, round).await?;
            Ok::<_, Failure>(Instant::now())
        };
        let woken = async {
            let status = poller.receive().await?;
            Ok::<_, Failure>((status, Instant::now()))
        };
        let (published, woken) = tokio::join!(published, woken);
        let (published, (status, woken)) = (published?, woken?);
        if status != 200 {
            return Err(format!("a poll was answered {status}").into());
        }
        waits.push(woken.saturating_duration_since(published));
        wholes.push(woken - sent);
    }
    Ok(told(waits, wholes, &format!("{OTHERS} other polls parked")))
}

/// What one row says of the times from a publish, answered and sent, to what it wakes.
pub(crate) fn told(mut waits: Vec<Duration>, mut wholes: Vec<Duration>, others: &str) -> String {
    waits.sort_unstable();
    wholes.sort_unstable();
    let at = |list: &[Duration], percent: usize| percentile(list, percent).as_micros();
    format!(
        "{} µs median, {} µs p99 after the publish was answered ({} µs, {} µs after it was sent); {others}; target 1 ms median: {}",
        at(&waits, 50),
        at(&waits, 99),
        at(&wholes, 50),
        at(&wholes, 99),
        judged(at(&waits, 50) < 1_000)
    )
}

async fn put(wire: &mut Wire, number: u64, round: u64) -> Result<(), Failure> {
    let mut request = Vec::new();
    publish(number, &content(round), &mut request);
    match wire.ask(&request).await? {
        200 => Ok(()),
        status => Err(format!("a publish was answered {status}").into()),
    }
}

async fn md5_of(wire: &mut Wire, number: u64) -> Result<String, Failure> {
    let read = request(
        "GET",
        &format!("/v1/cs/configs?dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant="),
    );
    let taken = wire.take(&read).await?;
    let md5 = taken.header("content-md5").ok_or("a read has no MD5")?;
    Ok(md5.to_owned())
}

fn poll(number: u64, md5: &str) -> Vec<u8> {
    form(
        "POST",
        "/v1/cs/configs/listener",
        "Long-Pulling-Timeout: 30000\r\n",
        &format!("Listening-Configs=bench-{number}.properties%02DEFAULT_GROUP%02{md5}%01"),
    )
}
