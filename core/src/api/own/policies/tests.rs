use super::*;
use crate::{
    api::{
        Compat, Routes,
        tests::{View, ask, plan, told},
    },
    view::Delta,
};

const PATH: &str = "/nacrite/v1/policies";

fn item(revision: u64, document: &str) -> PolicyItem {
    PolicyItem {
        revision,
        document: Some(document.into()),
        plugin: None,
        modified: 7,
        user: "u".into(),
        ip: "1.1.1.1".into(),
    }
}

fn view() -> View {
    let with = |view: View, scope, item| {
        view.with(Delta::Policy {
            scope,
            item: Some(Arc::new(item)),
        })
    };
    let view = with(
        View::default(),
        PolicyScope::of("", "", ""),
        item(3, r#"{"rule":"random"}"#),
    );
    with(
        view,
        PolicyScope::of("", "g", "orders"),
        item(5, r#"{"rule":"maglev"}"#),
    )
}

fn get(query: &str) -> (u16, Value) {
    let uri = format!("{PATH}{query}");
    let (status, _, body) = ask(&Routes::all(), &view(), Compat::All, Method::Get, &uri);
    (status, serde_json::from_str(&body).unwrap())
}

fn refused(method: Method, query: &str) -> (u16, String) {
    let uri = format!("{PATH}{query}");
    match plan(&Routes::all(), &view(), Compat::All, method, &uri) {
        Plan::Answer(answer) => {
            let (status, _, body) = told(&answer);
            (status, body)
        }
        _ => panic!("{query} is not refused"),
    }
}

#[test]
fn a_policy_is_shown_as_it_was_written() {
    let (status, own) = get("?serviceName=g@@orders");
    assert_eq!(status, 200);
    let shown = json!({
        "namespaceId": "public", "groupName": "g", "serviceName": "orders", "revision": 5,
        "policy": {"rule": "maglev"}, "modified": 7, "user": "u", "ip": "1.1.1.1",
    });
    assert_eq!(own["data"], shown);
    let parsed: PolicyJson = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(serde_json::to_value(parsed).unwrap(), shown);
    assert_eq!(get("").1["data"]["revision"], 3);
    let (status, body) = get("?serviceName=other");
    assert_eq!(status, 404);
    assert!(
        body["data"]
            .as_str()
            .unwrap()
            .contains("DEFAULT_GROUP@@other of namespace public has no policy")
    );
}

#[test]
fn a_service_without_one_has_that_of_its_namespace() {
    let revision = |query| get(query).1["data"]["revision"].clone();
    assert_eq!(revision("/effective?groupName=g&serviceName=orders"), 5);
    assert_eq!(revision("/effective?serviceName=other"), 3);
    assert_eq!(get("/effective?namespaceId=n&serviceName=other").0, 404);
    assert_eq!(get("/effective").0, 400);
}

#[test]
fn lists_are_paged() {
    let (_, all) = get("/list?pageSize=1&pageNo=2");
    assert_eq!(all["data"]["totalCount"], 2);
    assert_eq!(all["data"]["pageItems"][0]["revision"], 5);
    assert_eq!(get("/list?namespaceId=n").1["data"]["totalCount"], 0);
    assert_eq!(get("/list?namespaceId=").1["data"]["totalCount"], 2);
    assert_eq!(get("/list?pageNo=0").0, 400);
}

#[test]
fn what_is_no_policy_is_refused_with_what_would_be() {
    for (query, says) in [
        ("", "a policy must be given"),
        (
            r#"?policy={"rule":"round-robbin"}"#,
            r#"the nearest names are round-robin"#,
        ),
        (
            r#"?policy={"panicShare":2}"#,
            "panicShare must be between 0 and 1",
        ),
        (r#"?policy={"rul":1}"#, "unknown field"),
        (
            r#"?policy={"rule":"random"}&pluginDigest=ab"#,
            "random is none",
        ),
        (
            r#"?policy={"rule":"wasm:p"}&pluginDigest=ab"#,
            "64 hexadecimal digits",
        ),
        (r"?policy={}&revision=-1", "revision must not be negative"),
    ] {
        let (status, body) = refused(Method::Put, query);
        assert_eq!(status, 400, "{query}: {body}");
        assert!(body.contains(says), "{query}: {body}");
    }
    let long = format!("?policy={{\"zone\":\"{}\"}}", "z".repeat(MAX_DOCUMENT));
    assert!(refused(Method::Put, &long).1.contains("at most 16384"));
    assert_eq!(refused(Method::Post, "/rollback").0, 400);
}

#[test]
fn a_write_is_handed_over_checked_and_compact() {
    let digest = "0".repeat(64);
    let query = format!(
        "?serviceName=g@@s&revision=5&policy={{ \"rule\": \"wasm:p\" }}&pluginDigest={digest}"
    );
    let uri = format!("{PATH}{query}");
    let Plan::Submit { op, then, .. } =
        plan(&Routes::all(), &view(), Compat::All, Method::Put, &uri)
    else {
        panic!("not handed over");
    };
    let expected = Op::PutPolicy {
        scope: PolicyScope::of("", "g", "s"),
        document: r#"{"rule":"wasm:p"}"#.into(),
        plugin: Some(PolicyPlugin {
            name: "p".into(),
            digest: (*digest).into(),
        }),
        expected: Some(5),
    };
    assert_eq!(op, expected);
    let Plan::Answer(answer) = then(Err(crate::node::reply::Refusal::PolicyConflict(6)), &view())
    else {
        panic!("not answered");
    };
    let (status, _, body) = told(&answer);
    assert_eq!(status, 409);
    assert!(body.contains("has revision 6"), "{body}");
}
