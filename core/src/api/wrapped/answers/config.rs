//! Those of configs.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{get, run, submitted, version, view};
use crate::{
    api::{Compat, Method, Plan, Routes, tests::plan},
    config::{HistoryOp, HistoryRow, history_key},
    log::{Row, Table},
    model::{ConfigItem, ConfigKey, ConfigType, GrayItem, GrayRule, Md5},
    node::{
        op::Op,
        reply::{Refusal, Reply},
    },
    view::Delta,
};

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
fn the_tag_that_led_to_a_content_is_encoded() {
    let rule = GrayRule::Tag {
        tag: "a:名".into()
    };
    let item = ConfigItem {
        id: 9,
        formal: None,
        grays: Vec::from([GrayItem {
            name: rule.name(),
            rule,
            version: version("k: 1"),
        }]),
    };
    let view = view().with(Delta::Config {
        key: ConfigKey::new("", "G", "tagged"),
        item: Some(Arc::new(item)),
    });
    for uri in [
        "/v1/cs/configs?dataId=tagged&group=G&tag=a:名",
        "/v2/cs/config?dataId=tagged&group=G&tag=a:名",
    ] {
        let answer = match plan(&Routes::all(), &view, Compat::All, Method::Get, uri) {
            Plan::Answer(answer) => answer,
            Plan::Contents { then, .. } => {
                let read = Vec::from([Some(Arc::from(&b"k: 1"[..]))]);
                let Plan::Answer(answer) = then(read, &view) else {
                    panic!("{uri} takes another step")
                };
                answer
            }
            _ => panic!("{uri} takes another step"),
        };
        let tag = answer.headers.iter().find(|(name, _)| *name == "tag");
        assert_eq!(tag.map(|(_, v)| &**v), Some("a%3A%E5%90%8D"), "{uri}");
    }
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
