//! Configs taken to another place: export and import as zip archives, and clones into another namespace.

use alloc::{borrow::ToOwned as _, boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Value, json};

use super::{
    TENANT,
    archive::{Item, NEW, OLD, all_metadata, applications, unpack},
    content::content_of,
    listing::{check_size, filter, namespace},
    rest, tenant, zip,
};
use crate::{
    api::{
        Answer, Args, Fault, Kind, Method, Param, Plan, Right, Route, answer::iso_millis, code_text,
    },
    model::{ConfigKey, ConfigVersion, DEFAULT_NAMESPACE},
    node::{
        op::{Op, Publish},
        reply::Refusal,
    },
    view::{ConfigFilter, Reading},
};

/// What is done with what exists.
pub(in crate::api) const POLICY: Param =
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
        make: |args| Ok(export(args, filter(args, false), false)),
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/configs",
        when: Some(("exportV2", "true")),
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/export2",
        params: EXPORT,
        summary: "Exports configs as an archive with all that is known of them.",
        make: |args| Ok(export(args, filter(args, false), true)),
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
        make: |args| Ok(import(args, &V1)),
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
        make: |args| clone(args, &V1_CLONE),
        ..Route::CONFIG_V1
    },
];

/// How requests name what a transfer needs, and how its end is told.
pub(in crate::api) struct Spelling {
    /// Parameter of the namespace that is transferred to.
    pub to: &'static str,
    /// Parameter of who does it.
    pub user: &'static str,
    /// Fields of what is to be cloned: id, new group, new data id.
    pub cloned: [&'static str; 3],
    /// Code of a namespace that is not there.
    pub no_namespace: u32,
    /// The answer at the end.
    pub done: fn(&Value) -> Answer,
}

const V1: Spelling = Spelling {
    to: "namespace",
    user: "src_user",
    cloned: ["cfgId", "group", "dataId"],
    no_namespace: 100_001,
    done: |result| rest(200, None, result),
};
const V1_CLONE: Spelling = Spelling { to: "tenant", ..V1 };

fn wanted(args: &Args<'_>) -> Vec<u64> {
    let ids = args.text("ids").split(',');
    ids.filter_map(|id| id.trim().parse().ok())
        .take(zip::MAX_ENTRIES)
        .collect()
}

/// The configs of the ids that are asked for (or else of a filter), as an archive of the new layout or of the old.
pub(in crate::api) fn export(args: &Args<'_>, filter: ConfigFilter, new: bool) -> Plan {
    let (ids, telling) = (wanted(args), args.telling());
    let stamp: String = iso_millis(args.call().now.wall)
        .chars()
        .filter(char::is_ascii_digit)
        .take(14)
        .collect();
    Plan::Long(Box::new(move |view| {
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
    }))
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
    told: fn(&Value) -> Answer,
}

fn failure(code: u32) -> Plan {
    let message = match code {
        100_001 => "target namespace not exist",
        100_006 => "No configuration selected",
        code => code_text(code),
    };
    let data = json!({ "succCount": 0 });
    let body = json!({ "code": code, "message": message, "data": data });
    Plan::Answer(super::json_of(&body))
}

impl Transfer {
    fn new(args: &Args<'_>, spelling: &Spelling) -> Self {
        let telling = args.telling();
        Self {
            left: Vec::new(),
            namespace: namespace(args.text(spelling.to)),
            policy: match args.text("policy") {
                "SKIP" => Policy::Skip,
                "OVERWRITE" => Policy::Overwrite,
                _ => Policy::Abort,
            },
            user: args.shared(spelling.user),
            ip: args.call().ip.into(),
            done: 0,
            failed: Vec::new(),
            skipped: Vec::new(),
            unrecognized: Vec::new(),
            refused: Box::new(move |refusal| Fault::from(refusal).tell(&telling)),
            told: spelling.done,
        }
    }

    /// Publishes one after the other, and answers after the last.
    fn next(mut self) -> Plan {
        let Some(item) = self.left.pop() else {
            return Plan::Answer((self.told)(&self.result()));
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

/// Publishes what an archive (form part `file`) holds.
pub(in crate::api) fn import(args: &Args<'_>, spelling: &Spelling) -> Plan {
    let call = args.call();
    let Some(file) = call
        .parts
        .iter()
        .find(|part| part.name == "file")
        .filter(|p| !p.bytes.is_empty())
    else {
        return failure(100_005);
    };
    if !is_there(call.view, args.text(spelling.to)) {
        return failure(spelling.no_namespace);
    }
    let mut transfer = Transfer::new(args, spelling);
    let bytes = file.bytes.to_vec();
    let most = call.server.max_content;
    Plan::Long(Box::new(move |_| match unpack(&bytes) {
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
    }))
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

/// Publishes configs of this server (listed in the body) in another namespace, or under other names.
pub(in crate::api) fn clone(args: &Args<'_>, spelling: &Spelling) -> Result<Plan, Fault> {
    let call = args.call();
    let [id_field, group_field, data_id_field] = spelling.cloned;
    let asked: Vec<Value> = serde_json::from_slice(call.body).unwrap_or_default();
    if asked.is_empty() {
        return Ok(failure(100_006));
    }
    if !is_there(call.view, args.text(spelling.to)) {
        return Ok(failure(spelling.no_namespace));
    }
    let mut found: Vec<(Item, ConfigVersion)> = Vec::new();
    for one in asked.iter().take(zip::MAX_ENTRIES) {
        let id = &one[id_field];
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
            group: name(group_field, &key.group),
            data_id: name(data_id_field, &key.data_id),
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
    let mut transfer = Transfer::new(args, spelling);
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
