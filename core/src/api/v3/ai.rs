//! Routes of `/v3/admin/ai` and `/v3/console/ai`, which are the same.

use crate::api::{
    Check, Kind, Method, Param, Right, Route,
    wrapped::{PAGE, SIZE, ai},
};

const READ: Route = Route {
    check: Check::Ai,
    right: Right::ReadAi,
    ..Route::V3
};
const WRITE: Route = Route {
    right: Right::WriteAi,
    ..READ
};

const NAMESPACE: Param = Param::text("namespaceId", "namespace").default("public");
const SEARCH: Param = Param::text(
    "search",
    "accurate, or blur for names that hold the given one",
);
const MCP_ID: Param = Param::text("mcpId", "id of the server, or its name");
const MCP_NAME: Param = Param::text("mcpName", "name of the server");
const VERSION: Param = Param::text("version", "version");
const SERVER: Param = Param::text("serverSpecification", "JSON: the server and its version");
const TOOLS: Param = Param::text("toolSpecification", "JSON: its tools");
const ENDPOINT: Param = Param::text(
    "endpointSpecification",
    r#"JSON, unless it is stdio: {"type":"REF"} with a service, or "DIRECT" with an address"#,
);

/// MCP servers.
pub(super) const MCP: &[Route] = &[
    Route {
        path: "/v3/admin/ai/mcp/list",
        also: &["/v3/console/ai/mcp/list"],
        params: &[NAMESPACE, MCP_NAME, SEARCH.default("accurate"), PAGE, SIZE],
        summary: "Lists MCP servers.",
        make: ai::list_mcp,
        ..READ
    },
    Route {
        path: "/v3/admin/ai/mcp",
        also: &["/v3/console/ai/mcp"],
        params: &[NAMESPACE, MCP_ID, MCP_NAME, VERSION],
        summary: "Shows a version of an MCP server; the last added if none is given.",
        make: ai::mcp,
        ..READ
    },
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/ai/mcp",
        also: &["/v3/console/ai/mcp"],
        params: &[NAMESPACE, MCP_NAME, SERVER, TOOLS, ENDPOINT],
        summary: "Makes an MCP server and answers with its id.",
        make: ai::create_mcp,
        ..WRITE
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ai/mcp",
        also: &["/v3/console/ai/mcp"],
        params: &[
            NAMESPACE,
            MCP_NAME,
            SERVER,
            TOOLS,
            ENDPOINT,
            Param::of("latest", Kind::Bool, "publish it as the latest version").default("true"),
        ],
        summary: "Adds a version to an MCP server, or replaces one.",
        make: ai::update_mcp,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/ai/mcp",
        also: &["/v3/console/ai/mcp"],
        params: &[NAMESPACE, MCP_ID, MCP_NAME, VERSION],
        summary: "Removes an MCP server, or one version of it.",
        make: ai::delete_mcp,
        ..WRITE
    },
    Route {
        path: "/v3/console/ai/mcp/importToolsFromMcp",
        params: &[
            Param::text("transportType", "mcp-sse").required(),
            Param::text("baseUrl", "address of the server").required(),
            Param::text("endpoint", "its path").required(),
            Param::text("authToken", "token for the server"),
        ],
        summary: "Not supported: tools are not fetched from other servers.",
        make: ai::import_tools,
        ..READ
    },
];

const AGENT: Param = Param::text("agentName", "name of the agent");
const MUST_AGENT: Param = AGENT.required().asked();
const CARD: Param = Param::text("agentCard", "JSON: the card of a version");
const REGISTRATION: Param = Param::text(
    "registrationType",
    "URL if the agent is at the address of its card, SERVICE if at the endpoints that it registers",
);

/// A2A agents.
pub(super) const AGENTS: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v3/admin/ai/a2a",
        also: &["/v3/console/ai/a2a"],
        params: &[NAMESPACE, CARD, REGISTRATION.default("URL")],
        summary: "Makes an agent.",
        make: ai::create_agent,
        ..WRITE
    },
    Route {
        path: "/v3/admin/ai/a2a",
        also: &["/v3/console/ai/a2a"],
        params: &[NAMESPACE, MUST_AGENT, VERSION, REGISTRATION],
        summary: "Shows the card of a version of an agent; the latest if none is given.",
        make: ai::agent,
        ..READ
    },
    Route {
        methods: &[Method::Put],
        path: "/v3/admin/ai/a2a",
        also: &["/v3/console/ai/a2a"],
        params: &[
            NAMESPACE,
            CARD,
            REGISTRATION,
            Param::of(
                "setAsLatest",
                Kind::Bool,
                "publish it as the latest version",
            )
            .default("false"),
        ],
        summary: "Adds a version to an agent, or replaces one.",
        make: ai::update_agent,
        ..WRITE
    },
    Route {
        methods: &[Method::Delete],
        path: "/v3/admin/ai/a2a",
        also: &["/v3/console/ai/a2a"],
        params: &[NAMESPACE, MUST_AGENT, VERSION],
        summary: "Removes an agent, or one version of it; also well if there was none.",
        make: ai::delete_agent,
        ..WRITE
    },
    Route {
        path: "/v3/admin/ai/a2a/list",
        also: &["/v3/console/ai/a2a/list"],
        params: &[NAMESPACE, AGENT, SEARCH, PAGE, SIZE],
        summary: "Lists agents.",
        make: ai::list_agents,
        ..READ
    },
    Route {
        path: "/v3/admin/ai/a2a/version/list",
        also: &["/v3/console/ai/a2a/version/list"],
        params: &[NAMESPACE, MUST_AGENT],
        summary: "Lists the versions of an agent.",
        make: ai::agent_versions,
        ..READ
    },
];
