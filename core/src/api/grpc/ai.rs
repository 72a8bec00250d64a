//! Requests for MCP servers and A2A agents.

use alloc::{boxed::Box, format, string::String};

use serde_json::Value;

use super::{GrpcAnswer, GrpcCall, GrpcRoute, Refused, body::Object, check, refuse, success};
use crate::{
    ai::{
        Fault, a2a,
        decision::{Decided, Known},
        mcp::{self, Given, Which},
    },
    api::{
        answer::iso_seconds,
        carry::{Caller, Trouble, carry, carry_with_id},
        check::Names,
        plan::Plan,
        wrapped::ai::names_of,
    },
    model::DEFAULT_NAMESPACE,
};

pub(super) const ROUTES: &[GrpcRoute] = &[
    GrpcRoute {
        kind: "QueryMcpServerRequest",
        answer: "QueryMcpServerResponse",
        summary: "shows a version of an MCP server",
        make: query_mcp,
    },
    GrpcRoute {
        kind: "ReleaseMcpServerRequest",
        answer: "ReleaseMcpServerResponse",
        summary: "makes an MCP server or adds a version to it",
        make: release_mcp,
    },
    GrpcRoute {
        kind: "McpServerEndpointRequest",
        answer: "McpServerEndpointResponse",
        summary: "registers or removes this connection's endpoint of an MCP server",
        make: mcp_endpoint,
    },
    GrpcRoute {
        kind: "QueryAgentCardRequest",
        answer: "QueryAgentCardResponse",
        summary: "shows the card of a version of an agent",
        make: query_agent,
    },
    GrpcRoute {
        kind: "ReleaseAgentCardRequest",
        answer: "ReleaseAgentCardResponse",
        summary: "makes an agent or adds a version to it",
        make: release_agent,
    },
    GrpcRoute {
        kind: "AgentEndpointRequest",
        answer: "AgentEndpointResponse",
        summary: "registers or removes this connection's endpoint of an agent",
        make: agent_endpoint,
    },
];

impl From<Fault> for Refused {
    /// Only what HTTP has as its status is told.
    fn from(fault: Fault) -> Self {
        Self::new(i64::from(fault.status), fault.text)
    }
}

impl From<Trouble> for Refused {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Rule(fault) => fault.into(),
            Trouble::Node(refusal) => refusal.into(),
        }
    }
}

/// How what comes of a request is answered.
fn answering<T>(
    kind: &'static str,
    shown: impl FnOnce(T) -> Option<(&'static str, Value)> + Send + 'static,
) -> impl FnOnce(Result<T, Trouble>) -> GrpcAnswer + Send + 'static {
    move |done| match done {
        Ok(answer) => success(kind, shown(answer)),
        Err(trouble) => refuse(kind, trouble.into()),
    }
}

fn plan<T: Send + 'static>(
    call: &GrpcCall<'_>,
    rule: impl Fn(&Known<'_>) -> Decided<T> + Send + 'static,
    answer: impl FnOnce(Result<T, Trouble>) -> GrpcAnswer + Send + 'static,
) -> Plan<GrpcAnswer> {
    carry(call.view, Caller::of_grpc(call), Box::new(rule), answer)
}

/// The namespace and the name that a request must have.
fn named(body: &Object, field: &str) -> Result<(String, String), Refused> {
    let (namespace, name) = (body.text("namespaceId"), body.text(field));
    let names = Names {
        namespace: &namespace,
        ..Names::default()
    };
    check(&if field == "mcpName" {
        Names {
            mcp: &name,
            ..names
        }
    } else {
        Names {
            agent: &name,
            ..names
        }
    })?;
    if name.trim().is_empty() {
        return Err(Refused::new(
            400,
            format!("Required parameter `{field}` can't be empty or null"),
        ));
    }
    let namespace = match &*namespace {
        "" => DEFAULT_NAMESPACE.into(),
        _ => namespace,
    };
    Ok((namespace, name))
}

/// A detail without the fields that are null.
fn without_nulls(detail: Value) -> Value {
    match detail {
        Value::Object(fields) => fields.into_iter().filter(|(_, v)| !v.is_null()).collect(),
        other => other,
    }
}

/// Whether an endpoint is to be registered, and the word for it.
fn verb_of(body: &Object) -> Result<(bool, &'static str), Refused> {
    match body.str("type") {
        Some("registerEndpoint") => Ok((true, "registerEndpoint")),
        Some("deregisterEndpoint") => Ok((false, "deregisterEndpoint")),
        other => Err(Refused::new(
            400,
            format!(
                "parameter `type` should be registerEndpoint or deregisterEndpoint, but was {}",
                other.unwrap_or("null")
            ),
        )),
    }
}

fn query_mcp(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let (space, name) = named(body, "mcpName")?;
    let version = body.text("version");
    let rule = move |known: &Known<'_>| mcp::detail(known, &space, &Which::named(&name), &version);
    let answer = answering("QueryMcpServerResponse", |detail: Value| {
        Some(("mcpServerDetailInfo", without_nulls(detail)))
    });
    Ok(plan(call, rule, answer))
}

fn release_mcp(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let server = body
        .raw("serverSpecification")
        .ok_or_else(|| Fault::missing("serverSpecification", "McpServerBasicInfo"))?;
    let (tools, endpoint) = (
        body.raw("toolSpecification"),
        body.raw("endpointSpecification"),
    );
    let given = Given::new(server, tools, endpoint, "", true)?;
    let space = match &*body.text("namespaceId") {
        "" => String::from(DEFAULT_NAMESPACE),
        given => given.into(),
    };
    check(&Names {
        namespace: &space,
        ..names_of(&given)
    })?;
    let at = iso_seconds(call.now.wall);
    let rule = move |known: &Known<'_>, fresh: &str| {
        mcp::change::release(known, &space, &given, fresh, &at)
    };
    let answer = answering("ReleaseMcpServerResponse", |id: String| {
        Some(("mcpId", id.into()))
    });
    Ok(carry_with_id(Caller::of_grpc(call), rule, answer))
}

fn mcp_endpoint(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let (space, name) = named(body, "mcpName")?;
    let (register, verb) = verb_of(body)?;
    let (version, address) = (body.text("version"), body.text("address"));
    let port = body
        .int("port", -1)
        .map_err(|text| Refused::new(400, text))?;
    check(&Names {
        ip: &address,
        ..Names::default()
    })?;
    if address.trim().is_empty() {
        return Err(Refused::new(
            400,
            "Required parameter `address` can't be empty",
        ));
    }
    let port = u16::try_from(port).map_err(|_| {
        Refused::new(
            400,
            format!("Required parameter `port` must be from 0 to 65535, but was {port}"),
        )
    })?;
    let rule = move |known: &Known<'_>| {
        mcp::change::register(known, &space, &name, &version, (&address, port), register)
    };
    let answer = answering("McpServerEndpointResponse", move |()| {
        Some(("type", verb.into()))
    });
    Ok(plan(call, rule, answer))
}

fn query_agent(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let (space, name) = named(body, "agentName")?;
    let version = body.text("version");
    let kind = a2a::Registration::parse(&body.text("registrationType"))?;
    let draw = call.now.wall;
    let rule = move |known: &Known<'_>| a2a::detail(known, &space, &name, &version, kind, draw);
    let answer = answering("QueryAgentCardResponse", |detail: Value| {
        Some(("agentCardDetailInfo", without_nulls(detail)))
    });
    Ok(plan(call, rule, answer))
}

fn release_agent(call: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let card = body
        .raw("agentCard")
        .ok_or_else(|| Fault::missing("agentCard", "AgentCard"))?;
    let card = a2a::Card::new(card)?;
    let space = match &*body.text("namespaceId") {
        "" => String::from(DEFAULT_NAMESPACE),
        given => given.into(),
    };
    check(&Names {
        namespace: &space,
        agent: &card.name,
        ..Names::default()
    })?;
    let kind = a2a::Registration::parse(&body.text("registrationType"))?
        .unwrap_or(a2a::Registration::Service);
    let (latest, at) = (body.flag("setAsLatest", false), iso_seconds(call.now.wall));
    let rule =
        move |known: &Known<'_>| a2a::change::release(known, &space, &card, kind, latest, &at);
    Ok(plan(
        call,
        rule,
        answering("ReleaseAgentCardResponse", |()| None),
    ))
}

fn agent_endpoint(_: &GrpcCall<'_>, body: &Object) -> Result<Plan<GrpcAnswer>, Refused> {
    let (space, name) = named(body, "agentName")?;
    let (register, verb) = verb_of(body)?;
    let endpoint = body
        .raw("endpoint")
        .ok_or_else(|| Fault::missing("endpoint", "AgentEndpoint"))?;
    let endpoint = a2a::Endpoint::new(endpoint)?;
    check(&Names {
        ip: &endpoint.address,
        ..Names::default()
    })?;
    let op = a2a::register(&space, &name, endpoint, register);
    Ok(Plan::submit(op, move |answered| {
        let done = answered.map(drop).map_err(Trouble::Node);
        answering("AgentEndpointResponse", move |()| {
            Some(("type", verb.into()))
        })(done)
    }))
}
