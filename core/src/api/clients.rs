//! What operators ask of gRPC clients of this member: what they hold of a config, and to connect again.
//!
//! The connections are the node's to know; the host asks those that are named here ([`Plan::Clients`]).

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use serde_json::{Map, Value};

use super::{Answer, Args, Fault, Plan};
use crate::node::{
    op::{Op, Question},
    reply::{Connection, Reply},
};

/// Connections of one address that are asked what they hold, at most.
const MOST_ASKED: usize = 16;

/// What gRPC clients are asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientRequest {
    /// What they hold of configs: the kind (`cacheData`, `snapshotData`) and the key of each. They answer.
    ConfigMetrics(Vec<(&'static str, String)>),
    /// To connect again, at this address and port if one is named. They go.
    Reset(Option<(String, u16)>),
}

/// Goes on with the connections of this member.
fn connections(
    args: &Args<'_>,
    go_on: impl FnOnce(Vec<Connection>) -> Plan + Send + 'static,
) -> Plan {
    let telling = args.telling();
    Plan::submit_then(
        Op::Ask(Question::Connections),
        move |answered, _| match answered {
            Ok(Reply::Connections(all)) => go_on(all),
            Ok(_) => go_on(Vec::new()),
            Err(refusal) => Plan::Answer(Fault::from(refusal).tell(&telling)),
        },
    )
}

/// What the clients of an address (`ip`) say that they hold of the config with this key, as one object: a client that
/// does not answer within a second adds nothing.
pub(super) fn config_metrics(args: &Args<'_>, key: String, answer: fn(&Value) -> Answer) -> Plan {
    let ip = args.shared("ip");
    connections(args, move |all| {
        let of_address = all.into_iter().filter(|c| c.ip == ip);
        Plan::Clients {
            ids: of_address.map(|c| c.id).take(MOST_ASKED).collect(),
            request: ClientRequest::ConfigMetrics(Vec::from([
                ("cacheData", key.clone()),
                ("snapshotData", key),
            ])),
            then: Box::new(move |answers: Vec<Vec<u8>>, _| {
                Plan::Answer(answer(&Value::Object(merged(&answers))))
            }),
        }
    })
}

/// The metrics of all answers; what is no answer of metrics is left out.
fn merged(answers: &[Vec<u8>]) -> Map<String, Value> {
    let mut metrics = Map::new();
    for answer in answers {
        if let Ok(Value::Object(mut answer)) = serde_json::from_slice(answer)
            && let Some(Value::Object(more)) = answer.remove("metrics")
        {
            metrics.extend(more);
        }
    }
    metrics
}

/// Where clients are to go; nowhere in particular if nothing is named.
fn target(args: &Args<'_>) -> Result<Option<(String, u16)>, Fault> {
    let text = args.text("redirectAddress").trim();
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = text.rsplit_once(':').and_then(|(ip, port)| {
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!ip.is_empty()).then(|| (ip.into(), port))
    });
    parsed.map(Some).ok_or_else(|| {
        Fault::Argument(format!(
            "invalid redirectAddress, it must be ip:port : {text}"
        ))
    })
}

fn reset(ids: Vec<Arc<str>>, to: Option<(String, u16)>, answer: Answer) -> Plan {
    Plan::Clients {
        ids,
        request: ClientRequest::Reset(to),
        then: Box::new(move |_, _| Plan::Answer(answer)),
    }
}

/// Asks the newest connections to go until `count` are left.
pub(super) fn reload_to_count(args: &Args<'_>, answer: Answer) -> Result<Plan, Fault> {
    let to = target(args)?;
    let keep = usize::try_from(args.int("count"))
        .map_err(|_| Fault::Argument("invalid count, it must not be negative".into()))?;
    Ok(connections(args, move |mut all| {
        all.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        let ids = all.into_iter().skip(keep).map(|c| c.id).collect();
        reset(ids, to, answer)
    }))
}

/// Asks one connection to go; one that is not there (any more) is none, as for the reference.
pub(super) fn reload_one(args: &Args<'_>, answer: Answer) -> Result<Plan, Fault> {
    let to = target(args)?;
    Ok(reset(Vec::from([args.shared("connectionId")]), to, answer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{
        Compat, Method, Routes,
        tests::{View, plan},
    };

    fn connection(id: &str, ip: &str, since: u64) -> Connection {
        Connection {
            id: id.into(),
            ip: ip.into(),
            port: 1,
            version: "".into(),
            app: "".into(),
            labels: Vec::new(),
            since,
        }
    }

    /// Who is asked what by this request, and the answer when these answers come.
    fn asked(method: Method, uri: &str, answers: &[&str]) -> (Vec<String>, ClientRequest, String) {
        let view = View::default();
        let all = Vec::from([
            connection("old", "10.0.0.1", 1),
            connection("new", "10.0.0.1", 3),
            connection("other", "10.0.0.2", 2),
        ]);
        let mut next = plan(&Routes::all(), &view, Compat::All, method, uri);
        if let Plan::Submit { then, .. } = next {
            next = then(Ok(Reply::Connections(all)), &view);
        }
        let Plan::Clients { ids, request, then } = next else {
            panic!("{uri} asks no client");
        };
        let answers = answers.iter().map(|a| a.as_bytes().to_vec()).collect();
        let Plan::Answer(answer) = then(answers, &view) else {
            panic!("{uri} goes on");
        };
        let ids = ids.iter().map(|id| String::from(&**id)).collect();
        let body = String::from_utf8_lossy(answer.bytes().unwrap_or_default());
        (ids, request, body.into_owned())
    }

    #[test]
    fn clients_of_an_address_are_asked_what_they_hold() {
        let answers = [
            r#"{"resultCode":200,"metrics":{"a":"x:1"}}"#,
            "no JSON",
            r#"{"metrics":{"b":null}}"#,
        ];
        let query = "ip=10.0.0.1&dataId=d&group=g";
        let key = |tenant: &str| format!("d+g{tenant}");
        let metrics = |tenant: &str| {
            ClientRequest::ConfigMetrics(Vec::from([
                ("cacheData", key(tenant)),
                ("snapshotData", key(tenant)),
            ]))
        };
        for path in ["current", "cluster"] {
            let uri = format!("/v1/cs/metrics/{path}?{query}");
            let (ids, request, body) = asked(Method::Get, &uri, &answers);
            assert_eq!(ids, ["old", "new"]);
            assert_eq!(request, metrics(""));
            assert_eq!(body, r#"{"a":"x:1","b":null}"#);
        }
        let uri = "/v3/admin/cs/metrics/ip?ip=10.0.0.9&dataId=d&groupName=g&namespaceId=n";
        let (ids, request, body) = asked(Method::Get, uri, &[]);
        assert_eq!((ids.len(), request), (0, metrics("+n")));
        assert_eq!(body, r#"{"code":0,"message":"success","data":{}}"#);
    }

    #[test]
    fn connections_are_asked_to_go() {
        let to = Some(("10.0.0.7".into(), 8848));
        let uri = "/v2/core/loader/reloadCurrent?count=1&redirectAddress=10.0.0.7:8848";
        let expected = (
            Vec::from(["other".into(), "new".into()]),
            ClientRequest::Reset(to.clone()),
            "success".into(),
        );
        assert_eq!(asked(Method::Get, uri, &[]), expected, "the newest go");
        let uri = "/v3/admin/core/loader/reloadCurrent?count=5";
        let (ids, request, body) = asked(Method::Post, uri, &[]);
        assert_eq!((ids.len(), request), (0, ClientRequest::Reset(None)));
        assert_eq!(body, r#"{"code":0,"message":"success","data":null}"#);
        let uri = "/v3/admin/core/loader/reloadClient?connectionId=x&redirectAddress=10.0.0.7:8848";
        let (ids, request, _) = asked(Method::Post, uri, &[]);
        assert_eq!(
            (ids, request),
            (Vec::from(["x".into()]), ClientRequest::Reset(to))
        );
        let (ids, ..) = asked(
            Method::Get,
            "/v2/core/loader/reloadClient?connectionId=x",
            &[],
        );
        assert_eq!(ids, ["x"]);
    }

    #[test]
    fn what_is_no_address_or_count_is_refused() {
        let view = View::default();
        for query in [
            "count=-1",
            "count=1&redirectAddress=x",
            "count=1&redirectAddress=x:0",
            "count=1&redirectAddress=:1",
        ] {
            let uri = format!("/v3/admin/core/loader/reloadCurrent?{query}");
            let refused = plan(&Routes::all(), &view, Compat::All, Method::Post, &uri);
            let Plan::Answer(answer) = refused else {
                panic!("{uri} is not refused");
            };
            assert_eq!(answer.status, 400, "{uri}");
        }
    }
}
