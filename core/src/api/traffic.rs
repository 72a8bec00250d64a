//! The traffic gate of `/v1/ns`: what operators shut by switch (`limitedUrlMap`, `overriddenServerStatus`).

use alloc::{format, vec::Vec};

use super::{
    answer::{Answer, Body},
    call::Call,
    route::Method,
};

/// Whether path and query of a request begin so.
fn begins(call: &Call<'_>, prefix: &str) -> bool {
    match prefix.strip_prefix(call.full_path) {
        Some(more) => {
            more.is_empty()
                || more
                    .as_bytes()
                    .strip_prefix(b"?")
                    .is_some_and(|query| call.query.starts_with(query))
        }
        None => call.full_path.starts_with(prefix),
    }
}

/// The answer to a request that is shut out; none for one that may go on.
pub(super) fn gate(call: &Call<'_>) -> Option<Answer> {
    let switches = call.view.switches();
    let limited = switches
        .limited_url_map
        .iter()
        .find(|(prefix, _)| begins(call, prefix));
    if let Some((_, status)) = limited {
        return Some(Answer {
            status: *status,
            content_type: None,
            headers: Vec::new(),
            body: Body::Bytes(Vec::new()),
        });
    }
    let status = switches.status();
    let open = match status {
        "UP" => true,
        "WRITE_ONLY" => call.method != Method::Get,
        "READ_ONLY" => call.method == Method::Get,
        _ => false,
    };
    if open || (call.header)("user-agent").is_some_and(|agent| agent.starts_with("Nacos-Server")) {
        return None;
    }
    Some(Answer::new(
        503,
        Answer::TEXT,
        format!("server is {status} now, please try again later"),
    ))
}
