//! MCP servers and agents against a whole member: what is answered, what is stored, and what two requests at the same
//! time make of each other.

use alloc::{collections::BTreeMap, format, string::String, vec::Vec};

use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    api::{
        Answer, Compat, Plan,
        replay::member::{Member, Sent, body_of},
    },
    model::{ConfigKey, ServiceKey},
    view::{ConfigFilter, Reading as _, TextFilter},
};

const MCP: &str = "/nacos/v3/admin/ai/mcp";
const A2A: &str = "/nacos/v3/admin/ai/a2a";

fn member() -> Member {
    Member::new(Compat::V3)
}

fn request(method: &str, path: &str, form: &Value) -> Value {
    json!({"method": method, "path": path, "form": form})
}

/// Status, code and data.
fn ask(member: &mut Member, method: &str, path: &str, form: &Value) -> (u16, Value, Value) {
    let (status, body) = member.http(&request(method, path, form));
    (status, body["code"].clone(), body["data"].clone())
}

fn done(member: &mut Member, method: &str, path: &str, form: &Value) -> Value {
    let (status, _, data) = ask(member, method, path, form);
    assert_eq!(status, 200, "{method} {form}: {data}");
    data
}

fn code(member: &mut Member, method: &str, path: &str, form: &Value) -> (u16, Value) {
    let (status, code, _) = ask(member, method, path, form);
    (status, code)
}

fn text(value: &Value) -> String {
    format!("{value}")
}

fn stdio(name: &str, version: &str) -> Value {
    json!({"name": name, "protocol": "stdio", "frontProtocol": "stdio", "description": version,
        "versionDetail": {"version": version}, "localServerConfig": {"command": "echo"}})
}

fn tools(name: &str) -> Value {
    json!({"tools": [{"name": name, "description": "d", "inputSchema": {"default": null}}]})
}

fn form(server: &Value, tools: Option<&Value>) -> Value {
    let mut form = json!({"serverSpecification": text(server)});
    if let Some(tools) = tools {
        form["toolSpecification"] = text(tools).into();
    }
    form
}

fn sse(name: &str, version: &str, endpoint: &Value) -> Value {
    let server = json!({"name": name, "protocol": "mcp-sse", "frontProtocol": "mcp-sse", "versionDetail": {"version": version},
    "remoteServerConfig": {"exportPath": "/sse", "frontEndpointConfigList": [
        {"endpointType": "DIRECT", "endpointData": "gate.way", "protocol": "http", "path": "/front"},
        {"endpointType": "BACKEND"},
    ]}});
    json!({"serverSpecification": text(&server), "endpointSpecification": text(endpoint)})
}

fn direct(port: u16) -> Value {
    json!({"type": "DIRECT", "data": {"address": "10.0.0.1", "port": port, "transportProtocol": "http"}})
}

/// Data ids of a group, in order.
fn configs(member: &Member, group: &str) -> Vec<String> {
    let filter = ConfigFilter {
        group: TextFilter::Equal(group.into()),
        ..ConfigFilter::default()
    };
    let found = member.view().configs(&filter, 0, usize::MAX).items;
    found
        .iter()
        .map(|(key, _)| String::from(&*key.data_id))
        .collect()
}

#[test]
fn a_server_is_stored_as_the_reference_stores_it() {
    let mut member = member();
    let id = done(
        &mut member,
        "POST",
        MCP,
        &form(&stdio("m", "1.0"), Some(&tools("add"))),
    );
    let id = id.as_str().expect("an id");
    assert_eq!(
        configs(&member, "mcp-server-versions"),
        [format!("{id}-mcp-versions.json")]
    );
    assert_eq!(
        configs(&member, "mcp-server"),
        [format!("{id}-1.0-mcp-server.json")]
    );
    assert_eq!(
        configs(&member, "mcp-tools"),
        [format!("{id}-1.0-mcp-tools.json")]
    );
    let key = ConfigKey::new(
        "",
        "mcp-server-versions",
        &format!("{id}-mcp-versions.json"),
    );
    let item = member.view().config(&key).expect("the index");
    let index = item.formal.as_ref().expect("a formal version");
    assert_eq!(&*index.tags, "nacos.internal.config=mcp,mcpServerName=m");
    assert_eq!(
        (&*index.app, index.kind.name(), &*index.create_user),
        ("m", "json", "nacos")
    );
    let content: Value =
        serde_json::from_slice(&member.content(index.content.index)).expect("JSON");
    assert_eq!(content["latestPublishedVersion"], "1.0");
    assert_eq!(content["versionDetails"][0]["version"], "1.0");
    let shown = done(&mut member, "GET", MCP, &json!({"mcpId": id}));
    assert_eq!(
        shown["toolSpec"]["tools"],
        tools("add")["tools"],
        "kept as given, nulls too"
    );
}

#[test]
fn versions_are_added_published_replaced_and_removed() {
    let mut member = member();
    done(
        &mut member,
        "POST",
        MCP,
        &form(&stdio("m", "1"), Some(&tools("one"))),
    );
    let mut second = form(&stdio("m", "2"), Some(&tools("two")));
    second["latest"] = "false".into();
    assert_eq!(done(&mut member, "PUT", MCP, &second), "ok");
    let get = |member: &mut Member, version: &str| {
        done(
            member,
            "GET",
            MCP,
            &json!({"mcpName": "m", "version": version}),
        )
    };
    let shown = get(&mut member, "");
    assert_eq!(
        (&shown["version"], &shown["versionDetail"]),
        (
            &json!("2"),
            &json!({"version": "2", "release_date": null, "is_latest": false})
        ),
        "the last added is shown, though it is not published"
    );
    let list = |member: &mut Member| {
        done(member, "GET", &format!("{MCP}/list"), &json!({}))["pageItems"][0].clone()
    };
    let item = list(&mut member);
    assert_eq!(
        (&item["latestPublishedVersion"], &item["description"]),
        (&json!("1"), &json!("1"))
    );
    assert_eq!(item["versionDetails"].as_array().map(Vec::len), Some(2));
    // Without tools: the old ones go.
    done(&mut member, "PUT", MCP, &form(&stdio("m", "2"), None));
    let shown = get(&mut member, "2");
    assert_eq!(
        (&shown["toolSpec"], &shown["capabilities"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(list(&mut member)["description"], "2");
    assert_eq!(configs(&member, "mcp-tools").len(), 1);
    // Of one version only what is its own goes, and the rest stays reachable.
    let one = json!({"mcpName": "m", "version": "2"});
    done(&mut member, "DELETE", MCP, &one);
    assert_eq!(
        done(&mut member, "DELETE", MCP, &one),
        "ok",
        "one that is not there is well"
    );
    assert_eq!(code(&mut member, "GET", MCP, &one), (404, json!(50_001)));
    assert_eq!(list(&mut member)["latestPublishedVersion"], "1");
    assert_eq!(get(&mut member, "")["toolSpec"]["tools"][0]["name"], "one");
    done(
        &mut member,
        "DELETE",
        MCP,
        &json!({"mcpName": "m", "version": "1"}),
    );
    assert_eq!(
        code(&mut member, "GET", MCP, &json!({"mcpName": "m"})),
        (404, json!(50_000))
    );
    for group in ["mcp-server-versions", "mcp-server", "mcp-tools"] {
        assert_eq!(configs(&member, group), Vec::<String>::new(), "{group}");
    }
}

#[test]
fn what_is_wrong_changes_nothing() {
    let mut member = member();
    done(&mut member, "POST", MCP, &form(&stdio("m", "1"), None));
    let id = done(&mut member, "GET", MCP, &json!({"mcpName": "m"}))["id"].clone();
    done(&mut member, "POST", MCP, &form(&stdio("other", "1"), None));
    let stored = |member: &Member| {
        let groups = [
            "mcp-server-versions",
            "mcp-server",
            "mcp-tools",
            "mcp-endpoints",
        ];
        groups.map(|g| configs(member, g))
    };
    let before = stored(&member);
    let with = |id: &str| {
        let mut server = stdio("n", "1");
        server["id"] = id.into();
        form(&server, None)
    };
    let id = id.as_str().expect("an id");
    let mut renamed = stdio("other", "1");
    renamed["id"] = id.into();
    for (method, form, want) in [
        ("GET", json!({}), (400, json!(10_000))),
        ("DELETE", json!({}), (400, json!(10_000))),
        ("POST", json!({"mcpName": "n"}), (400, json!(10_000))),
        (
            "POST",
            json!({"serverSpecification": "[]"}),
            (400, json!(20_002)),
        ),
        ("POST", form(&stdio("m", "2"), None), (409, json!(20_005))),
        ("POST", form(&stdio("n", "1/2"), None), (400, json!(20_002))),
        ("POST", form(&stdio("a b", "1"), None), (400, json!(20_002))),
        ("POST", with(id), (400, json!(20_002))),
        ("POST", with("1"), (400, json!(20_002))),
        ("PUT", form(&stdio("none", "1"), None), (404, json!(50_000))),
        ("PUT", form(&renamed, None), (409, json!(20_005))),
        ("DELETE", json!({"mcpName": "none"}), (404, json!(50_000))),
    ] {
        assert_eq!(
            code(&mut member, method, MCP, &form),
            want,
            "{method} {form}"
        );
    }
    for (path, form) in [
        ("/list", json!({"search": "fuzzy"})),
        ("/list", json!({"pageNo": 0})),
    ] {
        assert_eq!(
            code(&mut member, "GET", &format!("{MCP}{path}"), &form),
            (400, json!(20_002))
        );
    }
    let (status, text) = member.http(&request("GET", MCP, &json!({"mcpName": "a/b"})));
    assert_eq!(status, 400);
    assert!(
        text.as_str()
            .is_some_and(|t| t.contains("'mcpName' is illegal")),
        "{text}"
    );
    assert_eq!(stored(&member), before);
}

#[test]
fn a_list_is_searched_by_name_and_has_pages() {
    let mut member = member();
    for name in ["ab", "bc", "cd"] {
        done(&mut member, "POST", MCP, &form(&stdio(name, "1"), None));
    }
    let names = |member: &mut Member, form: Value| {
        let page = done(member, "GET", "/v3/console/ai/mcp/list", &form);
        let items = page["pageItems"].as_array().cloned().unwrap_or_default();
        let names: Vec<Value> = items.iter().map(|i| i["name"].clone()).collect();
        (page["totalCount"].clone(), json!(names))
    };
    assert_eq!(
        names(&mut member, json!({"mcpName": "b", "search": "BLUR"})),
        (json!(2), json!(["ab", "bc"]))
    );
    assert_eq!(
        names(&mut member, json!({"mcpName": "b"})),
        (json!(0), json!([]))
    );
    assert_eq!(
        names(&mut member, json!({"pageNo": 2, "pageSize": 2})),
        (json!(3), json!(["cd"]))
    );
    assert_eq!(
        names(&mut member, json!({"namespaceId": "ns"})),
        (json!(0), json!([]))
    );
}

#[test]
fn a_fixed_address_is_a_persistent_service_that_goes_with_its_version() {
    let mut member = member();
    done(&mut member, "POST", MCP, &sse("m", "1", &direct(80)));
    let service = ServiceKey::new("", "mcp-endpoints", "m::1");
    let view = member.view().service(&service).expect("a service");
    assert!(!view.ephemeral());
    let metadata = view.metadata().expect("metadata");
    assert_eq!(
        metadata.extend.get("__nacos.ai.mcp.service__"),
        Some("true")
    );
    assert_eq!(
        metadata.clusters["DEFAULT"].checker,
        crate::model::HealthChecker::None
    );
    let shown = done(&mut member, "GET", MCP, &json!({"mcpName": "m"}));
    let back = json!({"protocol": "http", "address": "10.0.0.1", "port": 80, "path": "/sse"});
    assert_eq!(shown["backendEndpoints"], json!([back]));
    let front = json!({"protocol": "http", "address": "gate.way", "port": 80, "path": "/front"});
    assert_eq!(shown["frontendEndpoints"], json!([front, back]));
    // Another address of the same version is one more.
    done(&mut member, "PUT", MCP, &sse("m", "1", &direct(81)));
    assert_eq!(member.view().service(&service).map(|s| s.len()), Some(2));
    // Clients' endpoints do not go there.
    let endpoint =
        json!({"mcpName": "m", "address": "10.0.0.9", "port": 1, "type": "registerEndpoint"});
    let (_, refused) = member.grpc("McpServerEndpointRequest", &endpoint);
    assert_eq!(refused["errorCode"], 400, "{refused}");
    done(&mut member, "DELETE", MCP, &json!({"mcpName": "m"}));
    assert!(member.view().service(&service).is_none());
}

#[test]
fn endpoints_that_were_registered_bar_a_fixed_address() {
    let mut member = member();
    let server = json!({"name": "m", "protocol": "mcp-sse", "versionDetail": {"version": "1"}, "remoteServerConfig": {}});
    let (kind, released) = member.grpc(
        "ReleaseMcpServerRequest",
        &json!({"serverSpecification": server}),
    );
    assert_eq!(
        (kind, &released["success"]),
        ("ReleaseMcpServerResponse", &json!(true))
    );
    let endpoint = |kind: &str| json!({"mcpName": "m", "version": "1", "address": "10.0.0.9", "port": 1, "type": kind});
    let (_, answer) = member.grpc("McpServerEndpointRequest", &endpoint("registerEndpoint"));
    assert_eq!(answer["type"], "registerEndpoint", "{answer}");
    let service = ServiceKey::new("", "mcp-endpoints", "m::1");
    let view = member
        .view()
        .service(&service)
        .expect("made by the registration");
    let instance = view.instances().next().expect("an instance").clone();
    assert_eq!(instance.metadata.get("_mcp_server_version"), Some("1"));
    let before = configs(&member, "mcp-server");
    let mut other = sse("m", "1", &direct(80));
    other["latest"] = "false".into();
    let (status, _) = member.http(&request("PUT", MCP, &other));
    assert_eq!((status, configs(&member, "mcp-server")), (400, before));
    let (_, shown) = member.grpc("QueryMcpServerRequest", &json!({"mcpName": "m"}));
    assert_eq!(
        shown["mcpServerDetailInfo"]["backendEndpoints"][0]["port"],
        1
    );
    assert!(
        shown["mcpServerDetailInfo"].get("packages").is_none(),
        "no nulls"
    );
    member.disconnect();
    assert_eq!(member.view().service(&service).map_or(0, |s| s.len()), 0);
}

#[test]
fn a_release_adds_versions_and_overwrites_none() {
    let mut member = member();
    let release = |member: &mut Member, server: &Value| {
        let body = json!({"serverSpecification": server, "toolSpecification": tools("t")});
        let (_, answer) = member.grpc("ReleaseMcpServerRequest", &body);
        (answer["errorCode"].clone(), answer["mcpId"].clone())
    };
    let (_, id) = release(&mut member, &stdio("m", "1"));
    assert!(id.is_string());
    assert_eq!(
        release(&mut member, &stdio("m", "2")),
        (json!(0), id.clone())
    );
    let mut changed = stdio("m", "2");
    changed["description"] = "changed".into();
    assert_eq!(release(&mut member, &changed), (json!(409), Value::Null));
    let query = |member: &mut Member, version: &str| {
        let body = json!({"mcpName": "m", "version": version});
        member.grpc("QueryMcpServerRequest", &body).1
    };
    let shown = query(&mut member, "")["mcpServerDetailInfo"].clone();
    assert_eq!(
        (&shown["version"], &shown["description"]),
        (&json!("2"), &json!("2"))
    );
    assert_eq!(shown["versionDetail"]["is_latest"], false);
    let mut latest = stdio("m", "3");
    latest["versionDetail"]["is_latest"] = true.into();
    release(&mut member, &latest);
    assert_eq!(
        query(&mut member, "3")["mcpServerDetailInfo"]["versionDetail"]["is_latest"],
        true
    );
    assert_eq!(query(&mut member, "9")["errorCode"], 404);
    for (kind, body, want) in [
        ("QueryMcpServerRequest", json!({"mcpName": "none"}), 404),
        ("QueryMcpServerRequest", json!({}), 400),
        ("ReleaseMcpServerRequest", json!({}), 400),
        (
            "McpServerEndpointRequest",
            json!({"mcpName": "m", "address": "a", "port": 1, "type": "x"}),
            400,
        ),
        (
            "McpServerEndpointRequest",
            json!({"mcpName": "m", "port": 1, "type": "registerEndpoint"}),
            400,
        ),
        (
            "McpServerEndpointRequest",
            json!({"mcpName": "m", "address": "a", "type": "registerEndpoint"}),
            400,
        ),
        (
            "McpServerEndpointRequest",
            json!({"mcpName": "none", "address": "a", "port": 1, "type": "registerEndpoint"}),
            404,
        ),
        (
            "McpServerEndpointRequest",
            json!({"mcpName": "m", "address": "a", "port": 1, "type": "registerEndpoint"}),
            404,
        ),
    ] {
        let (answered, answer) = member.grpc(kind, &body);
        assert_eq!(
            (&answer["errorCode"], &answer["resultCode"]),
            (&json!(want), &json!(500)),
            "{answered} {answer}"
        );
    }
}

#[test]
fn what_users_make_of_the_configs_is_survived() {
    let mut member = member();
    done(
        &mut member,
        "POST",
        MCP,
        &form(&stdio("m", "1"), Some(&tools("t"))),
    );
    for group in ["mcp-tools", "mcp-server", "mcp-server-versions"] {
        let data_id = configs(&member, group)[0].clone();
        let publish = json!({"dataId": data_id, "groupName": group, "content": "no JSON"});
        done(&mut member, "POST", "/nacos/v3/admin/cs/config", &publish);
        let (status, _) = code(&mut member, "GET", MCP, &json!({"mcpName": "m"}));
        assert_eq!(
            status,
            if group == "mcp-server-versions" {
                404
            } else {
                200
            },
            "{group}"
        );
    }
    let listed = done(&mut member, "GET", &format!("{MCP}/list"), &json!({}));
    assert_eq!(listed["totalCount"], 1);
    done(&mut member, "PUT", MCP, &form(&stdio("m", "1"), None));
    assert_eq!(
        done(&mut member, "GET", MCP, &json!({"mcpName": "m"}))["name"],
        "m"
    );
}

#[test]
fn tools_are_not_fetched_for_callers() {
    let mut member = member();
    let path = "/v3/console/ai/mcp/importToolsFromMcp";
    let form =
        |kind: &str| json!({"transportType": kind, "baseUrl": "http://127.0.0.1", "endpoint": "/"});
    assert_eq!(
        code(&mut member, "GET", path, &json!({})),
        (400, json!(10_000))
    );
    assert_eq!(
        code(&mut member, "GET", path, &form("x")),
        (500, json!(30_000))
    );
    assert_eq!(
        code(&mut member, "GET", path, &form("mcp-sse")),
        (501, json!(30_000))
    );
}

fn card(name: &str, version: &str) -> Value {
    json!({"name": name, "version": version, "protocolVersion": "0.3", "preferredTransport": "JSONRPC", "url": "http://h:1",
        "description": version})
}

fn card_form(name: &str, version: &str) -> Value {
    json!({"agentCard": text(&card(name, version))})
}

#[test]
fn an_agent_lives() {
    let mut member = member();
    let form = card_form("bot 1", "1");
    assert_eq!(done(&mut member, "POST", A2A, &form), "ok");
    assert_eq!(code(&mut member, "POST", A2A, &form), (409, json!(20_005)));
    assert_eq!(configs(&member, "agent"), ["____:bot_032_049"]);
    assert_eq!(configs(&member, "agent-version"), ["____:bot_032_049-1"]);
    done(&mut member, "PUT", A2A, &card_form("bot 1", "2"));
    let get = |member: &mut Member, version: &str| {
        ask(
            member,
            "GET",
            A2A,
            &json!({"agentName": "bot 1", "version": version}),
        )
    };
    let shown = get(&mut member, "").2;
    assert_eq!(
        (
            &shown["version"],
            &shown["latestVersion"],
            &shown["registrationType"],
            &shown["skills"]
        ),
        (&json!("1"), &json!(true), &json!("URL"), &json!([]))
    );
    let mut latest = card_form("bot 1", "2");
    latest["setAsLatest"] = "true".into();
    latest["registrationType"] = "SERVICE".into();
    done(&mut member, "PUT", A2A, &latest);
    let shown = get(&mut member, "").2;
    assert_eq!(
        (&shown["version"], &shown["registrationType"], &shown["url"]),
        (&json!("2"), &json!("SERVICE"), &json!("http://h:1"))
    );
    let versions = done(
        &mut member,
        "GET",
        &format!("{A2A}/version/list"),
        &json!({"agentName": "bot 1"}),
    );
    assert_eq!(
        (&versions[0]["latest"], &versions[1]["latest"]),
        (&json!(false), &json!(true))
    );
    let list = |member: &mut Member, form: Value| ask(member, "GET", &format!("{A2A}/list"), &form);
    assert_eq!(
        list(&mut member, json!({})).1,
        20_002,
        "search must be given"
    );
    let found = list(&mut member, json!({"search": "blur", "agentName": "t 1"})).2;
    assert_eq!(
        (&found["totalCount"], &found["pageItems"][0]["description"]),
        (&json!(1), &json!("2"))
    );
    // Without its latest version an agent has none until another is set.
    let one = |version: &str| json!({"agentName": "bot 1", "version": version});
    done(&mut member, "DELETE", A2A, &one("2"));
    assert_eq!(get(&mut member, "").1, 50_101);
    assert_eq!(get(&mut member, "1").2["latestVersion"], false);
    done(&mut member, "DELETE", A2A, &one("1"));
    assert_eq!(get(&mut member, "1").1, 50_100);
    assert_eq!(
        done(&mut member, "DELETE", A2A, &one("")),
        "ok",
        "one that is not there is well"
    );
    assert_eq!(configs(&member, "agent-version"), Vec::<String>::new());
    assert_eq!(code(&mut member, "PUT", A2A, &form), (404, json!(50_100)));
    assert_eq!(
        code(&mut member, "POST", A2A, &json!({})),
        (400, json!(10_000))
    );
    let mut wrong = card_form("b", "1");
    wrong["registrationType"] = "x".into();
    assert_eq!(code(&mut member, "POST", A2A, &wrong), (400, json!(20_002)));
}

#[test]
fn agents_whose_versions_would_have_one_data_id_stay_apart() {
    let mut member = member();
    done(&mut member, "POST", A2A, &card_form("a-b", "1"));
    assert_eq!(
        code(&mut member, "POST", A2A, &card_form("a", "b-1")),
        (409, json!(20_005))
    );
    assert_eq!(configs(&member, "agent"), ["a-b"]);
}

#[test]
fn an_agent_by_service_is_where_its_endpoints_are() {
    let mut member = member();
    let release = |card: &Value| json!({"agentCard": card});
    let (kind, answer) = member.grpc("ReleaseAgentCardRequest", &release(&card("bot", "1")));
    assert_eq!(
        (kind, &answer["success"]),
        ("ReleaseAgentCardResponse", &json!(true))
    );
    let mut again = card("bot", "1");
    again["description"] = "changed".into();
    assert_eq!(
        member.grpc("ReleaseAgentCardRequest", &release(&again)).1["success"],
        true
    );
    let endpoint = |kind: &str, port: u16, transport: &str| {
        let endpoint = json!({"address": "10.0.0.1", "port": port, "transport": transport, "version": "1", "path": "/a2a"});
        json!({"agentName": "bot", "type": kind, "endpoint": endpoint})
    };
    let query = json!({"agentName": "bot"});
    let shown = |member: &mut Member| {
        member.grpc("QueryAgentCardRequest", &query).1["agentCardDetailInfo"].clone()
    };
    let stored = shown(&mut member);
    assert_eq!(
        (&stored["url"], &stored["description"]),
        (&json!("http://h:1"), &json!("1"))
    );
    let (_, answer) = member.grpc(
        "AgentEndpointRequest",
        &endpoint("registerEndpoint", 2, "jsonrpc"),
    );
    assert_eq!(answer["type"], "registerEndpoint", "{answer}");
    let card = shown(&mut member);
    assert_eq!(
        (&card["url"], &card["preferredTransport"]),
        (&json!("http://10.0.0.1:2/a2a"), &json!("jsonrpc"))
    );
    assert_eq!(
        card["additionalInterfaces"].as_array().map(Vec::len),
        Some(1)
    );
    member.grpc(
        "AgentEndpointRequest",
        &endpoint("deregisterEndpoint", 2, ""),
    );
    assert_eq!(shown(&mut member)["url"], "http://h:1");
    assert_eq!(
        member
            .grpc("QueryAgentCardRequest", &json!({"agentName": "none"}))
            .1["errorCode"],
        404
    );
    assert_eq!(
        member.grpc("AgentEndpointRequest", &endpoint("x", 2, "")).1["errorCode"],
        400
    );
    assert_eq!(
        member.grpc("ReleaseAgentCardRequest", &json!({})).1["errorCode"],
        400
    );
}

/// Lets two requests take their steps in the order that the schedule says; their answers.
fn at_once(member: &mut Member, requests: [&Value; 2], schedule: &[bool]) -> [(u16, Value); 2] {
    let none = BTreeMap::new();
    let mut plans: [Option<Plan>; 2] = requests.map(|r| Some(member.plan(r, &none)));
    let mut answers: [Option<Answer>; 2] = [None, None];
    let turns = schedule.iter().map(|second| usize::from(*second));
    for at in turns.chain((0..400).map(|n| n % 2)) {
        let Some(plan) = plans[at].take() else {
            continue;
        };
        match member.step(plan) {
            Ok(next) => plans[at] = Some(next),
            Err(Sent::Answered(answer)) => answers[at] = Some(answer),
            Err(Sent::Parked(_)) => panic!("waits"),
        }
    }
    answers.map(|a| body_of(&a.expect("an answer")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn of_two_that_make_one_name_one_is_refused(schedule in prop::collection::vec(any::<bool>(), 0..40)) {
        let mut member = member();
        let make = |n: &str| request("POST", MCP, &form(&stdio("m", n), Some(&tools(n))));
        let answers = at_once(&mut member, [&make("1"), &make("2")], &schedule);
        let won: Vec<usize> = (0..2).filter(|at| answers[*at].0 == 200).collect();
        prop_assert_eq!(won.len(), 1, "{:?}", answers);
        let shown = done(&mut member, "GET", MCP, &json!({"mcpName": "m"}));
        let want = if won[0] == 0 { "1" } else { "2" };
        prop_assert_eq!((&shown["version"], &shown["toolSpec"]["tools"][0]["name"]), (&json!(want), &json!(want)));
        for group in ["mcp-server-versions", "mcp-server", "mcp-tools"] {
            prop_assert_eq!(configs(&member, group).len(), 1, "{}", group);
        }
    }

    #[test]
    fn two_that_replace_one_version_do_not_mix(schedule in prop::collection::vec(any::<bool>(), 0..60)) {
        let mut member = member();
        done(&mut member, "POST", MCP, &form(&stdio("m", "1"), Some(&tools("first"))));
        let replace = |n: &str| {
            let mut server = stdio("m", "1");
            server["description"] = n.into();
            request("PUT", MCP, &form(&server, Some(&tools(n))))
        };
        let answers = at_once(&mut member, [&replace("x"), &replace("y")], &schedule);
        prop_assert!(answers.iter().any(|(status, _)| *status == 200), "{:?}", answers);
        let shown = done(&mut member, "GET", MCP, &json!({"mcpName": "m"}));
        let listed = done(&mut member, "GET", &format!("{MCP}/list"), &json!({}));
        prop_assert_eq!(&shown["description"], &shown["toolSpec"]["tools"][0]["name"]);
        prop_assert_eq!(&shown["description"], &listed["pageItems"][0]["description"]);
    }

    #[test]
    fn one_that_adds_and_one_that_removes_leave_all_or_nothing(schedule in prop::collection::vec(any::<bool>(), 0..60)) {
        let mut member = member();
        done(&mut member, "POST", MCP, &form(&stdio("m", "1"), Some(&tools("1"))));
        let add = request("PUT", MCP, &form(&stdio("m", "2"), Some(&tools("2"))));
        let remove = request("DELETE", MCP, &json!({"mcpName": "m"}));
        let answers = at_once(&mut member, [&add, &remove], &schedule);
        prop_assert_eq!(answers[1].0, 200);
        let left = ["mcp-server-versions", "mcp-server", "mcp-tools"].map(|g| configs(&member, g).len());
        prop_assert_eq!(left, [0, 0, 0], "{:?}", answers);
    }
}
