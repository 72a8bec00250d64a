//! Config requests.

use alloc::{format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{GrpcAnswer, GrpcCall, GrpcRoute, Refused, body::Object, check, refuse, success};
use crate::{
    api::{
        check::Names,
        plan::Plan,
        v1::config::{
            content::{check_attributes, check_tag},
            poll::url_encoded,
        },
    },
    config::{Effective, effective, effective_tagged},
    model::{ConfigKey, ConfigType, ContentRef, GrayRule, Md5},
    node::{
        op::{Op, Publish},
        reply::Reply,
    },
};

/// Configs of one listen, at most.
const MAX_LISTENS: usize = 10_000;

pub(super) const ROUTES: &[GrpcRoute] = &[
    GrpcRoute {
        kind: "ConfigQueryRequest",
        answer: "ConfigQueryResponse",
        summary: "reads the version of a config that is meant for this caller",
        make: query,
    },
    GrpcRoute {
        kind: "ConfigPublishRequest",
        answer: "ConfigPublishResponse",
        summary: "publishes a config or a gray version of it",
        make: publish,
    },
    GrpcRoute {
        kind: "ConfigRemoveRequest",
        answer: "ConfigRemoveResponse",
        summary: "removes a config or a gray version of it",
        make: remove,
    },
    GrpcRoute {
        kind: "ConfigBatchListenRequest",
        answer: "ConfigChangeBatchListenResponse",
        summary: "listens to configs on this connection, or ends that; tells at once what differs",
        make: listen,
    },
    GrpcRoute {
        kind: "ConfigFuzzyWatchRequest",
        answer: "ConfigFuzzyWatchResponse",
        summary: "watches configs by a pattern of names, or ends that",
        make: fuzzy_watch,
    },
];

fn key_of(body: &Object) -> Result<ConfigKey, Refused> {
    let (data_id, group, tenant) = (body.text("dataId"), body.text("group"), body.text("tenant"));
    check(&Names {
        namespace: &tenant,
        data_id: &data_id,
        group: &group,
        ..Names::default()
    })?;
    if data_id.trim().is_empty() {
        return Err(Refused::new(400, "Param 'dataId' is required."));
    }
    if group.trim().is_empty() {
        return Err(Refused::new(400, "Param 'group' is required."));
    }
    Ok(ConfigKey::new(&tenant, &group, &data_id))
}

/// `Vipserver-Tag` of the request, else of the connection's labels.
fn tag_of(call: &GrpcCall<'_>) -> Arc<str> {
    let label = || {
        call.details
            .labels
            .iter()
            .find(|(k, _)| &**k == "Vipserver-Tag")
            .map(|(_, v)| v.clone())
    };
    (call.header)("Vipserver-Tag")
        .map(Arc::from)
        .or_else(label)
        .unwrap_or_else(|| "".into())
}

fn query(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "ConfigQueryResponse";
    let key = key_of(body)?;
    let asked = body.text("tag");
    let item = call.view.config(&key);
    let ip = &call.details.ip;
    let found = item.as_deref().and_then(|item| {
        if asked.is_empty() {
            effective(item, ip, &tag_of(call))
        } else {
            effective_tagged(item, ip, &asked)
        }
    });
    let Some(found) = found else {
        let mut missing = super::base(500, 300);
        missing.insert("message".into(), "config data not exist".into());
        // As in every refusal of this kind.
        missing.insert("lastModified".into(), 0.into());
        missing.insert("beta".into(), false.into());
        if !asked.is_empty() {
            missing.insert("tag".into(), asked.into());
        }
        return Ok(Plan::Answer(GrpcAnswer::of(KIND, false, &missing)));
    };
    let version = found.version();
    let mut fields = alloc::vec![
        ("contentType", Value::from(version.kind.name())),
        ("md5", version.content.md5.hex().into()),
        ("lastModified", version.modified.into()),
        ("beta", Value::from(false)),
    ];
    if !version.encrypted_data_key.is_empty() {
        fields.push(("encryptedDataKey", (*version.encrypted_data_key).into()));
    }
    if let Effective::Gray(gray) = found {
        match &gray.rule {
            GrayRule::Beta { .. } => {
                fields[3].1 = true.into();
            }
            GrayRule::Tag { tag } => fields.push(("tag", url_encoded(tag).into())),
        }
    }
    let indexes = alloc::vec![version.content.index];
    Ok(Plan::Contents {
        indexes,
        then: alloc::boxed::Box::new(move |contents, _| {
            let content = contents.into_iter().next().flatten();
            Plan::Answer(match content.as_deref().map(core::str::from_utf8) {
                Some(Ok(text)) => {
                    fields.push(("content", text.into()));
                    success(KIND, fields)
                }
                // It was replaced between look-up and read: what the reference says while it writes.
                _ => refuse(
                    KIND,
                    Refused::new(400, "requested file is being modified, please try later."),
                ),
            })
        }),
    })
}

fn publish(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "ConfigPublishResponse";
    let key = key_of(body)?;
    let content = body.text("content");
    if content.trim().is_empty() {
        return Err(Refused::new(400, "content is blank : "));
    }
    let characters = content.encode_utf16().count();
    if characters > call.server.max_content {
        return Err(Refused::new(
            400,
            format!(
                "invalid content, over {}, is {characters}",
                call.server.max_content
            ),
        ));
    }
    let extra = body.object("additionMap").unwrap_or_default();
    let (beta, tag) = (extra.shared("betaIps"), extra.shared("tag"));
    check_tag(&tag).map_err(|words| Refused::new(400, words))?;
    check_attributes(&|name| extra.str(name).unwrap_or_default(), "config_tags")
        .map_err(|words| Refused::new(400, words))?;
    let gray = if !beta.trim().is_empty() {
        Some(GrayRule::Beta { ips: beta })
    } else if !tag.trim().is_empty() {
        Some(GrayRule::Tag { tag })
    } else {
        None
    };
    let cas = Some(body.shared("casMd5")).filter(|cas| !cas.trim().is_empty());
    let bytes = content.into_bytes();
    let publish = Publish {
        key,
        content: ContentRef {
            index: 0,
            md5: Md5::of(&bytes),
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        },
        kind: ConfigType::parse(&extra.text("type")),
        app: extra.shared("appName"),
        desc: extra.shared("desc"),
        usage: extra.shared("use"),
        effect: extra.shared("effect"),
        schema: extra.shared("schema"),
        tags: extra.shared("config_tags"),
        encrypted_data_key: extra.shared("encryptedDataKey"),
        gray,
        cas,
        create_only: false,
        user: extra.shared("src_user"),
        ip: call.details.ip.clone(),
    };
    Ok(Plan::Submit {
        op: Op::Publish(alloc::boxed::Box::new(publish)),
        content: Some(bytes),
        then: alloc::boxed::Box::new(|result, _| {
            Plan::Answer(match result {
                Ok(_) => success(KIND, []),
                Err(refusal) => refuse(KIND, refusal.into()),
            })
        }),
    })
}

fn remove(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "ConfigRemoveResponse";
    let key = key_of(body)?;
    let tag = body.text("tag");
    let gray = (!tag.trim().is_empty()).then(|| GrayRule::Tag { tag: tag.into() }.name());
    Ok(Plan::submit(
        Op::RemoveConfig { key, gray },
        |result| match result {
            Ok(_) => success(KIND, []),
            // The reference leaves the code of this failure at 0.
            Err(refusal) => refuse(
                KIND,
                Refused {
                    code: 0,
                    ..refusal.into()
                },
            ),
        },
    ))
}

fn listen(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "ConfigChangeBatchListenResponse";
    let listen = body.flag("listen", true);
    let contexts = body.objects("configListenContexts");
    if contexts.len() > MAX_LISTENS {
        return Err(Refused::new(
            400,
            format!("at most {MAX_LISTENS} configs can be listened to in one request"),
        ));
    }
    let mut keys = Vec::with_capacity(contexts.len());
    let mut spelt: Vec<(String, String, Option<String>)> = Vec::with_capacity(contexts.len());
    for context in &contexts {
        let key = key_of(context)?;
        let tenant = context.has("tenant").then(|| context.text("tenant"));
        let blank = tenant.as_deref().is_none_or(str::is_empty);
        spelt.push((context.text("dataId"), context.text("group"), tenant));
        keys.push((key, Md5::parse(&context.text("md5")), blank));
    }
    let op = Op::Listen {
        listen,
        keys,
        tag: tag_of(call),
    };
    Ok(Plan::submit(op, move |result| match result {
        Ok(Reply::Changed(positions)) => {
            let changed: Vec<Value> = positions
                .into_iter()
                .filter_map(|at| spelt.get(at as usize))
                .map(|(data_id, group, tenant)| {
                    let mut config = json!({"dataId": data_id, "group": group});
                    // The client looks its own spelling up.
                    if let Some(tenant) = tenant {
                        config["tenant"] = tenant.as_str().into();
                    }
                    config
                })
                .collect();
            success(KIND, [("changedConfigs", changed.into())])
        }
        Ok(_) => success(KIND, [("changedConfigs", Value::Array(Vec::new()))]),
        Err(refusal) => refuse(KIND, refusal.into()),
    }))
}

fn fuzzy_watch(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    Ok(fuzzy_plan(true, "ConfigFuzzyWatchResponse", body))
}

/// A fuzzy watch of either kind.
pub(super) fn fuzzy_plan(config: bool, kind: &'static str, body: &Object) -> Plan<GrpcAnswer> {
    let op = Op::FuzzyWatch {
        config,
        pattern: body.shared("groupKeyPattern"),
        watch: body.str("watchType") != Some("CANCEL_WATCH"),
        known: body.texts("receivedGroupKeys"),
        initializing: body.flag("initializing", false),
    };
    Plan::submit(op, move |result| match result {
        Ok(_) => success(kind, []),
        Err(refusal) => refuse(kind, refusal.into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Compat,
            tests::{View, facts},
        },
        model::{ConfigItem, ConfigVersion, GrayItem},
        node::input::{ConnDetails, Now},
        view::Delta,
    };

    fn tagged(tag: &str) -> View {
        let rule = GrayRule::Tag { tag: tag.into() };
        let nothing: Arc<str> = "".into();
        let gray = GrayItem {
            name: rule.name(),
            version: ConfigVersion {
                content: ContentRef {
                    index: 1,
                    md5: Md5::of(b"tagged"),
                    bytes: 6,
                },
                kind: ConfigType::Text,
                app: nothing.clone(),
                desc: nothing.clone(),
                usage: nothing.clone(),
                effect: nothing.clone(),
                schema: nothing.clone(),
                tags: nothing.clone(),
                encrypted_data_key: nothing.clone(),
                created: 1,
                modified: 1,
                create_user: nothing.clone(),
                create_ip: nothing,
            },
            rule,
        };
        let item = ConfigItem {
            id: 1,
            formal: None,
            grays: Vec::from([gray]),
        };
        View::default().with(Delta::Config {
            key: ConfigKey::new("", "g", "d"),
            item: Some(Arc::new(item)),
        })
    }

    /// The first step of what a request leads to.
    fn step(view: &View, kind: &str, body: &Value) -> Plan<GrpcAnswer> {
        let details = ConnDetails {
            id: "c".into(),
            ip: "10.0.0.1".into(),
            port: 1,
            version: "".into(),
            app: "-".into(),
            labels: Vec::new(),
        };
        super::super::plan(&GrpcCall {
            kind,
            body: format!("{body}").as_bytes(),
            header: &|_| None,
            details: &details,
            view,
            now: Now::default(),
            server: &facts(Compat::All),
        })
    }

    fn answered(plan: Plan<GrpcAnswer>) -> Value {
        let Plan::Answer(answer) = plan else {
            panic!("takes another step")
        };
        serde_json::from_slice(&answer.json).expect("JSON")
    }

    #[test]
    fn a_tag_that_was_found_is_encoded_and_one_that_was_not_is_echoed() {
        let view = tagged("a:名");
        let ask = |tag: &str| {
            let body = json!({"dataId": "d", "group": "g", "tag": tag});
            step(&view, "ConfigQueryRequest", &body)
        };
        let Plan::Contents { then, .. } = ask("a:名") else {
            panic!("reads the content")
        };
        let found = answered(then(Vec::from([Some(Arc::from(&b"tagged"[..]))]), &view));
        assert_eq!(found["tag"], "a%3A%E5%90%8D");
        let missing = answered(ask("b:名"));
        assert_eq!(
            (&missing["errorCode"], &missing["tag"]),
            (&300.into(), &"b:名".into())
        );
    }

    #[test]
    fn what_goes_with_a_content_is_bounded_as_over_http() {
        let publish = |addition: Value| {
            let body =
                json!({"dataId": "d", "group": "g", "content": "x", "additionMap": addition});
            step(&View::default(), "ConfigPublishRequest", &body)
        };
        for (addition, words) in [
            (json!({"tag": "a b"}), "invalid tag : a b"),
            (json!({"tag": "t".repeat(17)}), "too long tag, over 16"),
            (
                json!({"config_tags": "1,2,3,4,5,6"}),
                "too much config_tags, over 5",
            ),
            (json!({"desc": "d".repeat(129)}), "too long desc, over 128"),
            (json!({"use": "u".repeat(33)}), "too long use, over 32"),
            (
                json!({"schema": "s".repeat(32_769)}),
                "too long schema, over 32768",
            ),
        ] {
            let refused = answered(publish(addition));
            assert_eq!(
                (&refused["errorCode"], &refused["message"]),
                (&400.into(), &words.into())
            );
        }
        let good = json!({"tag": "t".repeat(16), "desc": "d".repeat(128), "config_tags": "1,2,3,4,5", "use": null});
        assert!(matches!(publish(good), Plan::Submit { .. }));
    }
}
