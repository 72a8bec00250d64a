//! Every kind of message of Nacos's gRPC catalogue (3.2), and that each has an exchange here.
//!
//! The list is of the protocol, not of this server's routes: a kind that the server lacks fails the test.

use std::collections::BTreeSet;

use nacrite_tests::bodies::{config, instance, named};
use nacrite_tests::grpc::Client;
use serde_json::{Value, json};

use super::server;

/// What becomes of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Clients ask it, by a unary call.
    Client,
    /// The server sends it over the stream.
    Push,
    /// Members ask it; clients, on this port, are refused.
    Member,
    /// Not served, for this reason: answered as an unknown kind is.
    Later(&'static str),
}

const OF_3_2: &str = "since 3.2 only: with the rest of that line's AI registry";

/// The catalogue, without `ConnectionSetupRequest`, which opens every stream of these tests, and without
/// `PushAckRequest`, which no client has sent since answers travel on the stream.
const CATALOGUE: &[(&str, Of)] = &[
    ("ServerCheckRequest", Of::Client),
    ("SetupAckRequest", Of::Push),
    ("HealthCheckRequest", Of::Client),
    ("ClientDetectionRequest", Of::Push),
    ("ConnectResetRequest", Of::Push),
    ("ServerLoaderInfoRequest", Of::Member),
    ("ServerReloadRequest", Of::Member),
    ("MemberReportRequest", Of::Member),
    ("DistroDataRequest", Of::Member),
    ("InstanceRequest", Of::Client),
    ("BatchInstanceRequest", Of::Client),
    ("PersistentInstanceRequest", Of::Client),
    ("ServiceQueryRequest", Of::Client),
    ("SubscribeServiceRequest", Of::Client),
    ("ServiceListRequest", Of::Client),
    ("NotifySubscriberRequest", Of::Push),
    ("NamingFuzzyWatchRequest", Of::Client),
    ("NamingFuzzyWatchChangeNotifyRequest", Of::Push),
    ("NamingFuzzyWatchSyncRequest", Of::Push),
    ("ConfigQueryRequest", Of::Client),
    ("ConfigPublishRequest", Of::Client),
    ("ConfigRemoveRequest", Of::Client),
    ("ConfigBatchListenRequest", Of::Client),
    ("ConfigChangeNotifyRequest", Of::Push),
    ("ConfigChangeClusterSyncRequest", Of::Member),
    ("ConfigFuzzyWatchRequest", Of::Client),
    ("ConfigFuzzyWatchChangeNotifyRequest", Of::Push),
    ("ConfigFuzzyWatchSyncRequest", Of::Push),
    ("ClientConfigMetricRequest", Of::Push),
    ("LockOperationRequest", Of::Client),
    ("QueryMcpServerRequest", Of::Client),
    ("ReleaseMcpServerRequest", Of::Client),
    ("McpServerEndpointRequest", Of::Client),
    ("QueryAgentCardRequest", Of::Client),
    ("ReleaseAgentCardRequest", Of::Client),
    ("AgentEndpointRequest", Of::Client),
    ("BatchAgentEndpointRequest", Of::Later(OF_3_2)),
    ("QueryPromptRequest", Of::Later(OF_3_2)),
];

/// Kinds of the catalogue of which something holds.
fn kinds(which: impl Fn(Of) -> bool) -> BTreeSet<String> {
    let found = CATALOGUE.iter().filter(|(_, of)| which(*of));
    found.map(|(kind, _)| (*kind).to_owned()).collect()
}

/// Asks for every kind and remembers which.
struct Asking<'a> {
    client: &'a Client,
    asked: BTreeSet<String>,
}

/// Waits for every kind of push and remembers which.
struct Watching {
    client: Client,
    told: BTreeSet<String>,
}

impl Watching {
    async fn push(&mut self, kind: &str) -> Value {
        let body = self.client.push(kind).await;
        self.told.insert(kind.to_owned());
        body
    }
}

impl Asking<'_> {
    /// Asks; the answer must be of the kind that the catalogue names, and say success.
    async fn done(&mut self, kind: &str, body: &Value) -> Value {
        let answer = self.client.ask(kind, body).await;
        let route = nacrite_core::api::grpc::routes().find(|r| r.kind == kind);
        let route = route.unwrap_or_else(|| panic!("{kind} is not in the catalogue"));
        assert_eq!(answer.kind, route.answer, "{}", answer.body);
        assert_eq!(answer.body["resultCode"], 200, "{kind}: {}", answer.body);
        assert_eq!(answer.body["success"], true, "{kind}");
        self.asked.insert(kind.to_owned());
        answer.body
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_the_catalogue_is_answered_or_comes() {
    let (_folder, server) = server(&["--grpc-idle-timeout-ms", "1000"]);
    let mut watcher = Client::connect(server.port()).await;
    watcher.set_up(true).await;
    let mut watcher = Watching {
        client: watcher,
        told: BTreeSet::new(),
    };
    watcher.push("SetupAckRequest").await;
    let client = Client::ready(server.port()).await;
    let mut asking = Asking {
        client: &client,
        asked: BTreeSet::new(),
    };

    let checked = client.ask("ServerCheckRequest", &json!({})).await;
    assert_eq!(checked.body["supportAbilityNegotiation"], true);
    asking.asked.insert("ServerCheckRequest".to_owned());
    asking.done("HealthCheckRequest", &json!({})).await;
    let registered = named(
        "a",
        json!({"type": "registerInstance", "instance": instance(1)}),
    );
    asking.done("InstanceRequest", &registered).await;
    let batch = named(
        "b",
        json!({"type": "batchRegisterInstance", "instances": [instance(1), instance(2)]}),
    );
    asking.done("BatchInstanceRequest", &batch).await;
    let mut lasting = instance(3);
    lasting["ephemeral"] = false.into();
    let lasting = named(
        "c",
        json!({"type": "registerInstance", "instance": lasting}),
    );
    asking.done("PersistentInstanceRequest", &lasting).await;
    let found = asking
        .done(
            "ServiceQueryRequest",
            &named("b", json!({"cluster": "", "healthyOnly": true})),
        )
        .await;
    assert_eq!(
        found["serviceInfo"]["hosts"].as_array().map(Vec::len),
        Some(2),
        "{found}"
    );
    let list = named("", json!({"pageNo": 1, "pageSize": 10}));
    let list = asking.done("ServiceListRequest", &list).await;
    assert_eq!(
        (&list["count"], &list["serviceNames"]),
        (&3.into(), &json!(["a", "b", "c"]))
    );
    let subscribed = named("a", json!({"subscribe": true, "clusters": ""}));
    let told = asking.done("SubscribeServiceRequest", &subscribed).await;
    assert_eq!(told["serviceInfo"]["hosts"][0]["port"], 1);
    watcher
        .client
        .ask("SubscribeServiceRequest", &subscribed)
        .await;
    let told = watcher.push("NotifySubscriberRequest").await;
    assert_eq!(told["serviceInfo"]["hosts"][0]["port"], 1);

    let pattern = "public>>DEFAULT_GROUP>>fuzzy*";
    let watch = json!({
        "groupKeyPattern": pattern, "namespace": "public", "receivedGroupKeys": [],
        "watchType": "WATCH", "initializing": true,
    });
    asking.done("NamingFuzzyWatchRequest", &watch).await;
    watcher.client.ask("NamingFuzzyWatchRequest", &watch).await;
    let synced = watcher.push("NamingFuzzyWatchSyncRequest").await;
    assert_eq!(synced["syncType"], "FINISH_FUZZY_WATCH_INIT_NOTIFY");
    let fuzzy = named(
        "fuzzy-1",
        json!({"type": "registerInstance", "instance": instance(1)}),
    );
    asking.done("InstanceRequest", &fuzzy).await;
    let changed = watcher.push("NamingFuzzyWatchChangeNotifyRequest").await;
    assert_eq!(
        (&changed["serviceKey"], &changed["changedType"]),
        (
            &"public@@DEFAULT_GROUP@@fuzzy-1".into(),
            &"ADD_SERVICE".into()
        )
    );

    let listen =
        json!({"listen": true, "configListenContexts": [config("one", json!({"md5": ""}))]});
    watcher
        .client
        .ask("ConfigBatchListenRequest", &listen)
        .await;
    watcher.client.ask("ConfigFuzzyWatchRequest", &watch).await;
    let synced = watcher.push("ConfigFuzzyWatchSyncRequest").await;
    assert_eq!(synced["syncType"], "FINISH_FUZZY_WATCH_INIT_NOTIFY");
    asking.done("ConfigFuzzyWatchRequest", &watch).await;
    asking
        .done(
            "ConfigPublishRequest",
            &config("one", json!({"content": "x", "additionMap": {}})),
        )
        .await;
    let notified = watcher.push("ConfigChangeNotifyRequest").await;
    assert_eq!(
        (
            &notified["dataId"],
            notified.get("tenant").is_none_or(|t| t == "")
        ),
        (&"one".into(), true),
        "the spelling of the listener is kept"
    );
    let changed = asking.done("ConfigBatchListenRequest", &listen).await;
    assert_eq!(changed["changedConfigs"][0]["dataId"], "one");
    asking
        .done(
            "ConfigPublishRequest",
            &config("fuzzy-2", json!({"content": "y"})),
        )
        .await;
    let changed = watcher.push("ConfigFuzzyWatchChangeNotifyRequest").await;
    assert_eq!(
        (&changed["groupKey"], &changed["changeType"]),
        (
            &"fuzzy-2+DEFAULT_GROUP+public".into(),
            &"CONFIG_CHANGED".into()
        )
    );
    let read = asking
        .done("ConfigQueryRequest", &config("one", json!({})))
        .await;
    assert_eq!(
        (&read["content"], &read["contentType"]),
        (&"x".into(), &"text".into())
    );
    asking
        .done("ConfigRemoveRequest", &config("one", json!({})))
        .await;
    let gone = client
        .ask("ConfigQueryRequest", &config("one", json!({})))
        .await;
    assert_eq!((gone.code(), &gone.body["lastModified"]), (300, &0.into()));

    let lock = json!({"key": "k", "expiredTime": 5_000, "params": {}, "lockType": "NACOS_LOCK"});
    let lock = json!({"lockInstance": lock, "lockOperationEnum": "ACQUIRE"});
    let taken = asking.done("LockOperationRequest", &lock).await;
    assert_eq!(taken["result"], true);
    let again = watcher.client.ask("LockOperationRequest", &lock).await;
    assert_eq!(again.body["result"], false, "a lock has one holder");

    let server_of_tools = json!({
        "name": "m", "protocol": "mcp-sse", "versionDetail": {"version": "1"}, "remoteServerConfig": {},
    });
    let release = json!({"serverSpecification": server_of_tools});
    asking.done("ReleaseMcpServerRequest", &release).await;
    let endpoint = json!({
        "mcpName": "m", "version": "1", "address": "10.0.0.9", "port": 1, "type": "registerEndpoint",
    });
    asking.done("McpServerEndpointRequest", &endpoint).await;
    let found = asking
        .done("QueryMcpServerRequest", &json!({"mcpName": "m"}))
        .await;
    assert_eq!(
        found["mcpServerDetailInfo"]["backendEndpoints"][0]["port"],
        1
    );
    let card = json!({
        "name": "bot", "version": "1", "protocolVersion": "0.3", "preferredTransport": "JSONRPC", "url": "http://h:1",
    });
    asking
        .done("ReleaseAgentCardRequest", &json!({"agentCard": card}))
        .await;
    let endpoint =
        json!({"address": "10.0.0.1", "port": 2, "transport": "JSONRPC", "version": "1"});
    let endpoint = json!({"agentName": "bot", "type": "registerEndpoint", "endpoint": endpoint});
    asking.done("AgentEndpointRequest", &endpoint).await;
    let found = asking
        .done("QueryAgentCardRequest", &json!({"agentName": "bot"}))
        .await;
    assert_eq!(found["agentCardDetailInfo"]["version"], "1");

    // Asked by operators; and a client that was silent for a second.
    let operator = |method: &str, target: &str| {
        tokio::task::block_in_place(|| server.ask(method, target, "")).text()
    };
    operator(
        "GET",
        "/nacos/v1/cs/metrics/current?ip=127.0.0.1&dataId=d&group=g",
    );
    watcher.push("ClientConfigMetricRequest").await;
    watcher.push("ClientDetectionRequest").await;
    let id = watcher.client.ask("ServerCheckRequest", &json!({})).await;
    let id = id.body["connectionId"].as_str().expect("its id").to_owned();
    let go = format!("/nacos/v3/admin/core/loader/reloadClient?connectionId={id}");
    operator("POST", &go);
    assert_eq!(
        watcher.push("ConnectResetRequest").await["connectionId"],
        id
    );

    // Members only: refused on this port, whoever asks, and before it is asked whether the connection is set up.
    let stranger = Client::connect(server.port()).await;
    for kind in kinds(|of| of == Of::Member) {
        for asks in [&client, &stranger] {
            let refused = asks.ask(&kind, &json!({})).await;
            assert_eq!(
                (refused.code(), refused.kind.as_str()),
                (502, "ErrorResponse"),
                "{kind}"
            );
        }
    }
    for (kind, of) in CATALOGUE {
        if let Of::Later(why) = of {
            let unknown = client.ask(kind, &json!({})).await;
            assert_eq!(unknown.code(), 302, "{kind} is served, but listed: {why}");
        }
    }

    assert_eq!(
        asking.asked,
        kinds(|of| of == Of::Client),
        "each has its exchange here"
    );
    assert_eq!(
        watcher.told,
        kinds(|of| of == Of::Push),
        "each was awaited here"
    );
    let routes: BTreeSet<String> = nacrite_core::api::grpc::routes()
        .map(|route| route.kind.to_owned())
        .collect();
    let mut served = kinds(|of| of == Of::Client);
    // Served before there are routes.
    served.remove("ServerCheckRequest");
    assert_eq!(routes, served, "no route is outside of the catalogue");
    let (client, push, member, later) = (
        kinds(|of| of == Of::Client).len(),
        watcher.told.len(),
        kinds(|of| of == Of::Member).len(),
        kinds(|of| matches!(of, Of::Later(_))).len(),
    );
    println!(
        "{} kinds: {client} of clients and {push} of pushes with an exchange, {member} refused as of members, {later} later",
        CATALOGUE.len()
    );
}
