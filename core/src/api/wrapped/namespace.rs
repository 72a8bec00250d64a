//! Namespaces in the `Result` wrapper.

use alloc::{format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{data, done};
use crate::{
    api::{Answer, Args, Fault, Generation, Plan},
    model::DEFAULT_NAMESPACE,
    node::{op::Op, reply::Refusal},
    view::{NamespaceItem, Reading},
};

/// Most configs of a namespace, as answers show it; nobody enforces it.
const QUOTA: u32 = 200;

/// Longest id.
const ID_LENGTH: usize = 128;

/// The default namespace, as a generation spells it.
fn builtin_json(view: &dyn Reading, generation: Generation) -> Value {
    json!({
        "namespace": if generation == Generation::V3 { DEFAULT_NAMESPACE } else { "" },
        "namespaceShowName": "public",
        "namespaceDesc": "Default Namespace",
        "quota": QUOTA,
        "configCount": view.config_count(DEFAULT_NAMESPACE),
        "type": 0,
    })
}

fn namespace_json(
    view: &dyn Reading,
    generation: Generation,
    id: &str,
    item: &NamespaceItem,
) -> Value {
    json!({
        "namespace": id,
        "namespaceShowName": &*item.name,
        "namespaceDesc": &*item.desc,
        "quota": QUOTA,
        "configCount": view.config_count(id),
        // 2.x writes another number for what people made.
        "type": if generation == Generation::V3 { 1 } else { 2 },
    })
}

fn all(args: &Args<'_>, generation: Generation) -> Plan {
    let view = args.call().view;
    let others = view.namespaces();
    let others = others
        .iter()
        .map(|(id, item)| namespace_json(view, generation, id, item));
    let all: Vec<Value> = core::iter::once(builtin_json(view, generation))
        .chain(others)
        .collect();
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
    let (id, view) = (args.text("namespaceId"), args.call().view);
    let shown = if is_default(id) {
        builtin_json(view, generation)
    } else {
        let item = view
            .namespace(id)
            .ok_or_else(|| Fault::detail(404, 22_001, format!("namespaceId [ {id} ] not exist")))?;
        namespace_json(view, generation, id, &item)
    };
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

fn is_default(id: &str) -> bool {
    id.is_empty() || id == DEFAULT_NAMESPACE
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
    if name.contains(['@', '#', '$', '%', '^', '&', '*']) {
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
