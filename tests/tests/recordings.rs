//! Recordings: those of `tests/recordings` and one that a server has just made give the same on both engines, say
//! nothing that is secret, and are refused when they are damaged.
//!
//! A recording is of one schema. After a change of inputs, outputs or state: `NACRITE_RECORD_AGAIN=1 cargo test -p
//! nacrite-tests --test recordings` writes those of `tests/recordings` anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nacrite::record::{
    format::{Encoder, head},
    replay::{Replay, Replayed, replay},
};
use nacrite_core::node::{Node, input::Now};
use nacrite_tests::differential::{World, settings};
use nacrite_tests::engine::module_path;
use nacrite_tests::server::{Setup, run, said};

/// Seeds and inputs of the recordings that are kept, with the size of their batches.
const KEPT: [(u64, usize, usize); 3] = [(11, 1_500, 1), (12, 1_500, 7), (13, 2_000, 64)];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("recordings")
}

fn asked(file: &Path) -> Replay {
    Replay {
        file: file.to_owned(),
        engine: "native".to_owned(),
        // The one that is embedded, compiled beforehand.
        diff: Some("wasm".to_owned()),
        outputs: false,
        speed: None,
        until: None,
        until_key: None,
    }
}

fn replayed(asked: &Replay) -> Replayed {
    replay(asked, &mut |_| {}).unwrap_or_else(|why| {
        panic!(
            "{}: {why}\nafter a change of inputs, outputs or state: NACRITE_RECORD_AGAIN=1",
            asked.file.display()
        )
    })
}

/// A seeded world's inputs, as a recording.
fn recorded(seed: u64, inputs: usize, batch: usize) -> Vec<u8> {
    let mut world = World::new(seed);
    let mut node = Node::new(&settings(seed));
    let mut bytes = head().to_vec();
    let mut encoder = Encoder::default();
    encoder.state(&node.snapshot(), Now::default(), &mut bytes);
    let (mut done, mut next) = (0, world.start());
    while done < inputs {
        encoder.batch(&next, &mut bytes);
        done += next.len();
        for (now, input) in next {
            node.handle(now, input);
        }
        let outputs: Vec<_> = std::iter::from_fn(|| node.poll()).collect();
        world.follow(&outputs, node.deadline());
        next = world.batch(batch);
    }
    bytes
}

#[test]
fn kept_recordings_give_the_same_on_both_engines() {
    if std::env::var_os("NACRITE_RECORD_AGAIN").is_some() {
        fs::create_dir_all(folder()).expect("the folder can be made");
        for (seed, inputs, batch) in KEPT {
            let file = folder().join(format!("world-{seed}.rec"));
            fs::write(file, recorded(seed, inputs, batch)).expect("a recording can be written");
        }
    }
    for (seed, inputs, _) in KEPT {
        let done = replayed(&asked(&folder().join(format!("world-{seed}.rec"))));
        println!("seed {seed}: {done:?}");
        assert_eq!((done.difference, done.stopped), (None, None));
        assert!(done.inputs >= inputs as u64 && done.outputs > done.inputs / 2);
    }
}

#[test]
fn a_difference_is_found_and_named() {
    let planted = module_path("planted.wasm").display().to_string();
    let found = KEPT.iter().any(|(seed, ..)| {
        let done = replayed(&Replay {
            diff: Some(planted.clone()),
            ..asked(&folder().join(format!("world-{seed}.rec")))
        });
        let named = done.difference.unwrap_or_default();
        println!("seed {seed}: {named}");
        named.contains("Removed(false)") && named.contains("Removed(true)")
    });
    assert!(
        found,
        "none of the recordings removes a config that is not there"
    );
}

#[test]
fn what_a_server_has_recorded_is_replayed_and_holds_no_password() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let into = temporary.path().join("recorded");
    let setup = Setup::new(&temporary.path().join("data")).with(&[
        "--record",
        into.to_str().expect("a plain path"),
        "--record-file-age-ms",
        "1000",
    ]);
    let mut server = setup.start();
    let ask = |method: &str, target: &str, form: &str| {
        let answer = server.ask(method, target, form);
        assert_eq!(answer.status, 200, "{method} {target}: {}", answer.text());
    };
    ask("POST", "/nacos/v1/ns/service?serviceName=db", "");
    let checker = r#"{"type":"MYSQL","user":"u","pwd":"do-not-tell-1","cmd":"select 1"}"#;
    let checker = nacrite_tests::http::quoted(checker);
    let cluster = format!(
        "serviceName=db&clusterName=c1&checkPort=1&useInstancePort4Check=true&healthChecker={checker}"
    );
    ask("PUT", "/nacos/v1/ns/cluster", &cluster);
    for round in 0..30 {
        // Two files at least: the second's state holds what the first's inputs said.
        if round == 15 {
            thread::sleep(Duration::from_millis(1_300));
        }
        ask(
            "POST",
            "/nacos/v1/cs/configs",
            &format!("dataId=d{}&group=g&content=do-not-tell-2", round % 4),
        );
        ask(
            "POST",
            &format!("/nacos/v1/ns/instance?serviceName=s&ip=10.0.0.{round}&port=80"),
            "",
        );
    }
    server.terminate();
    assert!(server.await_end(Duration::from_secs(30)).success());
    let mut files: Vec<PathBuf> = fs::read_dir(&into)
        .expect("it was recorded")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    assert!(files.len() >= 2, "{files:?}");
    let mut inputs = 0;
    for file in &files {
        let bytes = fs::read(file).expect("a recording can be read");
        let holds = |text: &str| bytes.windows(text.len()).any(|w| w == text.as_bytes());
        assert!(!holds("do-not-tell"), "{} holds a secret", file.display());
        let done = replayed(&asked(file));
        assert_eq!(
            (done.difference, done.stopped),
            (None, None),
            "{}",
            file.display()
        );
        inputs += done.inputs;
    }
    assert!(inputs >= 60, "{inputs} inputs were recorded");
    let bytes = fs::read(&files[1]).expect("a recording can be read");
    assert!(
        bytes.windows(13).any(|w| w == b"*************"),
        "the state holds what is masked"
    );

    // Until a key changes, by the command line.
    let path = files[0].to_str().expect("a plain path");
    let stopped = run(&[
        "replay",
        path,
        "--until-key",
        "config:public/g/d2",
        "--outputs",
    ]);
    let text = said(&stopped);
    assert!(
        stopped.status.success() && text.contains("changes it: Config"),
        "{text}"
    );
    let early = run(&["replay", path, "--until", "1"]);
    assert!(said(&early).contains("0 batches"), "{}", said(&early));
}

#[test]
fn a_damaged_recording_is_refused_and_a_cut_one_is_replayed_up_to_its_end() {
    let temporary = tempfile::tempdir().expect("a temporary folder");
    let file = temporary.path().join("r.rec");
    let whole = recorded(5, 200, 3);
    fs::write(&file, &whole[..whole.len() - 5]).expect("the folder takes files");
    let done = replayed(&asked(&file));
    assert!(done.stopped.is_some_and(|why| why.contains("cut off")));
    assert!(done.inputs > 150);
    let mut damaged = whole.clone();
    let last = damaged.len() - 5;
    damaged[last] ^= 1;
    fs::write(&file, &damaged).expect("the folder takes files");
    let refused = replay(&asked(&file), &mut |_| {}).expect_err("it is damaged");
    assert!(refused.contains("damaged at byte"), "{refused}");
    let mut other = whole;
    other[12] ^= 0x40;
    fs::write(&file, &other).expect("the folder takes files");
    let refused = replay(&asked(&file), &mut |_| {}).expect_err("it is of another schema");
    assert!(refused.contains("schema"), "{refused}");
}
