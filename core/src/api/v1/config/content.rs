//! Contents: read, published and removed, the formal ones and those of gray releases.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{CLIENT, DATA_ID, GROUP, TENANT, config_info, given, json_answer, key_of, rest};
use crate::{
    api::{
        Answer, Args, Body, Compat, Fault, Kind, Method, Param, Plan, Right, Route,
        answer::http_date,
    },
    config::{Effective, effective, effective_tagged},
    model::{ConfigItem, ConfigKey, ConfigType, ContentRef, GrayRule, Md5},
    node::{
        op::{Op, Publish},
        reply::Refusal,
    },
    view::Reading,
};

const TAG: Param = Param::text("tag", "gray version of that tag");
const BETA: Option<(&str, &str)> = Some(("beta", "true"));
/// Ids of one removal, at most.
const MAX_IDS: usize = 10_000;

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/cs/configs",
        params: &[DATA_ID, GROUP, TENANT, TAG],
        summary: "Reads the content of the version that is meant for the caller.",
        make: get,
        ..CLIENT
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/configs",
        params: &[
            DATA_ID,
            GROUP,
            TENANT,
            Param::text("content", "the content").required(),
            TAG,
            Param::text("appName", "application that owns it"),
            Param::text("src_user", "who publishes, for the history"),
            Param::text("username", "who publishes, if `src_user` is not given"),
            Param::text("config_tags", "up to five tags, comma-separated"),
            Param::text("desc", "description"),
            Param::text("use", "what it is used for"),
            Param::text("effect", "what it has an effect on"),
            Param::text(
                "type",
                "what it is: text, json, xml, yaml, html, properties, toml",
            ),
            Param::text("schema", "its schema"),
            Param::text("encryptedDataKey", "key that the client encrypted it with"),
        ],
        right: Right::WriteConfig,
        summary: "Publishes a config, or (header betaIps, parameter tag) a gray version of it; header casMd5 compares first.",
        make: publish,
        ..CLIENT
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/cs/configs",
        params: &[DATA_ID, GROUP, TENANT, TAG],
        right: Right::WriteConfig,
        summary: "Removes a config, or its gray version of a tag.",
        make: remove,
        ..CLIENT
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/cs/configs",
        when: Some(("delType", "ids")),
        instead: "DELETE ${contextPath:nacos}/v3/console/cs/config/batchDelete",
        params: &[Param::of("ids", Kind::List, "ids of configs").required()],
        right: Right::WriteConfig,
        summary: "Removes configs by their ids.",
        make: remove_ids,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs",
        when: BETA,
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/beta",
        params: &[DATA_ID, GROUP, TENANT],
        summary: "Shows the gray version that is for some addresses.",
        make: beta,
        ..Route::CONFIG_V1
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/cs/configs",
        when: BETA,
        instead: "DELETE ${contextPath:nacos}/v3/console/cs/config/beta",
        params: &[DATA_ID, GROUP, TENANT],
        right: Right::WriteConfig,
        summary: "Removes the gray version that is for some addresses.",
        make: stop_beta,
        ..Route::CONFIG_V1
    },
];

/// What the reference's handlers ask of names, once the filter has let them pass.
pub(super) fn check_names(args: &Args<'_>) -> Result<(), Fault> {
    for (name, label) in [("dataId", "dataId"), ("group", "group")] {
        if args.text(name).is_empty() {
            let value = args.given(name).unwrap_or("null");
            return Err(Fault::Argument(format!("invalid {label} : {value}")));
        }
    }
    Ok(())
}

pub(in crate::api) fn is_name(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':'))
}

fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What is refused of a content, by its length, and of the tag of its gray version.
pub(in crate::api) fn check_content(args: &Args<'_>, content: &str) -> Result<(), Fault> {
    let most = args.call().server.max_content;
    // No text has more UTF-16 units than bytes, so that the usual one is not counted.
    if content.len() > most && utf16(content) > most {
        return Err(Fault::Argument(format!("invalid content, over {most}")));
    }
    check_tag(args.text("tag")).map_err(Fault::Argument)
}

/// What is refused of the tag of a gray version. `Err` has the words.
pub(in crate::api) fn check_tag(tag: &str) -> Result<(), String> {
    if !is_name(tag) {
        return Err(format!("invalid tag : {tag}"));
    }
    if utf16(tag) > 16 {
        return Err("too long tag, over 16".into());
    }
    Ok(())
}

/// What is refused of what goes with a content; `given` gives each by its name, `tags` is the name of its tags. `Err`
/// has the words.
pub(in crate::api) fn check_attributes<'a>(
    given: &dyn Fn(&str) -> &'a str,
    tags: &str,
) -> Result<(), &'static str> {
    let tags = given(tags);
    if tags.trim_end_matches(',').split(',').count() > 5 {
        return Err("too much config_tags, over 5");
    }
    if tags.split(',').any(|tag| utf16(tag) > 64) {
        return Err("too long tag, over 64");
    }
    for (name, most, words) in [
        ("desc", 128, "too long desc, over 128"),
        ("use", 32, "too long use, over 32"),
        ("effect", 32, "too long effect, over 32"),
        ("type", 32, "too long type, over 32"),
        ("schema", 32_768, "too long schema, over 32768"),
    ] {
        if utf16(given(name)) > most {
            return Err(words);
        }
    }
    Ok(())
}

/// How a publish is refused: 3.x leaves nothing of the words of its operations.
fn refused(fault: Fault, compat: Compat) -> Fault {
    match fault {
        Fault::Detail { status, .. } | Fault::Business { status, .. } if compat == Compat::V3 => {
            Fault::Exactly(Box::new(json_answer("false").status(status)))
        }
        fault => fault,
    }
}

fn publish(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    check_names(args)?;
    let content = call.raw("content").unwrap_or_default();
    if content.trim().is_empty() {
        return Err(Fault::Argument(format!("content is blank : {content}")));
    }
    check_content(args, content)?;
    let compat = call.server.compat;
    check_attributes(&|name| args.text(name), "config_tags")
        .map_err(|words| refused(Fault::business(400, words), compat))?;
    let user = match args.text("src_user") {
        "" => args.shared("username"),
        user => user.into(),
    };
    let publish = publish_of(args, key_of(args), content, "config_tags", user);
    let telling = args.telling();
    Ok(Plan::Submit {
        op: Op::Publish(Box::new(publish)),
        content: Some(content.as_bytes().to_vec()),
        then: Box::new(move |answered, _| {
            Plan::Answer(match answered {
                Ok(_) => json_answer("true"),
                Err(refusal) => refused(refusal.into(), compat).tell(&telling),
            })
        }),
    })
}

/// What a request publishes; `tags` is the name of the parameter with its tags.
pub(in crate::api) fn publish_of(
    args: &Args<'_>,
    key: ConfigKey,
    content: &str,
    tags: &str,
    user: Arc<str>,
) -> Publish {
    let call = args.call();
    let beta = (call.header)("betaips").unwrap_or_default();
    let tag = args.text("tag");
    let gray = if !beta.trim().is_empty() {
        Some(GrayRule::Beta { ips: beta.into() })
    } else if !tag.is_empty() {
        Some(GrayRule::Tag { tag: tag.into() })
    } else {
        None
    };
    let cas = (call.header)("casmd5").filter(|cas| !cas.trim().is_empty());
    Publish {
        key,
        content: content_of(content.as_bytes()),
        kind: ConfigType::parse(args.text("type")),
        app: args.shared("appName"),
        desc: args.shared("desc"),
        usage: args.shared("use"),
        effect: args.shared("effect"),
        schema: args.shared("schema"),
        tags: args.shared(tags),
        encrypted_data_key: args.shared("encryptedDataKey"),
        gray,
        cas: cas.map(Arc::from),
        create_only: false,
        user,
        ip: call.ip.into(),
    }
}

/// What is known of a content before it is published.
pub(super) fn content_of(bytes: &[u8]) -> ContentRef {
    ContentRef {
        index: 0,
        md5: Md5::of(bytes),
        bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
    }
}

fn get(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    check_names(args)?;
    let (asked, auto) = (
        args.text("tag"),
        (call.header)("vipserver-tag").unwrap_or_default(),
    );
    let item = call.view.config(&key_of(args));
    let found = item
        .as_deref()
        .and_then(|item| version_for(item, call.ip, asked, auto));
    let answer = match found {
        Some(found) => content(found),
        None => {
            let missing = Answer::new(404, Answer::JSON_UTF8, "config data not exist\n");
            if asked.is_empty() {
                missing
            } else {
                missing.with("Vipserver-Tag", super::poll::url_encoded(asked))
            }
        }
    };
    Ok(Plan::Answer(answer))
}

/// A tag that is asked for is not replaced by the formal version, one of the header is.
pub(in crate::api) fn version_for<'a>(
    item: &'a ConfigItem,
    ip: &str,
    asked: &str,
    auto: &str,
) -> Option<Effective<'a>> {
    if asked.is_empty() {
        effective(item, ip, auto)
    } else {
        effective_tagged(item, ip, asked)
    }
}

/// The content of a version. The reference sends every kind of it as plain text.
fn content(found: Effective<'_>) -> Answer {
    let version = found.version();
    let mut headers = Vec::with_capacity(8);
    headers.push(("Config-Type", version.kind.name().into()));
    headers.push(("Content-MD5", version.content.md5.hex()));
    headers.push(("Last-Modified", http_date(version.modified)));
    if !version.encrypted_data_key.is_empty() {
        headers.push((
            "Encrypted-Data-Key",
            String::from(&*version.encrypted_data_key),
        ));
    }
    match found.rule() {
        Some(GrayRule::Beta { .. }) => headers.push(("isBeta", "true".into())),
        Some(GrayRule::Tag { tag }) => headers.push(("tag", super::poll::url_encoded(tag))),
        None => {}
    }
    Answer {
        status: 200,
        content_type: Some(Answer::TEXT),
        headers,
        body: Body::Content(version.content),
    }
    .not_cached()
}

fn remove(args: &Args<'_>) -> Result<Plan, Fault> {
    check_names(args)?;
    let tag = args.text("tag");
    let gray = (!tag.is_empty()).then(|| GrayRule::Tag { tag: tag.into() }.name());
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray,
    };
    Ok(args.submit(op, |_| Ok(json_answer("true"))))
}

fn remove_ids(args: &Args<'_>) -> Result<Plan, Fault> {
    remove_of_ids(args, rest(200, None, &true.into()))
}

/// Removes configs by their ids, unknown ones passed over, and gives an answer at the end.
pub(in crate::api) fn remove_of_ids(args: &Args<'_>, done: Answer) -> Result<Plan, Fault> {
    let mut ids = Vec::new();
    for id in args
        .text("ids")
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty())
    {
        let Ok(id) = id.parse::<u64>() else {
            return Err(Fault::Convert {
                name: "ids",
                value: id.into(),
                kind: Kind::Long,
                asked: false,
            });
        };
        ids.push(id);
    }
    if ids.len() > MAX_IDS {
        return Err(Fault::Argument(format!("too many ids, over {MAX_IDS}")));
    }
    // The last first: they are taken from the end.
    ids.reverse();
    let keys: Vec<ConfigKey> = ids
        .iter()
        .filter_map(|id| Some(args.call().view.config_of_id(*id)?.0))
        .collect();
    let telling = args.telling();
    let refused = Box::new(move |refusal| Fault::from(refusal).tell(&telling));
    Ok(remove_all(keys, done, refused))
}

/// Removes one config after the other.
fn remove_all(
    mut keys: Vec<ConfigKey>,
    done: Answer,
    refused: Box<dyn FnOnce(Refusal) -> Answer + Send>,
) -> Plan {
    let Some(key) = keys.pop() else {
        return Plan::Answer(done);
    };
    Plan::submit_then(
        Op::RemoveConfig { key, gray: None },
        move |answered, _| match answered {
            Ok(_) => remove_all(keys, done, refused),
            Err(refusal) => Plan::Answer(refused(refusal)),
        },
    )
}

/// A content as text; null if it was replaced between look-up and read. What is not UTF-8 was never published through
/// this API.
pub(in crate::api) fn text(content: Option<&Arc<[u8]>>) -> Value {
    content.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into())
}

fn beta(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = key_of(args);
    let found = args.call().view.config(&key).and_then(|item| {
        let gray = item
            .grays
            .iter()
            .find(|g| matches!(g.rule, GrayRule::Beta { .. }))?;
        Some((item.id, gray.clone()))
    });
    let Some((id, gray)) = found else {
        return Ok(Plan::Answer(rest(200, Some("query beta ok"), &Value::Null)));
    };
    Ok(Plan::Contents {
        indexes: Vec::from([gray.version.content.index]),
        then: Box::new(move |contents: Vec<Option<Arc<[u8]>>>, _: &dyn Reading| {
            let mut shown = config_info(id, &key, &gray.version);
            shown["content"] = text(contents.first().and_then(Option::as_ref));
            shown["md5"] = gray.version.content.md5.hex().into();
            shown["type"] = Value::Null;
            shown["betaIps"] = json!(gray.rule.expr());
            shown["encryptedDataKey"] = given(&gray.version.encrypted_data_key);
            Plan::Answer(rest(200, Some("query beta ok"), &shown))
        }),
    })
}

fn stop_beta(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray: Some("beta".into()),
    };
    Ok(args.submit(op, |_| Ok(rest(200, Some("stop beta ok"), &true.into()))))
}
