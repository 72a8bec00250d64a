//! Distributed locks.

use alloc::format;

use super::{GrpcAnswer, GrpcCall, GrpcRoute, Refused, body::Object, refuse, success};
use crate::{
    api::plan::Plan,
    node::{op::Op, reply::Reply},
};

pub(super) const ROUTES: &[GrpcRoute] = &[GrpcRoute {
    kind: "LockOperationRequest",
    answer: "LockOperationResponse",
    summary: "takes or gives back a distributed lock",
    make: operate,
}];

fn operate(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    const KIND: &str = "LockOperationResponse";
    let acquire = match body.str("lockOperationEnum") {
        Some("ACQUIRE") => true,
        Some("RELEASE") => false,
        _ => return Err(Refused::new(500, "There is no Handler of such operations!")),
    };
    let lock = body.object("lockInstance").unwrap_or_default();
    let (key, kind) = (lock.shared("key"), lock.shared("lockType"));
    if key.is_empty() || key.len() > 512 {
        return Err(Refused::new(400, "lockInstance.key has 1 to 512 bytes"));
    }
    if &*kind != "NACOS_LOCK" {
        return Err(Refused::new(
            400,
            format!("lock type {kind} is not known, NACOS_LOCK is"),
        ));
    }
    let expires_ms = lock
        .int("expiredTime", -1)
        .map_err(|text| Refused::new(400, text))?;
    Ok(Plan::submit(
        Op::Lock {
            key,
            kind,
            acquire,
            expires_ms,
        },
        |result| match result {
            Ok(Reply::Locked(taken)) => success(KIND, [("result", taken.into())]),
            Ok(_) => success(KIND, [("result", true.into())]),
            Err(refusal) => refuse(KIND, refusal.into()),
        },
    ))
}
