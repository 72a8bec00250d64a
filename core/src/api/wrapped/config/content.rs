//! Contents, and all that is known of a config.

use alloc::{boxed::Box, format, vec::Vec};

use serde_json::{Value, json};

use super::{basic_json, key_of};
use crate::{
    api::{
        Answer, Args, Fault, Plan,
        answer::{Body, http_date},
        json_string,
        v1::config::{
            content::{text, version_for as effective_version},
            given,
            poll::url_encoded,
        },
        wrapped::{coded, data},
    },
    model::{ConfigKey, ConfigVersion, GrayRule},
};

/// The version that a caller over HTTP gets.
fn version_for(args: &Args<'_>, key: &ConfigKey) -> Option<(ConfigVersion, Option<GrayRule>)> {
    let call = args.call();
    let item = call.view.config(key)?;
    let header = (call.header)("vipserver-tag").unwrap_or_default();
    let found = effective_version(&item, call.ip, args.text("tag"), header)?;
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
            let content = text(contents.first().and_then(Option::as_ref));
            if content.is_null() {
                return Plan::Answer(missing());
            }
            let mut answer = data(&content)
                .with("Config-Type", version.kind.name())
                .with("Content-MD5", version.content.md5.hex())
                .with("Last-Modified", http_date(version.modified));
            if !version.encrypted_data_key.is_empty() {
                answer = answer.with("Encrypted-Data-Key", &*version.encrypted_data_key);
            }
            answer = match rule {
                Some(GrayRule::Beta { .. }) => answer.with("isBeta", "true"),
                Some(GrayRule::Tag { tag }) => answer.with("tag", url_encoded(&tag)),
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
            let content = text(contents.first().and_then(Option::as_ref));
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
            shown["content"] = text(contents.first().and_then(Option::as_ref));
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
            shown["content"] = text(contents.first().and_then(Option::as_ref));
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

/// As [`detail_admin`], for the console: null for none.
pub(in crate::api) fn detail_console(args: &Args<'_>) -> Result<Plan, Fault> {
    detail(args, Ok(Plan::Answer(Answer::wrapped("null"))))
}
