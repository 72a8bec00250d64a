//! Tests of what the routes in the wrapper submit and answer, with made-up replies.

mod config;

use alloc::{format, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use crate::{
    api::{
        Compat, Method, Plan, Routes,
        tests::{View, plan, told},
    },
    log::Row,
    model::{
        ConfigItem, ConfigKey, ConfigType, ConfigVersion, ContentRef, GrayItem, GrayRule, Instance,
        InstanceKey, Md5, Metadata, ServiceKey, Weight,
    },
    node::{
        op::{CapacityOf, Op},
        reply::{Answered, Client, Refusal, Reply, ServiceClient},
    },
    view::{CapacityItem, Delta, InstanceChange, NamespaceItem},
};

fn instance(n: u8, cluster: &str, healthy: bool) -> InstanceChange {
    InstanceChange::Put(Arc::new(Instance {
        key: InstanceKey::new(&format!("10.0.0.{n}"), 80, cluster),
        weight: Weight::default(),
        healthy,
        enabled: true,
        ephemeral: true,
        metadata: Metadata::default(),
        instance_id: Arc::default(),
    }))
}

fn version(content: &str) -> ConfigVersion {
    ConfigVersion {
        content: ContentRef {
            index: content.len() as u64,
            md5: Md5::of(content.as_bytes()),
            bytes: 3,
        },
        kind: ConfigType::Yaml,
        app: "app".into(),
        desc: "".into(),
        usage: "".into(),
        effect: "".into(),
        schema: "".into(),
        tags: "x,y".into(),
        encrypted_data_key: "".into(),
        created: 5,
        modified: 7,
        create_user: "".into(),
        create_ip: "1.1.1.1".into(),
    }
}

fn view() -> View {
    let item = ConfigItem {
        id: 9,
        formal: Some(version("k: 1")),
        grays: Vec::from([GrayItem {
            name: "beta".into(),
            rule: GrayRule::Beta {
                ips: "10.1.1.1".into(),
            },
            version: version("k: beta"),
        }]),
    };
    let namespace = NamespaceItem {
        name: "Three".into(),
        desc: "d".into(),
        created: 1,
    };
    View::default()
        .with_service(
            &ServiceKey::new("", "", "s"),
            None,
            Vec::from([
                instance(1, "", true),
                instance(2, "", false),
                instance(3, "C", true),
            ]),
        )
        .with(Delta::Config {
            key: ConfigKey::new("", "G", "k.a"),
            item: Some(Arc::new(item)),
        })
        .with(Delta::Namespace {
            id: "ns".into(),
            item: Some(namespace),
        })
        .with(Delta::Capacity {
            of: CapacityOf::Group("G".into()),
            item: CapacityItem {
                usage: 4,
                max_size: 2048,
                ..CapacityItem::default()
            },
        })
}

/// The answer after all steps, with the same reply to each question and these rows and contents.
fn run(method: Method, uri: &str, replies: &Answered, rows: &[Row]) -> (u16, Value) {
    let view = view();
    let mut next = plan(&Routes::all(), &view, Compat::All, method, uri);
    loop {
        next = match next {
            Plan::Answer(answer) => {
                let (status, _, body) = told(&answer);
                return (
                    status,
                    serde_json::from_str(&body).unwrap_or(Value::String(body)),
                );
            }
            Plan::Submit { then, .. } => then(replies.clone(), &view),
            Plan::Rows { then, .. } => then((rows.len(), rows.to_vec()), &view),
            Plan::Contents { indexes, then } => {
                let content = |i: &u64| {
                    Some(Arc::from(if *i == 4 {
                        &b"k: 1"[..]
                    } else {
                        &b"k: beta"[..]
                    }))
                };
                then(indexes.iter().map(content).collect(), &view)
            }
            Plan::Clients { then, .. } => then(Vec::new(), &view),
            Plan::Examine { .. } => panic!("no route of Nacos takes plugins"),
            Plan::LogLevel { then, .. } => then(Ok(()), &view),
            Plan::Long(look) => look(&view),
        };
    }
}

fn get(uri: &str) -> Value {
    run(Method::Get, uri, &Ok(Reply::Done), &[]).1["data"].clone()
}

fn submitted(method: Method, uri: &str) -> Op {
    match plan(&Routes::all(), &view(), Compat::All, method, uri) {
        Plan::Submit { op, .. } => op,
        _ => panic!("{uri} submits nothing"),
    }
}

#[test]
fn lists_of_instances_have_each_generations_shape() {
    let v2 = get("/v2/ns/instance/list?serviceName=s");
    assert_eq!(
        (&v2["name"], v2["hosts"].as_array().map(Vec::len)),
        (&json!("DEFAULT_GROUP@@s"), Some(3))
    );
    assert!(v2["hosts"][0].get("instanceId").is_none());
    assert_eq!(
        get("/v3/client/ns/instance/list?serviceName=s")
            .as_array()
            .map(Vec::len),
        Some(2)
    );
    let healthy = get("/v3/admin/ns/instance/list?serviceName=s&healthyOnly=true");
    assert_eq!(
        (healthy.as_array().map(Vec::len), &healthy[0]["ip"]),
        (Some(1), &json!("10.0.0.1"))
    );
    let page = get("/v3/console/ns/instance/list?serviceName=s&pageNo=2&pageSize=1");
    assert_eq!(
        (
            &page["totalCount"],
            &page["pagesAvailable"],
            &page["pageItems"][0]["ip"]
        ),
        (&json!(2), &json!(3), &json!("10.0.0.2"))
    );
    let catalog = get("/v2/ns/catalog/instances?serviceName=s&pageNo=9&pageSize=5");
    assert_eq!(catalog, json!({"count": 3}), "an empty page has no list");
    let missing = run(
        Method::Get,
        "/v3/admin/ns/instance/list?serviceName=s&clusterName=X",
        &Ok(Reply::Done),
        &[],
    );
    assert_eq!((missing.0, &missing.1["code"]), (404, &json!(30_000)));
    assert_eq!(
        get("/v2/ns/instance?serviceName=s&ip=10.0.0.1&port=80")["instanceId"],
        Value::Null
    );
}

#[test]
fn a_beat_of_v3_only_beats() {
    let uri = "/v3/client/ns/instance?serviceName=s&ip=10.0.0.1&port=80";
    assert!(matches!(submitted(Method::Post, uri), Op::Register { .. }));
    let beat = format!("{uri}&heartBeat=true");
    assert!(matches!(
        submitted(Method::Post, &beat),
        Op::Beat { full: None, .. }
    ));
    let unknown = Ok(Reply::Beat {
        interval: 5_000,
        known: false,
        light: true,
    });
    let want = json!({"code": 21_003, "message": "instance not found", "data": null});
    assert_eq!(run(Method::Post, &beat, &unknown, &[]), (200, want.clone()));
    let persistent = Err(Refusal::OtherKind {
        service: ServiceKey::new("", "", "s"),
        persistent: true,
    });
    assert_eq!(run(Method::Post, &beat, &persistent, &[]), (200, want));
}

#[test]
fn refusals_have_the_codes_of_the_table() {
    let told = |method, uri: &str, refusal| {
        let (status, body) = run(method, uri, &Err(refusal), &[]);
        (status, body["code"].clone(), body["data"].clone())
    };
    for path in ["/v2/ns/instance", "/v3/client/ns/instance"] {
        let register = format!("{path}?serviceName=s&ip=10.0.0.1&port=80&clusterName=a_b");
        let illegal = Refusal::Illegal("not this cluster".into());
        assert_eq!(
            told(Method::Post, &register, illegal),
            (400, json!(21_004), json!("not this cluster"))
        );
    }
    let cluster = r#"/v3/admin/ns/cluster?serviceName=s&clusterName=C&checkPort=80&useInstancePort4Check=true&healthChecker={"type":"TCP"}"#;
    let (status, code, text) = told(Method::Put, cluster, Refusal::ServiceNotFound);
    assert_eq!((status, code), (400, json!(30_000)));
    assert!(
        text.as_str()
            .is_some_and(|t| t.starts_with("service not found, namespace: public"))
    );
}

#[test]
fn a_partial_change_fills_what_is_not_given() {
    let uri = "/v3/admin/ns/instance/partial?serviceName=s&ip=10.0.0.1&port=80&enabled=false";
    let Op::PatchInstance {
        weight,
        enabled,
        metadata,
        ..
    } = submitted(Method::Put, uri)
    else {
        panic!("changes an instance")
    };
    assert_eq!(
        (weight.map(Weight::get), enabled, metadata),
        (Some(1.0), Some(false), None)
    );
}

#[test]
fn clients_have_each_generations_shape() {
    let key = InstanceKey::new("1.1.1.1", 80, "");
    let client = Ok(Reply::Client(Client {
        id: "1.1.1.1:80#true".into(),
        ephemeral: true,
        updated: 3,
        connection: None,
        published: Vec::from([(ServiceKey::new("", "", "s"), key.clone())]),
        subscribed: Vec::new(),
    }));
    let ask = |uri| run(Method::Get, uri, &client, &[]).1["data"].clone();
    let v2 = json!({"clientId": "1.1.1.1:80#true", "ephemeral": true, "lastUpdatedTime": 3, "clientType": "ipPort"});
    assert_eq!(ask("/v2/ns/client?clientId=c"), v2);
    assert_eq!(ask("/v3/admin/ns/client?clientId=c")["clientPort"], 0);
    assert_eq!(
        ask("/v2/ns/client/publish/list?clientId=c")[0]["registeredInstance"]["cluster"],
        "DEFAULT"
    );
    assert_eq!(
        ask("/v3/admin/ns/client/publish/list?clientId=c")[0]["publisherInfo"]["clusterName"],
        "DEFAULT"
    );
    let missing = run(
        Method::Get,
        "/v3/admin/ns/client?clientId=c",
        &Err(Refusal::ClientNotFound),
        &[],
    );
    assert_eq!(
        (missing.0, &missing.1["data"]),
        (404, &json!("clientId [ c ] not exist"))
    );
    let all = Ok(Reply::ServiceClients(Vec::from([ServiceClient {
        client: "c".into(),
        key,
        agent: "".into(),
        app: "".into(),
    }])));
    let of = |uri: &str| {
        run(Method::Get, uri, &all, &[]).1["data"]
            .as_array()
            .map(Vec::len)
    };
    let (v2, v3) = (
        "/v2/ns/client/service/publisher/list",
        "/v3/admin/ns/client/service/publisher/list",
    );
    assert_eq!(
        of(&format!("{v2}?serviceName=s")),
        Some(0),
        "v2 wants the address"
    );
    assert_eq!(
        of(&format!("{v2}?serviceName=s&ip=1.1.1.1&port=80")),
        Some(1)
    );
    assert_eq!(of(&format!("{v3}?serviceName=s")), Some(1));
    assert_eq!(of(&format!("{v3}?serviceName=s&port=81")), Some(0));
}

#[test]
fn namespaces_are_spelt_as_each_generation_does() {
    assert_eq!(get("/v2/console/namespace/list")[0]["namespace"], "");
    let v3 = get("/v3/admin/core/namespace/list");
    assert_eq!(
        (&v3[0]["namespace"], &v3[1]["namespace"], &v3[1]["type"]),
        (&json!("public"), &json!("ns"), &json!(1))
    );
    assert_eq!(get("/v3/admin/core/namespace/check?namespaceId=ns"), 1);
    assert_eq!(
        get("/v3/console/core/namespace/exist?customNamespaceId=no"),
        false
    );
    let taken = |uri| run(Method::Post, uri, &Err(Refusal::NamespaceExists), &[]).1["code"].clone();
    assert_eq!(
        taken("/v2/console/namespace?namespaceId=ns&namespaceName=n"),
        22_000
    );
    assert_eq!(
        taken("/v3/admin/core/namespace?namespaceId=ns&namespaceName=n"),
        22_002
    );
    let console = submitted(Method::Post, "/v3/console/core/namespace?namespaceName=n");
    assert!(matches!(console, Op::CreateNamespace { id, .. } if id.is_empty()));
}
