//! Configs with all that is known of them, one by one and by search.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{
    DATA_ID, GROUP, TENANT, config_info, content::text, given, json_answer, json_of, key_of,
    page_json, rest,
};
use crate::{
    api::{Args, Check, Class, Fault, Kind, Param, Plan, Route},
    model::{ConfigKey, ConfigType, ConfigVersion, DEFAULT_NAMESPACE},
    view::{ConfigFilter, TextFilter},
};

/// Configs of one page, at most.
const MAX_PAGE: usize = 1_000;
/// Bytes of the contents of one answer, at most.
pub(super) const MAX_CONTENTS: usize = 128 << 20;

const SEARCH: &[Param] = &[
    DATA_ID,
    GROUP,
    Param::text("appName", "application that owns them"),
    TENANT,
    Param::text(
        "config_tags",
        "tags of which one must be there, comma-separated",
    ),
    Param::text("types", "types, comma-separated"),
    Param::of("pageNo", Kind::Int, "number of the page, from 1").required(),
    Param::of("pageSize", Kind::Int, "configs of a page, at most 1000").required(),
];
const LIST: &str = "GET ${contextPath:nacos}/v3/console/cs/config/list";

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/cs/configs",
        when: Some(("show", "all")),
        instead: "GET ${contextPath:nacos}/v3/console/cs/config",
        params: &[DATA_ID, GROUP, TENANT],
        summary: "Shows all that is known of a config.",
        make: show,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs/catalog",
        class: Class::Admin,
        instead: "GET ${contextPath:nacos}/v3/admin/cs/config",
        params: &[DATA_ID, GROUP, TENANT],
        summary: "Shows a config without its content.",
        make: catalog,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs",
        when: Some(("search", "accurate")),
        instead: LIST,
        params: SEARCH,
        check: Check::ConfigSearch,
        summary: "Lists configs of exactly these names; what is blank is not looked at.",
        make: |args| search(args, false),
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs",
        when: Some(("search", "blur")),
        instead: LIST,
        params: SEARCH,
        check: Check::ConfigSearch,
        summary: "Lists configs by patterns in which `*` stands for anything.",
        make: |args| search(args, true),
        ..Route::CONFIG_V1
    },
];

/// Everything about a version but its content and names.
fn advanced(version: &ConfigVersion) -> Value {
    json!({
        "createTime": version.created,
        "modifyTime": version.modified,
        "createUser": given(&version.create_user),
        "createIp": given(&version.create_ip),
        "desc": given(&version.desc),
        "use": given(&version.usage),
        "effect": given(&version.effect),
        "schema": given(&version.schema),
        "configTags": given(&version.tags),
    })
}

fn show(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = key_of(args);
    let Some(item) = args.call().view.config(&key) else {
        return Ok(Plan::Answer(json_answer("")));
    };
    let Some(version) = item.formal.clone() else {
        return Ok(Plan::Answer(json_answer("")));
    };
    Ok(Plan::Contents {
        indexes: Vec::from([version.content.index]),
        then: Box::new(move |contents, _| {
            let mut shown = config_info(item.id, &key, &version);
            shown["content"] = text(contents.first().and_then(Option::as_ref));
            shown["md5"] = version.content.md5.hex().into();
            shown["encryptedDataKey"] = json!(&*version.encrypted_data_key);
            if let (Some(shown), Value::Object(more)) = (shown.as_object_mut(), advanced(&version))
            {
                shown.extend(more);
            }
            Plan::Answer(json_of(&shown))
        }),
    })
}

fn catalog(args: &Args<'_>) -> Result<Plan, Fault> {
    let item = args.call().view.config(&key_of(args));
    let data = item
        .as_deref()
        .and_then(|item| item.formal.as_ref())
        .map(|version| {
            let mut shown = advanced(version);
            shown["type"] = version.kind.name().into();
            shown
        });
    Ok(Plan::Answer(rest(200, None, &data.unwrap_or(Value::Null))))
}

/// What a search or an export means.
pub(super) fn filter(args: &Args<'_>, blur: bool) -> ConfigFilter {
    let text = |name: &str| match args.text(name) {
        "" => TextFilter::Any,
        pattern if blur && pattern.contains('*') => TextFilter::Pattern(pattern.into()),
        name => TextFilter::Equal(name.into()),
    };
    let list = |name: &str| {
        let parts = args.text(name).split(',').map(str::trim);
        parts
            .filter(|p| !p.is_empty())
            .map(String::from)
            .collect::<Vec<_>>()
    };
    ConfigFilter {
        namespace: Some(namespace(args.text("tenant"))),
        group: text("group"),
        data_id: text("dataId"),
        app: args.string("appName"),
        tags: list("config_tags"),
        types: list("types").iter().map(|t| ConfigType::parse(t)).collect(),
    }
}

/// The namespace of a tenant as 2.x spells it.
pub(super) fn namespace(tenant: &str) -> Arc<str> {
    Arc::from(if tenant.is_empty() {
        DEFAULT_NAMESPACE
    } else {
        tenant
    })
}

/// What is refused of contents that would be too much for one answer.
pub(super) fn check_size<'a>(
    versions: impl Iterator<Item = &'a ConfigVersion>,
) -> Result<(), Fault> {
    let bytes: usize = versions.map(|v| v.content.bytes as usize).sum();
    if bytes > MAX_CONTENTS {
        return Err(Fault::business(
            413,
            format!(
                "the contents asked for have {bytes} bytes, over {MAX_CONTENTS}: ask for fewer"
            ),
        ));
    }
    Ok(())
}

fn search(args: &Args<'_>, blur: bool) -> Result<Plan, Fault> {
    let filter = filter(args, blur);
    // The reference's statement by tags does not select the key.
    let with_key = blur && filter.tags.is_empty();
    let (number, size) = args.page(MAX_PAGE);
    let telling = args.telling();
    // The whole namespace is gone through: not on a thread of the network.
    Ok(Plan::Long(Box::new(move |view| {
        let page = view.configs(&filter, (number - 1).saturating_mul(size), size);
        let total = page.total;
        let found: Vec<(u64, ConfigKey, ConfigVersion)> = page
            .items
            .into_iter()
            .filter_map(|(key, item)| Some((item.id, key, item.formal.clone()?)))
            .collect();
        if let Err(fault) = check_size(found.iter().map(|(_, _, version)| version)) {
            return Plan::Answer(fault.tell(&telling));
        }
        Plan::Contents {
            indexes: found
                .iter()
                .map(|(_, _, version)| version.content.index)
                .collect(),
            then: Box::new(move |contents, _| {
                let items = found
                    .iter()
                    .zip(&contents)
                    .map(|((id, key, version), content)| {
                        let mut shown = config_info(*id, key, version);
                        shown["content"] = text(content.as_ref());
                        if with_key {
                            shown["encryptedDataKey"] = json!(&*version.encrypted_data_key);
                        }
                        shown
                    });
                Plan::Answer(json_of(&page_json(total, number, size, items.collect())))
            }),
        }
    })))
}
