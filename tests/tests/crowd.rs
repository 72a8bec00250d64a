//! Many gRPC connections at once, each with subscriptions and listens: held, pushed to, cut together and redone.
//!
//! A program of its own: it takes the whole machine, and other tests bound times.

use std::time::{Duration, Instant};

use nacrite_tests::bodies::{config, instance, named};
use nacrite_tests::grpc::Client;
use nacrite_tests::sample::sized;
use nacrite_tests::server::{Server, Setup, open_files};
use serde_json::json;

/// What a connection may cost the server, its subscriptions and listens included (bytes).
const EACH: u64 = 40 << 10;
/// Services that connections choose from; configs too.
const NAMES: usize = 50;
/// Subscriptions of one connection, and listens.
const HELD: usize = 4;
/// Connections that are being set up at a time.
const AT_A_TIME: usize = 64;
/// Open files that the program and the server need beside the connections.
const OTHER_FILES: usize = 300;

async fn one(port: u16, n: usize) -> Client {
    let client = Client::ready(port).await;
    let mut contexts = Vec::new();
    for k in 0..HELD {
        let service = format!("service-{}", (n + k) % NAMES);
        let subscribe = named(&service, json!({"subscribe": true, "clusters": ""}));
        let answer = client.ask("SubscribeServiceRequest", &subscribe).await;
        assert_eq!(answer.code(), 0, "{}", answer.body);
        contexts.push(config(
            &format!("config-{}", (n + k) % NAMES),
            json!({"md5": ""}),
        ));
    }
    let listen = json!({"listen": true, "configListenContexts": contexts});
    let answer = client.ask("ConfigBatchListenRequest", &listen).await;
    assert_eq!(answer.code(), 0, "{}", answer.body);
    client
}

async fn crowd(port: u16, number: usize) -> Vec<Client> {
    let mut clients = Vec::with_capacity(number);
    let mut coming = tokio::task::JoinSet::new();
    for n in 0..number {
        if coming.len() >= AT_A_TIME
            && let Some(client) = coming.join_next().await
        {
            clients.push(client.expect("no connection fails"));
        }
        coming.spawn(one(port, n));
    }
    clients.extend(coming.join_all().await);
    clients
}

/// Publishes and registers; every listener and every subscriber must hear of it. How long until the last did.
async fn everybody_hears(server: &Server, clients: &mut [Client], round: usize) -> Duration {
    for client in clients.iter_mut() {
        client.arrived_of(&[]);
    }
    let writer = Client::ready(server.port()).await;
    let begun = Instant::now();
    let publish = config("config-0", json!({"content": format!("round {round}")}));
    assert_eq!(writer.ask("ConfigPublishRequest", &publish).await.code(), 0);
    let register = json!({"type": "registerInstance", "instance": instance(round)});
    let register = named("service-0", register);
    assert_eq!(writer.ask("InstanceRequest", &register).await.code(), 0);
    let wanted = clients.len() * HELD / NAMES;
    let mut heard = 0;
    while heard < 2 * wanted {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{heard} of {} pushes came",
            2 * wanted
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
        for client in clients.iter_mut() {
            heard += client.arrived_of(&["NotifySubscriberRequest", "ConfigChangeNotifyRequest"]);
        }
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_is_held_cut_and_held_again() {
    let number = sized(2_000, 10_000);
    let files = open_files();
    assert!(
        files >= number + OTHER_FILES,
        "{files} open files are too few for {number} connections"
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = Setup::new(&folder.path().join("data")).start();
    let before = server.resident();
    let begun = Instant::now();
    let mut clients = crowd(server.port(), number).await;
    let took = begun.elapsed();
    // What subscribing itself pushes.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let each = server.resident().saturating_sub(before) / number as u64;
    println!(
        "{number} connections with {HELD} subscriptions and {HELD} listens each, set up in {took:.1?}: {each} bytes of the \
         server's memory each"
    );
    assert!(each < EACH, "{each} bytes a connection");
    println!(
        "all heard after {:?}",
        everybody_hears(&server, &mut clients, 1).await
    );

    drop(clients);
    let begun = Instant::now();
    let mut clients = crowd(server.port(), number).await;
    println!("all cut at once, and redone in {:.1?}", begun.elapsed());
    tokio::time::sleep(Duration::from_secs(2)).await;
    println!(
        "all heard after {:?}",
        everybody_hears(&server, &mut clients, 2).await
    );
    let again = server.resident().saturating_sub(before) / number as u64;
    println!("{again} bytes each after that");
    assert!(
        again < 2 * EACH,
        "what was cut is forgotten: {again} bytes each"
    );
}
