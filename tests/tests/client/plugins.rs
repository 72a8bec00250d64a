//! Plugins, from `nacrite plugin publish` to the picks of a client: published, followed, pinned, gone wrong.

use std::fs;
use std::path::{Path, PathBuf};

use nacrite_client::{Instance, PluginStatus};
use nacrite_core::{balance::Outcome, model::Sha256};
use nacrite_tests::{
    http::{Answer, Connection, quoted},
    server::{run, said},
};
use serde_json::Value;

use super::*;

const POLICIES: &str = "/nacrite/v1/policies?serviceName=orders";

/// A plugin that gives this index where a list has as many instances, else the first; with `of_four` in place of the answer
/// for lists of four, which the acceptance has none of.
fn guest(index: u32, of_four: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (memory (export "memory") 2)
        (global $top (mut i32) (i32.const 4096))
        (global $count (mut i32) (i32.const 0))
        (func (export "lb_abi") (result i32) (i32.const 1))
        (func (export "lb_alloc") (param $length i32) (result i32)
          (if (i32.gt_u (local.get $length) (i32.const 120000)) (then (return (i32.const 0))))
          (i32.const 4096))
        (func (export "lb_init") (param i32 i32) (result i32) (i32.const 0))
        (func (export "lb_error") (result i64) (i64.const 0))
        (func (export "lb_update") (param i32 i32 i64) (result i32)
          (global.set $count (local.get 1)) (i32.const 0))
        (func (export "lb_choose") (param i64 i64 i64 i32) (result i32)
          (if (i32.eqz (global.get $count)) (then (return (i32.const -1))))
          (if (i32.eq (global.get $count) (i32.const 4)) (then {of_four}))
          (select (i32.const {index}) (i32.const 0) (i32.lt_u (i32.const {index}) (global.get $count)))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, bytes).expect("a file can be written");
    path
}

/// `nacrite plugin publish`; what it says, and whether the server took it.
fn publish(server: &Server, name: &str, module: &Path) -> (bool, String) {
    let output = run(&[
        "plugin",
        "publish",
        module.to_str().expect("a path that is text"),
        "--name",
        name,
        "--server",
        &format!("http://127.0.0.1:{}", server.port()),
        "--data",
        server.data().to_str().expect("a path that is text"),
    ]);
    (output.status.success(), said(&output))
}

fn ask(server: &Server, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
    let mut connection = Connection::open(server.port(), PATIENCE).expect("the server listens");
    let sent = connection.send(method, target, headers, "");
    sent.and_then(|()| connection.answer())
        .unwrap_or_else(|e| panic!("{method} {target}: {e}\n{}", server.log_tail()))
}

fn set_policy(server: &Server, query: &str, policy: &str) -> (u16, String) {
    let target = format!("{POLICIES}{query}&policy={}", quoted(policy));
    let answer = ask(server, "PUT", &target, &[]);
    (answer.status, answer.text())
}

fn data(answer: &Answer) -> Value {
    let body: Value = serde_json::from_slice(&answer.body).expect("an answer is JSON");
    body["data"].clone()
}

/// Registers so many instances of `orders`, and waits until they are known.
async fn register(client: &Client, count: u16) {
    let all = (0..count).map(|n| Instance::new("10.0.0.1", 8_000 + n));
    let naming = client.naming();
    naming
        .register_all(GROUP, "orders", all.collect())
        .await
        .expect("it is registered");
    eventually("all are known", async || {
        let known = client.balancing().candidates("", "orders").await;
        known.is_ok_and(|known| known.len() == usize::from(count))
    })
    .await;
}

/// Places in the list of so many picks.
async fn picks(client: &Client, count: usize) -> Vec<usize> {
    let balancing = client.balancing();
    let mut picked = Vec::new();
    for _ in 0..count {
        let known = balancing.candidates("", "orders").await.expect("a list");
        let choice = balancing.choose("", "orders", Default::default()).await;
        let choice = choice.expect("somebody is chosen");
        let at = known.iter().position(|c| c.id == choice.address());
        choice.finish(Outcome::Success);
        picked.push(at.expect("the list does not change"));
    }
    picked
}

async fn all_go_to(client: &Client, index: usize) {
    eventually(&format!("all picks go to {index}"), async || {
        picks(client, 20).await.iter().all(|at| *at == index)
    })
    .await;
}

async fn status(client: &Client) -> Option<PluginStatus> {
    client
        .balancing()
        .plugin("", "orders")
        .await
        .expect("known")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_moves_the_picks() {
    let (folder, server) = server();
    let cache = folder.path().join("cache");
    let with_cache = || Settings {
        cache: Some(cache.clone()),
        ..settings(&[server.port()])
    };
    let client = Client::start(with_cache()).await.expect("a client");
    register(&client, 3).await;
    let (one, two) = (guest(1, ""), guest(2, ""));
    let module = file(folder.path(), "one.wasm", &one);
    let (done, text) = publish(&server, "mine", &module);
    assert!(done, "{text}");
    assert!(text.contains(&Sha256::of(&one).hex()), "{text}");
    assert_eq!(status(&client).await, None, "no policy names it");

    let (code, text) = set_policy(&server, "", r#"{"rule": "wasm:mine"}"#);
    assert_eq!(code, 200, "{text}");
    all_go_to(&client, 1).await;
    let now = status(&client).await.expect("it is in front");
    assert_eq!((now.name.as_str(), now.failures), ("mine", 0));

    // The policy names no version, so it follows the newest.
    let (done, text) = publish(&server, "mine", &file(folder.path(), "two.wasm", &two));
    assert!(done, "{text}");
    all_go_to(&client, 2).await;

    // And back to the first by its digest.
    let pinned = format!("&pluginDigest={}", Sha256::of(&one).hex());
    let (code, text) = set_policy(&server, &pinned, r#"{"rule": "wasm:mine"}"#);
    assert_eq!(code, 200, "{text}");
    all_go_to(&client, 1).await;

    // Copies are kept by digest; a damaged one is fetched again.
    let copy = |bytes: &[u8]| {
        let name = format!("{}.wasm", Sha256::of(bytes).hex());
        cache.join("plugins").join(name)
    };
    assert_eq!(fs::read(copy(&two)).expect("a copy"), two);
    fs::write(copy(&one), b"damaged").expect("it can be damaged");
    drop(client);
    let client = Client::start(with_cache()).await.expect("a client");
    register(&client, 3).await;
    all_go_to(&client, 1).await;
    assert_eq!(fs::read(copy(&one)).expect("a copy"), one);

    let removed = ask(&server, "DELETE", POLICIES, &[]);
    assert_eq!(removed.status, 200);
    eventually("it is in front no more", async || {
        status(&client).await.is_none()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_answered_whatever_a_plugin_does() {
    let (folder, server) = server();
    let client = client(server.port()).await;
    register(&client, 4).await;
    let module = file(folder.path(), "bad.wasm", &guest(1, "unreachable"));
    let (done, text) = publish(&server, "bad", &module);
    assert!(done, "the acceptance has no list of four: {text}");
    let policy = r#"{"rule": "wasm:bad", "subRule": "round-robin"}"#;
    assert_eq!(set_policy(&server, "", policy).0, 200);
    eventually("it is asked", async || status(&client).await.is_some()).await;
    let picked = picks(&client, 40).await;
    for index in 0..4 {
        let share = picked.iter().filter(|at| **at == index).count();
        assert_eq!(share, 10, "the fallback goes round: {picked:?}");
    }
    let now = status(&client).await.expect("it stays in front");
    assert!(now.suspended, "{now:?}");
    assert!(now.last.is_some_and(|last| last.starts_with("trap:")));
    client
        .balancing()
        .resume_plugin("", "orders")
        .await
        .expect("known");
    assert!(!status(&client).await.expect("it stays").suspended);
    picks(&client, 8).await;
    assert!(status(&client).await.expect("it stays").suspended);
    // A version without the fault is taken at once.
    let module = file(folder.path(), "good.wasm", &guest(3, ""));
    let (done, text) = publish(&server, "bad", &module);
    assert!(done, "{text}");
    all_go_to(&client, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_with_the_reason() {
    let (folder, server) = server();
    let (code, why) = set_policy(&server, "", r#"{"rule": "wasm:nobody"}"#);
    assert!(
        code == 400 && why.contains("no plugin nobody is published"),
        "{why}"
    );
    let good = guest(0, "");
    for (name, bytes, said) in [
        ("text.wasm", b"(module)".as_slice(), "it is text"),
        ("empty.wasm", b"", "the body must be the module"),
        (
            "large.wasm",
            &vec![0; (1 << 20) + 1],
            "at most 1048576 are taken",
        ),
        (
            "traps.wasm",
            &wat::parse_str(r#"(module (func (export "lb_abi") (result i32) unreachable))"#)
                .expect("a module"),
            "the export memory is missing",
        ),
    ] {
        let (done, text) = publish(&server, "bad", &file(folder.path(), name, bytes));
        assert!(!done && text.contains(said), "{name}: {text}");
    }
    let (done, text) = publish(&server, "a/b", &file(folder.path(), "g.wasm", &good));
    assert!(!done && text.contains("a plugin's name is"), "{text}");
    let target = "/nacrite/v1/plugins?name=good";
    let refused = ask(&server, "PUT", target, &[]);
    assert_eq!((refused.status, data(&refused).is_string()), (403, true));
    let wrong = run(&[
        "plugin",
        "publish",
        folder.path().join("g.wasm").to_str().expect("text"),
        "--name",
        "good",
        "--server",
        &format!("127.0.0.1:{}", server.port()),
        "--token",
        "no-such-token",
    ]);
    assert!(!wrong.status.success() && said(&wrong).contains("admin.token"));
    let (done, text) = publish(&server, "good", &folder.path().join("g.wasm"));
    assert!(done, "{text}");
    let digest = "0".repeat(64);
    let pinned = format!("&pluginDigest={digest}");
    let (code, why) = set_policy(&server, &pinned, r#"{"rule": "wasm:good"}"#);
    let wanted = format!("plugin good has no version {digest}; its newest is");
    assert!(code == 400 && why.contains(&wanted), "{why}");
    let missing = ask(&server, "GET", &format!("{target}&digest=1"), &[]);
    assert_eq!(missing.status, 200, "a digest is not asked for there");
    let module = format!("/nacrite/v1/plugins/module?name=good&digest={digest}");
    assert_eq!(ask(&server, "GET", &module, &[]).status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_stored_like_configs() {
    let (folder, setup) = setup();
    let server = setup.start();
    let (one, two) = (guest(1, ""), guest(2, ""));
    for (name, bytes) in [("one.wasm", &one), ("two.wasm", &two)] {
        let (done, text) = publish(&server, "kept", &file(folder.path(), name, bytes));
        assert!(done, "{text}");
    }
    assert_eq!(set_policy(&server, "", r#"{"rule": "wasm:kept"}"#).0, 200);
    server.kill();
    let server = setup.start();
    let history = ask(&server, "GET", "/nacrite/v1/plugins/history?name=kept", &[]);
    let history = data(&history);
    let digests: Vec<&str> = history["pageItems"]
        .as_array()
        .expect("a page")
        .iter()
        .filter_map(|item| item["digest"].as_str())
        .collect();
    let (first, second) = (Sha256::of(&one).hex(), Sha256::of(&two).hex());
    assert_eq!(digests, [second.as_str(), first.as_str()]);
    for (digest, bytes) in [(&first, &one), (&second, &two)] {
        let target = format!("/nacrite/v1/plugins/module?name=kept&digest={digest}");
        assert_eq!(&ask(&server, "GET", &target, &[]).body, bytes);
    }
    // What a policy names stays; without it the plugin goes, and its history stays.
    let token = fs::read_to_string(server.data().join("admin.token")).expect("a token");
    let remove = || {
        let headers = [("nacrite-token", token.trim())];
        ask(&server, "DELETE", "/nacrite/v1/plugins?name=kept", &headers)
    };
    let refused = remove();
    let why = refused.text();
    assert!(
        refused.status == 400 && why.contains("names plugin kept"),
        "{why}"
    );
    assert_eq!(ask(&server, "DELETE", POLICIES, &[]).status, 200);
    assert_eq!(remove().status, 200);
    let listed = data(&ask(&server, "GET", "/nacrite/v1/plugins/list", &[]));
    assert_eq!(listed["totalCount"], 0);
    let mut server = server;
    server.terminate();
    server.await_end(PATIENCE);
    let checked = run(&["check-data", server.data().to_str().expect("text")]);
    assert!(checked.status.success(), "{}", said(&checked));
}
