//! Registrations, beats and lists, from the request to the operation and back.

use super::*;
use crate::{
    api::{
        Compat, Routes,
        tests::{View, ask, plan, told},
    },
    view::InstanceChange,
};

fn view() -> (View, ServiceKey) {
    let key = ServiceKey::new("", "", "s");
    let instance = Instance {
        key: InstanceKey::new("10.0.0.1", 80, ""),
        weight: Weight::default(),
        healthy: true,
        enabled: true,
        ephemeral: true,
        metadata: Metadata::default(),
        instance_id: Arc::default(),
    };
    (
        View::default().with_service(
            &key,
            None,
            Vec::from([InstanceChange::Put(Arc::new(instance))]),
        ),
        key,
    )
}

/// The operation that a request leads to, and what is answered to `answered`.
fn step(
    method: Method,
    uri: &str,
    answered: Result<Reply, Refusal>,
) -> (Op, (u16, String, String)) {
    let view = view().0;
    match plan(&Routes::all(), &view, Compat::All, method, uri) {
        Plan::Submit { op, then, .. } => match then(answered, &view) {
            Plan::Answer(answer) => (op, told(&answer)),
            _ => panic!("{uri} takes another step"),
        },
        Plan::Answer(answer) => panic!("{uri} is answered at once: {answer:?}"),
        _ => panic!("{uri} takes another step"),
    }
}

fn fails(method: Method, uri: &str) -> (u16, String) {
    let (status, _, body) = ask(&Routes::all(), &view().0, Compat::All, method, uri);
    (status, body)
}

#[test]
fn a_registration_says_all_that_was_given() {
    let uri = "/v1/ns/instance?serviceName=s&groupName=G&ip=10.0.0.1&port=80&cluster=C&weight=2.5&enable=False&metadata=a=b&ephemeral=no&namespaceId=n";
    let (op, told) = step(Method::Post, uri, Ok(Reply::Done));
    let Op::Register { service, instance } = op else {
        panic!("{op:?}")
    };
    assert_eq!(alloc::format!("{service}"), "n@@G@@s");
    assert_eq!(instance.key, InstanceKey::new("10.0.0.1", 80, "C"));
    assert_eq!(
        (
            instance.weight.get(),
            instance.healthy,
            instance.enabled,
            instance.ephemeral
        ),
        (2.5, true, false, false)
    );
    assert_eq!(instance.metadata.get("a"), Some("b"));
    assert_eq!(told, (200, Answer::TEXT.into(), "ok".into()));
    let (op, _) = step(
        Method::Post,
        "/v1/ns/instance?serviceName=H@@s&groupName=G&ip=1.1.1.1&port=80",
        Ok(Reply::Done),
    );
    let Op::Register { service, instance } = op else {
        panic!("{op:?}")
    };
    assert_eq!(
        (&*service.group, instance.ephemeral, &*instance.key.cluster),
        ("H", true, "DEFAULT")
    );
    // What is blank is as if it were not given: then the other name counts.
    let (op, _) = step(
        Method::Post,
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&clusterName=&cluster=C&enabled=&enable=false",
        Ok(Reply::Done),
    );
    let Op::Register { instance, .. } = op else {
        panic!("{op:?}")
    };
    assert_eq!((&*instance.key.cluster, instance.enabled), ("C", false));
}

#[test]
fn what_is_wrong_with_a_registration_is_told_as_recorded() {
    let post = |query: &str| fails(Method::Post, &format!("/v1/ns/instance?{query}"));
    assert_eq!(
        post("ip=1.1.1.1&port=80"),
        (400, "Param 'serviceName' is required.".into())
    );
    assert_eq!(
        post("serviceName=s&port=80"),
        (400, "Param 'ip' is required.".into())
    );
    assert_eq!(
        post("serviceName=s&ip=1.1.1.1"),
        (400, "Param 'port' is required.".into())
    );
    let all = "serviceName=s&ip=1.1.1.1&port=80";
    let weights = "instance format invalid: The weights range from 0.0 to 10000.0";
    assert_eq!(post(&format!("{all}&weight=-1")), (400, weights.into()));
    assert_eq!(post(&format!("{all}&weight=10001")), (400, weights.into()));
    assert_eq!(
        post(&format!("{all}&weight=heavy")),
        (400, "For input string: \"heavy\"".into())
    );
    let (status, body) = post(&format!(
        "{all}&metadata=preserved.instance.id.generator=uuid"
    ));
    assert_eq!(status, 500);
    assert!(body.contains("`uuid`"), "{body}");
    let (status, body) = post(&format!("{all}&metadata={{\"a\":"));
    assert_eq!(status, 500);
    assert!(body.contains(r#"Server failed, caused: ErrCode:400, ErrMsg:metadata format incorrect:{\"a\":;caused: metadata format incorrect:{\"a\":;"#), "{body}");
    let (status, body) = post("serviceName=GG@@&ip=1.1.1.1&port=80");
    assert_eq!(status, 400);
    assert!(body.contains("Service name filter error,caused: Param 'serviceName' is illegal, it should be format as 'groupName@@serviceName';"));
}

#[test]
fn removing_what_is_not_there_is_well() {
    for refusal in [Refusal::ServiceNotFound, Refusal::InstanceNotFound] {
        let told = step(
            Method::Delete,
            "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80",
            Err(refusal),
        )
        .1;
        assert_eq!((told.0, &*told.2), (200, "ok"));
    }
    let told = step(
        Method::Delete,
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80",
        Err(Refusal::Busy),
    )
    .1;
    assert_eq!(told.0, 503);
}

#[test]
fn an_update_of_an_unknown_service_names_it() {
    let told = step(
        Method::Put,
        "/v1/ns/instance?serviceName=gper-none&ip=1.1.1.1&port=80",
        Err(Refusal::ServiceNotFound),
    )
    .1;
    let text = "service not found, namespace: public, service: Service{namespace='public', group='DEFAULT_GROUP', name='gper-none', ephemeral=true, revision=0}";
    assert_eq!((told.0, &*told.2), (400, text));
}

#[test]
fn a_patch_says_only_what_was_given() {
    let (op, _) = step(
        Method::Patch,
        "/v1/ns/instance?serviceName=s&ip=1.1.1.1&port=80&weight=6",
        Ok(Reply::Done),
    );
    let Op::PatchInstance {
        weight,
        enabled,
        metadata,
        ..
    } = op
    else {
        panic!("{op:?}")
    };
    assert_eq!(
        (weight.map(Weight::get), enabled, metadata),
        (Some(6.0), None, None)
    );
}

#[test]
fn a_beat_in_full_wins_over_parameters() {
    let beat = r#"{"ip":"10.0.0.8","port":8080,"cluster":"","weight":3,"metadata":{"b":"1"}}"#;
    let uri =
        format!("/v1/ns/instance/beat?serviceName=s&ip=1.1.1.1&port=1&clusterName=X&beat={beat}");
    let (op, told) = step(
        Method::Put,
        &uri,
        Ok(Reply::Beat {
            interval: 5000,
            known: true,
            light: true,
        }),
    );
    let Op::Beat {
        key,
        full: Some(full),
        ..
    } = op
    else {
        panic!("{op:?}")
    };
    assert_eq!(
        (&key, full.weight.get(), full.metadata.get("b")),
        (&InstanceKey::new("10.0.0.8", 8080, "X"), 3.0, Some("1")),
        "a cluster that the beat leaves blank is the parameter's"
    );
    assert_eq!(
        told.2,
        r#"{"clientBeatInterval":5000,"code":10200,"lightBeatEnabled":true}"#
    );
    let light = "/v1/ns/instance/beat?serviceName=s&ip=1.1.1.1&port=1&clusterName=X";
    let (op, told) = step(
        Method::Put,
        light,
        Ok(Reply::Beat {
            interval: 5000,
            known: false,
            light: true,
        }),
    );
    assert!(
        matches!(op, Op::Beat { full: None, key, .. } if key == InstanceKey::new("1.1.1.1", 1, "X"))
    );
    assert!(told.2.contains("20404"));
    // In a persistent service nothing beats: a light beat is for nobody, one in full registers and is refused.
    let other_kind = || {
        Err(Refusal::OtherKind {
            service: ServiceKey::new("", "", "s"),
            persistent: true,
        })
    };
    let (_, told) = step(Method::Put, light, other_kind());
    assert_eq!(
        told.2,
        r#"{"clientBeatInterval":5000,"code":20404,"lightBeatEnabled":true}"#
    );
    let (_, told) = step(Method::Put, &uri, other_kind());
    assert_eq!(told.0, 400);
    let (status, body) = fails(Method::Put, "/v1/ns/instance/beat?serviceName=s&beat={bad");
    assert_eq!(status, 500);
    assert!(body.contains("errCode: 101, errMsg: Nacos deserialize for class [com.alibaba.nacos.naming.healthcheck.RsInfo] failed"));
    assert_eq!(
        fails(Method::Put, "/v1/ns/instance/beat?beat={}"),
        (400, "Param 'serviceName' is required.".into())
    );
    assert_eq!(
        fails(Method::Put, "/v1/ns/instance/beat?serviceName=s&beat={}").0,
        400
    );
}

#[test]
fn a_list_with_a_port_subscribes_first() {
    let uri =
        "/v1/ns/instance/list?serviceName=s&clusters=A,B&udpPort=5353&clientIP=10.1.1.1&app=a";
    let (op, told) = step(
        Method::Get,
        uri,
        Ok(Reply::Subscribed {
            pushed: true,
            cache_millis: 12_000,
        }),
    );
    let Op::SubscribeUdp {
        ip,
        port,
        clusters,
        app,
        ..
    } = op
    else {
        panic!("{op:?}")
    };
    assert_eq!(
        (&*ip, port, &*clusters, &*app),
        ("10.1.1.1", 5353, "A,B", "a")
    );
    assert!(told.2.contains("\"cacheMillis\":12000") && told.2.contains("\"clusters\":\"A,B\""));
    // Who names no address is pushed to where it asks from.
    let nameless = "/v1/ns/instance/list?serviceName=s&udpPort=5353&clientIP=";
    let (op, _) = step(Method::Get, nameless, Ok(Reply::Done));
    assert!(matches!(op, Op::SubscribeUdp { ip, .. } if *ip == *"127.0.0.1"));
    let plain = fails(Method::Get, "/v1/ns/instance/list?serviceName=s&udpPort=0");
    assert!(
        plain.1.contains("\"cacheMillis\":10000")
            && plain.1.contains("allIPs")
            && !plain.1.contains("allIps")
    );
    let newer = ask(
        &Routes::all(),
        &view().0,
        Compat::V3,
        Method::Get,
        "/v1/ns/instance/list?serviceName=s",
    );
    assert!(newer.2.contains("allIps") && !newer.2.contains("allIPs"));
    assert_eq!(
        fails(Method::Get, "/v1/ns/instance/list"),
        (400, "Param 'serviceName' is required.".into())
    );
}

#[test]
fn details_and_statuses() {
    let found = fails(
        Method::Get,
        "/v1/ns/instance?serviceName=s&ip=10.0.0.1&port=80",
    );
    assert!(
        found
            .1
            .contains("\"instanceId\":\"10.0.0.1#80#DEFAULT#DEFAULT_GROUP@@s\"")
    );
    // The alias of registrations is none here.
    let other = fails(
        Method::Get,
        "/v1/ns/instance?serviceName=s&ip=10.0.0.2&port=80&cluster=C",
    );
    assert_eq!(other, (404, "no matched ip found!".into()));
    assert_eq!(
        fails(
            Method::Get,
            "/v1/ns/instance?serviceName=x&ip=10.0.0.2&port=80"
        )
        .0,
        404
    );
    let statuses = fails(Method::Get, "/v1/ns/instance/statuses?key=DEFAULT_GROUP@@s");
    assert_eq!(statuses.1, r#"{"ips":["10.0.0.1:80_true"]}"#);
}

#[test]
fn a_batch_names_what_it_changed() {
    let uri = r#"/v1/ns/instance/metadata/batch?serviceName=s&consistencyType=persist&metadata={"bb":"1"}&instances=[{"ip":"10.20.1.1","port":80}]"#;
    let keys = Vec::from([InstanceKey::new("10.20.1.1", 80, "")]);
    let (op, told) = step(Method::Put, uri, Ok(Reply::Updated(keys.clone())));
    assert!(
        matches!(op, Op::MetadataBatch { persistent: true, remove: false, instances: Some(k), .. } if k == keys)
    );
    assert_eq!(
        told.2,
        r#"{"updated":["10.20.1.1:80:unknown:DEFAULT:persist"]}"#
    );
}
