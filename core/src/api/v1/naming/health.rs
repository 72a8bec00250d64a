//! `/v1/ns/health` and `/v1/ns/cluster`: health set by hand, and how it is checked.

use alloc::format;

use super::{ANY, CLUSTER, GROUP, IP, NAMESPACE, PORT, SERVICE, instance_key, service_key};
use crate::{
    api::{
        Answer, Args, Check, Class, Fault, Kind, Method, Param, Plan, Right, Route, json_string,
        parse_metadata,
        service_json::{instance_fault, parse_checker},
    },
    model::{ClusterMetadata, InstanceKey, ServiceKey},
    node::{op::Op, reply::Refusal},
    view::ServiceFilter,
};

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/health/instance",
        also: &["/v1/ns/health"],
        instead: "PUT ${contextPath:nacos}/v3/admin/health/instance",
        params: &[
            SERVICE,
            IP,
            PORT,
            Param::of("healthy", Kind::Bool, "whether it is healthy")
                .or("valid")
                .required()
                .asked(),
            NAMESPACE,
            GROUP,
            CLUSTER,
        ],
        right: Right::WriteNaming,
        summary: "Sets the health of a persistent instance that nobody checks.",
        make: set_health,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/health/checkers",
        instead: "GET ${contextPath:nacos}/v3/admin/health/checkers",
        check: Check::None,
        summary: "Lists the kinds of health checks.",
        make: |_| Ok(Plan::Answer(Answer::json(CHECKERS))),
        ..Route::NAMING_V1
    },
    Route {
        methods: ANY,
        path: "/v1/ns/health/server",
        check: Check::None,
        summary: "Says that the server is there.",
        make: server,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/cluster",
        class: Class::Console,
        instead: "PUT ${contextPath:nacos}/v3/console/ns/service/cluster",
        params: &[
            NAMESPACE,
            Param::text("clusterName", "cluster").required().asked(),
            SERVICE,
            GROUP,
            Param::text("checkPort", "port of checks that do not use the instance's")
                .required()
                .asked(),
            Param::of(
                "useInstancePort4Check",
                Kind::Bool,
                "whether checks use the instance's port",
            )
            .required()
            .asked(),
            Param::text("healthChecker", r#"JSON, {"type":"TCP"} and others"#)
                .required()
                .asked(),
            Param::text("metadata", "JSON object of texts, or k=v,k=v"),
        ],
        right: Right::WriteNaming,
        summary: "Describes a cluster of a service.",
        make: set_cluster,
        ..Route::NAMING_V1
    },
];

pub(in crate::api) const CHECKERS: &str = r#"{"TCP":{},"HTTP":{"path":"","headers":"","expectedResponseCode":200},"MYSQL":{"user":null,"pwd":null,"cmd":null},"NONE":{}}"#;

pub(in crate::api) fn set_health(args: &Args<'_>) -> Result<Plan, Fault> {
    let (service, key) = (service_key(args), instance_key(args));
    let op = Op::SetHealth {
        service: service.clone(),
        key: key.clone(),
        healthy: args.loose("healthy"),
    };
    let telling = args.telling();
    Ok(Plan::submit(op, move |answered| match answered {
        // An instance that is not there is no error in the reference.
        Ok(_) | Err(Refusal::InstanceNotFound | Refusal::ClientNotFound) => Answer::text("ok"),
        Err(refusal) => health_fault(&service, &key, refusal).tell(&telling),
    }))
}

/// The words for a health that cannot be set by hand.
#[must_use]
pub fn health_fault(service: &ServiceKey, key: &InstanceKey, refusal: Refusal) -> Fault {
    match refusal {
        Refusal::CheckedByServer | Refusal::ServiceNotFound => {
            let text = format!(
                "health check is still working, service: {}, cluster: {}",
                service.grouped(),
                key.cluster
            );
            Fault::business(400, text)
        }
        other => other.into(),
    }
}

fn server(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let total = call.view.services(&ServiceFilter::default(), 0, 0).total;
    let port = call.server.port;
    let text =
        format!("Hello! I am Nacos-Naming and healthy! total services: {total}, local port:{port}");
    Ok(Plan::Answer(Answer::json(format!(
        "{{\"msg\":{}}}",
        json_string(&text)
    ))))
}

pub(in crate::api) fn set_cluster(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let metadata = ClusterMetadata {
        // As Java: what is no number is 0.
        check_port: args.text("checkPort").parse().unwrap_or_default(),
        use_instance_port: args.loose("useInstancePort4Check"),
        checker: parse_checker(args.text("healthChecker"))?,
        extend: parse_metadata(args.text("metadata")).map_err(Fault::Argument)?,
    };
    let op = Op::UpdateCluster {
        service: service.clone(),
        cluster: args.shared("clusterName"),
        metadata,
    };
    Ok(args.submit_or(
        op,
        // As for an instance, but without a code of its own.
        move |refusal| match instance_fault(&service, true, refusal) {
            Fault::Detail {
                code: 21_004,
                detail,
                ..
            } => Fault::business(400, detail),
            fault => fault,
        },
        |_| Ok(Answer::text("ok")),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Compat, Routes,
            tests::{View, ask, plan, told},
        },
        model::HealthChecker,
        node::reply::{Answered, Reply},
    };

    fn put(uri: &str, answered: Answered) -> (Op, u16, alloc::string::String) {
        let view = View::default();
        let Plan::Submit { op, then, .. } =
            plan(&Routes::all(), &view, Compat::All, Method::Put, uri)
        else {
            panic!("{uri} submits nothing")
        };
        let Plan::Answer(answer) = then(answered, &view) else {
            panic!("{uri} takes another step")
        };
        let (status, _, body) = told(&answer);
        (op, status, body)
    }

    #[test]
    fn health_is_set_on_both_paths_and_by_both_names() {
        for uri in [
            "/v1/ns/health?serviceName=s&ip=1.1.1.1&port=80&valid=true",
            "/v1/ns/health/instance?serviceName=s&ip=1.1.1.1&port=80&healthy=true",
        ] {
            let (op, status, _) = put(uri, Ok(Reply::Done));
            assert!(matches!(op, Op::SetHealth { healthy: true, .. }));
            assert_eq!(status, 200);
        }
        let uri = "/v1/ns/health/instance?serviceName=gper&ip=1.1.1.1&port=80&healthy=true";
        for refusal in [Refusal::CheckedByServer, Refusal::ServiceNotFound] {
            let (_, status, text) = put(uri, Err(refusal));
            assert_eq!(
                (status, &*text),
                (
                    400,
                    "health check is still working, service: DEFAULT_GROUP@@gper, cluster: DEFAULT"
                )
            );
        }
        assert_eq!(put(uri, Err(Refusal::InstanceNotFound)).1, 200);
        let (status, _, text) = ask(
            &Routes::all(),
            &View::default(),
            Compat::All,
            Method::Put,
            "/v1/ns/health?serviceName=s&ip=1.1.1.1&port=80",
        );
        assert_eq!((status, &*text), (400, "Param 'healthy' is required."));
    }

    #[test]
    fn a_cluster_is_described() {
        let uri = r#"/v1/ns/cluster?serviceName=s&clusterName=C&checkPort=81&useInstancePort4Check=true&healthChecker={"type":"NONE"}&metadata={"z":"1"}"#;
        let Op::UpdateCluster {
            cluster, metadata, ..
        } = put(uri, Ok(Reply::Done)).0
        else {
            panic!("updates a cluster")
        };
        assert_eq!(
            (&*cluster, metadata.check_port, metadata.use_instance_port),
            ("C", 81, true)
        );
        assert_eq!(
            (metadata.checker, metadata.extend.get("z")),
            (HealthChecker::None, Some("1"))
        );
    }

    #[test]
    fn the_server_greets_and_names_its_checks() {
        let get = |uri| {
            ask(
                &Routes::all(),
                &View::default(),
                Compat::All,
                Method::Get,
                uri,
            )
            .2
        };
        assert_eq!(
            get("/v1/ns/health/server"),
            r#"{"msg":"Hello! I am Nacos-Naming and healthy! total services: 0, local port:8848"}"#
        );
        assert!(serde_json::from_str::<serde_json::Value>(&get("/v1/ns/health/checkers")).is_ok());
    }
}
