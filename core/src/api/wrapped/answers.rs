//! Tests of what the routes in the wrapper submit and answer, with made-up replies.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use crate::{
    api::{
        Compat, Method, Plan, Routes,
        tests::{View, plan, told},
    },
    config::{HistoryOp, HistoryRow, history_key},
    log::{Row, Table},
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
    assert_eq!(run(Method::Post, &beat, &unknown, &[]), (200, want));
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

#[test]
fn contents_are_shown_as_recorded() {
    assert_eq!(get("/v2/cs/config?dataId=k.a&group=G"), "k: 1");
    let client = get("/v3/client/cs/config?dataId=k.a&groupName=G");
    assert_eq!(
        (&client["content"], &client["contentType"], &client["beta"]),
        (&json!("k: 1"), &json!("yaml"), &json!(false))
    );
    let admin = get("/v3/admin/cs/config?dataId=k.a&groupName=G");
    let want = json!({"id": "9", "namespaceId": "public", "groupName": "G", "dataId": "k.a", "md5": "91f4a7bb25cd3347fcc9821061b42d2a",
        "type": "yaml", "appName": "app", "createTime": 5, "modifyTime": 7, "content": "k: 1", "desc": null, "encryptedDataKey": "",
        "createUser": null, "createIp": "1.1.1.1", "configTags": "x,y"});
    assert_eq!(admin, want);
    let beta = get("/v3/admin/cs/config/beta?dataId=k.a&groupName=G");
    let rule = r#"{"type":"beta","version":"1.0.0","expr":"10.1.1.1","priority":2147483647}"#;
    assert_eq!(
        (&beta["content"], &beta["grayRule"]),
        (&json!("k: beta"), &json!(rule))
    );
    assert_eq!(
        get("/v3/console/cs/config?dataId=none&groupName=G"),
        Value::Null
    );
    assert_eq!(get("/v3/admin/cs/capacity?groupName=G")["maxSize"], 2048);
}

#[test]
fn configs_are_found_by_name_and_by_content() {
    let found =
        |query: &str| get(&format!("/v3/admin/cs/config/list?{query}"))["totalCount"].clone();
    assert_eq!(found("dataId=k.*"), 1);
    assert_eq!(found("dataId=k.*&search=accurate"), 0);
    assert_eq!(found("type=json"), 0);
    assert_eq!(found("configDetail=: 1"), 1);
    assert_eq!(found("configDetail=*: 2*"), 0);
    let v2 = "/v2/cs/config/searchDetail?dataId=*&group=&config_detail=*: 1*&search=blur&pageNo=1&pageSize=10";
    let page = run(Method::Get, v2, &Ok(Reply::Done), &[]).1;
    assert_eq!(
        (&page["totalCount"], &page["pageItems"][0]["content"]),
        (&json!(1), &json!("k: 1"))
    );
}

#[test]
fn a_publish_says_all_that_was_given() {
    let uri = "/v3/console/cs/config?dataId=d&groupName=G&namespaceId=ns&content= x=1 &type=properties&configTags=a,b&srcUser=u&tag=t";
    let Op::Publish(publish) = submitted(Method::Post, uri) else {
        panic!("publishes")
    };
    assert_eq!(publish.key, ConfigKey::new("ns", "G", "d"));
    assert_eq!(publish.content.md5, Md5::of(b" x=1 "), "not trimmed");
    assert_eq!(
        (publish.kind, &*publish.tags, &*publish.user),
        (ConfigType::Properties, "a,b", "u")
    );
    assert_eq!(publish.gray, Some(GrayRule::Tag { tag: "t".into() }));
    let cas = run(Method::Post, uri, &Err(Refusal::CasMismatch), &[]);
    assert_eq!((cas.0, &cas.1["code"]), (500, &json!(20_005)));
    // The console's routes have no filter before them.
    let bad = run(
        Method::Post,
        "/v3/console/cs/config?dataId=a/b&groupName=G&content=x",
        &Ok(Reply::Done),
        &[],
    );
    assert_eq!(
        (bad.0, &bad.1["data"]),
        (400, &json!("invalid dataId : a/b"))
    );
}

#[test]
fn history_is_shown_as_recorded() {
    let key = ConfigKey::new("", "G", "k.a");
    let row = HistoryRow {
        op: HistoryOp::Update,
        id: 9,
        rule: None,
        version: version("k: 1"),
        user: "".into(),
        ip: "1.1.1.1".into(),
        stamp: 1_795_223_535_340,
    };
    let rows = [Row {
        table: Table::History,
        key: history_key(&key, 22),
        value: row.encode(),
    }];
    let ask = |uri: &str| run(Method::Get, uri, &Ok(Reply::Done), &rows).1["data"].clone();
    let v2 = ask("/v2/cs/history?dataId=k.a&group=G&nid=22");
    let fields = [
        "id",
        "content",
        "opType",
        "createdTime",
        "extInfo",
        "tenant",
    ]
    .map(|f| v2[f].as_str().map(String::from));
    let want = [
        "22",
        "k: 1",
        "U         ",
        "2010-05-05T00:00:00.000+00:00",
        r#"{"type":"yaml"}"#,
        "",
    ];
    assert_eq!(fields, want.map(|f| Some(f.into())));
    let list = ask("/v3/admin/cs/history/list?dataId=k.a&groupName=G");
    assert_eq!(
        (&list["totalCount"], &list["pageItems"][0]["createTime"]),
        (&json!(1), &json!(1_273_017_600_000_u64))
    );
    assert_eq!(
        ask("/v3/admin/cs/history/previous?dataId=k.a&groupName=G&id=9")["md5"],
        version("k: 1").content.md5.hex()
    );
    let none = "/v3/admin/cs/history?dataId=k.a&groupName=G&nid=99";
    let none = run(Method::Get, none, &Ok(Reply::Done), &[]);
    assert_eq!(
        (none.0, &none.1["data"]),
        (400, &json!("Source must not be null"))
    );
    let none = run(
        Method::Get,
        "/v2/cs/history?dataId=k.a&group=G&nid=99",
        &Ok(Reply::Done),
        &[],
    );
    assert_eq!((none.0, &none.1["data"]), (200, &Value::Null));
}

#[test]
fn a_change_is_shown_with_both_its_sides() {
    let key = ConfigKey::new("", "G", "k.a");
    let row = |nid: u64, op: HistoryOp, content: &str, rule: Option<GrayRule>| Row {
        table: Table::History,
        key: history_key(&key, nid),
        value: HistoryRow {
            op,
            id: 9,
            rule,
            version: version(content),
            user: "".into(),
            ip: "1.1.1.1".into(),
            stamp: 1_795_223_535_340,
        }
        .encode(),
    };
    let tag = GrayRule::Tag { tag: "t".into() };
    let rows = [
        row(25, HistoryOp::Update, "longer", None),
        row(24, HistoryOp::Insert, "gray", Some(tag)),
        row(23, HistoryOp::Update, "first", None),
        row(22, HistoryOp::Insert, "first", None),
    ];
    let ask = |nid: u64| {
        let uri = format!("/v2/cs/history/detail?dataId=k.a&group=G&nid={nid}");
        run(Method::Get, &uri, &Ok(Reply::Done), &rows).1["data"].clone()
    };
    let md5s = |nid| {
        let shown = ask(nid);
        (shown["originalMd5"].clone(), shown["updatedMd5"].clone())
    };
    let md5 = |content: &str| Value::from(Md5::of(content.as_bytes()).hex());
    assert_eq!(md5s(22), (Value::Null, md5("first")));
    assert_eq!(
        md5s(23),
        (md5("first"), md5("longer")),
        "not the gray one's"
    );
    assert_eq!(md5s(25), (md5("longer"), md5("k: 1")), "what stands now");
    assert_eq!(
        (&ask(25)["updatedContent"], &ask(25)["opType"]),
        (&json!("k: 1"), &json!("U"))
    );
    assert_eq!(
        ask(24)["updateExtInfo"].as_str().map(|t| t.contains("tag")),
        Some(true)
    );
    assert_eq!(ask(21), Value::Null);
}

#[test]
fn exports_imports_and_clones_are_those_of_v1_in_the_wrapper() {
    let exported = plan(
        &Routes::all(),
        &view(),
        Compat::All,
        Method::Get,
        "/v3/console/cs/config/export2?ids=9",
    );
    let Plan::Long(look) = exported else {
        panic!("goes through the configs")
    };
    let Plan::Contents { indexes, then } = look(&view()) else {
        panic!("reads the contents")
    };
    assert_eq!(indexes, [4]);
    let Plan::Answer(archive) = then(Vec::from([Some(Arc::from(&b"k: 1"[..]))]), &view()) else {
        panic!("is answered")
    };
    assert!(
        archive
            .bytes()
            .is_some_and(|bytes| bytes.starts_with(b"PK"))
    );
    let code = |uri: &str| run(Method::Post, uri, &Ok(Reply::Done), &[]).1["code"].clone();
    assert_eq!(code("/v3/admin/cs/config/import?namespaceId=ns"), 100_005);
    assert_eq!(
        code("/v3/console/cs/config/clone?targetNamespaceId=ns"),
        100_006
    );
    assert_eq!(code("/v3/admin/cs/config/clone?namespaceId=ns"), 100_006);
}
