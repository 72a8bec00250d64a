//! What is wrong with a request, and how each area of the API says so.
//!
//! The reference has a handler of exceptions for each area; their words are part of the protocol, because clients
//! and scripts match on them. Which fault a route meets is the route's; how it reads is decided here alone.

use alloc::{borrow::Cow, boxed::Box, format, string::String};

use super::{
    answer::{Answer, Body, iso_millis, json_string},
    call::Call,
    route::{Compat, Kind},
};
use crate::node::reply::Refusal;

/// Whose way of telling errors a route follows (the reference has a handler of exceptions for each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// `/v1/ns`: texts.
    NamingV1,
    /// `/v1/cs`: `caused: …;` texts.
    ConfigV1,
    /// `/v1/console`, `/v1/core`: as config.
    ConsoleV1,
    /// v2 and v3: the `Result` wrapper.
    Wrapped,
    /// The 3.x client API of configs, which stands outside of the wrapper's error handling.
    ClientV3,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A required parameter is missing.
    Missing {
        /// Its name.
        name: &'static str,
        /// What it is.
        kind: Kind,
        /// Whether the handler asks for it ([`super::Param::asked`]).
        asked: bool,
    },
    /// A parameter is not of its kind.
    Convert {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        kind: Kind,
        /// Whether the handler asks for it ([`super::Param::asked`]).
        asked: bool,
    },
    /// The parameter check refuses it: 400 with one line of text, in every generation.
    Checked(String),
    /// An illegal argument.
    Argument(String),
    /// A business error with a code of the error table.
    Detail {
        /// HTTP status.
        status: u16,
        /// Code; its text is the message.
        code: u32,
        /// Detail.
        detail: String,
    },
    /// A business error without one; with status 500, any other exception.
    Business {
        /// HTTP status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The container's error page.
    Container {
        /// HTTP status.
        status: u16,
        /// Its `message`.
        message: String,
    },
    /// Exactly this answer.
    Exactly(Box<Answer>),
}

/// All that the words of a fault depend on, beside the fault itself.
#[derive(Clone, Debug)]
pub struct Telling<'a> {
    /// Whose way.
    pub area: Area,
    /// Of which generation.
    pub compat: Compat,
    /// The path as received, for the container's error page.
    pub path: Cow<'a, str>,
    /// Milliseconds since 1970, for the container's error page.
    pub wall: u64,
}

impl<'a> Telling<'a> {
    /// How a fault of a request is told.
    #[must_use]
    pub fn new(area: Area, call: &Call<'a>) -> Self {
        Self {
            area,
            compat: call.server.compat,
            path: Cow::Borrowed(call.full_path),
            wall: call.now.wall,
        }
    }
}

impl Fault {
    /// A business error with a code.
    pub fn detail(status: u16, code: u32, detail: impl Into<String>) -> Self {
        Self::Detail {
            status,
            code,
            detail: detail.into(),
        }
    }

    /// A business error without a code.
    pub fn business(status: u16, text: impl Into<String>) -> Self {
        Self::Business {
            status,
            text: text.into(),
        }
    }

    /// The answer that says it.
    #[must_use]
    pub fn tell(self, telling: &Telling<'_>) -> Answer {
        let Telling { area, compat, .. } = *telling;
        match (self, area) {
            (Self::Exactly(answer), _) => *answer,
            (Self::Container { status, message }, _) => container(status, &message, telling),
            (Self::Checked(line), _) => Answer {
                status: 400,
                // The filter sends no type; only below /v1/cs another filter has set one before.
                content_type: (area == Area::ConfigV1).then_some(Answer::JSON_UTF8),
                headers: alloc::vec::Vec::new(),
                body: Body::Bytes(format!("{line}\r\n").into_bytes()),
            }
            .not_cached(),
            (Self::Missing { name, kind, asked }, Area::NamingV1) => {
                let _ = kind;
                let text = if asked {
                    format!("Param '{name}' is required.")
                } else {
                    format!("Parameter '{name}' is missing")
                };
                Answer::new(400, Answer::TEXT, text)
            }
            (
                Self::Missing {
                    name,
                    kind,
                    asked: false,
                },
                Area::ConfigV1 | Area::ConsoleV1,
            ) => {
                if compat == Compat::V3 {
                    container(
                        400,
                        &format!("Required parameter '{name}' is not present."),
                        telling,
                    )
                } else {
                    caused(500, &html_escaped(&missing(name, kind, false)), telling)
                }
            }
            (
                Self::Missing { name, kind, asked },
                Area::ConfigV1 | Area::ConsoleV1 | Area::ClientV3,
            ) => caused(400, &missing(name, kind, asked), telling),
            (Self::Missing { name, kind, asked }, Area::Wrapped) => {
                wrapped(400, 10_000, &missing(name, kind, asked))
            }
            (
                Self::Convert {
                    value, asked: true, ..
                },
                Area::NamingV1,
            ) => Answer::new(
                400,
                Answer::TEXT,
                format!("For input string: {}", json_string(&value)),
            ),
            (Self::Convert { value, kind, .. }, Area::NamingV1) => {
                let text = format!(
                    "{};caused: {}",
                    not_converted(&value, kind, telling),
                    input(&value, kind)
                );
                caused(500, &text, telling)
            }
            (
                Self::Convert { value, kind, .. },
                Area::ConfigV1 | Area::ConsoleV1 | Area::ClientV3,
            ) => {
                let text = format!(
                    "{};caused: {}",
                    not_converted(&value, kind, telling),
                    input(&value, kind)
                );
                caused(400, &text, telling)
            }
            (Self::Convert { value, kind, .. }, Area::Wrapped) => {
                wrapped(400, 20_002, &not_converted(&value, kind, telling))
            }
            (Self::Argument(text), Area::NamingV1) => Answer::new(400, Answer::TEXT, text),
            (Self::Argument(text), Area::ConfigV1 | Area::ConsoleV1 | Area::ClientV3) => {
                caused(400, &text, telling)
            }
            (Self::Argument(text), Area::Wrapped) => wrapped(400, 20_002, &text),
            (Self::Detail { status, detail, .. }, Area::NamingV1) => {
                Answer::new(status, Answer::TEXT, detail)
            }
            (
                Self::Detail { status, detail, .. },
                Area::ConfigV1 | Area::ConsoleV1 | Area::ClientV3,
            ) => caused(status, &detail, telling),
            (
                Self::Detail {
                    status,
                    code,
                    detail,
                },
                Area::Wrapped,
            ) => wrapped(status, code, &detail),
            (Self::Business { status, text }, Area::NamingV1) => {
                Answer::new(status, Answer::TEXT, text)
            }
            (
                Self::Business { status, text },
                Area::ConfigV1 | Area::ConsoleV1 | Area::ClientV3,
            ) => {
                // What no handler knows goes through the one that escapes for HTML.
                let text = if status == 500 {
                    html_escaped(&text)
                } else {
                    text
                };
                caused(status, &text, telling)
            }
            (Self::Business { status, text }, Area::Wrapped) => wrapped(status, 30_000, &text),
        }
    }
}

impl From<Refusal> for Fault {
    /// The usual words for a refusal. Routes whose reference names the service or instance say it themselves.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unregistered => Self::business(500, "Connection is unregistered."),
            Refusal::Busy => overloaded("server is overloaded now, please try again later"),
            Refusal::NoLeader => overloaded("did not find the Leader node, please try again later"),
            Refusal::ServiceNotFound => Self::detail(400, 21_008, "service not found"),
            Refusal::ServiceExists => {
                Self::detail(400, 21_007, "specified service already exists!")
            }
            Refusal::ServiceNotEmpty => Self::detail(
                400,
                21_009,
                "Service is not empty, can't be delete. Please unregister instance first",
            ),
            Refusal::InstanceNotFound => Self::detail(404, 20_004, "no matched ip found!"),
            Refusal::OtherKind {
                service,
                persistent,
            } => {
                let (is, other) = if persistent {
                    ("persistent", "ephemeral")
                } else {
                    ("ephemeral", "persistent")
                };
                let service = service.grouped();
                let text = format!(
                    "errCode: 400, errMsg: Current service {service} is {is} service, can't register {other} instance. "
                );
                Self::business(400, text)
            }
            Refusal::CheckedByServer => Self::business(400, "health check is still working"),
            Refusal::ClientNotFound => Self::detail(404, 20_004, "client not exist"),
            Refusal::CasMismatch => Self::detail(
                500,
                20_005,
                "Cas publish fail, server md5 may have changed.",
            ),
            Refusal::ConfigExists => Self::detail(409, 20_005, "config already exist"),
            Refusal::TooManyGrays => {
                Self::detail(400, 20_010, "gray config version is over max count: 10")
            }
            Refusal::NamespaceExists => Self::detail(400, 22_002, "namespace already exist"),
            // The reference sends the code as the HTTP status, which is none.
            Refusal::ClusterQuota => Self::detail(403, 5_031, "cluster capacity reach quota"),
            Refusal::GroupQuota => Self::detail(403, 5_032, "group capacity reach quota"),
            Refusal::NamespaceQuota => Self::detail(403, 5_033, "tenant capacity reach quota"),
            Refusal::ContentSize(most) => Self::detail(
                413,
                5_034,
                format!("configuration content size is over limit, max content size: {most}"),
            ),
            Refusal::Illegal(text) => Self::Argument(text),
            Refusal::TooManyPatterns => Self::detail(400, 50_310, code_text(50_310)),
            Refusal::TooManyMatches => Self::detail(400, 50_311, code_text(50_311)),
            Refusal::LimitReached(text) => overloaded(&text),
            Refusal::PolicyConflict(revision) => Self::detail(
                409,
                20_005,
                format!("the policy in force has revision {revision}"),
            ),
            Refusal::Failed(text) => Self::detail(
                500,
                30_000,
                format!("the server failed at this request: {text}"),
            ),
        }
    }
}

/// The answer to a refused request where nothing but its area is known.
#[must_use]
pub fn refused(area: Area, compat: Compat, refusal: Refusal) -> Answer {
    Fault::from(refusal).tell(&Telling {
        area,
        compat,
        path: Cow::Borrowed(""),
        wall: 0,
    })
}

/// 503 with a line of text, in every area (the reference's TPS control answers before any handler).
fn overloaded(text: &str) -> Fault {
    Fault::Exactly(Box::new(Answer::new(503, Answer::TEXT, text)))
}

fn wrapped(status: u16, code: u32, data: &str) -> Answer {
    let (text, data) = (json_string(code_text(code)), json_string(data));
    Answer::new(
        status,
        Answer::JSON,
        format!(r#"{{"code":{code},"message":{text},"data":{data}}}"#),
    )
}

fn caused(status: u16, text: &str, telling: &Telling<'_>) -> Answer {
    // 3.x declares JSON for all of /v1/cs, and keeps the type on errors.
    let json = telling.area == Area::ConfigV1 && telling.compat == Compat::V3;
    Answer::new(
        status,
        if json {
            Answer::JSON_UTF8
        } else {
            Answer::TEXT
        },
        format!("caused: {text};"),
    )
}

/// The container's error page.
#[must_use]
pub fn container(status: u16, message: &str, telling: &Telling<'_>) -> Answer {
    let json = if telling.area == Area::ConfigV1 {
        Answer::JSON_UTF8
    } else {
        Answer::JSON
    };
    let body = format!(
        r#"{{"timestamp":"{}+00:00","status":{status},"error":"{}","message":{},"path":{}}}"#,
        iso_millis(telling.wall),
        reason(status),
        json_string(message),
        json_string(&telling.path),
    );
    Answer::new(status, json, body)
}

/// Reason phrase of a status that the API answers with.
fn reason(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Payload Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// The words for a missing parameter: the framework's for a declared one, the forms' for one that a handler asks for.
fn missing(name: &str, kind: Kind, asked: bool) -> String {
    let kind = kind.java(asked);
    if asked {
        format!("Required parameter '{name}' type {kind} is not present")
    } else {
        format!(
            "Required request parameter '{name}' for method parameter type {kind} is not present"
        )
    }
}

fn not_converted(value: &str, kind: Kind, telling: &Telling<'_>) -> String {
    // The framework under 3.x no longer says which exception was nested.
    let nested = match (telling.compat, kind) {
        (Compat::V3, _) => "",
        (_, Kind::Bool) => "nested exception is java.lang.IllegalArgumentException: ",
        _ => "nested exception is java.lang.NumberFormatException: ",
    };
    let java = kind.java(false);
    format!(
        "Failed to convert value of type 'java.lang.String' to required type '{java}'; {nested}{}",
        input(value, kind)
    )
}

fn input(value: &str, kind: Kind) -> String {
    if kind == Kind::Bool {
        format!("Invalid boolean value [{value}]")
    } else {
        format!("For input string: \"{value}\"")
    }
}

/// As Spring's `HtmlUtils`, as far as messages need it.
fn html_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The text of a code of the error table; "server error" for an unknown one.
#[must_use]
pub fn code_text(code: u32) -> &'static str {
    match code {
        0 => "success",
        10_000 => "parameter missing",
        10_001 => "access denied",
        10_002 => "data access error",
        20_001 => "'tenant' parameter error",
        20_002 => "parameter validate error",
        20_003 => "MediaType Error",
        20_004 => "resource not found",
        20_005 => "resource conflict",
        20_006 => "config listener is null",
        20_007 => "config listener error",
        20_008 => "invalid dataId",
        20_009 => "parameter mismatch",
        20_010 => "gray versions over max count",
        20_011 => "gray rule format invalid",
        20_012 => "gray rule version invalid",
        20_013 => "gray name not recognized",
        5_031 => "cluster capacity reach quota",
        5_032 => "group capacity reach quota",
        5_033 => "tenant capacity reach quota",
        5_034 => "content size over limit",
        21_000 => "service name error",
        21_001 => "weight error",
        21_002 => "instance metadata error",
        21_003 => "instance not found",
        21_004 => "instance error",
        21_005 => "service metadata error",
        21_006 => "selector error",
        21_007 => "service already exist",
        21_008 => "service not exist",
        21_009 => "service delete failure",
        21_010 => "healthy param miss",
        21_011 => "health check still running",
        22_000 => "illegal namespace",
        22_001 => "namespace not exist",
        22_002 => "namespace already exist",
        23_000 => "illegal state",
        23_001 => "node info error",
        23_002 => "node down failure",
        40_000 => "API deprecated.",
        40_001 => "API function disabled.",
        50_000 => "MCP server not found",
        50_001 => "MCP server version not found",
        50_002 => "MCP server version has existed",
        50_003 => "MCP ref endpoint service not found",
        50_100 => "agent not found",
        50_101 => "agent version not found",
        50_102 => "agent version exists",
        50_310 => "fuzzy-watch pattern over limit",
        50_311 => "fuzzy-watch match count over limit",
        100_002 => "metadata illegal",
        100_003 => "no valid data",
        100_004 => "parse data failed",
        100_005 => "imported file data is empty",
        100_006 => "nothing selected",
        _ => "server error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ServiceKey;

    fn told(fault: Fault, area: Area, compat: Compat) -> (u16, String, String) {
        let telling = Telling {
            area,
            compat,
            path: "/nacos/v1/x".into(),
            wall: 1_795_223_545_817,
        };
        let answer = fault.tell(&telling);
        let body = String::from_utf8(answer.bytes().unwrap().into()).unwrap();
        (
            answer.status,
            answer.content_type.unwrap_or_default().into(),
            body,
        )
    }

    fn missing_text(asked: bool) -> Fault {
        Fault::Missing {
            name: "dataId",
            kind: Kind::Text,
            asked,
        }
    }

    #[test]
    fn a_missing_parameter_reads_as_each_area_has_it() {
        let all = |asked, area| told(missing_text(asked), area, Compat::All);
        assert_eq!(
            all(false, Area::NamingV1).2,
            "Parameter 'dataId' is missing"
        );
        assert_eq!(all(true, Area::NamingV1).2, "Param 'dataId' is required.");
        let config = all(false, Area::ConfigV1);
        assert_eq!((config.0, &*config.1), (500, Answer::TEXT));
        assert_eq!(
            config.2,
            "caused: Required request parameter &#39;dataId&#39; for method parameter type String is not present;"
        );
        assert_eq!(
            all(true, Area::Wrapped).2,
            r#"{"code":10000,"message":"parameter missing","data":"Required parameter 'dataId' type String is not present"}"#
        );
        assert_eq!(
            all(true, Area::ClientV3).2,
            "caused: Required parameter 'dataId' type String is not present;"
        );
        let (status, kind, body) = told(missing_text(false), Area::ConfigV1, Compat::V3);
        assert_eq!((status, &*kind), (400, Answer::JSON_UTF8));
        assert_eq!(
            body,
            r#"{"timestamp":"2026-11-21T01:12:25.817+00:00","status":400,"error":"Bad Request","message":"Required parameter 'dataId' is not present.","path":"/nacos/v1/x"}"#
        );
    }

    #[test]
    fn a_wrong_number_reads_as_each_area_has_it() {
        let wrong = |asked, kind| Fault::Convert {
            name: "n",
            value: "abc".into(),
            kind,
            asked,
        };
        let (status, _, body) = told(wrong(false, Kind::Float), Area::NamingV1, Compat::All);
        assert_eq!(status, 500);
        assert_eq!(
            body,
            "caused: Failed to convert value of type 'java.lang.String' to required type 'float'; nested exception is \
             java.lang.NumberFormatException: For input string: \"abc\";caused: For input string: \"abc\";"
        );
        let asked = told(wrong(true, Kind::Float), Area::NamingV1, Compat::All);
        assert_eq!((asked.0, &*asked.2), (400, "For input string: \"abc\""));
        assert_eq!(
            told(wrong(false, Kind::Int), Area::ConfigV1, Compat::All).0,
            400
        );
        assert!(
            told(wrong(false, Kind::Int), Area::Wrapped, Compat::All)
                .2
                .contains("20002")
        );
    }

    #[test]
    fn a_checked_line_ends_as_the_filter_writes_it() {
        let fault = || Fault::Checked("Param 'ip' is illegal".into());
        let naming = told(fault(), Area::NamingV1, Compat::All);
        assert_eq!(
            (naming.0, &*naming.1, &*naming.2),
            (400, "", "Param 'ip' is illegal\r\n")
        );
        assert_eq!(
            told(fault(), Area::ConfigV1, Compat::All).1,
            Answer::JSON_UTF8
        );
    }

    #[test]
    fn refusals_read_as_recorded() {
        let service = ServiceKey::new("", "", "ginst");
        let kind = Refusal::OtherKind {
            service,
            persistent: false,
        };
        let text = "errCode: 400, errMsg: Current service DEFAULT_GROUP@@ginst is ephemeral service, can't register persistent instance. ";
        assert_eq!(
            told(kind.clone().into(), Area::NamingV1, Compat::All).2,
            text
        );
        let wrapped = told(kind.into(), Area::Wrapped, Compat::All);
        assert!(
            wrapped
                .2
                .starts_with(r#"{"code":30000,"message":"server error","data":"errCode: 400"#)
        );
        let cas = told(Refusal::CasMismatch.into(), Area::ConfigV1, Compat::All);
        assert_eq!(
            (cas.0, &*cas.2),
            (
                500,
                "caused: Cas publish fail, server md5 may have changed.;"
            )
        );
        assert_eq!(
            refused(Area::Wrapped, Compat::All, Refusal::Busy).status,
            503
        );
        assert_eq!(
            refused(Area::NamingV1, Compat::All, Refusal::NoLeader).status,
            503
        );
    }

    #[test]
    fn codes_have_texts() {
        assert_eq!(code_text(0), "success");
        assert_eq!(code_text(21_001), "weight error");
        assert_eq!(code_text(30_000), "server error");
        assert_eq!(code_text(77), "server error");
    }
}
