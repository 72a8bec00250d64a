use alloc::vec;

use super::*;
use crate::{
    api::{
        Call, Compat, Routes,
        tests::{View, facts, told},
    },
    node::input::Now,
    view::Delta,
};

const PATH: &str = "/nacrite/v1/plugins";

fn item(revision: u64, bytes: Option<&[u8]>) -> PluginItem {
    PluginItem {
        revision,
        module: bytes.map(|bytes| PluginModule {
            digest: Sha256::of(bytes),
            content: ContentRef {
                index: revision,
                md5: Md5::of(bytes),
                bytes: u32::try_from(bytes.len()).unwrap(),
            },
        }),
        modified: 7,
        user: "u".into(),
        ip: "1.1.1.1".into(),
    }
}

fn view() -> View {
    let with = |view: View, name: &str, versions: Vec<PluginItem>| {
        view.with(Delta::Plugin {
            name: name.into(),
            versions: Some(versions.into()),
        })
    };
    let view = with(
        View::default(),
        "canary",
        vec![item(3, Some(b"one")), item(5, Some(b"two"))],
    );
    with(view, "gone", vec![item(6, Some(b"one")), item(7, None)])
}

fn plan(operator: bool, method: Method, query: &str, body: &[u8]) -> Plan {
    let (path, query) = query.split_once('?').unwrap_or((query, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let params: Vec<_> = pairs.map(|(k, v)| (k.into(), v.into())).collect();
    let path = format!("{PATH}{path}");
    let (facts, view) = (facts(Compat::All), view());
    Routes::all().plan(&Call {
        method,
        path: &path,
        full_path: &path,
        query: query.as_bytes(),
        params: &params,
        header: &|_| None,
        body,
        parts: &[],
        form_too_large: false,
        ip: "127.0.0.1",
        operator,
        view: &view,
        now: Now { mono: 0, wall: 1 },
        server: &facts,
    })
}

fn told_of(plan: Plan) -> (u16, Value) {
    match plan {
        Plan::Answer(answer) => {
            let (status, _, body) = told(&answer);
            (status, serde_json::from_str(&body).unwrap())
        }
        _ => panic!("it is not answered at once"),
    }
}

fn get(query: &str) -> (u16, Value) {
    told_of(plan(false, Method::Get, query, b""))
}

#[test]
fn plugins_are_shown_and_listed_with_their_versions() {
    let (status, shown) = get("?name=canary");
    assert_eq!(status, 200);
    let newest = json!({
        "name": "canary", "revision": 5, "digest": Sha256::of(b"two").hex(), "bytes": 3,
        "modified": 7, "user": "u", "ip": "1.1.1.1",
    });
    assert_eq!(shown["data"], newest);
    let listed = get("/list").1;
    assert_eq!(listed["data"]["pageItems"], json!([newest]));
    let history = get("/history?name=gone").1;
    let items = history["data"]["pageItems"].as_array().unwrap();
    assert_eq!((items.len(), &items[0]["revision"]), (2, &json!(7)));
    assert!(items[0].get("digest").is_none(), "a removal has none");
    for missing in [
        "?name=gone",
        "?name=other",
        "/module?name=gone",
        "/history?name=x",
    ] {
        let (status, body) = get(missing);
        assert_eq!((status, &body["code"]), (404, &json!(20_004)), "{missing}");
    }
}

#[test]
fn bytes_are_given_by_digest() {
    let content = |query: &str| match plan(false, Method::Get, query, b"") {
        Plan::Answer(answer) => match answer.body {
            Body::Content(content) => Some(content.index),
            Body::Bytes(_) => None,
        },
        _ => None,
    };
    let one = Sha256::of(b"one").hex();
    assert_eq!(content("/module?name=canary"), Some(5));
    let by_digest = format!("/module?name=canary&digest={one}");
    assert_eq!(content(&by_digest), Some(3));
    let (status, body) = get(&format!("/module?name=canary&digest={}", "0".repeat(64)));
    let why = body["data"].as_str().unwrap();
    assert!(
        status == 404 && why.starts_with("plugin canary has no version 000"),
        "{why}"
    );
}

#[test]
fn to_publish_and_to_remove_needs_the_token() {
    for method in [Method::Put, Method::Post, Method::Delete] {
        let (status, body) = told_of(plan(false, method, "?name=p", b"\0asm"));
        assert_eq!((status, &body["code"]), (403, &json!(10_001)), "{method:?}");
        assert!(body["data"].as_str().unwrap().contains("admin.token"));
    }
    let removed = plan(true, Method::Delete, "?name=p", b"");
    assert!(matches!(
        removed,
        Plan::Submit {
            op: Op::RemovePlugin { .. },
            ..
        }
    ));
}

#[test]
fn what_cannot_be_published_is_refused_with_the_reason() {
    let long = vec![0; (1 << 20) + 1];
    let config = format!("?name=p&config={}", "x".repeat(MAX_CONFIG + 1));
    for (query, body, said) in [
        ("?name=a/b", &b"\0asm"[..], "a plugin's name is 1 to 64"),
        ("?name=p", b"", "the body must be the module"),
        (
            "?name=p",
            &long[..],
            "the module has 1048577 bytes; at most 1048576",
        ),
        (&config, b"\0asm", "config has 16385 bytes"),
        ("?name=p&digest=12", b"\0asm", "digest must be a SHA-256"),
    ] {
        let (status, answer) = told_of(plan(true, Method::Put, query, body));
        let why = answer["data"].as_str().unwrap();
        assert!(status == 400 && why.contains(said), "{why}");
    }
    let (status, answer) = told_of(plan(true, Method::Put, "", b"\0asm"));
    assert_eq!((status, &answer["code"]), (400, &json!(10_000)));
}

/// The plan of a publish after its digest was made.
fn digested(query: &str) -> Plan {
    match plan(true, Method::Put, query, b"one") {
        Plan::Long(look) => look(&view()),
        _ => panic!("a digest takes its time"),
    }
}

#[test]
fn a_module_is_tried_before_it_is_proposed() {
    let wrong = format!("?name=p&digest={}", Sha256::of(b"two").hex());
    let (status, answer) = told_of(digested(&wrong));
    let why = answer["data"].as_str().unwrap();
    assert!(
        status == 400 && why.starts_with("the module's SHA-256 is"),
        "{why}"
    );
    let examine = |verdict: Result<(), String>| match digested("?name=p&config={}") {
        Plan::Examine {
            module,
            config,
            then,
        } => {
            assert_eq!((&module[..], &*config), (&b"one"[..], "{}"));
            then(Examined { module, verdict }, &view())
        }
        _ => panic!("it is tried"),
    };
    let (status, answer) = told_of(examine(Err("no exports".into())));
    assert_eq!((status, &answer["data"]), (400, &json!("no exports")));
    let Plan::Submit { op, content, then } = examine(Ok(())) else {
        panic!("it is proposed");
    };
    assert_eq!(content.as_deref(), Some(&b"one"[..]));
    let Op::PutPlugin { name, module } = op else {
        panic!("{op:?}");
    };
    assert_eq!((&*name, module.digest), ("p", Sha256::of(b"one")));
    let (status, answer) = told_of(then(Ok(Reply::Plugin(9)), &view()));
    let said = json!({ "revision": 9, "digest": Sha256::of(b"one").hex() });
    assert_eq!((status, &answer["data"]), (200, &said));
}
