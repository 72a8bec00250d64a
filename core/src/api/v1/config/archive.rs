//! What archives of configs hold beside the contents, and what is read of one.
//!
//! Entries are `<group>/<dataId>`. What is known beside a content is in one more entry: `.meta.yml` (applications
//! alone) or `.metadata.yml` (all of it).

use alloc::{format, string::String, vec::Vec};

use super::zip;
use crate::{
    api::json_string,
    model::{ConfigKey, ConfigType, ConfigVersion},
};

/// Entry of the applications.
pub(super) const OLD: &str = ".meta.yml";
/// Entry of all that is known.
pub(super) const NEW: &str = ".metadata.yml";

/// A config on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub(super) group: String,
    pub(super) data_id: String,
    pub(super) kind: ConfigType,
    pub(super) app: String,
    pub(super) desc: String,
    pub(super) tags: String,
    pub(super) content: Vec<u8>,
}

/// `group.data~id.app=name` for each config that has an application: the last dot of the data id is written `~`.
pub(super) fn applications(found: &[(ConfigKey, ConfigVersion)]) -> String {
    let lines: Vec<String> = found
        .iter()
        .filter(|(_, version)| !version.app.is_empty())
        .map(|(key, version)| format!("{}.app={}", old_name(&key.group, &key.data_id), version.app))
        .collect();
    lines.join("\r\n")
}

fn old_name(group: &str, data_id: &str) -> String {
    match data_id.rsplit_once('.') {
        Some((front, back)) => format!("{group}.{front}~{back}"),
        None => format!("{group}.{data_id}"),
    }
}

/// Texts are written as JSON, which YAML reads.
pub(super) fn all_metadata(found: &[(ConfigKey, ConfigVersion)]) -> String {
    let mut out = String::from("metadata:\n");
    for (key, version) in found {
        let fields: [(&str, &str); 6] = [
            ("group", &key.group),
            ("dataId", &key.data_id),
            ("desc", &version.desc),
            ("type", version.kind.name()),
            ("appName", &version.app),
            ("configTags", &version.tags),
        ];
        for (at, (name, value)) in fields.into_iter().enumerate() {
            let lead = if at == 0 { "- " } else { "  " };
            out.push_str(&format!("{lead}{name}: {}\n", json_string(value)));
        }
    }
    out
}

/// A scalar of YAML: in quotes of either kind, or bare.
fn scalar(text: &str) -> String {
    let text = text.trim();
    if text.starts_with('"') {
        return serde_json::from_str(text).unwrap_or_else(|_| text.trim_matches('"').into());
    }
    match text.strip_prefix('\'').and_then(|t| t.strip_suffix('\'')) {
        Some(quoted) => quoted.replace("''", "'"),
        None if matches!(text, "null" | "~") => String::new(),
        None => text.into(),
    }
}

/// Fields of `{a: b, c: 'd'}`, without the braces.
fn flow_fields(text: &str) -> Vec<(String, String)> {
    let (mut fields, mut from, mut quote) = (Vec::new(), 0, None);
    let mut parts = Vec::new();
    for (at, c) in text.char_indices() {
        match (c, quote) {
            ('"' | '\'', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            (',', None) => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    for part in parts {
        if let Some((name, value)) = part.split_once(':') {
            fields.push((scalar(name), scalar(value)));
        }
    }
    fields
}

/// The items of a list below `metadata:`, in either style that YAML has for them.
fn read_metadata(text: &str) -> Vec<Vec<(String, String)>> {
    let mut items: Vec<Vec<(String, String)>> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let trimmed = line.trim();
        let (first, rest) = match trimmed.strip_prefix('-') {
            Some(rest) if rest.is_empty() || rest.starts_with(' ') => (true, rest.trim()),
            _ => (false, trimmed),
        };
        if first {
            items.push(Vec::new());
        }
        let Some(item) = items.last_mut() else {
            continue;
        };
        if let Some(open) = rest.strip_prefix('{') {
            let mut flow = String::from(open);
            while !flow.trim_end().ends_with('}') {
                let Some(next) = lines.next() else {
                    break;
                };
                flow.push(' ');
                flow.push_str(next.trim());
            }
            item.extend(flow_fields(flow.trim_end().trim_end_matches('}')));
        } else if let Some((name, value)) = rest.split_once(':') {
            item.push((scalar(name), scalar(value)));
        }
    }
    items
}

/// What an archive holds, and the names of what is no config; or the code of what is wrong.
pub(super) fn unpack(bytes: &[u8]) -> Result<(Vec<Item>, Vec<String>), u32> {
    let entries = zip::read(bytes).ok_or(100_004_u32)?;
    if entries.is_empty() {
        return Err(100_003);
    }
    let text = |name: &str| {
        let (_, bytes) = entries.iter().find(|(n, _)| n == name)?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    let described = text(NEW).map(|text| read_metadata(&text));
    let old = text(OLD).unwrap_or_default();
    let (mut items, mut unrecognized) = (Vec::new(), Vec::new());
    for (name, content) in &entries {
        if name == OLD || name == NEW {
            continue;
        }
        let parts = name
            .split_once('/')
            .filter(|(group, id)| !group.is_empty() && !id.contains('/'));
        let Some((group, data_id)) = parts.filter(|_| core::str::from_utf8(content).is_ok()) else {
            unrecognized.push(name.clone());
            continue;
        };
        let mut item = Item {
            group: group.into(),
            data_id: data_id.into(),
            kind: kind_of(data_id),
            app: String::new(),
            desc: String::new(),
            tags: String::new(),
            content: content.clone(),
        };
        if let Some(described) = &described {
            let field = |fields: &[(String, String)], name: &str| {
                fields
                    .iter()
                    .find(|(n, _)| n == name)
                    .map(|(_, v)| v.clone())
                    .unwrap_or_default()
            };
            let own = described
                .iter()
                .find(|f| field(f, "group") == group && field(f, "dataId") == data_id);
            let Some(own) = own else {
                unrecognized.push(format!("unrecognized config item: {name}"));
                continue;
            };
            let kind = field(own, "type");
            if kind.is_empty() {
                return Err(100_002);
            }
            item.kind = ConfigType::parse(&kind);
            item.app = field(own, "appName");
            item.desc = field(own, "desc");
            item.tags = field(own, "configTags");
        } else {
            let key = format!("{}.app=", old_name(group, data_id));
            item.app = old
                .lines()
                .find_map(|l| l.trim().strip_prefix(&*key))
                .unwrap_or_default()
                .into();
        }
        items.push(item);
    }
    if items.is_empty() {
        return Err(100_003);
    }
    Ok((items, unrecognized))
}

/// By the ending of the data id.
fn kind_of(data_id: &str) -> ConfigType {
    match data_id.rsplit_once('.').map(|(_, ending)| ending) {
        Some("yml") => ConfigType::Yaml,
        Some("htm") => ConfigType::Html,
        Some(ending) => ConfigType::parse(ending),
        None => ConfigType::Text,
    }
}

#[cfg(test)]
mod tests {
    use alloc::borrow::ToOwned as _;

    use proptest::prelude::*;

    use super::*;

    fn archive(entries: &[(&str, &str)]) -> Vec<u8> {
        zip::write(
            entries
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes())),
        )
    }

    #[test]
    fn both_styles_of_metadata_are_read() {
        let block = "metadata:\n- appName: shop\n  dataId: a.yml\n  group: G\n  desc: 'it''s'\n  type: yaml\n";
        let flow =
            "metadata:\n- {appName: shop, dataId: a.yml, group: G,\n  desc: 'it''s', type: yaml}\n";
        for metadata in [block, flow] {
            let (items, unrecognized) = unpack(&archive(&[
                ("G/a.yml", "x: 1"),
                (NEW, metadata),
                ("alone", ""),
            ]))
            .unwrap();
            assert_eq!(unrecognized, ["alone"]);
            assert_eq!(
                (items[0].kind, &*items[0].app, &*items[0].desc),
                (ConfigType::Yaml, "shop", "it's")
            );
        }
    }

    #[test]
    fn the_old_layout_knows_applications_alone() {
        let (items, _) = unpack(&archive(&[
            ("G/a.b.json", "{}"),
            (OLD, "G.a.b~json.app=shop\r\n"),
        ]))
        .unwrap();
        assert_eq!((items[0].kind, &*items[0].app), (ConfigType::Json, "shop"));
        assert_eq!(unpack(b"no archive"), Err(100_004));
        assert_eq!(unpack(&archive(&[(OLD, "")])), Err(100_003));
        assert_eq!(
            unpack(&archive(&[
                ("G/a", "x"),
                (NEW, "metadata:\n- group: G\n  dataId: a\n")
            ])),
            Err(100_002)
        );
    }

    proptest! {
        #[test]
        fn metadata_of_any_text_is_read_without_panic(text in "([-{}:,'\" \n]|[a-c]|\\PC){0,60}") {
            let _ = read_metadata(&text);
        }
    }
}
