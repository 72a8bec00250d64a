//! Configs taken to another place: as in v1, told in the wrapper.

use super::search::filter;
use crate::api::{
    Args, Fault, Plan,
    v1::config::transfer::{self, Spelling},
    wrapped::data,
};

const ADMIN: Spelling = Spelling {
    to: "namespaceId",
    user: "src_user",
    cloned: ["configId", "targetGroupName", "targetDataId"],
    no_namespace: 22_001,
    done: |result| data(result),
};
const CONSOLE: Spelling = Spelling {
    user: "srcUser",
    ..ADMIN
};
const CONSOLE_CLONE: Spelling = Spelling {
    to: "targetNamespaceId",
    cloned: ["cfgId", "group", "dataId"],
    ..CONSOLE
};

/// An archive of configs by their ids or names.
pub(in crate::api) fn export(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(transfer::export(args, filter(args), true))
}

/// Imports an archive, for administrators.
pub(in crate::api) fn import_admin(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(transfer::import(args, &ADMIN))
}

/// Imports an archive, for the console.
pub(in crate::api) fn import_console(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(transfer::import(args, &CONSOLE))
}

/// Clones, for administrators.
pub(in crate::api) fn clone_admin(args: &Args<'_>) -> Result<Plan, Fault> {
    transfer::clone(args, &ADMIN)
}

/// Clones, for the console.
pub(in crate::api) fn clone_console(args: &Args<'_>) -> Result<Plan, Fault> {
    transfer::clone(args, &CONSOLE_CLONE)
}
