//! Configs taken to another place: export and import as zip archives, and clones into another namespace.
//!
//! Entries are `<group>/<dataId>`. What is known beside a content is in one more entry: `.meta.yml` (applications
//! alone) or `.metadata.yml` (all of it).

use alloc::{borrow::ToOwned as _, boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{
    TENANT,
    content::content_of,
    listing::{check_size, filter, namespace},
    rest, tenant, zip,
};
use crate::{
    api::{
        Answer, Args, Fault, Kind, Method, Param, Plan, Right, Route, answer::iso_millis,
        code_text, json_string,
    },
    model::{ConfigKey, ConfigType, ConfigVersion, DEFAULT_NAMESPACE},
    node::{
        op::{Op, Publish},
        reply::Refusal,
    },
    view::Reading,
};

const OLD: &str = ".meta.yml";
const NEW: &str = ".metadata.yml";
const POLICY: Param =
    Param::text("policy", "ABORT, SKIP or OVERWRITE what exists").default("ABORT");
const USER: Param = Param::text("src_user", "who publishes, for the history");
const EXPORT: &[Param] = &[
    Param::text("dataId", "data id"),
    Param::text("group", "group"),
    Param::text("appName", "application"),
    TENANT,
    Param::of(
        "ids",
        Kind::List,
        "ids of configs; all of the names if blank",
    )
    .required(),
];

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        path: "/v1/cs/configs",
        when: Some(("export", "true")),
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/export2",
        params: EXPORT,
        summary: "Exports configs as an archive of the old layout.",
        make: |args| export(args, false),
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs",
        when: Some(("exportV2", "true")),
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/export2",
        params: EXPORT,
        summary: "Exports configs as an archive with all that is known of them.",
        make: |args| export(args, true),
        ..Route::CONFIG_V1
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/configs",
        when: Some(("import", "true")),
        instead: "POST ${contextPath:nacos}/v3/console/cs/config/import",
        params: &[
            Param::text("namespace", "where to; the default namespace if blank"),
            POLICY,
            USER,
        ],
        right: Right::WriteConfig,
        summary: "Imports the configs of an archive (form part `file`).",
        make: import,
        ..Route::CONFIG_V1
    },
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/configs",
        when: Some(("clone", "true")),
        instead: "POST ${contextPath:nacos}/v3/console/cs/config/clone",
        params: &[
            Param::text("tenant", "namespace to clone into").required(),
            POLICY,
            USER,
        ],
        right: Right::WriteConfig,
        summary: "Clones configs (body: list of cfgId, dataId, group) into a namespace.",
        make: clone,
        ..Route::CONFIG_V1
    },
];

/// A config on its way.
#[derive(Clone, Debug, PartialEq)]
struct Item {
    group: String,
    data_id: String,
    kind: ConfigType,
    app: String,
    desc: String,
    tags: String,
    content: Vec<u8>,
}

fn wanted(args: &Args<'_>) -> Vec<u64> {
    let ids = args.text("ids").split(',');
    ids.filter_map(|id| id.trim().parse().ok())
        .take(zip::MAX_ENTRIES)
        .collect()
}

fn export(args: &Args<'_>, new: bool) -> Result<Plan, Fault> {
    let (ids, filter, telling) = (wanted(args), filter(args, false), args.telling());
    let stamp: String = iso_millis(args.call().now.wall)
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    Ok(Plan::Long(Box::new(move |view| {
        let found = if ids.is_empty() {
            view.configs(&filter, 0, zip::MAX_ENTRIES).items
        } else {
            ids.iter().filter_map(|id| view.config_of_id(*id)).collect()
        };
        let found: Vec<(ConfigKey, ConfigVersion)> = found
            .into_iter()
            .filter_map(|(key, item)| Some((key, item.formal.clone()?)))
            .collect();
        if let Err(fault) = check_size(found.iter().map(|(_, version)| version)) {
            return Plan::Answer(fault.tell(&telling));
        }
        Plan::Contents {
            indexes: found
                .iter()
                .map(|(_, version)| version.content.index)
                .collect(),
            then: Box::new(move |contents, _| {
                let (name, metadata) = if new {
                    (NEW, all_metadata(&found))
                } else {
                    (OLD, applications(&found))
                };
                let entries = found
                    .iter()
                    .zip(&contents)
                    .filter_map(|((key, _), content)| {
                        Some((
                            format!("{}/{}", key.group, key.data_id),
                            &content.as_ref()?[..],
                        ))
                    });
                let more = (!metadata.is_empty()).then(|| (name.to_owned(), metadata.as_bytes()));
                let archive = zip::write(entries.chain(more));
                let file = format!("attachment;filename=nacos_config_export_{stamp}.zip");
                Plan::Answer(
                    Answer::new(200, "application/octet-stream;charset=UTF-8", archive)
                        .with("Content-Disposition", file),
                )
            }),
        }
    })))
}

/// `group.data~id.app=name` for each config that has an application: the last dot of the data id is written `~`.
fn applications(found: &[(ConfigKey, ConfigVersion)]) -> String {
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
fn all_metadata(found: &[(ConfigKey, ConfigVersion)]) -> String {
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
fn unpack(bytes: &[u8]) -> Result<(Vec<Item>, Vec<String>), u32> {
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

/// What a transfer does with what exists.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    Abort,
    Skip,
    Overwrite,
}

/// A transfer under way.
struct Transfer {
    /// What is left, the next one last.
    left: Vec<Item>,
    namespace: Arc<str>,
    policy: Policy,
    user: Arc<str>,
    ip: Arc<str>,
    done: usize,
    failed: Vec<Value>,
    skipped: Vec<Value>,
    unrecognized: Vec<String>,
    refused: Box<dyn Fn(Refusal) -> Answer + Send>,
}

fn failure(code: u32) -> Plan {
    let message = match code {
        100_001 => "target namespace not exist",
        code => code_text(code),
    };
    let data = json!({ "succCount": 0 });
    let body = json!({ "code": code, "message": message, "data": data });
    Plan::Answer(super::json_of(&body))
}

impl Transfer {
    fn new(args: &Args<'_>, to: &str) -> Self {
        let telling = args.telling();
        Self {
            left: Vec::new(),
            namespace: namespace(to),
            policy: match args.text("policy") {
                "SKIP" => Policy::Skip,
                "OVERWRITE" => Policy::Overwrite,
                _ => Policy::Abort,
            },
            user: args.shared("src_user"),
            ip: args.call().ip.into(),
            done: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
            unrecognized: Vec::new(),
            refused: Box::new(move |refusal| Fault::from(refusal).tell(&telling)),
        }
    }

    /// Publishes one after the other, and answers after the last.
    fn next(mut self) -> Plan {
        let Some(item) = self.left.pop() else {
            return Plan::Answer(rest(200, None, &self.result()));
        };
        let named = json!({ "dataId": item.data_id, "group": item.group });
        let nothing: Arc<str> = "".into();
        let publish = Publish {
            key: ConfigKey::new(&self.namespace, &item.group, &item.data_id),
            content: content_of(&item.content),
            kind: item.kind,
            app: item.app.into(),
            desc: item.desc.into(),
            usage: nothing.clone(),
            effect: nothing.clone(),
            schema: nothing.clone(),
            tags: item.tags.into(),
            encrypted_data_key: nothing,
            gray: None,
            cas: None,
            create_only: self.policy != Policy::Overwrite,
            user: self.user.clone(),
            ip: self.ip.clone(),
        };
        Plan::Submit {
            op: Op::Publish(Box::new(publish)),
            content: Some(item.content),
            then: Box::new(move |answered, _: &dyn Reading| {
                match answered {
                    Ok(_) => self.done += 1,
                    Err(Refusal::ConfigExists) if self.policy == Policy::Abort => {
                        self.failed.push(named);
                        let rest = core::mem::take(&mut self.left);
                        self.skipped.extend(
                            rest.iter()
                                .rev()
                                .map(|item| json!({ "dataId": item.data_id, "group": item.group })),
                        );
                    }
                    Err(Refusal::ConfigExists) => self.skipped.push(named),
                    Err(refusal) => return Plan::Answer((self.refused)(refusal)),
                }
                self.next()
            }),
        }
    }

    fn result(&self) -> Value {
        let mut result = json!({ "succCount": self.done, "skipCount": self.skipped.len() });
        for (name, list) in [("failData", &self.failed), ("skipData", &self.skipped)] {
            if !list.is_empty() {
                result[name] = list.clone().into();
            }
        }
        if !self.unrecognized.is_empty() {
            let names = self
                .unrecognized
                .iter()
                .map(|name| json!({ "itemName": name }));
            result["unrecognizedCount"] = self.unrecognized.len().into();
            result["unrecognizedData"] = Value::Array(names.collect());
        }
        result
    }
}

/// Whether configs may be taken there.
fn is_there(view: &dyn Reading, to: &str) -> bool {
    tenant(to).is_empty() || to == DEFAULT_NAMESPACE || view.namespace(to).is_some()
}

fn import(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let to = args.text("namespace");
    let Some(file) = call
        .parts
        .iter()
        .find(|part| part.name == "file")
        .filter(|p| !p.bytes.is_empty())
    else {
        return Ok(failure(100_005));
    };
    if !is_there(call.view, to) {
        return Ok(failure(100_001));
    }
    let mut transfer = Transfer::new(args, to);
    let bytes = file.bytes.to_vec();
    let most = call.server.max_content;
    Ok(Plan::Long(Box::new(move |_| match unpack(&bytes) {
        Err(code) => failure(code),
        Ok((items, mut unrecognized)) => {
            // What would be refused by itself is no config either.
            let (mut good, bad): (Vec<_>, Vec<_>) =
                items.into_iter().partition(|item| is_good(item, most));
            unrecognized.extend(
                bad.iter()
                    .map(|item| format!("{}/{}", item.group, item.data_id)),
            );
            good.reverse();
            transfer.left = good;
            transfer.unrecognized = unrecognized;
            transfer.next()
        }
    })))
}

/// Whether names, content and attributes are what a publish takes.
fn is_good(item: &Item, most: usize) -> bool {
    let names = crate::api::check::Names {
        data_id: &item.data_id,
        group: &item.group,
        ..Default::default()
    };
    names.refusal().is_none()
        && !item.data_id.trim().is_empty()
        && !item.group.trim().is_empty()
        && item.content.len() <= most
        && !item.content.trim_ascii().is_empty()
}

fn clone(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let to = args.text("tenant");
    let asked: Vec<Value> = serde_json::from_slice(call.body).unwrap_or_default();
    if asked.is_empty() {
        return Ok(failure(100_006));
    }
    if !is_there(call.view, to) {
        return Ok(failure(100_001));
    }
    let mut found: Vec<(Item, ConfigVersion)> = Vec::new();
    for one in asked.iter().take(zip::MAX_ENTRIES) {
        let id = &one["cfgId"];
        let id = id
            .as_u64()
            .or_else(|| id.as_str()?.parse().ok())
            .unwrap_or_default();
        let Some((key, item)) = call.view.config_of_id(id) else {
            continue;
        };
        let Some(version) = item.formal.clone() else {
            continue;
        };
        let name = |field: &str, own: &str| match one[field].as_str() {
            Some(given) if !given.trim().is_empty() => String::from(given),
            _ => own.into(),
        };
        let item = Item {
            group: name("group", &key.group),
            data_id: name("dataId", &key.data_id),
            kind: version.kind,
            app: String::from(&*version.app),
            desc: String::from(&*version.desc),
            tags: String::from(&*version.tags),
            content: Vec::new(),
        };
        found.push((item, version));
    }
    if found.is_empty() {
        return Ok(failure(100_003));
    }
    check_size(found.iter().map(|(_, version)| version))?;
    let mut transfer = Transfer::new(args, to);
    let most = call.server.max_content;
    Ok(Plan::Contents {
        indexes: found
            .iter()
            .map(|(_, version)| version.content.index)
            .collect(),
        then: Box::new(move |contents, _| {
            for ((mut item, _), content) in found.into_iter().zip(contents) {
                item.content = content.map(|c| c.to_vec()).unwrap_or_default();
                if is_good(&item, most) {
                    transfer.left.push(item);
                } else {
                    transfer
                        .unrecognized
                        .push(format!("{}/{}", item.group, item.data_id));
                }
            }
            transfer.left.reverse();
            transfer.next()
        }),
    })
}

#[cfg(test)]
mod tests {
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
