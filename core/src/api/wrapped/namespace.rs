//! Namespaces in the `Result` wrapper.

use alloc::{format, string::String};

use super::{data, done};
use crate::{
    api::{
        Answer, Args, Fault, Generation, Param, Plan,
        console::{is_default, is_namespace_name, namespaces_json, one_namespace_json},
    },
    model::DEFAULT_NAMESPACE,
    node::{op::Op, reply::Refusal},
};

const NAME: Param = Param::text("namespaceName", "name that people see");
const DESC: Param = Param::text("namespaceDesc", "description");
/// What names one.
pub(in crate::api) const ID: &[Param] =
    &[Param::text("namespaceId", "id of the namespace").required()];
/// What one is created with.
pub(in crate::api) const FORM: &[Param] = &[
    Param::text("namespaceId", "id; blank for a random one"),
    NAME,
    DESC,
];
/// What one is created with by the console.
pub(in crate::api) const CONSOLE_FORM: &[Param] = &[
    Param::text("customNamespaceId", "id; blank for a random one"),
    NAME,
    DESC,
];
/// What is changed of one.
pub(in crate::api) const CHANGE: &[Param] = &[
    Param::text("namespaceId", "id of the namespace"),
    NAME,
    DESC,
];

/// Longest id.
const ID_LENGTH: usize = 128;

/// Id of the default namespace and number of the type of all others, as a generation has them.
fn spelling(generation: Generation) -> (&'static str, u8) {
    match generation {
        Generation::V3 => (DEFAULT_NAMESPACE, 1),
        _ => ("", 2),
    }
}

fn all(args: &Args<'_>, generation: Generation) -> Plan {
    let (default_id, kind) = spelling(generation);
    let all = namespaces_json(args.call().view, default_id, kind);
    Plan::Answer(data(&all))
}

/// v2's list, the default one first.
pub(in crate::api) fn list_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(all(args, Generation::V2))
}

/// v3's list, the default one first.
pub(in crate::api) fn list_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(all(args, Generation::V3))
}

fn one(args: &Args<'_>, generation: Generation) -> Result<Plan, Fault> {
    let id = args.text("namespaceId");
    let (default_id, kind) = spelling(generation);
    let shown = one_namespace_json(args.call().view, id, default_id, kind)
        .ok_or_else(|| Fault::detail(404, 22_001, format!("namespaceId [ {id} ] not exist")))?;
    Ok(Plan::Answer(data(&shown)))
}

/// v2's one namespace.
pub(in crate::api) fn detail_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, Generation::V2)
}

/// v3's one namespace.
pub(in crate::api) fn detail_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    one(args, Generation::V3)
}

/// What a form must carry; here a blank value counts as given.
fn must<'a>(args: &Args<'a>, name: &str) -> Result<&'a str, Fault> {
    args.given(name).ok_or_else(|| {
        Fault::detail(
            400,
            10_000,
            format!("required parameter '{name}' is missing"),
        )
    })
}

fn illegal(detail: String) -> Fault {
    Fault::detail(400, 22_000, detail)
}

fn checked_id(id: &str) -> Result<(), Fault> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !id.bytes().all(good) {
        Err(illegal(format!("namespaceId [{id}] mismatch the pattern")))
    } else if id.len() > ID_LENGTH {
        Err(illegal(format!("too long namespaceId, over {ID_LENGTH}")))
    } else {
        Ok(())
    }
}

fn checked_name(name: &str) -> Result<(), Fault> {
    if !is_namespace_name(name) {
        return Err(illegal(format!(
            "namespaceName [{name}] contains illegal char"
        )));
    }
    Ok(())
}

fn create(args: &Args<'_>, id: &str, taken: fn(&str) -> Fault) -> Result<Plan, Fault> {
    let name = must(args, "namespaceName")?;
    checked_id(id)?;
    checked_name(name)?;
    let id: String = id.into();
    let op = Op::CreateNamespace {
        id: (*id).into(),
        name: name.into(),
        desc: args.shared("namespaceDesc"),
    };
    let refused = move |refusal| match refusal {
        Refusal::NamespaceExists => taken(&id),
        other => other.into(),
    };
    Ok(args.submit_or(op, refused, done))
}

/// v2's creation.
pub(in crate::api) fn create_v2(args: &Args<'_>) -> Result<Plan, Fault> {
    let taken = |id: &str| illegal(format!("the namespaceId is existed, namespaceId: {id}"));
    create(args, must(args, "namespaceId")?, taken)
}

/// v3's creation.
pub(in crate::api) fn create_v3(args: &Args<'_>) -> Result<Plan, Fault> {
    create(args, must(args, "namespaceId")?, taken_v3)
}

/// The console's creation, which calls the id by another name and may leave it out.
pub(in crate::api) fn create_console(args: &Args<'_>) -> Result<Plan, Fault> {
    create(args, args.text("customNamespaceId"), taken_v3)
}

fn taken_v3(id: &str) -> Fault {
    Fault::detail(400, 22_002, format!("namespaceId [{id}] already exist."))
}

/// Changes name and description; an unknown one is no error.
pub(in crate::api) fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    let (id, name) = (must(args, "namespaceId")?, must(args, "namespaceName")?);
    checked_name(name)?;
    let op = Op::UpdateNamespace {
        id: id.into(),
        name: name.into(),
        desc: args.shared("namespaceDesc"),
    };
    Ok(args.submit(op, done))
}

/// Deletes one, not what is in it; an unknown one is no error.
pub(in crate::api) fn delete(args: &Args<'_>) -> Result<Plan, Fault> {
    let id = args.shared("namespaceId");
    Ok(args.submit(Op::DeleteNamespace { id }, done))
}

fn exists(args: &Args<'_>, name: &str) -> bool {
    let id = args.text(name);
    is_default(id) || args.call().view.namespace(id).is_some()
}

/// Counts the namespaces of an id.
pub(in crate::api) fn count(args: &Args<'_>) -> Result<Plan, Fault> {
    let count = if exists(args, "namespaceId") {
        "1"
    } else {
        "0"
    };
    Ok(Plan::Answer(Answer::wrapped(count)))
}

/// The console's question whether an id is taken.
pub(in crate::api) fn exist_console(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(data(&exists(args, "customNamespaceId"))))
}
