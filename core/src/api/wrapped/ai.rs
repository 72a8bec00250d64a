//! The registry of MCP servers and A2A agents, for administrators and the console.

use alloc::{boxed::Box, format, string::String};

use serde_json::Value;

use super::{data, not_supported, positive_page};
use crate::{
    ai::{
        Fault as Refused, Named, Paging, a2a,
        decision::{Decided, Known},
        mcp::{self, Given, Which},
    },
    api::{
        Answer, Args, Fault, Plan,
        answer::iso_seconds,
        carry::{Caller, Trouble, carry, carry_with_id},
        check::Names,
    },
    model::DEFAULT_NAMESPACE,
};

/// Items of one page, at most.
const MAX_PAGE: usize = 500;

fn now(args: &Args<'_>) -> String {
    iso_seconds(args.call().now.wall)
}

fn fault(refused: Refused) -> Fault {
    Fault::detail(refused.status, refused.code, refused.text)
}

/// How an answer is shown, or why there is none.
fn answering<T>(
    args: &Args<'_>,
    shown: impl FnOnce(T) -> Answer + Send + 'static,
) -> impl FnOnce(Result<T, Trouble>) -> Answer + Send + 'static {
    let telling = args.telling();
    move |done| {
        let refused = match done {
            Ok(answer) => return shown(answer),
            Err(Trouble::Rule(refused)) => fault(refused),
            Err(Trouble::Node(refusal)) => refusal.into(),
        };
        refused.tell(&telling)
    }
}

/// A plan that answers with what a rule finds.
fn show(args: &Args<'_>, rule: impl Fn(&Known<'_>) -> Decided<Value> + Send + 'static) -> Plan {
    let (call, answering) = (args.call(), answering(args, |found: Value| data(&found)));
    carry(call.view, Caller::of_http(call), Box::new(rule), answering)
}

/// A plan that changes what a rule says and answers that it is well.
fn change(args: &Args<'_>, rule: impl Fn(&Known<'_>) -> Decided<()> + Send + 'static) -> Plan {
    let (call, answering) = (args.call(), answering(args, |()| Answer::wrapped("\"ok\"")));
    carry(call.view, Caller::of_http(call), Box::new(rule), answering)
}

fn namespace(args: &Args<'_>) -> String {
    match args.text("namespaceId") {
        "" => DEFAULT_NAMESPACE.into(),
        given => given.into(),
    }
}

/// Whether a list is searched by a part of the name.
fn is_blur(args: &Args<'_>) -> Result<bool, Fault> {
    match args.text("search") {
        given if given.eq_ignore_ascii_case("accurate") => Ok(false),
        given if given.eq_ignore_ascii_case("blur") => Ok(true),
        _ => Err(Fault::Argument(
            "Request parameter `search` should be `accurate` or `blur`.".into(),
        )),
    }
}

fn paging(args: &Args<'_>) -> Result<Paging, Fault> {
    let (number, size) = positive_page(args)?;
    let size = size.min(MAX_PAGE);
    Ok(Paging { number, size })
}

fn which(args: &Args<'_>) -> Result<Which, Fault> {
    let which = Which {
        id: args.string("mcpId"),
        name: args.string("mcpName"),
    };
    which.checked().map_err(fault)
}

/// Names within a specification are held to what the filter holds those of parameters to.
fn checked(names: &Names<'_>) -> Result<(), Fault> {
    names
        .refusal()
        .map_or(Ok(()), |text| Err(Fault::Argument(text)))
}

/// Lists MCP servers.
pub(in crate::api) fn list_mcp(args: &Args<'_>) -> Result<Plan, Fault> {
    let named = Named::of(args.text("mcpName"), is_blur(args)?);
    let (space, paging) = (namespace(args), paging(args)?);
    Ok(show(args, move |known| {
        mcp::list(known, &space, &named, paging)
    }))
}

/// Shows a version of an MCP server.
pub(in crate::api) fn mcp(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, which, version) = (namespace(args), which(args)?, args.string("version"));
    Ok(show(args, move |known| {
        mcp::detail(known, &space, &which, &version)
    }))
}

/// The MCP server that a form describes.
fn given(args: &Args<'_>) -> Result<Given, Fault> {
    let object = |name: &str| mcp::parse(args.call().raw(name).unwrap_or_default()).map_err(fault);
    let server = object("serverSpecification")?.ok_or_else(|| {
        fault(Refused::missing(
            "serverSpecification",
            "McpServerBasicInfo",
        ))
    })?;
    let (tools, endpoint) = (
        object("toolSpecification")?,
        object("endpointSpecification")?,
    );
    let name = args.text("mcpName");
    let given = Given::new(&server, tools.as_ref(), endpoint.as_ref(), name, false);
    let given = given.map_err(fault)?;
    checked(&names_of(&given))?;
    Ok(given)
}

/// The names within what is given of an MCP server.
pub(in crate::api) fn names_of(given: &Given) -> Names<'_> {
    let (group, service) = given.refers_to().unwrap_or_default();
    Names {
        mcp: &given.name,
        ip: given.address(),
        group,
        service,
        ..Names::default()
    }
}

/// Makes an MCP server and answers with its id.
pub(in crate::api) fn create_mcp(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, given) = (namespace(args), given(args)?);
    let at = now(args);
    let rule = move |known: &Known<'_>, fresh: &str| {
        mcp::change::create(known, &space, &given, fresh, &at)
    };
    let answering = answering(args, |id: String| data(&id));
    Ok(carry_with_id(Caller::of_http(args.call()), rule, answering))
}

/// Adds or replaces a version of an MCP server.
pub(in crate::api) fn update_mcp(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, given, latest) = (namespace(args), given(args)?, args.flag("latest"));
    let at = now(args);
    Ok(change(args, move |known| {
        mcp::change::update(known, &space, &given, latest, &at)
    }))
}

/// Removes an MCP server or a version of it.
pub(in crate::api) fn delete_mcp(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, which, version) = (namespace(args), which(args)?, args.string("version"));
    Ok(change(args, move |known| {
        mcp::change::delete(known, &space, &which, &version)
    }))
}

/// Nobody asks other servers on a caller's behalf: as long as there are no users, anybody could look into the server's
/// network with it.
pub(in crate::api) fn import_tools(args: &Args<'_>) -> Result<Plan, Fault> {
    let kind = args.text("transportType");
    if kind != "mcp-sse" {
        return Err(Fault::business(
            500,
            format!("Unsupported transport type: {kind}"),
        ));
    }
    Err(not_supported("tools are not fetched from other servers"))
}

/// Lists agents.
pub(in crate::api) fn list_agents(args: &Args<'_>) -> Result<Plan, Fault> {
    let named = Named::of(args.text("agentName"), is_blur(args)?);
    let (space, paging) = (namespace(args), paging(args)?);
    Ok(show(args, move |known| {
        a2a::list(known, &space, &named, paging)
    }))
}

/// Shows the card of a version of an agent.
pub(in crate::api) fn agent(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, name, version) = (
        namespace(args),
        args.string("agentName"),
        args.string("version"),
    );
    let kind = a2a::Registration::parse(args.text("registrationType")).map_err(fault)?;
    let draw = args.call().now.wall;
    Ok(show(args, move |known| {
        a2a::detail(known, &space, &name, &version, kind, draw)
    }))
}

/// Lists the versions of an agent.
pub(in crate::api) fn agent_versions(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, name) = (namespace(args), args.string("agentName"));
    Ok(show(args, move |known| a2a::versions(known, &space, &name)))
}

fn card(args: &Args<'_>) -> Result<(a2a::Card, Option<a2a::Registration>), Fault> {
    let kind = a2a::Registration::parse(args.text("registrationType")).map_err(fault)?;
    let card = a2a::Card::parse(args.text("agentCard")).map_err(fault)?;
    checked(&Names {
        agent: &card.name,
        ..Names::default()
    })?;
    Ok((card, kind))
}

/// Makes an agent.
pub(in crate::api) fn create_agent(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, (card, kind)) = (namespace(args), card(args)?);
    let at = now(args);
    let kind = kind.unwrap_or(a2a::Registration::Url);
    Ok(change(args, move |known| {
        a2a::change::create(known, &space, &card, kind, &at)
    }))
}

/// Adds or replaces a version of an agent.
pub(in crate::api) fn update_agent(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, (card, kind)) = (namespace(args), card(args)?);
    let (latest, at) = (args.flag("setAsLatest"), now(args));
    Ok(change(args, move |known| {
        a2a::change::update(known, &space, &card, kind, latest, &at)
    }))
}

/// Removes an agent or a version of it; that there was none is well.
pub(in crate::api) fn delete_agent(args: &Args<'_>) -> Result<Plan, Fault> {
    let (space, name, version) = (
        namespace(args),
        args.string("agentName"),
        args.string("version"),
    );
    Ok(change(args, move |known| {
        a2a::change::delete(known, &space, &name, &version)
    }))
}

#[cfg(test)]
mod tests;
