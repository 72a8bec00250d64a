//! Connections: check of the server, set-up, health, detection, reset and acknowledgements.

use alloc::{format, string::String, sync::Arc, vec::Vec};
use core::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, json};

use super::{
    GrpcAnswer, GrpcCall, GrpcRoute, Refused,
    body::{Object, text_of},
    error, refuse, routes, success,
};
use crate::{
    api::plan::Plan,
    node::{input::AckOutcome, reply::Refusal},
};

/// Kind of the request that clients send before anything else; served before the connection is set up.
pub const SERVER_CHECK: &str = "ServerCheckRequest";
/// Kind of the request that asks whether the connection lives.
pub const HEALTH_CHECK: &str = "HealthCheckRequest";
/// Kind of the first message on a stream.
pub const CONNECTION_SETUP: &str = "ConnectionSetupRequest";

/// What this server can do (`abilityTable`).
const ABILITIES: [&str; 5] = [
    "supportPersistentInstanceByGrpc",
    "fuzzyWatch",
    "lock",
    "mcp",
    "agent",
];

/// What only members may ask, and not on the clients' port: refused before anything else.
pub(super) const OF_MEMBERS: [&str; 5] = [
    "ServerLoaderInfoRequest",
    "ServerReloadRequest",
    "MemberReportRequest",
    "DistroDataRequest",
    "ConfigChangeClusterSyncRequest",
];

pub(super) const ROUTES: &[GrpcRoute] = &[GrpcRoute {
    kind: HEALTH_CHECK,
    answer: "HealthCheckResponse",
    summary: "asks whether the connection is alive, after 5 s of silence",
    make: health,
}];

fn health(_: &GrpcCall<'_>, _: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    Ok(Plan::Answer(success("HealthCheckResponse", [])))
}

/// Answer to [`SERVER_CHECK`].
#[must_use]
pub fn server_check(connection: &str) -> GrpcAnswer {
    let fields = [
        ("connectionId", connection.into()),
        ("supportAbilityNegotiation", true.into()),
    ];
    success("ServerCheckResponse", fields)
}

/// Answer to everything while the server is starting.
#[must_use]
pub fn starting() -> GrpcAnswer {
    error(300, "Server is starting, please try later.")
}

/// Answer to a request of this kind that is refused before it is looked at, because there is too much to do.
#[must_use]
pub fn busy(kind: &str) -> GrpcAnswer {
    let answer = routes().find(|r| r.kind == kind).map(|r| r.answer);
    refuse(answer.unwrap_or("ErrorResponse"), Refusal::Busy.into())
}

/// What a client says when it sets its connection up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Client version.
    pub version: Arc<str>,
    /// Application, or `-`.
    pub app: Arc<str>,
    /// Labels, sorted by name.
    pub labels: Vec<(Arc<str>, Arc<str>)>,
    /// Whether it waits for this server's abilities: it sent a table of its own.
    pub wants_ack: bool,
}

/// Reads a [`CONNECTION_SETUP`]; none if it is no JSON object.
#[must_use]
pub fn parse_setup(body: &[u8]) -> Option<Setup> {
    let body = Object::parse(body).ok()?;
    let labels: Vec<(Arc<str>, Arc<str>)> = body
        .pairs("labels")
        .into_iter()
        .map(|(k, v)| (k.into(), v.into()))
        .collect();
    let app = labels
        .iter()
        .find(|(k, _)| &**k == "AppName")
        .map(|(_, v)| v.clone());
    Some(Setup {
        version: body.shared("clientVersion"),
        app: app.filter(|a| !a.is_empty()).unwrap_or_else(|| "-".into()),
        labels,
        wants_ack: body.has("abilityTable"),
    })
}

/// A message that the server sends of itself.
fn message(kind: &'static str, fields: &Value) -> GrpcAnswer {
    let json = serde_json::to_vec(fields).expect("a JSON value is JSON");
    GrpcAnswer {
        kind,
        json,
        ok: true,
    }
}

/// This server's abilities, for a client that sent its own.
#[must_use]
pub fn setup_ack() -> GrpcAnswer {
    let table: Value = ABILITIES
        .into_iter()
        .map(|name| (String::from(name), Value::Bool(true)))
        .collect();
    message(
        "SetupAckRequest",
        &json!({"headers": {}, "module": "internal", "abilityTable": table}),
    )
}

/// Asks a silent client whether it is there.
#[must_use]
pub fn detection(number: u64) -> GrpcAnswer {
    message(
        "ClientDetectionRequest",
        &json!({"headers": {}, "requestId": format!("{number}"), "module": "internal"}),
    )
}

/// Asks a client to connect again, at another server if one is named.
#[must_use]
pub fn reset(number: u64, connection: &str, to: Option<(&str, u16)>) -> GrpcAnswer {
    let mut fields = json!({
        "headers": {}, "requestId": format!("{number}"), "module": "internal", "connectionId": connection,
    });
    if let Some((ip, port)) = to {
        fields["serverIp"] = ip.into();
        fields["serverPort"] = format!("{port}").into();
    }
    message("ConnectResetRequest", &fields)
}

/// Asks a client what it holds of configs: `cacheData` or `snapshotData`, each with a key.
#[must_use]
pub fn client_config_metrics(number: u64, keys: &[(&'static str, String)]) -> GrpcAnswer {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(kind, key)| json!({"type": kind, "key": key}))
        .collect();
    message(
        "ClientConfigMetricRequest",
        &json!({"headers": {}, "requestId": format!("{number}"), "module": "config", "metricsKeys": keys}),
    )
}

/// Reads what a client writes to its stream: the push that it answers, and how. Other messages are none.
#[must_use]
pub fn parse_ack(kind: &str, body: &[u8]) -> Option<(u64, AckOutcome)> {
    if !kind.ends_with("Response") {
        return None;
    }
    let answer: Acknowledgement = serde_json::from_slice(body).ok()?;
    let push = text_of(&answer.id)?.parse().ok()?;
    let done = code_of(&answer.result) == Some(200) && kind != "ErrorResponse";
    Some((
        push,
        if done {
            AckOutcome::Done
        } else {
            AckOutcome::Failed
        },
    ))
}

fn code_of(result: &Value) -> Option<i64> {
    match result {
        Value::Number(number) if number.is_i64() => number.as_i64(),
        _ => Object::with("resultCode", result.clone())
            .int("resultCode", 200)
            .ok(),
    }
}

/// What of an answer matters. The rest of it is not built: nothing comes as often as acknowledgements.
struct Acknowledgement {
    id: Value,
    result: Value,
}

#[derive(Deserialize)]
enum AckField {
    #[serde(rename = "requestId")]
    Id,
    #[serde(rename = "resultCode")]
    Result,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Acknowledgement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Acknowledgement;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an answer")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
                let mut found = Acknowledgement {
                    id: Value::Null,
                    result: 200.into(),
                };
                while let Some(field) = fields.next_key()? {
                    match field {
                        AckField::Id => found.id = fields.next_value()?,
                        AckField::Result => found.result = fields.next_value()?,
                        AckField::Other => drop(fields.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_up_is_read_as_java_and_go_write_it() {
        let java = parse_setup(br#"{"clientVersion":"Nacos-Java-Client:v3.1.0","labels":{"source":"sdk","AppName":"shop"},"abilityTable":{}}"#);
        let java = java.unwrap();
        assert_eq!(
            (&*java.version, &*java.app, java.wants_ack),
            ("Nacos-Java-Client:v3.1.0", "shop", true)
        );
        let go = parse_setup(
            br#"{"clientVersion":"Nacos-Go-Client:v2.3.5","labels":{},"clientAbilities":{}}"#,
        )
        .unwrap();
        assert_eq!((&*go.app, go.wants_ack), ("-", false));
        assert_eq!(parse_setup(b"{"), None);
    }

    #[test]
    fn an_acknowledgement_names_its_push() {
        let done = parse_ack(
            "NotifySubscriberResponse",
            br#"{"resultCode":200,"requestId":"7"}"#,
        );
        assert_eq!(done, Some((7, AckOutcome::Done)));
        let failed = parse_ack(
            "NotifySubscriberResponse",
            br#"{"resultCode":500,"requestId":7}"#,
        );
        assert_eq!(failed, Some((7, AckOutcome::Failed)));
        let error = parse_ack(
            "ErrorResponse",
            br#"{"resultCode":500,"errorCode":-500,"requestId":"7"}"#,
        );
        assert_eq!(error, Some((7, AckOutcome::Failed)));
        // Fields that do not matter, texts for numbers, the last of two; null is 0, as everywhere.
        let read = |body: &[u8]| parse_ack("NotifySubscriberResponse", body);
        for done in [
            &br#"{"requestId":"7"}"#[..],
            br#"{"a":{"requestId":"8"},"resultCode":"200","requestId":"8","requestId":"7"}"#,
            br#"{"message":null,"resultCode":200.0,"request\u0049d":"7","success":true}"#,
        ] {
            assert_eq!(read(done), Some((7, AckOutcome::Done)));
        }
        for failed in [
            &br#"{"resultCode":null,"requestId":"7"}"#[..],
            br#"{"resultCode":[],"requestId":"7"}"#,
        ] {
            assert_eq!(read(failed), Some((7, AckOutcome::Failed)));
        }
        for none in [
            &b""[..],
            b"[]",
            b"{",
            b"{}",
            b"null",
            br#"{"requestId":"7"}x"#,
        ] {
            assert_eq!(read(none), None);
        }
        assert_eq!(parse_ack("InstanceRequest", br#"{"requestId":"7"}"#), None);
        assert_eq!(parse_ack("HealthCheckResponse", b"{}"), None);
    }
}
