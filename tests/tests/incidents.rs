//! What users of other registries reported, as far as one member can show it: a test for each report, named after what
//! must not happen here. The member is the server's own, in virtual time; where only a process can show it, a process.

use std::time::Duration;

use nacrite_core::{
    model::{
        ConfigKey, ConfigType, ContentRef, Instance, InstanceKey, Md5, Metadata, ServiceKey, Weight,
    },
    node::{
        input::{AckOutcome, ConnDetails, ConnId, Input, Now, Origin},
        op::{Op, Publish},
        output::{NameForm, Output, PushBody},
        reply::Reply,
    },
    sim::{Arrival, Member, Work, beginning},
    view::Reading,
};
use nacrite_tests::{
    http::{Connection, quoted},
    server::{Server, Setup},
    simulated::Simulated,
};

const HOUR: u64 = 3_600_000;
const CONN: ConnId = ConnId(1);

/// A member with its clocks, and who asks it.
struct World {
    member: Simulated,
    now: Now,
    last: u64,
}

impl World {
    fn new() -> Self {
        let now = beginning();
        let mut world = Self {
            member: Simulated::new(1, now),
            now,
            last: 0,
        };
        let details = ConnDetails {
            id: "1_10.0.0.9_4000".into(),
            ip: "10.0.0.9".into(),
            port: 4_000,
            version: "Nacos-Java-Client:v3.1.0".into(),
            app: "-".into(),
            labels: Vec::new(),
        };
        world.tell(Input::Connected {
            conn: CONN,
            details,
        });
        world
    }

    fn tell(&mut self, input: Input) -> Vec<Output> {
        self.member.handle(self.now, vec![Arrival::Told(input)])
    }

    fn ask(&mut self, conn: Option<ConnId>, op: Op, content: Option<&[u8]>) -> Vec<Output> {
        self.last += 1;
        let request = Arrival::Request {
            id: self.last,
            origin: Origin {
                conn,
                ip: "10.0.0.9".into(),
                user: "".into(),
            },
            op,
            content: content.map(Into::into),
        };
        self.member.handle(self.now, vec![request])
    }

    fn log(&mut self) -> Vec<Output> {
        self.member
            .work(self.now, Work::Log)
            .expect("this disk has no faults")
    }

    /// Lets time pass, with the ticks that are wanted meanwhile.
    fn pass(&mut self, ms: u64) -> Vec<Output> {
        let until = self.now.mono + ms;
        let mut outputs = Vec::new();
        while let Some(at) = self.member.deadline().filter(|at| *at <= until) {
            let step = at.saturating_sub(self.now.mono);
            self.now.mono += step;
            self.now.wall += step;
            outputs.extend(self.tell(Input::Tick));
        }
        self.now.wall += until - self.now.mono;
        self.now.mono = until;
        outputs
    }
}

fn publish(content: &[u8]) -> Op {
    Op::Publish(Box::new(Publish {
        key: ConfigKey::new("", "DEFAULT_GROUP", "a"),
        content: ContentRef {
            index: 0,
            md5: Md5::of(content),
            bytes: u32::try_from(content.len()).expect("it is short"),
        },
        kind: ConfigType::Text,
        app: "".into(),
        desc: "".into(),
        usage: "".into(),
        effect: "".into(),
        schema: "".into(),
        tags: "".into(),
        encrypted_data_key: "".into(),
        gray: None,
        cas: None,
        create_only: false,
        user: "".into(),
        ip: "".into(),
    }))
}

fn notified(outputs: &[Output]) -> Option<u64> {
    outputs.iter().find_map(|output| match output {
        Output::Push {
            push,
            body: PushBody::Config { .. },
            ..
        } => Some(*push),
        _ => None,
    })
}

/// alibaba/nacos#8633: a change reaches listeners only by a sweep every five minutes, because clocks differ.
#[test]
fn row_9_a_wall_clock_that_steps_delays_no_listener() {
    let mut world = World::new();
    let key = ConfigKey::new("", "DEFAULT_GROUP", "a");
    let listen = Op::Listen {
        listen: true,
        keys: vec![(key.clone(), None, false)],
        tag: "".into(),
    };
    let _positions = world.ask(Some(CONN), listen, None);
    let mut revision = 0;
    for (n, step) in [0, -1, 2, -3, 24, -240].into_iter().enumerate() {
        // The clock steps, and another change is committed.
        world.now.wall = world.now.wall.saturating_add_signed(step * HOUR as i64);
        let held = world.member.view().config(&key);
        let md5 = held.and_then(|item| item.formal.as_ref().map(|v| v.content.md5));
        let poll = Op::Poll {
            keys: vec![(key.clone(), md5)],
            wait_ms: 30_000,
            tag: "".into(),
        };
        let parked = world.ask(None, poll, None);
        assert!(parked.is_empty(), "nothing has changed yet: {parked:?}");
        let poll = world.last;
        let content = format!("version {n}");
        let _asked = world.ask(None, publish(content.as_bytes()), Some(content.as_bytes()));
        let outputs = world.log();
        let push = notified(&outputs).unwrap_or_else(|| panic!("step {step}: {outputs:?}"));
        let woken = outputs.iter().any(|output| {
            matches!(output, Output::Reply { id, result: Ok(Reply::Woken { .. }) } if *id == poll)
        });
        assert!(woken, "step {step}: the poll waits on");
        let item = world.member.view().config(&key).expect("it was published");
        let newest = item
            .formal
            .as_ref()
            .expect("it has a formal version")
            .content;
        assert!(newest.index > revision, "the order is the log's");
        assert_eq!(newest.md5, Md5::of(content.as_bytes()));
        revision = newest.index;
        world.tell(Input::Ack {
            conn: CONN,
            push,
            outcome: AckOutcome::Done,
        });
        world.pass(1_000);
    }
}

fn instance(n: u8) -> Instance {
    Instance {
        key: InstanceKey::new(&format!("10.1.0.{n}"), 80, ""),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral: true,
        metadata: Metadata::default(),
        instance_id: "".into(),
    }
}

/// nacos-group/nacos-sdk-go#423, #420: the last instance leaves, and subscribers are never told.
#[test]
fn row_13_the_last_deregistration_is_pushed_like_any_other() {
    let service = ServiceKey::new("", "", "s");
    let register = || Op::Register {
        service: service.clone(),
        instance: instance(1),
    };
    let deregister = Op::Deregister {
        service: service.clone(),
        key: instance(1).key,
        ephemeral: true,
    };
    let publisher = ConnId(2);
    // It says that it goes, it goes silent, its connection ends.
    for how in 0..3 {
        let mut world = World::new();
        let details = ConnDetails::default();
        world.tell(Input::Connected {
            conn: publisher,
            details,
        });
        let over = (how == 2).then_some(publisher);
        let _done = world.ask(over, register(), None);
        let subscribe = Op::Subscribe {
            service: service.clone(),
            clusters: "".into(),
            app: "-".into(),
        };
        let _done = world.ask(Some(CONN), subscribe, None);
        let over_udp = Op::SubscribeUdp {
            service: service.clone(),
            clusters: "".into(),
            ip: "10.0.0.8".into(),
            port: 5_000,
            agent: "Nacos-Go-Client:v1.1.4".into(),
            app: "unknown".into(),
            names: NameForm::Grouped,
        };
        // The first pushes, and their acknowledgements.
        let mut outputs = world.ask(None, over_udp.clone(), None);
        outputs.extend(world.pass(600));
        for output in outputs {
            if let Output::Push { push, .. } = output {
                world.tell(Input::Ack {
                    conn: CONN,
                    push,
                    outcome: AckOutcome::Done,
                });
            }
        }
        let mut outputs = match how {
            0 => world.ask(None, deregister.clone(), None),
            1 => {
                // Unhealthy first, which is pushed too.
                let mut outputs = world.pass(16_000);
                assert_eq!(pushed(&outputs).0, 1, "{outputs:?}");
                for output in outputs.drain(..) {
                    if let Output::Push { push, .. } = output {
                        world.tell(Input::Ack {
                            conn: CONN,
                            push,
                            outcome: AckOutcome::Done,
                        });
                    }
                }
                let _still = world.ask(None, over_udp, None);
                world.pass(13_000)
            }
            _ => world.tell(Input::Disconnected { conn: publisher }),
        };
        let gone = world.now.mono;
        outputs.extend(world.pass(1_000));
        let view = world.member.view().service(&service);
        assert!(
            view.is_none_or(|s| s.is_empty()),
            "it is gone ({how}, {gone})"
        );
        let (over_grpc, datagrams) = pushed(&outputs);
        assert!(over_grpc >= 1 && datagrams >= 1, "way {how}: {outputs:?}");
    }
}

/// How often a service was pushed over gRPC, and over UDP.
fn pushed(outputs: &[Output]) -> (usize, usize) {
    let over_grpc = |o: &&Output| {
        matches!(
            o,
            Output::Push {
                body: PushBody::Service { .. },
                ..
            }
        )
    };
    let over_udp = |o: &&Output| matches!(o, Output::Datagram { .. });
    (
        outputs.iter().filter(over_grpc).count(),
        outputs.iter().filter(over_udp).count(),
    )
}

fn server() -> (tempfile::TempDir, Server) {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let server = Setup::new(folder.path()).start();
    (folder, server)
}

/// alibaba/nacos#13302, #13805: the client's and the server's MD5 disagree, and the client refreshes in a loop.
#[test]
fn row_10_the_md5_is_that_of_the_bytes_served() {
    let (_folder, server) = server();
    let contents = [
        "plain".to_owned(),
        "größe=ÄÖÜß\r\nzweite: Zeile\n".to_owned(),
        "名前=設定\u{3000}値".to_owned(),
        "emoji=🦀\u{feff}\u{0}end".to_owned(),
        "plus+percent%25 and&amp=1;\t".to_owned(),
        "x".repeat(200_000),
        "é".repeat(40_000),
    ];
    let patience = Duration::from_secs(60);
    let mut connection = Connection::open(server.port(), patience).expect("it takes connections");
    let publishes: [(&str, &str); 3] = [
        ("/nacos/v1/cs/configs", "dataId=d&group=g"),
        ("/nacos/v2/cs/config", "dataId=d&group=g"),
        ("/nacos/v3/admin/cs/config", "dataId=d&groupName=g"),
    ];
    for content in &contents {
        for (path, names) in publishes {
            // Something else first, so that every publish is a change.
            let before = format!("{names}&content=before");
            assert_eq!(server.ask("POST", path, &before).status, 200);
            let form = format!("{names}&content={}", quoted(content));
            let answer = server.ask("POST", path, &form);
            assert_eq!(answer.status, 200, "{path}: {}", answer.text());
            let served = server.ask("GET", "/nacos/v1/cs/configs?dataId=d&group=g", "");
            assert_eq!(
                served.body,
                content.as_bytes(),
                "{path}: the bytes are those published"
            );
            let md5 = Md5::of(&served.body).hex();
            // Whoever has these bytes is told of no change, and the other way round.
            for (held, differs) in [(md5.clone(), false), (Md5::of(b"other").hex(), true)] {
                let form = format!("Listening-Configs=d%02g%02{held}%01");
                let headers = [
                    ("Long-Pulling-Timeout", "30000"),
                    ("Long-Pulling-Timeout-No-Hangup", "true"),
                ];
                connection
                    .send("POST", "/nacos/v1/cs/configs/listener", &headers, &form)
                    .expect("it reads");
                let told = connection.answer().expect("it answers").text();
                assert_eq!(!told.trim().is_empty(), differs, "{path}: {told:?}");
            }
            let shown = server.ask("GET", "/nacos/v3/admin/cs/config?dataId=d&groupName=g", "");
            let shown: serde_json::Value = serde_json::from_slice(&shown.body).expect("it is JSON");
            assert_eq!(shown["data"]["md5"], md5.as_str(), "{path}: {shown}");
            assert_eq!(shown["data"]["content"], content.as_str());
        }
    }
}

/// alibaba/nacos#8527, #7380, #11539: 400 MB to start, gigabytes for a few hundred instances.
#[test]
fn row_11_memory_is_bounded_by_the_data() {
    /// What a server with 10 000 instances may take, bytes: a debug build with its symbols mapped.
    const MOST: u64 = 96 << 20;
    let instances = 10_000;
    let (_folder, server) = server();
    let idle = server.resident();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let server = &server;
            scope.spawn(move || {
                let patience = Duration::from_secs(60);
                let mut connection =
                    Connection::open(server.port(), patience).expect("it takes connections");
                for n in (thread..instances).step_by(4) {
                    let form = format!(
                        "serviceName=service-{}&ip=10.{}.{}.{}&port=8080&metadata=zone%3Da,version%3D1.{}",
                        n % 300,
                        n >> 16,
                        n >> 8 & 255,
                        n & 255,
                        n % 7
                    );
                    let answer = connection
                        .ask("POST", "/nacos/v1/ns/instance", &form)
                        .expect("it answers");
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    let mut listed = 0;
    for n in 0..300 {
        let list = server.ask(
            "GET",
            &format!("/nacos/v1/ns/instance/list?serviceName=service-{n}"),
            "",
        );
        let list: serde_json::Value = serde_json::from_slice(&list.body).expect("it is JSON");
        listed += list["hosts"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(listed, instances);
    let full = server.resident();
    println!(
        "{} MiB idle, {} MiB with {instances} instances, every service listed",
        idle >> 20,
        full >> 20
    );
    assert!(full < MOST, "{} MiB", full >> 20);
}
