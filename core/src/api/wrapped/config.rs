//! Configs in the `Result` wrapper.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Map, Value, json};

use super::{coded, data, done, not_supported, page_json, positive_page};
use crate::{
    api::{Answer, Args, Fault, Kind, Plan, answer::Body, json_string},
    config::{Effective, effective, effective_tagged},
    model::{ConfigKey, ConfigType, ConfigVersion, ContentRef, DEFAULT_NAMESPACE, GrayRule, Md5},
    node::{
        op::{CapacityChange, CapacityOf, Op, Publish, Question},
        reply::Reply,
    },
    view::{ConfigFilter, TextFilter},
};

/// Bytes of the contents that one search looks through, at most.
const MAX_CONTENTS: usize = 128 << 20;
/// Configs of one page, at most.
const MAX_PAGE: usize = 1_000;
/// Configs of one removal by ids, at most.
const MAX_IDS: usize = 1_000;

/// The group, which v2 calls otherwise than v3.
fn group<'a>(args: &Args<'a>) -> &'a str {
    match args.text("groupName") {
        "" => args.text("group"),
        group => group,
    }
}

/// The config that a request names.
pub(super) fn key_of(args: &Args<'_>) -> ConfigKey {
    ConfigKey::new(args.text("namespaceId"), group(args), args.text("dataId"))
}

fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

/// What the handlers ask of names, and of what goes with a content.
fn check_attributes(args: &Args<'_>) -> Result<(), Fault> {
    let wrong = |text: &str| Err(Fault::Argument(text.into()));
    let tag = args.text("tag");
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | ':');
    for (label, text) in [
        ("dataId", args.text("dataId")),
        ("group", group(args)),
        ("tag", tag),
    ] {
        if !text.chars().all(is_name) {
            return Err(Fault::Argument(format!("invalid {label} : {text}")));
        }
    }
    if utf16(tag) > 16 {
        return wrong("too long tag, over 16");
    }
    let tags = args.text("configTags");
    if tags.trim_end_matches(',').split(',').count() > 5 {
        return wrong("too much config_tags, over 5");
    }
    if tags.split(',').any(|tag| utf16(tag) > 64) {
        return wrong("too long tag, over 64");
    }
    for (name, most) in [
        ("desc", 128),
        ("use", 32),
        ("effect", 32),
        ("type", 32),
        ("schema", 32_768),
    ] {
        if utf16(args.text(name)) > most {
            return Err(Fault::Argument(format!("too long {name}, over {most}")));
        }
    }
    Ok(())
}

/// Publishes a config, or a gray version of it.
pub(in crate::api) fn publish(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let content = call.raw("content").unwrap_or_default();
    let most = call.server.max_content;
    // No text has more UTF-16 units than bytes, so that the usual one is not counted.
    if content.len() > most && utf16(content) > most {
        return Err(Fault::Argument(format!("invalid content, over {most}")));
    }
    check_attributes(args)?;
    let beta = (call.header)("betaips").unwrap_or_default();
    let tag = args.text("tag");
    let gray = if !beta.trim().is_empty() {
        Some(GrayRule::Beta { ips: beta.into() })
    } else if !tag.is_empty() {
        Some(GrayRule::Tag { tag: tag.into() })
    } else {
        None
    };
    let bytes = content.as_bytes().to_vec();
    let cas = (call.header)("casmd5").filter(|cas| !cas.trim().is_empty());
    let publish = Publish {
        key: key_of(args),
        content: ContentRef {
            index: 0,
            md5: Md5::of(&bytes),
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        },
        kind: ConfigType::parse(args.text("type")),
        app: args.shared("appName"),
        desc: args.shared("desc"),
        usage: args.shared("use"),
        effect: args.shared("effect"),
        schema: args.shared("schema"),
        tags: args.shared("configTags"),
        encrypted_data_key: args.shared("encryptedDataKey"),
        gray,
        cas: cas.map(Arc::from),
        create_only: false,
        user: args.shared("srcUser"),
        ip: call.ip.into(),
    };
    let telling = args.telling();
    Ok(Plan::Submit {
        op: Op::Publish(Box::new(publish)),
        content: Some(bytes),
        then: Box::new(move |answered, _| {
            let answer = answered.map_err(Fault::from).and_then(done);
            Plan::Answer(answer.unwrap_or_else(|fault| fault.tell(&telling)))
        }),
    })
}

/// Removes a config, or the gray version of a tag; that there was none is well.
pub(in crate::api) fn remove(args: &Args<'_>) -> Result<Plan, Fault> {
    let tag = args.text("tag");
    let gray = (!tag.is_empty()).then(|| GrayRule::Tag { tag: tag.into() }.name());
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray,
    };
    Ok(args.submit(op, done))
}

/// Removes configs by their ids; unknown ones are passed over.
pub(in crate::api) fn remove_ids(args: &Args<'_>) -> Result<Plan, Fault> {
    let ids = args
        .text("ids")
        .split(',')
        .map(str::trim)
        .filter(|id| !id.is_empty());
    let ids: Vec<u64> = ids
        .map(|id| {
            id.parse().map_err(|_| Fault::Convert {
                name: "ids",
                value: id.into(),
                kind: Kind::Long,
                asked: false,
            })
        })
        .collect::<Result<_, _>>()?;
    if ids.len() > MAX_IDS {
        return Err(Fault::Argument(format!("too many ids, over {MAX_IDS}")));
    }
    let view = args.call().view;
    let keys = ids
        .iter()
        .filter_map(|id| Some(view.config_of_id(*id)?.0))
        .collect();
    let telling = args.telling();
    Ok(remove_each(
        keys,
        Box::new(move |fault| fault.tell(&telling)),
    ))
}

fn remove_each(mut keys: Vec<ConfigKey>, told: Box<dyn FnOnce(Fault) -> Answer + Send>) -> Plan {
    let Some(key) = keys.pop() else {
        return Plan::Answer(Answer::wrapped("true"));
    };
    let op = Op::RemoveConfig { key, gray: None };
    Plan::submit_then(op, move |answered, _| match answered {
        Ok(_) => remove_each(keys, told),
        Err(refusal) => Plan::Answer(told(refusal.into())),
    })
}

/// A content as text; none if it was replaced between look-up and read.
pub(super) fn text(content: Option<&Option<Arc<[u8]>>>) -> Value {
    let content = content.and_then(Option::as_ref);
    content.map_or(Value::Null, |bytes| String::from_utf8_lossy(bytes).into())
}

/// Null for what was never given.
pub(super) fn given(text: &str) -> Value {
    if text.is_empty() {
        Value::Null
    } else {
        text.into()
    }
}

/// The version that a caller over HTTP gets.
fn version_for(args: &Args<'_>, key: &ConfigKey) -> Option<(ConfigVersion, Option<GrayRule>)> {
    let call = args.call();
    let item = call.view.config(key)?;
    let tag = args.text("tag");
    let found: Effective<'_> = if tag.is_empty() {
        effective(
            &item,
            call.ip,
            (call.header)("vipserver-tag").unwrap_or_default(),
        )?
    } else {
        effective_tagged(&item, call.ip, tag)?
    };
    Some((found.version().clone(), found.rule().cloned()))
}

/// v2's content. What is not there is answered past the framework: no type, and a line's end.
pub(in crate::api) fn content_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let missing = || {
        let body = "{\"code\":20004,\"message\":\"resource not found\",\"data\":\"config data not exist\"}\n";
        Answer {
            status: 404,
            content_type: None,
            headers: Vec::new(),
            body: Body::Bytes(body.into()),
        }
        .not_cached()
    };
    let Some((version, rule)) = version_for(args, &key_of(args)) else {
        return Ok(Plan::Answer(missing()));
    };
    Ok(Plan::Contents {
        indexes: Vec::from([version.content.index]),
        then: Box::new(move |contents, _| {
            let content = text(contents.first());
            if content.is_null() {
                return Plan::Answer(missing());
            }
            let mut answer = data(&content)
                .with("Config-Type", version.kind.name())
                .with("Content-MD5", version.content.md5.hex());
            if !version.encrypted_data_key.is_empty() {
                answer = answer.with("Encrypted-Data-Key", &*version.encrypted_data_key);
            }
            answer = match rule {
                Some(GrayRule::Beta { .. }) => answer.with("isBeta", "true"),
                Some(GrayRule::Tag { tag }) => answer.with("tag", &*tag),
                None => answer,
            };
            answer.content_type = Some(Answer::JSON_UTF8);
            Plan::Answer(answer.not_cached())
        }),
    })
}

/// v3's content for clients; that there is none is told with 200.
pub(in crate::api) fn content_client(args: &Args<'_>) -> Result<Plan, Fault> {
    let Some((version, rule)) = version_for(args, &key_of(args)) else {
        return Ok(Plan::Answer(coded(20_004, "null")));
    };
    Ok(Plan::Contents {
        indexes: Vec::from([version.content.index]),
        then: Box::new(move |contents, _| {
            let content = text(contents.first());
            if content.is_null() {
                return Plan::Answer(coded(20_004, "null"));
            }
            let tag = match &rule {
                Some(GrayRule::Tag { tag }) => Some(&**tag),
                _ => None,
            };
            Plan::Answer(data(&json!({
                "resultCode": 200,
                "errorCode": 0,
                "message": null,
                "requestId": null,
                "content": content,
                "encryptedDataKey": &*version.encrypted_data_key,
                "contentType": version.kind.name(),
                "md5": version.content.md5.hex(),
                "lastModified": version.modified,
                "tag": tag,
                "beta": matches!(rule, Some(GrayRule::Beta { .. })),
                "success": true,
            })))
        }),
    })
}

/// What every list of v3 shows of a config.
pub(super) fn basic_json(id: u64, key: &ConfigKey, version: &ConfigVersion) -> Value {
    json!({
        "id": format!("{id}"),
        "namespaceId": &*key.namespace,
        "groupName": &*key.group,
        "dataId": &*key.data_id,
        "md5": version.content.md5.hex(),
        "type": version.kind.name(),
        "appName": &*version.app,
        "createTime": version.created,
        "modifyTime": version.modified,
    })
}

fn detail(args: &Args<'_>, missing: Result<Plan, Fault>) -> Result<Plan, Fault> {
    let key = key_of(args);
    let found = args.call().view.config(&key);
    let Some((id, version)) = found.and_then(|item| Some((item.id, item.formal.clone()?))) else {
        return missing;
    };
    Ok(Plan::Contents {
        indexes: Vec::from([version.content.index]),
        then: Box::new(move |contents, _| {
            let mut shown = basic_json(id, &key, &version);
            shown["content"] = text(contents.first());
            shown["desc"] = given(&version.desc);
            shown["encryptedDataKey"] = (*version.encrypted_data_key).into();
            shown["createUser"] = given(&version.create_user);
            shown["createIp"] = given(&version.create_ip);
            shown["configTags"] = given(&version.tags);
            Plan::Answer(data(&shown))
        }),
    })
}

/// v3's config with all that is known of it.
pub(in crate::api) fn detail_admin(args: &Args<'_>) -> Result<Plan, Fault> {
    let text = "Config not exist, please publish Config first.";
    detail(args, Err(Fault::detail(404, 20_004, text)))
}

/// v3's gray version for some addresses.
pub(in crate::api) fn beta(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = key_of(args);
    let found = args.call().view.config(&key).and_then(|item| {
        let beta = |rule: &GrayRule| matches!(rule, GrayRule::Beta { .. });
        let gray = item.grays.iter().find(|g| beta(&g.rule))?;
        Some((item.id, gray.clone()))
    });
    let (id, gray) = found.ok_or_else(|| Fault::detail(404, 20_004, "Config is not in beta."))?;
    Ok(Plan::Contents {
        indexes: Vec::from([gray.version.content.index]),
        then: Box::new(move |contents, _| {
            let mut shown = basic_json(id, &key, &gray.version);
            let rule = &gray.rule;
            let (kind, expr, priority) = (rule.kind(), json_string(rule.expr()), rule.priority());
            shown["type"] = Value::Null;
            shown["createTime"] = 0.into();
            shown["content"] = text(contents.first());
            for nothing in ["desc", "createUser", "createIp", "configTags"] {
                shown[nothing] = Value::Null;
            }
            shown["encryptedDataKey"] = given(&gray.version.encrypted_data_key);
            shown["grayName"] = (*gray.name).into();
            shown["grayRule"] = format!(
                r#"{{"type":"{kind}","version":"1.0.0","expr":{expr},"priority":{priority}}}"#
            )
            .into();
            Plan::Answer(data(&shown))
        }),
    })
}

/// Removes the gray version for some addresses.
pub(in crate::api) fn stop_beta(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::RemoveConfig {
        key: key_of(args),
        gray: Some("beta".into()),
    };
    Ok(args.submit(op, done))
}

/// What a search means.
fn filter(args: &Args<'_>) -> ConfigFilter {
    let blur = args.text("search") != "accurate";
    let text = |text: &str| match text {
        "" => TextFilter::Any,
        pattern if blur && pattern.contains('*') => TextFilter::Pattern(pattern.into()),
        name => TextFilter::Equal(name.into()),
    };
    let list = |name: &str| {
        let parts = args
            .text(name)
            .split(',')
            .map(str::trim)
            .filter(|p| !p.is_empty());
        parts.map(String::from).collect::<Vec<_>>()
    };
    let mut tags = list("configTags");
    tags.extend(list("config_tags"));
    ConfigFilter {
        namespace: Some(namespace(args)),
        group: text(group(args)),
        data_id: text(args.text("dataId")),
        app: args.string("appName"),
        tags,
        types: list("type").iter().map(|t| ConfigType::parse(t)).collect(),
    }
}

fn namespace(args: &Args<'_>) -> Arc<str> {
    let given = [args.text("namespaceId"), args.text("tenant")];
    Arc::from(
        given
            .into_iter()
            .find(|n| !n.is_empty())
            .unwrap_or(DEFAULT_NAMESPACE),
    )
}

/// What a content must be to be found.
fn content_filter(text: &str, accurate: bool) -> TextFilter {
    match text {
        "" => TextFilter::Any,
        text if accurate => TextFilter::Equal(text.into()),
        text if text.contains('*') => TextFilter::Pattern(text.into()),
        text => TextFilter::Pattern(format!("*{text}*")),
    }
}

type Found = (u64, ConfigKey, ConfigVersion);

/// Goes through the configs that are meant and shows a page of those whose content fits.
fn search(
    args: &Args<'_>,
    (number, size): (usize, usize),
    wanted: TextFilter,
    always_read: bool,
    show: impl Fn(&Found, Value) -> Value + Send + 'static,
    answer: fn(&Value) -> Answer,
) -> Plan {
    let filter = filter(args);
    let telling = args.telling();
    let offset = (number - 1).saturating_mul(size);
    let by_content = wanted != TextFilter::Any;
    // The whole namespace is gone through: not on a thread of the network.
    Plan::Long(Box::new(move |view| {
        let page = if by_content {
            view.configs(&filter, 0, usize::MAX)
        } else {
            view.configs(&filter, offset, size)
        };
        let found = page.items.into_iter();
        let found: Vec<Found> = found
            .filter_map(|(key, item)| Some((item.id, key, item.formal.clone()?)))
            .collect();
        let paged = move |total: usize, items: &[Value]| {
            Plan::Answer(answer(&page_json(
                total,
                number,
                total.div_ceil(size.max(1)),
                items,
            )))
        };
        if !by_content && !always_read {
            let items: Vec<Value> = found.iter().map(|f| show(f, Value::Null)).collect();
            return paged(page.total, &items);
        }
        let bytes: usize = found.iter().map(|(_, _, v)| v.content.bytes as usize).sum();
        if bytes > MAX_CONTENTS {
            let text = format!(
                "the contents to look through have {bytes} bytes, over {MAX_CONTENTS}: name a group or data id"
            );
            return Plan::Answer(Fault::business(413, text).tell(&telling));
        }
        let indexes = found.iter().map(|(_, _, v)| v.content.index).collect();
        Plan::Contents {
            indexes,
            then: Box::new(move |contents, _| {
                let read = found.iter().zip(contents.iter());
                let read =
                    read.filter_map(|(f, c)| Some((f, core::str::from_utf8(c.as_deref()?).ok()?)));
                if !by_content {
                    let items: Vec<Value> = read.map(|(f, c)| show(f, c.into())).collect();
                    return paged(page.total, &items);
                }
                let fitting: Vec<_> = read.filter(|(_, c)| wanted.fits(c)).collect();
                let shown = fitting.iter().skip(offset).take(size);
                let items: Vec<Value> = shown.map(|(f, c)| show(f, (*c).into())).collect();
                paged(fitting.len(), &items)
            }),
        }
    }))
}

/// v3's list.
pub(in crate::api) fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    // The reference's statement by tags does not select the MD5.
    let by_tags = !args.text("configTags").is_empty();
    let show = move |(id, key, version): &Found, _: Value| {
        let mut shown = basic_json(*id, key, version);
        if by_tags {
            shown["md5"] = Value::Null;
        }
        shown
    };
    let wanted = content_filter(args.text("configDetail"), args.text("search") == "accurate");
    let page = (number, size.min(MAX_PAGE));
    Ok(search(args, page, wanted, false, show, data))
}

/// v2's search by content, without the wrapper.
pub(in crate::api) fn search_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let show = |(id, key, version): &Found, content: Value| {
        let mut shown = info_v2(*id, key, version);
        shown["content"] = content;
        shown["encryptedDataKey"] = (*version.encrypted_data_key).into();
        shown
    };
    let wanted = content_filter(
        args.text("config_detail"),
        args.text("search") == "accurate",
    );
    Ok(search(
        args,
        args.page(MAX_PAGE),
        wanted,
        true,
        show,
        Answer::json_of,
    ))
}

/// A namespace as 2.x spells it.
pub(super) fn tenant(namespace: &str) -> &str {
    if namespace == DEFAULT_NAMESPACE {
        ""
    } else {
        namespace
    }
}

fn info_v2(id: u64, key: &ConfigKey, version: &ConfigVersion) -> Value {
    json!({
        "id": format!("{id}"),
        "dataId": &*key.data_id,
        "group": &*key.group,
        "content": null,
        "md5": null,
        "encryptedDataKey": null,
        "tenant": tenant(&key.namespace),
        "appName": &*version.app,
        "type": version.kind.name(),
    })
}

fn all_of(args: &Args<'_>, show: fn(&ConfigKey, &ConfigVersion) -> Value) -> Plan {
    let filter = ConfigFilter {
        namespace: Some(namespace(args)),
        ..ConfigFilter::default()
    };
    Plan::Long(Box::new(move |view| {
        let found = view.configs(&filter, 0, usize::MAX);
        let shown = found.items.iter();
        let shown: Vec<Value> = shown
            .filter_map(|(key, item)| Some(show(key, item.formal.as_ref()?)))
            .collect();
        Plan::Answer(data(&shown))
    }))
}

/// v2's configs of a namespace.
pub(in crate::api) fn configs_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(all_of(args, |key, version| {
        let mut shown = info_v2(0, key, version);
        shown["lastModified"] = version.modified.into();
        shown
    }))
}

/// v3's configs of a namespace.
pub(in crate::api) fn configs_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(all_of(args, |key, version| {
        let mut shown = basic_json(0, key, version);
        shown["md5"] = Value::Null;
        shown["createTime"] = 0.into();
        shown
    }))
}

fn listening(kind: &str, status: impl Iterator<Item = (String, Option<Md5>)>) -> Answer {
    let status: Map<String, Value> = status
        .map(|(of, md5)| (of, md5.map(|m| m.hex()).unwrap_or_default().into()))
        .collect();
    data(&json!({ "queryType": kind, "listenersStatus": status }))
}

/// v3's listeners of a config.
pub(in crate::api) fn listeners(args: &Args<'_>) -> Result<Plan, Fault> {
    let question = Question::ListenersOf { key: key_of(args) };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listeners(found) => found,
            _ => Vec::new(),
        };
        Ok(listening(
            "config",
            found.into_iter().map(|l| (String::from(&*l.ip), l.md5)),
        ))
    }))
}

/// v3's configs that an address listens to.
pub(in crate::api) fn listened(args: &Args<'_>) -> Result<Plan, Fault> {
    let question = Question::ListenedBy {
        ip: args.shared("ip"),
        namespace: (!args.flag("all")).then(|| namespace(args)),
    };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listened(found) => found,
            _ => Vec::new(),
        };
        Ok(listening(
            "ip",
            found.into_iter().map(|(key, md5)| (group_key(&key), md5)),
        ))
    }))
}

/// `dataId+group[+namespace]`, with what is `+` or `%` in them escaped.
fn group_key(key: &ConfigKey) -> String {
    let escaped = |text: &str| text.replace('%', "%25").replace('+', "%2B");
    let mut out = format!("{}+{}", escaped(&key.data_id), escaped(&key.group));
    if !tenant(&key.namespace).is_empty() {
        out.push('+');
        out.push_str(&escaped(&key.namespace));
    }
    out
}

/// Whose quotas a request means; the namespace's if it names both.
fn capacity_of(args: &Args<'_>) -> Result<CapacityOf, Fault> {
    match (args.text("namespaceId"), args.text("groupName")) {
        ("", "") => Err(Fault::detail(
            400,
            10_000,
            "At least one of the parameters (groupName or namespaceId) must be provided",
        )),
        ("", group) => Ok(CapacityOf::Group(group.into())),
        (namespace, _) => Ok(CapacityOf::Namespace(namespace.into())),
    }
}

/// v3's quotas, the defaults in the place of what was never set.
pub(in crate::api) fn capacity(args: &Args<'_>) -> Result<Plan, Fault> {
    let of = capacity_of(args)?;
    let (view, server) = (args.call().view, args.call().server);
    let item = view.capacity(&of).unwrap_or_default();
    let or = |set: u32, default: u32| if set == 0 { default } else { set };
    let (quota, whose, name) = match &of {
        CapacityOf::Group(name) => (server.quotas[1], "groupName", name),
        CapacityOf::Namespace(name) => (server.quotas[2], "namespaceId", name),
    };
    Ok(Plan::Answer(data(&json!({
        "id": format!("{}", item.id),
        "quota": or(item.quota, quota),
        "usage": item.usage,
        "maxSize": or(item.max_size, server.max_size),
        "maxAggrCount": or(item.max_aggr_count, 10_000),
        "maxAggrSize": or(item.max_aggr_size, 1_024),
        "gmtCreate": null,
        "gmtModified": null,
        whose: &**name,
    }))))
}

/// Sets v3's quotas.
pub(in crate::api) fn set_capacity(args: &Args<'_>) -> Result<Plan, Fault> {
    let of = capacity_of(args)?;
    // What is negative means the default, as 0 does.
    let number = |name: &str| {
        let given = args.given(name).filter(|v| !v.is_empty());
        given.map(|_| u32::try_from(args.int(name)).unwrap_or(0))
    };
    let change = CapacityChange {
        quota: number("quota"),
        max_size: number("maxSize"),
        max_aggr_count: number("maxAggrCount"),
        max_aggr_size: number("maxAggrSize"),
    };
    if change == CapacityChange::default() {
        return Err(Fault::detail(
            400,
            10_000,
            "At least one of the parameters (quota, maxSize, maxAggrCount or maxAggrSize) must be provided",
        ));
    }
    Ok(args.submit(Op::SetCapacity { of, change }, done))
}

/// Clients are not asked for their metrics.
pub(in crate::api) fn metrics(args: &Args<'_>) -> Result<Plan, Fault> {
    if args.text("dataId").is_empty() {
        return Err(Fault::Argument("invalid dataId : null".into()));
    }
    if args.text("groupName").is_empty() {
        return Err(Fault::Argument("invalid group : null".into()));
    }
    Err(not_supported("clients are not asked for their metrics"))
}

/// Reads are always answered from what is stored.
pub(in crate::api) fn local_cache(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped(
        "\"Local cache updated from store successfully!\"",
    )))
}

/// There is no such database; the reference says the same where it is switched off.
pub(in crate::api) fn derby(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::json(
        r#"{"code":30000,"message":"Derby ops is disabled, please set `nacos.config.derby.ops.enabled=true` to enabled this feature.","data":null}"#,
    )))
}

/// As [`detail_admin`], for the console: null for none.
pub(in crate::api) fn detail_console(args: &Args<'_>) -> Result<Plan, Fault> {
    detail(args, Ok(Plan::Answer(Answer::wrapped("null"))))
}
