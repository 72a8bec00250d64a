//! `/nacrite/v1/policies`: load-balancing policies of services and namespaces.
//!
//! A policy is checked here, by [`Policy`], before it is proposed: a rule that nobody knows is refused with the names
//! that are nearest. The document is stored as it was written, so that what it leaves open is decided by whom it reaches.

use alloc::{borrow::Cow, boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    api::{
        Answer, Args, Fault, Kind, Method, Param, Plan, Right, Route, RowsQuery,
        wrapped::{PAGE, SIZE, data, page_json, positive_page},
    },
    balance::{Policy, RuleName},
    log::{Row, Table},
    model::ServiceKey,
    node::{op::Op, reply::Reply},
    policies::{
        MAX_DOCUMENT, PolicyItem, PolicyPlugin, PolicyScope, policy_key, read_policy_key,
        read_policy_version,
    },
    view::Reading,
};

/// Records of one page, at most.
const MAX_PAGE: usize = 500;

const SCOPE: &[Param] = &[
    NAMESPACE,
    GROUP,
    SERVICE,
    Param::of(
        "revision",
        Kind::Long,
        "only if this is the revision in force; 0: if none is",
    ),
];
const NAMESPACE: Param = Param::text("namespaceId", "namespace; blank for the default one");
const GROUP: Param = Param::text("groupName", "group of the service");
const SERVICE: Param = Param::text(
    "serviceName",
    "service, or GROUP@@NAME; blank for the namespace itself",
);

/// Policies.
pub(super) const ROUTES: &[Route] = &[
    Route {
        path: "/nacrite/v1/policies",
        params: SCOPE,
        right: Right::ReadNaming,
        summary: "Shows the policy of a service or of a namespace.",
        make: show,
        ..Route::OWN
    },
    Route {
        methods: &[Method::Put],
        path: "/nacrite/v1/policies",
        params: &[
            NAMESPACE,
            GROUP,
            SERVICE,
            Param::of(
                "revision",
                Kind::Long,
                "only if this is the revision in force; 0: if none is",
            ),
            Param::text("policy", "the document; else it is the body"),
            Param::text(
                "pluginDigest",
                "version of the plugin; blank for the newest",
            ),
        ],
        summary: "Sets the policy of a service or of a namespace.",
        make: put,
        ..Route::OWN
    },
    Route {
        methods: &[Method::Delete],
        path: "/nacrite/v1/policies",
        params: SCOPE,
        summary: "Removes the policy of a service or of a namespace.",
        make: remove,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/policies/list",
        params: &[
            Param::text("namespaceId", "only of this namespace; not given for all"),
            PAGE,
            SIZE,
        ],
        right: Right::ReadNaming,
        summary: "Lists policies, those of namespaces first.",
        make: list,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/policies/effective",
        params: &[NAMESPACE, GROUP, SERVICE.required()],
        right: Right::ReadNaming,
        summary: "Shows the policy in force for a service: its own, else its namespace's.",
        make: effective,
        ..Route::OWN
    },
    Route {
        path: "/nacrite/v1/policies/history",
        params: &[NAMESPACE, GROUP, SERVICE, PAGE, SIZE],
        right: Right::ReadNaming,
        summary: "Lists the versions of a policy, the last first.",
        make: history,
        ..Route::OWN
    },
    Route {
        methods: &[Method::Post],
        path: "/nacrite/v1/policies/rollback",
        params: &[
            NAMESPACE,
            GROUP,
            SERVICE,
            Param::of("revision", Kind::Long, "version to go back to").required(),
        ],
        summary: "Sets a policy to an earlier version of it, as a new version.",
        make: rollback,
        ..Route::OWN
    },
];

/// A version of a policy as the API, answers and pushes show it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyJson {
    /// Namespace of what it is for.
    pub namespace_id: String,
    /// Group of the service; absent for a namespace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// Plain name of the service; absent for a namespace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_name: Option<String>,
    /// Its revision: a later version has a greater one.
    pub revision: u64,
    /// The document that [`Policy::from_json`] reads; absent for a removal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
    /// The plugin, if the rule is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugin: Option<PluginJson>,
    /// When it was made, wall clock, milliseconds.
    #[serde(default)]
    pub modified: u64,
    /// By whom.
    #[serde(default)]
    pub user: String,
    /// From where.
    #[serde(default)]
    pub ip: String,
}

/// The plugin of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginJson {
    /// Its name.
    pub name: String,
    /// Digest of the version that is meant; empty for the newest.
    #[serde(default)]
    pub digest: String,
}

impl PolicyJson {
    fn of(scope: &PolicyScope, item: &PolicyItem) -> Self {
        let service = match scope {
            PolicyScope::Service(service) => Some(service),
            PolicyScope::Namespace(_) => None,
        };
        let document = item.document.as_deref();
        Self {
            namespace_id: String::from(&**scope.namespace()),
            group_name: service.map(|s| String::from(&*s.group)),
            service_name: service.map(|s| String::from(&*s.name)),
            revision: item.revision,
            policy: document.and_then(|text| serde_json::from_str(text).ok()),
            plugin: item.plugin.as_ref().map(|plugin| PluginJson {
                name: String::from(&*plugin.name),
                digest: String::from(&*plugin.digest),
            }),
            modified: item.modified,
            user: String::from(&*item.user),
            ip: String::from(&*item.ip),
        }
    }

    /// The policy in force for a service: its own, else its namespace's. Its plugin is of the version in force.
    #[must_use]
    pub fn in_force(view: &dyn Reading, service: &ServiceKey) -> Option<Self> {
        let own = PolicyScope::Service(service.clone());
        let shared = PolicyScope::Namespace(service.namespace.clone());
        let mut found = [own, shared]
            .iter()
            .find_map(|scope| Some(Self::of(scope, &*view.policy(scope)?)))?;
        if let Some(plugin) = found.plugin.as_mut().filter(|p| p.digest.is_empty()) {
            let versions = view.plugin(&plugin.name);
            let newest = versions.as_deref().and_then(|all| all.last()?.module);
            plugin.digest = newest.map_or_else(String::new, |module| module.digest.hex());
        }
        Some(found)
    }
}

fn scope_of(args: &Args<'_>) -> PolicyScope {
    let (group, name) = crate::api::grouped_service(args.call());
    PolicyScope::of(args.text("namespaceId"), group, name)
}

/// The revision that must be in force, if one is asked for.
fn expected(args: &Args<'_>) -> Result<Option<u64>, Fault> {
    let Some(given) = args.given("revision").filter(|r| !r.is_empty()) else {
        return Ok(None);
    };
    let number = given.parse::<u64>();
    number
        .map(Some)
        .map_err(|_| Fault::Argument("revision must not be negative".into()))
}

fn missing(scope: &PolicyScope) -> Fault {
    Fault::detail(404, 20_004, format!("{} has no policy", scope.describe()))
}

fn show(args: &Args<'_>) -> Result<Plan, Fault> {
    let scope = scope_of(args);
    let item = args.call().view.policy(&scope);
    let item = item.ok_or_else(|| missing(&scope))?;
    Ok(Plan::Answer(data(&PolicyJson::of(&scope, &item))))
}

fn effective(args: &Args<'_>) -> Result<Plan, Fault> {
    match scope_of(args) {
        PolicyScope::Service(service) => {
            let found = PolicyJson::in_force(args.call().view, &service);
            let found = found.ok_or_else(|| missing(&PolicyScope::Service(service)))?;
            Ok(Plan::Answer(data(&found)))
        }
        PolicyScope::Namespace(_) => Err(Fault::Argument("serviceName must not be blank".into())),
    }
}

fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let size = size.min(MAX_PAGE);
    let namespace = args
        .given("namespaceId")
        .map(|given| PolicyScope::of(given, "", "").namespace().clone());
    let skip = (number - 1).saturating_mul(size);
    let page = args.call().view.policies(namespace.as_deref(), skip, size);
    let items: Result<Vec<Value>, _> = page
        .items
        .iter()
        .map(|(scope, item)| serde_json::to_value(PolicyJson::of(scope, item)))
        .collect();
    let items = items.expect("a policy has text keys");
    Ok(Plan::Answer(data(&page_json(
        page.total,
        number,
        page.total.div_ceil(size),
        &items,
    ))))
}

/// Checks a document; its compact text, and its plugin.
fn checked(text: &str, digest: &str) -> Result<(Arc<str>, Option<PolicyPlugin>), Fault> {
    let illegal = |why: String| Fault::detail(400, 20_002, why);
    if text.trim().is_empty() {
        return Err(illegal("a policy must be given, as the body".into()));
    }
    if text.len() > MAX_DOCUMENT {
        return Err(illegal(format!(
            "a policy is at most {MAX_DOCUMENT} bytes, this one is {}",
            text.len()
        )));
    }
    let policy = Policy::from_json(text.as_bytes()).map_err(|why| illegal(format!("{why}")))?;
    let plugin = match policy.rule() {
        Ok(RuleName::Plugin(name)) => Some(PolicyPlugin {
            name: name.into(),
            digest: digest.to_ascii_lowercase().into(),
        }),
        _ => None,
    };
    if plugin.is_none() && !digest.is_empty() {
        let rule = &policy.rule;
        return Err(illegal(format!(
            "pluginDigest is only for rules that are plugins, {rule} is none"
        )));
    }
    let is_digest = digest.len() == 64 && digest.bytes().all(|b| b.is_ascii_hexdigit());
    if !(digest.is_empty() || is_digest) {
        return Err(illegal(
            "pluginDigest must be a SHA-256 in 64 hexadecimal digits".into(),
        ));
    }
    let document: Value = serde_json::from_str(text).map_err(|why| illegal(format!("{why}")))?;
    Ok((format!("{document}").into(), plugin))
}

fn revised(reply: Reply) -> Result<Answer, Fault> {
    match reply {
        Reply::Policy(revision) => Ok(data(&json!({ "revision": revision }))),
        other => Err(Fault::business(500, format!("the node answered {other:?}"))),
    }
}

fn put(args: &Args<'_>) -> Result<Plan, Fault> {
    let text = match args.given("policy") {
        Some(given) => Cow::Borrowed(given),
        None => String::from_utf8_lossy(args.call().body),
    };
    let (document, plugin) = checked(&text, args.text("pluginDigest"))?;
    let op = Op::PutPolicy {
        scope: scope_of(args),
        document,
        plugin,
        expected: expected(args)?,
    };
    Ok(args.submit(op, revised))
}

fn remove(args: &Args<'_>) -> Result<Plan, Fault> {
    let op = Op::RemovePolicy {
        scope: scope_of(args),
        expected: expected(args)?,
    };
    Ok(args.submit(op, revised))
}

fn read(row: &Row) -> Option<(PolicyScope, PolicyItem)> {
    let (scope, _) = read_policy_key(&row.key)?;
    Some((scope, read_policy_version(&row.value).ok()?))
}

fn history(args: &Args<'_>) -> Result<Plan, Fault> {
    let (number, size) = positive_page(args)?;
    let size = size.min(MAX_PAGE);
    Ok(Plan::Rows {
        query: RowsQuery {
            table: Table::PolicyVersion,
            prefix: policy_key(&scope_of(args)),
            reverse: true,
            skip: (number - 1).saturating_mul(size),
            limit: size,
            count: true,
        },
        then: Box::new(move |(total, rows), _| {
            let items: Vec<Value> = rows
                .iter()
                .filter_map(read)
                .filter_map(|(scope, item)| {
                    serde_json::to_value(PolicyJson::of(&scope, &item)).ok()
                })
                .collect();
            let pages = total.div_ceil(size);
            Plan::Answer(data(&page_json(total, number, pages, &items)))
        }),
    })
}

fn rollback(args: &Args<'_>) -> Result<Plan, Fault> {
    let scope = scope_of(args);
    let wanted = expected(args)?.unwrap_or_default();
    let mut prefix = policy_key(&scope);
    prefix.extend(wanted.to_be_bytes());
    let telling = args.telling();
    Ok(Plan::Rows {
        query: RowsQuery {
            table: Table::PolicyVersion,
            prefix,
            reverse: false,
            skip: 0,
            limit: 1,
            count: false,
        },
        then: Box::new(move |(_, rows), _| {
            let Some((_, item)) = rows.first().and_then(read) else {
                let why = format!("{} has no version {wanted}", scope.describe());
                return Plan::Answer(Fault::detail(404, 20_004, why).tell(&telling));
            };
            let op = match item.document {
                Some(document) => Op::PutPolicy {
                    scope,
                    document,
                    plugin: item.plugin,
                    expected: None,
                },
                None => Op::RemovePolicy {
                    scope,
                    expected: None,
                },
            };
            Plan::submit(op, move |answered| {
                let answer = answered.map_err(Fault::from).and_then(revised);
                answer.unwrap_or_else(|fault| fault.tell(&telling))
            })
        }),
    })
}

#[cfg(test)]
mod tests;
