//! Who listens to configs.

use alloc::{string::String, vec::Vec};

use serde_json::{Map, Value, json};

use super::{key_of, search::namespace};
use crate::{
    api::{
        Answer, Args, Fault, Plan,
        v1::config::{group_key, tenant},
        wrapped::data,
    },
    model::Md5,
    node::{
        op::{Op, Question},
        reply::Reply,
    },
};

fn listening(kind: &str, status: impl Iterator<Item = (String, Option<Md5>)>) -> Answer {
    let status: Map<String, Value> = status
        .map(|(of, md5)| (of, md5.map(|m| m.hex()).unwrap_or_default().into()))
        .collect();
    data(&json!({ "queryType": kind, "listenersStatus": status }))
}

/// v3's listeners of a config.
pub(in crate::api) fn listeners(args: &Args<'_>) -> Result<Plan, Fault> {
    let question = Question::ListenersOf { key: key_of(args) };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listeners(found) => found,
            _ => Vec::new(),
        };
        Ok(listening(
            "config",
            found.into_iter().map(|l| (String::from(&*l.ip), l.md5)),
        ))
    }))
}

/// v3's configs that an address listens to.
pub(in crate::api) fn listened(args: &Args<'_>) -> Result<Plan, Fault> {
    let question = Question::ListenedBy {
        ip: args.shared("ip"),
        namespace: (!args.flag("all")).then(|| namespace(args)),
    };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listened(found) => found,
            _ => Vec::new(),
        };
        Ok(listening(
            "ip",
            found
                .into_iter()
                .map(|(key, md5)| (group_key(&key, tenant(&key.namespace)), md5)),
        ))
    }))
}
