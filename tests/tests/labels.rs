//! Labels of addresses, from the config `nacrite.cmdb` to the list that a consumer gets.

use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::{Connection, quoted};
use nacrite_tests::server::{Server, Setup};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(30);

fn form(server: &Server, method: &str, path: &str, form: &str) -> String {
    let answer = server.ask(method, &format!("/nacos/v1/{path}"), form);
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.text());
    answer.text()
}

fn label(server: &Server, content: &str) {
    let content = quoted(content);
    let published = form(
        server,
        "POST",
        "cs/configs",
        &format!("dataId=nacrite.cmdb&group=DEFAULT_GROUP&content={content}"),
    );
    assert_eq!(published, "true");
}

/// Addresses of the providers that a consumer of this address gets, in order.
fn seen(server: &Server, consumer: &str) -> Vec<String> {
    let mut connection = Connection::open(server.port(), PATIENCE).expect("the server listens");
    let target = format!("/nacos/v1/ns/instance/list?serviceName=s&clientIP={consumer}");
    let from = [("X-Forwarded-For", consumer)];
    connection
        .send("GET", &target, &from, "")
        .expect("it is sent");
    let answer = connection.answer().expect("it is answered");
    let list: Value = serde_json::from_slice(&answer.body).expect("a list is JSON");
    let hosts = list["hosts"].as_array().expect("a list has hosts").iter();
    let mut ips: Vec<String> = hosts
        .filter_map(|h| Some(h["ip"].as_str()?.to_owned()))
        .collect();
    ips.sort();
    ips
}

fn becomes(server: &Server, consumer: &str, providers: &[&str]) {
    let began = Instant::now();
    while seen(server, consumer) != providers {
        assert!(
            began.elapsed() < PATIENCE,
            "{consumer} gets {:?}, not {providers:?}\n{}",
            seen(server, consumer),
            server.log_tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_consumer_gets_the_providers_that_are_labelled_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Setup::new(&folder.path().join("data")).start();
    let selector = r#"{"type":"label","expression":"CONSUMER.label.zone = PROVIDER.label.zone"}"#;
    let service = format!("serviceName=s&selector={}", quoted(selector));
    assert_eq!(form(&server, "POST", "ns/service", &service), "ok");
    for provider in ["10.1.0.1", "10.1.7.1", "10.2.0.1"] {
        let instance = format!("serviceName=s&ip={provider}&port=80&ephemeral=false");
        assert_eq!(form(&server, "POST", "ns/instance", &instance), "ok");
    }

    label(
        &server,
        r#"[{"cidr": "10.1.0.0/16", "labels": {"zone": "a"}},
            {"cidr": "10.2.0.0/16", "labels": {"zone": "b"}},
            {"cidr": "10.1.7.0/24", "labels": {"zone": "b"}}]"#,
    );
    becomes(&server, "10.1.0.9", &["10.1.0.1"]);
    // The longest prefix wins, for providers and consumers.
    becomes(&server, "10.2.0.9", &["10.1.7.1", "10.2.0.1"]);
    becomes(&server, "10.1.7.9", &["10.1.7.1", "10.2.0.1"]);

    // What is no list of labels leaves the old ones.
    label(&server, r#"[{"cidr": "10.1.0.0/16", "labels": "#);
    let began = Instant::now();
    while !server.log_tail().contains("nacrite.cmdb is not read") {
        assert!(
            began.elapsed() < PATIENCE,
            "nobody is told\n{}",
            server.log_tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
    becomes(&server, "10.1.0.9", &["10.1.0.1"]);

    label(
        &server,
        r#"[{"cidr": "10.0.0.0/8", "labels": {"zone": "c"}}]"#,
    );
    becomes(&server, "10.1.0.9", &["10.1.0.1", "10.1.7.1", "10.2.0.1"]);
}
