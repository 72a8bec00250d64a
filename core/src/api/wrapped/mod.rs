//! What v2 and v3 answer alike: handlers that put their data into the `Result` wrapper, whichever paths lead to them.
//!
//! Where an old route does the same, its plan is taken and its answer wrapped ([`wrapped`]); the rows with their paths
//! and parameters stand with their generations.

pub(super) mod ai;
#[cfg(test)]
mod answers;
pub(super) mod client;
pub(super) mod cluster;
pub(super) mod config;
pub(super) mod history;
pub(super) mod instance;
pub(super) mod namespace;
pub(super) mod operator;
pub(super) mod service;
pub(super) mod state;

use alloc::{boxed::Box, format, string::String, vec::Vec};

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    answer::{Answer, Body, json_string},
    call::Args,
    fault::{Fault, code_text},
    plan::Plan,
    route::{Kind, Param},
};
use crate::node::reply::Reply;

/// Number of a page, from 1, as forms check it.
pub(super) const PAGE: Param =
    Param::of("pageNo", Kind::Int, "number of the page, from 1").default("1");
/// Size of a page, as forms check it.
pub(super) const SIZE: Param = Param::of("pageSize", Kind::Int, "items of a page").default("100");

/// 200 with data in the wrapper.
pub(super) fn data(value: &impl Serialize) -> Answer {
    Answer::wrapped(
        &serde_json::to_string(value).expect("answers have text keys and no failing fields"),
    )
}

/// 200 with `"ok"` in the wrapper, whatever the node replied.
pub(super) fn ok(_: Reply) -> Result<Answer, Fault> {
    Ok(Answer::wrapped("\"ok\""))
}

/// 200 with `true` in the wrapper, whatever the node replied.
pub(super) fn done(_: Reply) -> Result<Answer, Fault> {
    Ok(Answer::wrapped("true"))
}

/// 200 with a code that is none of success, and data as JSON.
pub(super) fn coded(code: u32, data: &str) -> Answer {
    let text = json_string(code_text(code));
    Answer::json(format!(
        r#"{{"code":{code},"message":{text},"data":{data}}}"#
    ))
}

/// The answer of a plan with its body as the data of the wrapper: JSON as it is, text as a JSON text. What is no 200 is
/// a fault that has been told already.
pub(super) fn wrapped(plan: Plan) -> Plan {
    match plan {
        Plan::Answer(answer) => Plan::Answer(wrap(answer)),
        Plan::Submit { op, content, then } => Plan::Submit {
            op,
            content,
            then: Box::new(move |answered, view| wrapped(then(answered, view))),
        },
        Plan::Rows { query, then } => Plan::Rows {
            query,
            then: Box::new(move |rows, view| wrapped(then(rows, view))),
        },
        Plan::Contents { indexes, then } => Plan::Contents {
            indexes,
            then: Box::new(move |contents, view| wrapped(then(contents, view))),
        },
        Plan::Clients { ids, request, then } => Plan::Clients {
            ids,
            request,
            then: Box::new(move |answers, view| wrapped(then(answers, view))),
        },
        Plan::Examine {
            module,
            config,
            then,
        } => Plan::Examine {
            module,
            config,
            then: Box::new(move |examined, view| wrapped(then(examined, view))),
        },
        Plan::LogLevel {
            logger,
            level,
            then,
        } => Plan::LogLevel {
            logger,
            level,
            then: Box::new(move |set, view| wrapped(then(set, view))),
        },
        Plan::Long(look) => Plan::Long(Box::new(move |view| wrapped(look(view)))),
    }
}

fn wrap(mut answer: Answer) -> Answer {
    let Body::Bytes(bytes) = &answer.body else {
        return answer;
    };
    if answer.status != 200 {
        return answer;
    }
    let json = answer
        .content_type
        .is_some_and(|kind| kind.starts_with(Answer::JSON));
    let mut body = Vec::with_capacity(bytes.len() + 48);
    body.extend(br#"{"code":0,"message":"success","data":"#);
    if json {
        body.extend_from_slice(bytes);
    } else {
        super::answer::push_json_string(&mut body, &String::from_utf8_lossy(bytes));
    }
    body.push(b'}');
    answer.body = Body::Bytes(body);
    answer.content_type = Some(Answer::JSON);
    answer
}

/// A page as every list has it; `pages` is the generation's own way of counting them.
pub(super) fn page_json(total: usize, number: usize, pages: usize, items: &[Value]) -> Value {
    json!({ "totalCount": total, "pageNumber": number, "pagesAvailable": pages, "pageItems": items })
}

/// How many pages naming says there are: one more than are full, none of nothing.
pub(super) fn naming_pages(total: usize, size: usize) -> usize {
    if total == 0 {
        0
    } else {
        total.checked_div(size).unwrap_or(0) + 1
    }
}

/// Number and size of a page, which forms want to be positive.
pub(super) fn positive_page(args: &Args<'_>) -> Result<(usize, usize), Fault> {
    let number = |name: &str| {
        let given = args.int(name);
        usize::try_from(given)
            .ok()
            .filter(|n| *n > 0)
            .ok_or_else(|| {
                Fault::Argument(format!(
                    "Required parameter '{name}' should be positive integer, current is {given}"
                ))
            })
    };
    Ok((number("pageNo")?, number("pageSize")?))
}

/// What this server does not do, said without pretending.
pub(super) fn not_supported(why: &str) -> Fault {
    Fault::business(501, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_answers_are_wrapped_and_faults_are_not() {
        let body = |answer| match wrapped(Plan::Answer(answer)) {
            Plan::Answer(answer) => {
                let bytes: Vec<u8> = answer.bytes().expect("bytes").into();
                (answer.status, String::from_utf8(bytes).expect("text"))
            }
            _ => panic!("an answer stays an answer"),
        };
        assert_eq!(
            body(Answer::text("o\"k")),
            (
                200,
                r#"{"code":0,"message":"success","data":"o\"k"}"#.into()
            )
        );
        assert_eq!(
            body(Answer::json("[1]")).1,
            r#"{"code":0,"message":"success","data":[1]}"#
        );
        assert_eq!(body(Answer::text("no").status(404)), (404, "no".into()));
    }

    #[test]
    fn naming_counts_one_page_more_than_are_full() {
        let pages = [(0, 10), (1, 10), (10, 10), (11, 10)].map(|(n, size)| naming_pages(n, size));
        assert_eq!(pages, [0, 1, 2, 2]);
    }
}
