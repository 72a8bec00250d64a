//! Lists and searches.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::Value;

use super::{basic_json, group};
use crate::{
    api::{
        Answer, Args, Fault, Plan,
        v1::config::config_info,
        wrapped::{data, page_json, positive_page},
    },
    model::{ConfigKey, ConfigType, ConfigVersion, DEFAULT_NAMESPACE},
    view::{ConfigFilter, TextFilter},
};

/// Bytes of the contents that one search looks through, at most.
const MAX_CONTENTS: usize = 128 << 20;
/// Configs of one page, at most.
const MAX_PAGE: usize = 1_000;

/// What a search means.
pub(super) fn filter(args: &Args<'_>) -> ConfigFilter {
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

pub(super) fn namespace(args: &Args<'_>) -> Arc<str> {
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
        let mut shown = config_info(*id, key, version);
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
        let mut shown = config_info(0, key, version);
        shown["encryptedDataKey"] = Value::Null;
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
