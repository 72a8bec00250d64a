//! What reads bytes: every parser that strangers reach, what the log and the store are read with, and `apply`.

use std::sync::OnceLock;

use nacrite::settings::Settings;
use nacrite_core::{
    api::{Compat, Route, Routes, beat, grpc, parse_instances, parse_metadata, service_json, udp},
    balance::{Policy, RuleName},
    config::{
        CapacityRow, ConfigRow, HistoryRow, read_capacity_key, read_config_key, read_history_key,
        read_history_time_key,
    },
    lock::{read_lock, read_lock_key},
    log::Command,
    namespaces::{read_namespace, read_namespace_key},
    naming::{Labels, Switches, select::label_names},
    node::{Node, output::Output},
    plugins::{read_plugin, read_plugin_key},
    policies::{read_policy_key, read_policy_version},
};

use super::{
    Target,
    member::{CONN, details, facts, member, plan, run},
};
use crate::differential::{World, settings};

/// Between two requests or commands of one input.
const NEXT: u8 = 0x1e;
/// Requests or commands of one input, at most.
const MOST: usize = 12;

/// Words of JSON.
const JSON: &[&str] = &[
    "{}",
    "[]",
    "null",
    "true",
    "-1",
    "1e999",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "{\"a\":",
    "[[[[[[[[",
    "0.1",
    "18446744073709551616",
];

/// All targets.
pub const TARGETS: &[Target] = &[
    Target {
        name: "http",
        read: http,
        seeds: http_seeds,
        words: &[
            "serviceName=",
            "dataId=a\n",
            "content=b\n",
            "ip=1.1.1.1\n",
            "port=80\n",
            "ephemeral=false\n",
            "Listening-Configs=a\u{2}g\u{2}m\u{2}t\u{1}",
            "\u{1}",
            "\u{2}",
            "@@",
            "%02",
            "{\"k\":\"v\"}",
            "k=v,k2=v2",
            "pageSize=-1\n",
            "pageNo=99999999999\n",
            "\n\n",
            "@long-pulling-timeout=30000\n",
            "\u{1e}",
            "é",
            "\u{0}",
        ],
    },
    Target {
        name: "grpc",
        read: grpc_call,
        seeds: grpc_seeds,
        words: &[
            "\"serviceName\":\"s\"",
            "\"namespace\":\"\"",
            "\"groupName\":\"g\"",
            "\"instance\":{}",
            "\"ip\":\"1.1.1.1\"",
            "\"port\":80",
            "\"ephemeral\":false",
            "\"instances\":[",
            "\"configListenContexts\":[",
            "\"listen\":true",
            "\"type\":\"registerInstance\"",
            "\"dataId\":\"d\"",
            "\"md5\":null",
            "\u{1e}",
            ",",
            "}",
        ],
    },
    Target {
        name: "beat",
        read: |input| word(&beat::parse(&text(input)).map(|beat| beat.is_some())),
        seeds: || {
            texts(&[
                r#"{"ip":"1.1.1.1","port":80,"serviceName":"g@@s","cluster":"c","weight":1.5,"ephemeral":true,"metadata":{"a":"b","n":null}}"#,
                r#"{"port":"x"}"#,
                "",
            ])
        },
        words: JSON,
    },
    Target {
        name: "metadata",
        read: |input| word(&parse_metadata(&text(input)).map(|m| m.len())),
        seeds: || {
            texts(&[
                r#"{"a":"b","n":1.0,"f":true,"z":null}"#,
                "a=b,c=d",
                "a=b=c",
                "preserved.heart.beat.timeout=6000",
            ])
        },
        words: JSON,
    },
    Target {
        name: "instances",
        read: |input| {
            word(
                &parse_instances(&text(input))
                    .ok_or("none")
                    .map(|list| list.len()),
            )
        },
        seeds: || {
            texts(&[
                r#"[{"ip":"1.1.1.1","port":80,"clusterName":"c"},{"port":"81"}]"#,
                "",
                "[1]",
            ])
        },
        words: JSON,
    },
    Target {
        name: "selector",
        read: |input| word(&service_json::parse_selector(&text(input)).map_err(|_| "refused")),
        seeds: || {
            texts(&[
                r#"{"type":"label","expression":"CONSUMER.label.a=PROVIDER.label.a"}"#,
                r#"{"type":"none"}"#,
                "%7B%7D",
            ])
        },
        words: JSON,
    },
    Target {
        name: "checker",
        read: |input| word(&service_json::parse_checker(&text(input)).map_err(|_| "refused")),
        seeds: || {
            texts(&[
                r#"{"type":"HTTP","path":"/up","headers":"a:b","expectedResponseCode":200}"#,
                r#"{"type":"MYSQL","user":"u","pwd":"p","cmd":"c"}"#,
                "TCP",
            ])
        },
        words: JSON,
    },
    Target {
        name: "label-names",
        read: |input| word(&label_names(&text(input)).map(|names| names.len())),
        seeds: || {
            texts(&[
                "CONSUMER.label.a = PROVIDER.label.a & CONSUMER.label.b=PROVIDER.label.b",
                "",
            ])
        },
        words: &["CONSUMER.label.", "PROVIDER.label.", "=", "&", " "],
    },
    Target {
        name: "labels",
        read: |input| {
            word(
                &Labels::parse(input)
                    .map(|_| "labels")
                    .map_err(|_| "refused"),
            )
        },
        seeds: || {
            texts(&[
                r#"[{"ip":"1.1.1.1","labels":{"a":"b"}}]"#,
                "[]",
                r#"{"a":1}"#,
            ])
        },
        words: JSON,
    },
    Target {
        name: "policy",
        read: policy,
        seeds: || {
            texts(&[
                "{}",
                r#"{"rule":"weighted-random"}"#,
                r#"{"rule":"p2c","mode":"safe"}"#,
            ])
        },
        words: JSON,
    },
    Target {
        name: "switches",
        read: switch,
        seeds: || {
            texts(&[
                "check=true",
                "pushCacheMillis=12000",
                "distroThreshold=0.5",
                "tcpHealthParams={\"max\":3000,\"min\":500,\"factor\":0.55}",
                "limitedUrlMap=/a:403",
                "masters=a,b",
            ])
        },
        words: &[
            "=",
            "true",
            "-1",
            "1e9",
            "healthCheckTimes",
            "lightBeatEnabled",
            "pushEnabled",
            "{\"max\":",
        ],
    },
    Target {
        name: "udp-ack",
        read: |input| word(&udp::parse_ack(input).ok_or("none").map(|_| "an ack")),
        seeds: || {
            texts(&[
                r#"{"type":"push-ack","lastRefTime":"42","data":""}"#,
                r#"{"type":"push-ack","lastRefTime":42.0}"#,
            ])
        },
        words: JSON,
    },
    Target {
        name: "grpc-dialogue",
        read: dialogue,
        seeds: || {
            texts(&[
                r#"{"clientVersion":"Nacos-Java-Client:v3.1.0","tenant":"","labels":{"AppName":"a","source":"sdk"},"abilityTable":{"x":true}}"#,
                r#"{"requestId":"7","resultCode":200}"#,
            ])
        },
        words: JSON,
    },
    Target {
        name: "settings",
        read: toml,
        seeds: || {
            texts(&[
                "[http]\nport = 8848\n",
                "data = \"x\"\ncompat = \"all\"\n",
                "[log]\nlevel = \"info\"\n",
            ])
        },
        words: &[
            "[http]\n", "port", " = ", "\"", "1GiB", "-1", "'''", "[[a]]\n", "[raft]\n", "true\n",
        ],
    },
    Target {
        name: "command",
        read: command,
        seeds: commands,
        words: &[],
    },
    Target {
        name: "apply",
        read: apply,
        seeds: stories,
        words: &["\u{1e}"],
    },
    Target {
        name: "rows",
        read: rows,
        seeds: row_seeds,
        words: &["\u{0}", "\u{1}", "public"],
    },
    Target {
        name: "snapshot",
        read: |input| word(&Node::from_snapshot(input).map(|node| node.deadline().is_some())),
        seeds: || {
            let mut member = member();
            let empty = member.snapshot();
            commands()
                .into_iter()
                .take(12)
                .for_each(|c| member.commit(c));
            vec![empty, member.snapshot()]
        },
        words: &[],
    },
];

fn text(input: &[u8]) -> String {
    String::from_utf8_lossy(input).into_owned()
}

fn texts(of: &[&str]) -> Vec<Vec<u8>> {
    of.iter().map(|text| text.as_bytes().to_vec()).collect()
}

/// An outcome in few words: names of variants, without what callers gave.
fn word(of: &impl std::fmt::Debug) -> String {
    let word = format!("{of:?}");
    let word = word.split('"').next().unwrap_or_default();
    word.chars().take(40).collect()
}

fn routes() -> &'static (Routes, Vec<&'static Route>) {
    static ROUTES: OnceLock<(Routes, Vec<&'static Route>)> = OnceLock::new();
    ROUTES.get_or_init(|| {
        let routes = Routes::all();
        let rows = routes.rows().collect();
        (routes, rows)
    })
}

/// Requests of HTTP: two bytes choose the route and one how old generations answer, parameters a line, then the body.
fn http(input: &[u8]) -> String {
    let (routes, rows) = routes();
    let mut member = member();
    let mut outcome = String::new();
    for request in input.split(|b| *b == NEXT).take(MOST) {
        let [high, low, compat, rest @ ..] = request else {
            continue;
        };
        let at = (usize::from(*high) * 256 + usize::from(*low)) % rows.len();
        let compat = [Compat::All, Compat::V2, Compat::V3][usize::from(*compat) % 3];
        let facts = facts(compat);
        let plan = plan(&member, routes, rows[at], &facts, rest);
        let status = run(&mut member, None, plan).map_or(0, |answer| answer.status);
        outcome += &format!("{at}:{status} ");
        member.pass(u64::from(*low) * 100);
    }
    outcome
}

/// Each route with all that it may be given, made of plain values.
fn http_seeds() -> Vec<Vec<u8>> {
    let (_, rows) = routes();
    let value = |name: &str| match name {
        "serviceName" => "s",
        "groupName" | "group" => "g",
        "ip" => "1.1.1.1",
        "port" => "80",
        "content" => "a=b",
        "Listening-Configs" => "d\u{2}g\u{2}900150983cd24fb0d6963f7d28e17f72\u{2}t\u{1}",
        "beat" => r#"{"ip":"1.1.1.1","port":80,"serviceName":"g@@s"}"#,
        "metadata" => "k=v",
        "selector" => r#"{"type":"none"}"#,
        "healthChecker" => r#"{"type":"TCP"}"#,
        "pageNo" | "pageSize" => "1",
        "search" => "blur",
        _ => "x",
    };
    let seed = |(at, route): (usize, &&Route)| {
        let mut bytes = vec![(at / 256) as u8, (at % 256) as u8, 0];
        for param in route.params {
            bytes.extend(format!("{}={}\n", param.name, value(param.name)).bytes());
        }
        if let Some((name, wanted)) = route.when {
            bytes.extend(format!("{name}={wanted}\n").bytes());
        }
        bytes
    };
    rows.iter().enumerate().map(seed).collect()
}

/// Requests on a connection: a byte chooses the kind, the rest is the body.
fn grpc_call(input: &[u8]) -> String {
    let kinds: Vec<&'static str> = grpc::routes().map(|route| route.kind).collect();
    let mut member = member();
    let (facts, details) = (facts(Compat::All), details());
    let mut outcome = String::new();
    for request in input.split(|b| *b == NEXT).take(MOST) {
        let [kind, body @ ..] = request else {
            continue;
        };
        let kind = kinds[usize::from(*kind) % kinds.len()];
        let plan = grpc::plan(&grpc::GrpcCall {
            kind,
            body,
            header: &|_| None,
            details: &details,
            view: member.view(),
            now: member.now(),
            server: &facts,
        });
        let ok = run(&mut member, Some(CONN), plan).map(|answer| answer.is_ok());
        outcome += &format!("{kind}:{ok:?} ");
        member.pass(600);
    }
    outcome
}

fn grpc_seeds() -> Vec<Vec<u8>> {
    let bodies = [
        r#"{"namespace":"public","serviceName":"s","groupName":"g","type":"registerInstance","instance":{"ip":"1.1.1.1","port":80,"weight":1.0,"healthy":true,"enabled":true,"ephemeral":true,"clusterName":"c","metadata":{"a":"b"}}}"#,
        r#"{"namespace":"public","serviceName":"s","groupName":"g","type":"batchRegisterInstance","instances":[{"ip":"1.1.1.1","port":80,"ephemeral":true}]}"#,
        r#"{"namespace":"","serviceName":"s","groupName":"g","clusters":"","subscribe":true,"udpPort":0,"healthyOnly":false,"pageNo":1,"pageSize":10,"selector":"{}"}"#,
        r#"{"dataId":"d","group":"g","tenant":"","content":"x","casMd5":"","additionMap":{"type":"json","appName":"a","config_tags":"a,b","betaIps":"1.1.1.1"}}"#,
        r#"{"listen":true,"configListenContexts":[{"dataId":"d","group":"g","tenant":"","md5":""}]}"#,
        r#"{"groupKeyPattern":"public>>g>>*","watchType":"ADD","initializing":true,"receivedGroupKeys":["a@@b@@c"],"isInitializing":true}"#,
        r#"{"lockInstance":{"key":"k","expiredTime":1000,"lockType":"NACOS_LOCK"},"lockOperationEnum":"ACQUIRE"}"#,
    ];
    let kinds = grpc::routes().count();
    let of = |body: &str| -> Vec<Vec<u8>> {
        let seed = |kind: usize| [&[kind as u8], body.as_bytes()].concat();
        (0..kinds).map(seed).collect()
    };
    bodies.iter().flat_map(|body| of(body)).collect()
}

fn policy(input: &[u8]) -> String {
    let _known = RuleName::parse(&text(input));
    word(
        &Policy::from_json(input)
            .map(|_| "a policy")
            .map_err(|e| word(&e)),
    )
}

fn switch(input: &[u8]) -> String {
    let text = text(input);
    let (entry, value) = text.split_once('=').unwrap_or((&text, ""));
    word(&Switches::default().set(entry, value).map_err(|_| "refused"))
}

fn dialogue(input: &[u8]) -> String {
    let setup = grpc::parse_setup(input).is_some();
    let ack = |kind| grpc::parse_ack(kind, input).is_some();
    format!(
        "{setup} {} {}",
        ack("NotifySubscriberResponse"),
        ack("ErrorResponse")
    )
}

fn toml(input: &[u8]) -> String {
    let path = std::env::temp_dir().join(format!("nacrite-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, input).expect("the folder of temporary files can be written");
    let loaded = Settings::load(Some(&path), [], []);
    let outcome = match &loaded {
        Ok(_) => "settings".to_owned(),
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty(), "a refusal says why");
            word(error)
        }
    };
    let _ = std::fs::remove_file(&path);
    outcome
}

/// What a node proposes in a while.
fn commands() -> Vec<Vec<u8>> {
    static COMMANDS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    let made = || {
        let mut world = World::new(3);
        let mut node = Node::new(&settings(2));
        let mut found: Vec<Vec<u8>> = Vec::new();
        let mut batch = world.start();
        while found.len() < 400 {
            batch
                .drain(..)
                .for_each(|(now, input)| node.handle(now, input));
            let outputs: Vec<Output> = std::iter::from_fn(|| node.poll()).collect();
            for output in &outputs {
                if let Output::Propose { command, .. } = output {
                    found.push(command.clone());
                }
            }
            world.follow(&outputs, node.deadline());
            batch = world.batch(8);
        }
        found
    };
    COMMANDS.get_or_init(made).clone()
}

/// A command that can be read is written as it was, and read again.
fn command(input: &[u8]) -> String {
    match Command::decode(input) {
        Ok(command) => {
            let again = Command::decode(&command.encode()).expect("what is written can be read");
            assert_eq!(again.encode(), command.encode(), "written twice alike");
            let _stamp = command.stamp();
            word(&command)
        }
        Err(error) => word(&error),
    }
}

/// Commands one after the other, each after its length in two bytes.
fn stories() -> Vec<Vec<u8>> {
    let all = commands();
    let story = |of: &[Vec<u8>]| {
        let mut bytes = Vec::new();
        for command in of {
            let length = u16::try_from(command.len()).unwrap_or(u16::MAX);
            bytes.extend(length.to_le_bytes());
            bytes.extend(&command[..usize::from(length)]);
        }
        bytes
    };
    all.chunks(MOST).map(story).collect()
}

/// `apply` is total, and what it wrote can be read back.
fn apply(input: &[u8]) -> String {
    let mut member = member();
    let (mut rest, mut outcome) = (input, String::new());
    for _ in 0..MOST {
        let Some((length, tail)) = rest.split_first_chunk::<2>() else {
            break;
        };
        let length = usize::from(u16::from_le_bytes(*length)).min(tail.len());
        let (command, tail) = tail.split_at(length);
        rest = tail;
        if let Ok(read) = Command::decode(command) {
            outcome += &word(&read)[..4];
            member.commit(command.to_vec());
        }
    }
    member.pass(200_000);
    let snapshot = member.snapshot();
    let again = Node::from_snapshot(&snapshot).expect("a node's own snapshot can be read");
    assert!(
        again.snapshot() == snapshot,
        "a restored node is what it was"
    );
    member.restart();
    member.pass(200_000);
    outcome
}

/// A byte chooses the reader: of values, then of keys.
fn rows(input: &[u8]) -> String {
    let [reader, bytes @ ..] = input else {
        return String::new();
    };
    let ok = match reader % 15 {
        0 => ConfigRow::decode(bytes)
            .map(|row| drop(row.encode()))
            .is_ok(),
        1 => HistoryRow::decode(bytes)
            .map(|row| drop((row.ext_info(), row.gray_name(), row.encode())))
            .is_ok(),
        2 => CapacityRow::decode(bytes)
            .map(|row| drop(row.encode()))
            .is_ok(),
        3 => read_namespace(bytes).is_ok(),
        4 => read_lock(bytes).is_ok(),
        5 => read_policy_version(bytes).is_ok(),
        6 => read_config_key(bytes).is_some(),
        7 => read_history_key(bytes).is_some(),
        8 => read_history_time_key(bytes).is_some(),
        9 => read_capacity_key(bytes).is_some(),
        10 => read_namespace_key(bytes).is_some(),
        11 => read_lock_key(bytes).is_some(),
        12 => read_policy_key(bytes).is_some(),
        13 => read_plugin_key(bytes).is_some(),
        _ => read_plugin(bytes).is_ok(),
    };
    format!("{} {ok}", reader % 15)
}

fn row_seeds() -> Vec<Vec<u8>> {
    let mut member = member();
    commands().into_iter().for_each(|c| member.commit(c));
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for (key, value) in member.rows().take(60) {
        for reader in 0..15_u8 {
            let bytes = if reader < 6 || reader == 14 {
                value
            } else {
                key
            };
            seeds.push([&[reader], bytes].concat());
        }
    }
    seeds
}
