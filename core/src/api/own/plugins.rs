//! `/nacrite/v1/plugins`: modules of load-balancing rules, by name and by the digest of their bytes.
//!
//! To publish and to remove needs the server's token; to read needs what reading policies needs. A module is tried by
//! the host before it is proposed; what it is called by is decided here.

use alloc::{boxed::Box, format, string::String, vec::Vec};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{
        Answer, Args, Fault, Kind, Method, Param, Plan, Right, Route,
        answer::Body,
        plan::Examined,
        wrapped::{PAGE, SIZE, data, page_json, positive_page},
    },
    model::{ContentRef, Md5, Sha256},
    node::{op::Op, reply::Reply},
    plugins::{PluginItem, PluginModule, find, misnamed},
    policies::PolicyPlugin,
};

/// Records of one page, at most.
const MAX_PAGE: usize = 500;
/// Longest configuration that a plugin is tried with, bytes.
const MAX_CONFIG: usize = 16 * 1024;

const NAME: Param = Param::text("name", "name of the plugin").required();
const DIGEST: Param = Param::text(
    "digest",
    "SHA-256 of the module in hexadecimal digits; blank for the newest version",
);

/// Plugins.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/nacrite/v1/plugins",
        params: &[NAME],
        right: Right::ReadNaming,
        summary: "Shows the newest version of a plugin.",
        make: show,
        ..Route::OWN
    },
    Route {
        methods: &[Method::Put, Method::Post],
        path: "/nacrite/v1/plugins",
        params: &[
            NAME,
            Param::text("digest", "refuse a module whose SHA-256 is not this"),
            Param::text("config", "configuration that it is tried with, JSON").default("{}"),
        ],
        right: Right::Operator,
        summary: "Publishes the module in the body as the newest version of a plugin.",
        make: publish,
        ..Route::OWN
    },
    Route {
        methods: &[Method::Delete],
        path: "/nacrite/v1/plugins",
        params: &[NAME],
        right: Right::Operator,
        summary: "Removes a plugin that no policy names.",
        make: remove,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/plugins/list",
        params: &[PAGE, SIZE],
        right: Right::ReadNaming,
        summary: "Lists plugins by name.",
        make: list,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/plugins/module",
        params: &[NAME, DIGEST],
        right: Right::ReadNaming,
        summary: "Gives the bytes of a version.",
        make: module,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/plugins/history",
        params: &[
            NAME,
            Param::of("pageNo", Kind::Int, "page, from 1").default("1"),
            Param::of("pageSize", Kind::Int, "items of a page").default("100"),
        ],
        right: Right::ReadNaming,
        summary: "Lists the versions of a plugin, the last first.",
        make: history,
        ..Route::OWN
    },
];

/// A version of a plugin as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PluginVersionJson {
    /// Its name.
    pub name: String,
    /// Its revision: a later version has a greater one.
    pub revision: u64,
    /// SHA-256 of the module, hexadecimal; absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Size of the module; 0 for a removal.
    #[serde(default)]
    pub bytes: u32,
    /// When it was made, wall clock, milliseconds.
    pub modified: u64,
    /// By whom.
    pub user: String,
    /// From where.
    pub ip: String,
}

impl PluginVersionJson {
    fn of(name: &str, item: &PluginItem) -> Self {
        Self {
            name: name.into(),
            revision: item.revision,
            digest: item.module.map(|module| module.digest.hex()),
            bytes: item.module.map_or(0, |module| module.content.bytes),
            modified: item.modified,
            user: String::from(&*item.user),
            ip: String::from(&*item.ip),
        }
    }
}

fn missing(why: String) -> Fault {
    Fault::detail(404, 20_004, why)
}

fn illegal(why: impl Into<String>) -> Fault {
    Fault::detail(400, 20_002, why.into())
}

fn not_published(name: &str) -> Fault {
    missing(format!("no plugin {name} is published"))
}

fn show(args: &Args<'_>) -> Result<Plan, Fault> {
    let name = args.text("name");
    let versions = args.call().view.plugin(name);
    let newest = versions.as_deref().and_then(<[PluginItem]>::last);
    match newest.filter(|item| item.module.is_some()) {
        Some(item) => Ok(Plan::Answer(data(&PluginVersionJson::of(name, item)))),
        None => Err(not_published(name)),
    }
}

fn shown<'a>(items: impl Iterator<Item = (&'a str, &'a PluginItem)>) -> Vec<Value> {
    let shown = items.map(|(name, item)| PluginVersionJson::of(name, item));
    let shown: Result<_, _> = shown.map(serde_json::to_value).collect();
    shown.expect("a version has text keys")
}

fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let size = size.min(MAX_PAGE);
    let skip = (number - 1).saturating_mul(size);
    let page = args.call().view.plugins(skip, size);
    let items = page.items.iter();
    let items = shown(items.filter_map(|(name, all)| Some((&**name, all.last()?))));
    let pages = page.total.div_ceil(size);
    Ok(Plan::Answer(data(&page_json(
        page.total, number, pages, &items,
    ))))
}

fn history(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let (size, name) = (size.min(MAX_PAGE), args.text("name"));
    let versions = args.call().view.plugin(name);
    let versions = versions.as_deref().ok_or_else(|| not_published(name))?;
    let page = versions.iter().rev();
    let page = page.skip((number - 1).saturating_mul(size)).take(size);
    let items = shown(page.map(|item| (name, item)));
    let pages = versions.len().div_ceil(size);
    Ok(Plan::Answer(data(&page_json(
        versions.len(),
        number,
        pages,
        &items,
    ))))
}

fn module(args: &Args<'_>) -> Result<Plan, Fault> {
    let wanted = PolicyPlugin {
        name: args.shared("name"),
        digest: args.shared("digest"),
    };
    let versions = args.call().view.plugin(&wanted.name);
    let found = find(versions.as_deref(), &wanted).map_err(missing)?;
    let answer = Answer {
        status: 200,
        content_type: Some("application/wasm"),
        headers: Vec::new(),
        body: Body::Content(found.content),
    };
    Ok(Plan::Answer(
        answer.with("Nacrite-Digest", found.digest.hex()),
    ))
}

fn publish(args: &Args<'_>) -> Result<Plan, Fault> {
    let (name, config) = (args.shared("name"), args.string("config"));
    if let Some(why) = misnamed(&name) {
        return Err(illegal(why));
    }
    let (body, most) = (args.call().body, args.call().server.max_plugin);
    if body.is_empty() {
        return Err(illegal("the body must be the module"));
    }
    if body.len() > most {
        return Err(illegal(format!(
            "the module has {} bytes; at most {most} are taken (setting plugins.max_module)",
            body.len()
        )));
    }
    if config.len() > MAX_CONFIG {
        return Err(illegal(format!(
            "config has {} bytes; at most {MAX_CONFIG} are taken",
            config.len()
        )));
    }
    let wanted = match args.text("digest") {
        "" => None,
        given => Some(
            Sha256::parse(given)
                .ok_or_else(|| illegal("digest must be a SHA-256 in 64 hexadecimal digits"))?,
        ),
    };
    let (bytes, telling) = (body.to_vec(), args.telling());
    // A digest of a megabyte is long for an I/O thread.
    Ok(Plan::Long(Box::new(move |_| {
        let digest = Sha256::of(&bytes);
        if let Some(wanted) = wanted.filter(|wanted| *wanted != digest) {
            let why = format!("the module's SHA-256 is {digest}, not {wanted}");
            return Plan::Answer(illegal(why).tell(&telling));
        }
        let module = PluginModule {
            digest,
            content: ContentRef {
                index: 0,
                md5: Md5::of(&bytes),
                bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            },
        };
        let then = move |examined: Examined, _: &dyn crate::view::Reading| {
            if let Err(why) = examined.verdict {
                return Plan::Answer(illegal(why).tell(&telling));
            }
            Plan::Submit {
                op: Op::PutPlugin { name, module },
                content: Some(examined.module),
                then: Box::new(move |answered, _| {
                    let answer = answered
                        .map_err(Fault::from)
                        .and_then(|reply| published(&reply, Some(digest)));
                    Plan::Answer(answer.unwrap_or_else(|fault| fault.tell(&telling)))
                }),
            }
        };
        Plan::Examine {
            module: bytes,
            config,
            then: Box::new(then),
        }
    })))
}

fn published(reply: &Reply, digest: Option<Sha256>) -> Result<Answer, Fault> {
    match reply {
        Reply::Plugin(revision) => {
            let digest = digest.map(|digest| digest.hex());
            Ok(data(&json!({ "revision": revision, "digest": digest })))
        }
        other => Err(Fault::business(500, format!("the node answered {other:?}"))),
    }
}

fn remove(args: &Args<'_>) -> Result<Plan, Fault> {
    let name = args.shared("name");
    if let Some(why) = misnamed(&name) {
        return Err(illegal(why));
    }
    let op = Op::RemovePlugin { name };
    Ok(args.submit(op, |reply| published(&reply, None)))
}

#[cfg(test)]
mod tests;
