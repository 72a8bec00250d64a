//! gRPC requests as data, like HTTP routes: each kind a row with its answer's kind and what makes its plan.
//!
//! Bodies are JSON of Java's making: read leniently, and written without a null (some clients drop an answer with one).

mod ai;
mod body;
mod config;
mod dialogue;
mod lock;
mod naming;
mod push;

use alloc::{format, string::String, vec::Vec};

use serde_json::{Map, Value};

use self::body::Object;
pub use self::dialogue::{
    CONNECTION_SETUP, HEALTH_CHECK, SERVER_CHECK, Setup, busy, client_config_metrics, detection,
    parse_ack, parse_setup, reset, server_check, setup_ack, starting,
};
pub use self::push::push;
use super::{call::ServerFacts, check::Names, fault::code_text, plan::Plan};
use crate::{
    node::{
        input::{ConnDetails, Now},
        reply::Refusal,
    },
    view::Reading,
};

/// What the edge writes back.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcAnswer {
    /// `metadata.type`.
    pub kind: &'static str,
    /// The JSON body.
    pub json: Vec<u8>,
    /// Whether it says success.
    ok: bool,
}

impl GrpcAnswer {
    /// Whether it says success.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.ok
    }

    fn of(kind: &'static str, ok: bool, fields: &Map<String, Value>) -> Self {
        let json = serde_json::to_vec(fields).expect("a map of JSON values is JSON");
        Self { kind, json, ok }
    }
}

/// A request on a connection that is set up.
pub struct GrpcCall<'a> {
    /// `metadata.type`.
    pub kind: &'a str,
    /// The JSON body.
    pub body: &'a [u8],
    /// Looks up a header of the metadata, ignoring case.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// What the connection said of itself.
    pub details: &'a ConnDetails,
    /// The read side.
    pub view: &'a dyn Reading,
    /// The time.
    pub now: Now,
    /// What is known of this server.
    pub server: &'a ServerFacts,
}

/// A kind of request.
pub struct GrpcRoute {
    /// Simple class name of the request.
    pub kind: &'static str,
    /// That of its answer.
    pub answer: &'static str,
    /// What it is for, for the reference page.
    pub summary: &'static str,
    make: fn(&GrpcCall<'_>, &Object) -> Result<Plan<GrpcAnswer>, Refused>,
}

/// Why a request is refused: `resultCode` 500 with these.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Refused {
    code: i64,
    text: String,
}

impl Refused {
    fn new(code: i64, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unregistered => Self::new(301, "Connection is unregistered."),
            Refusal::Busy => Self::new(503, "server is busy, please try again later!"),
            Refusal::NoLeader => {
                Self::new(500, "there is no leader at present, please try again later")
            }
            Refusal::OtherKind {
                service,
                persistent,
            } => {
                let (is, asked) = if persistent {
                    ("persistent", "ephemeral")
                } else {
                    ("ephemeral", "persistent")
                };
                Self::new(
                    400,
                    format!(
                        "Current service {} is {is} service, can't register {asked} instance.",
                        service.grouped()
                    ),
                )
            }
            Refusal::CasMismatch => {
                Self::new(500, "Cas publish fail, server md5 may have changed.")
            }
            Refusal::ServiceNotFound => Self::new(404, code_text(21_008)),
            Refusal::InstanceNotFound => Self::new(404, code_text(21_003)),
            Refusal::ClientNotFound => {
                Self::new(-401, "the naming client of this connection is unknown")
            }
            Refusal::ServiceExists => Self::new(400, code_text(21_007)),
            Refusal::ServiceNotEmpty => Self::new(400, code_text(21_009)),
            Refusal::CheckedByServer => Self::new(400, code_text(21_011)),
            Refusal::ConfigExists => Self::new(410, "the config exists already"),
            Refusal::TooManyGrays => Self::new(500, code_text(20_010)),
            Refusal::NamespaceExists => Self::new(400, code_text(22_002)),
            Refusal::ClusterQuota => Self::new(5_031, code_text(5_031)),
            Refusal::GroupQuota => Self::new(5_032, code_text(5_032)),
            Refusal::NamespaceQuota => Self::new(5_033, code_text(5_033)),
            Refusal::ContentSize(most) => Self::new(
                5_034,
                format!("{}, at most {most} bytes are allowed", code_text(5_034)),
            ),
            Refusal::Illegal(text) => Self::new(400, text),
            Refusal::TooManyPatterns => Self::new(50_310, code_text(50_310)),
            Refusal::TooManyMatches => Self::new(50_311, code_text(50_311)),
            Refusal::LimitReached(text) => Self::new(503, text),
            Refusal::PolicyConflict(revision) => {
                Self::new(409, format!("the policy in force has revision {revision}"))
            }
            Refusal::Failed(text) => {
                Self::new(500, format!("the server failed at this request: {text}"))
            }
        }
    }
}

/// All kinds of requests that clients send.
pub fn routes() -> impl Iterator<Item = &'static GrpcRoute> {
    [
        dialogue::ROUTES,
        naming::ROUTES,
        config::ROUTES,
        lock::ROUTES,
        ai::ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// The answer to a kind of request that no client is served, whether its connection is set up or not: those of members
/// only, and what is unknown.
#[must_use]
pub fn refused_kind(kind: &str) -> Option<GrpcAnswer> {
    route(kind).is_none().then(|| not_served(kind))
}

fn not_served(kind: &str) -> GrpcAnswer {
    if dialogue::OF_MEMBERS.contains(&kind) {
        return error(502, &format!("invoke {kind} from sdk is forbidden"));
    }
    error(302, &format!("RequestHandler Not Found: {kind}"))
}

fn route(kind: &str) -> Option<&'static GrpcRoute> {
    routes().find(|r| r.kind == kind)
}

/// Understands a request. Never fails: a fault is an answer too.
#[must_use]
pub fn plan(call: &GrpcCall<'_>) -> Plan<GrpcAnswer> {
    let Some(route) = route(call.kind) else {
        return Plan::Answer(not_served(call.kind));
    };
    let body = match Object::parse(call.body) {
        Ok(body) => body,
        Err(text) => return Plan::Answer(error(502, &text)),
    };
    (route.make)(call, &body).unwrap_or_else(|refused| Plan::Answer(refuse(route.answer, refused)))
}

/// `ErrorResponse`: for what has no answer of its own kind.
#[must_use]
pub fn error(code: i32, text: &str) -> GrpcAnswer {
    refuse("ErrorResponse", Refused::new(i64::from(code), text))
}

/// A refusal in the shape of the request's own answer.
fn refuse(kind: &'static str, refused: Refused) -> GrpcAnswer {
    let mut fields = base(500, refused.code);
    fields.insert("message".into(), refused.text.into());
    // Java writes its primitives always, and the Rust client has no defaults for them.
    match kind {
        "ConfigQueryResponse" => {
            fields.insert("lastModified".into(), 0.into());
            fields.insert("beta".into(), false.into());
        }
        "ServiceListResponse" => {
            fields.insert("count".into(), 0.into());
        }
        _ => {}
    }
    GrpcAnswer::of(kind, false, &fields)
}

/// Success, with further fields.
fn success(
    kind: &'static str,
    fields: impl IntoIterator<Item = (&'static str, Value)>,
) -> GrpcAnswer {
    let mut all = base(200, 0);
    all.extend(fields.into_iter().map(|(name, value)| (name.into(), value)));
    GrpcAnswer::of(kind, true, &all)
}

fn base(result: i64, code: i64) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("resultCode".into(), result.into());
    fields.insert("errorCode".into(), code.into());
    fields.insert("success".into(), (result == 200).into());
    fields
}

/// The parameter check of these names: 400 with the same text as over HTTP.
fn check(names: &Names<'_>) -> Result<(), Refused> {
    names
        .refusal()
        .map_or(Ok(()), |text| Err(Refused::new(400, text)))
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_there_once_and_described() {
        let kinds: BTreeSet<&str> = routes().map(|r| r.kind).collect();
        assert_eq!(kinds.len(), routes().count());
        for route in routes() {
            assert!(
                route.kind.ends_with("Request") && route.answer.ends_with("Response"),
                "{}",
                route.kind
            );
            assert!(route.summary.len() > 10, "{}", route.kind);
        }
    }

    #[test]
    fn members_requests_are_forbidden_and_others_unknown() {
        let code = |kind| {
            let refused = not_served(kind);
            let body: Value = serde_json::from_slice(&refused.json).unwrap();
            (refused.kind, body["errorCode"].as_i64())
        };
        for kind in dialogue::OF_MEMBERS {
            assert_eq!(code(kind), ("ErrorResponse", Some(502)), "{kind}");
            assert!(refused_kind(kind).is_some(), "{kind}");
        }
        assert_eq!(code("NopeRequest"), ("ErrorResponse", Some(302)));
        assert_eq!(refused_kind("InstanceRequest"), None);
    }

    #[test]
    fn a_refusal_has_the_primitives_of_its_kind() {
        let refused = refuse("ConfigQueryResponse", Refused::new(300, "none"));
        let fields: Value = serde_json::from_slice(&refused.json).unwrap();
        assert_eq!(
            (&fields["lastModified"], &fields["beta"]),
            (&0.into(), &false.into())
        );
        assert!(!refused.is_ok());
    }

    #[test]
    fn an_error_has_no_nulls() {
        let answer = error(301, "Connection is unregistered.");
        let text = String::from_utf8(answer.json).unwrap();
        assert_eq!(
            text,
            r#"{"errorCode":301,"message":"Connection is unregistered.","resultCode":500,"success":false}"#
        );
    }
}
