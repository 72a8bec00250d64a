//! `/v1/ns/service`: services, their names and their subscribers.

use alloc::{boxed::Box, collections::BTreeMap, format, string::String, vec::Vec};

use serde_json::{Value, json};

use super::{
    ANY, DECLARED_SERVICE, GROUP, NAMESPACE, SERVICE, clusters_of, each_service, page, service_key,
};
use crate::{
    api::{
        Answer, Args, Class, Fault, Kind, Method, Param, Plan, Right, Route, parse_metadata,
        service_json::{
            checker_json, float_json, metadata_json, parse_selector, selector_json, service_fault,
            service_unknown,
        },
    },
    model::{ServiceKey, ServiceMetadata},
    node::{
        op::{Op, Question},
        reply::{Reply, Subscriber},
    },
    view::{ServiceFilter, ServiceView, TextFilter},
};

pub(in crate::api) const METADATA: Param =
    Param::text("metadata", "JSON object of texts, or k=v,k=v");
pub(in crate::api) const SELECTOR: Param = Param::text(
    "selector",
    r#"JSON, {"type":"none"} or {"type":"label","expression":…}"#,
);

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v1/ns/service",
        instead: "POST ${contextPath:nacos}/v3/admin/ns/service",
        params: &[
            NAMESPACE,
            DECLARED_SERVICE,
            GROUP,
            Param::of(
                "protectThreshold",
                Kind::Float,
                "share of healthy ones at which all look healthy",
            )
            .default("0"),
            METADATA,
            SELECTOR,
        ],
        right: Right::WriteNaming,
        summary: "Creates a persistent service.",
        make: create,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Put],
        path: "/v1/ns/service",
        instead: "PUT ${contextPath:nacos}/v3/admin/ns/service",
        params: &[
            NAMESPACE,
            SERVICE,
            GROUP,
            Param::text(
                "protectThreshold",
                "share of healthy ones at which all look healthy",
            )
            .required()
            .asked(),
            METADATA,
            SELECTOR,
        ],
        right: Right::WriteNaming,
        summary: "Replaces threshold, metadata and selector of a service.",
        make: update,
        ..Route::NAMING_V1
    },
    Route {
        methods: &[Method::Delete],
        path: "/v1/ns/service",
        instead: "DELETE ${contextPath:nacos}/v3/admin/ns/service",
        params: &[NAMESPACE, DECLARED_SERVICE, GROUP],
        right: Right::WriteNaming,
        summary: "Removes a service that has no instances.",
        make: delete,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/service",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/service",
        params: &[NAMESPACE, DECLARED_SERVICE, GROUP],
        summary: "Shows a service.",
        make: detail,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/service/list",
        class: Class::Client,
        params: &[
            Param::text("pageNo", "number of the page, from 1")
                .required()
                .asked(),
            Param::text("pageSize", "names of a page")
                .required()
                .asked(),
            NAMESPACE,
            GROUP,
            Param::text("selector", "not looked at"),
        ],
        summary: "Lists the names of a group's services.",
        make: list,
        ..Route::NAMING_V1
    },
    Route {
        methods: ANY,
        path: "/v1/ns/service/names",
        params: &[
            Param::text("namespaceId", "namespace; all if not given"),
            Param::text("expr", "text that names must hold"),
        ],
        summary: "Names services by namespace.",
        make: names,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/service/subscribers",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/service/subscribers",
        params: &[
            NAMESPACE,
            Param::text("serviceName", "text in the service's name"),
            GROUP,
            Param::of("pageNo", Kind::Int, "number of the page, from 1")
                .asked()
                .default("1"),
            Param::of("pageSize", Kind::Int, "subscribers of a page")
                .asked()
                .default("1000"),
            Param::of("aggregation", Kind::Bool, "ask all members")
                .asked()
                .default("true"),
        ],
        summary: "Lists subscribers of services whose names hold a text.",
        make: subscribers,
        ..Route::NAMING_V1
    },
    Route {
        path: "/v1/ns/service/selector/types",
        instead: "GET ${contextPath:nacos}/v3/admin/ns/service/selector/types",
        summary: "Lists the types of selectors.",
        make: |_| Ok(Plan::Answer(Answer::rest(r#"["label","none"]"#))),
        ..Route::NAMING_V1
    },
];

/// What the request says of a service.
pub(in crate::api) fn metadata(args: &Args<'_>) -> Result<ServiceMetadata, Fault> {
    Ok(ServiceMetadata {
        ephemeral: false,
        // As Java: what is no number is 0.
        protect_threshold: Some(args.float("protectThreshold") as f32)
            .filter(|t| t.is_finite())
            .unwrap_or_default(),
        selector: parse_selector(args.text("selector"))?,
        extend: parse_metadata(args.text("metadata")).map_err(|e| Fault::detail(400, 21_005, e))?,
        clusters: BTreeMap::new(),
    })
}

fn write(args: &Args<'_>, service: ServiceKey, op: Op) -> Plan {
    args.submit_or(
        op,
        move |refusal| service_fault(&service, refusal),
        |_| Ok(Answer::text("ok")),
    )
}

pub(in crate::api) fn create(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let op = Op::CreateService {
        service: service.clone(),
        metadata: metadata(args)?,
    };
    Ok(write(args, service, op))
}

pub(in crate::api) fn update(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let op = Op::UpdateService {
        service: service.clone(),
        metadata: metadata(args)?,
    };
    Ok(write(args, service, op))
}

pub(in crate::api) fn delete(args: &Args<'_>) -> Result<Plan, Fault> {
    let service = service_key(args);
    let op = Op::DeleteService {
        service: service.clone(),
    };
    Ok(write(args, service, op))
}

fn detail(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = service_key(args);
    let service = args
        .call()
        .view
        .service(&key)
        .ok_or_else(|| service_unknown(&key))?;
    let none = ServiceMetadata::default();
    let metadata = service.metadata().unwrap_or(&none);
    Ok(Plan::Answer(Answer::json_of(&json!({
        "namespaceId": &*key.namespace,
        "groupName": &*key.group,
        "name": &*key.name,
        "protectThreshold": float_json(metadata.protect_threshold),
        "metadata": metadata_json(&metadata.extend),
        "selector": selector_json(&metadata.selector),
        "clusters": clusters_json(&service, metadata),
    }))))
}

fn clusters_json(service: &ServiceView, metadata: &ServiceMetadata) -> Vec<Value> {
    let clusters = clusters_of(service);
    let described = clusters.iter().map(|name| {
        let cluster = metadata.clusters.get(name).cloned().unwrap_or_default();
        json!({
            "name": &**name,
            "healthChecker": checker_json(&cluster.checker),
            "metadata": metadata_json(&cluster.extend),
        })
    });
    described.collect()
}

fn list(args: &Args<'_>) -> Result<Plan, Fault> {
    let filter = ServiceFilter {
        namespace: Some(args.shared("namespaceId")),
        group: TextFilter::Equal(args.string("groupName")),
        ..ServiceFilter::default()
    };
    // Clients ask for all names with a page of 2^31 - 1.
    let (offset, size) = page(args);
    let found = args.call().view.services(&filter, offset, size);
    let names: Vec<&str> = found.items.iter().map(|s| &*s.key.name).collect();
    Ok(Plan::Answer(Answer::json_of(
        &json!({ "count": found.total, "doms": names }),
    )))
}

fn names(args: &Args<'_>) -> Result<Plan, Fault> {
    let namespace = Some(args.shared("namespaceId")).filter(|n| !n.is_empty());
    let filter = ServiceFilter {
        namespace: namespace.clone(),
        name: holding(args.text("expr")),
        ..ServiceFilter::default()
    };
    Ok(Plan::Long(Box::new(move |view| {
        let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
        services.extend(namespace.map(|n| (String::from(&*n), Vec::new())));
        let mut count = 0;
        each_service(view, &filter, |service| {
            count += 1;
            services
                .entry(String::from(&*service.key.namespace))
                .or_default()
                .push(service.key.grouped());
        });
        Plan::Answer(Answer::json_of(
            &json!({ "META-INF/services": services, "count": count }),
        ))
    })))
}

/// Texts that hold this one; all if it is empty. Expressions of Java are not known here.
pub(in crate::api) fn holding(text: &str) -> TextFilter {
    if text.is_empty() {
        TextFilter::Any
    } else {
        TextFilter::Holds(text.into())
    }
}

fn subscribers(args: &Args<'_>) -> Result<Plan, Fault> {
    let key = service_key(args);
    let (offset, size) = page(args);
    let question = Question::Subscribers {
        namespace: key.namespace.clone(),
        group: String::from(&*key.group),
        name: String::from(&*key.name),
        exact: false,
    };
    Ok(args.submit(Op::Ask(question), move |reply| {
        let Reply::Subscribers(mut all) = reply else {
            return Ok(Answer::text("ok"));
        };
        all.sort_by(|a, b| {
            (&a.ip, a.port, &a.service, &a.client).cmp(&(&b.ip, b.port, &b.service, &b.client))
        });
        let shown: Vec<Value> = all
            .iter()
            .skip(offset)
            .take(size)
            .map(subscriber_json)
            .collect();
        Ok(Answer::json_of(
            &json!({ "subscribers": shown, "count": all.len() }),
        ))
    }))
}

fn subscriber_json(subscriber: &Subscriber) -> Value {
    json!({
        "addrStr": format!("{}:{}", subscriber.ip, subscriber.port),
        "agent": &*subscriber.agent,
        "app": &*subscriber.app,
        "ip": &*subscriber.ip,
        "port": subscriber.port,
        "namespaceId": &*subscriber.service.namespace,
        "serviceName": subscriber.service.grouped(),
        "cluster": &*subscriber.clusters,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{
            Compat, Routes,
            tests::{View, ask, plan, told},
        },
        node::reply::Refusal,
    };

    fn view() -> View {
        let metadata = ServiceMetadata {
            ephemeral: false,
            protect_threshold: 0.3,
            extend: [("k", "v")].into_iter().collect(),
            ..ServiceMetadata::default()
        };
        View::default()
            .with_service(&ServiceKey::new("", "", "gsvc"), Some(metadata), Vec::new())
            .with_service(&ServiceKey::new("", "GG", "gsvc2"), None, Vec::new())
    }

    fn get(uri: &str) -> (u16, String) {
        let (status, _, body) = ask(&Routes::all(), &view(), Compat::All, Method::Get, uri);
        (status, body)
    }

    fn parsed(uri: &str) -> Value {
        serde_json::from_str(&get(uri).1).unwrap()
    }

    fn refused(method: Method, uri: &str, refusal: Refusal) -> (u16, String) {
        let view = view();
        let Plan::Submit { then, .. } = plan(&Routes::all(), &view, Compat::All, method, uri)
        else {
            panic!("{uri} submits nothing")
        };
        let Plan::Answer(answer) = then(Err(refusal), &view) else {
            panic!("{uri} takes another step")
        };
        let (status, _, body) = told(&answer);
        (status, body)
    }

    #[test]
    fn a_service_is_shown_as_recorded() {
        let want = json!({"namespaceId":"public","groupName":"DEFAULT_GROUP","name":"gsvc","protectThreshold":0.3,
            "metadata":{"k":"v"},"selector":{"type":"none","contextType":"NONE"},"clusters":[]});
        assert_eq!(parsed("/v1/ns/service?serviceName=gsvc"), want);
        assert_eq!(
            parsed("/v1/ns/service?serviceName=GG@@gsvc2")["groupName"],
            "GG"
        );
        let missing = get("/v1/ns/service?serviceName=gsvc-none");
        let text = "service not found, namespace: public, serviceName: DEFAULT_GROUP@@gsvc-none";
        assert_eq!(missing, (400, text.into()));
    }

    #[test]
    fn services_are_listed_by_group() {
        assert_eq!(
            parsed("/v1/ns/service/list?pageNo=1&pageSize=10"),
            json!({"count":1,"doms":["gsvc"]})
        );
        assert_eq!(
            parsed("/v1/ns/service/list?pageNo=x&pageSize=10"),
            json!({"count":1,"doms":["gsvc"]})
        );
        assert_eq!(
            parsed("/v1/ns/service/list?pageNo=1&pageSize=2147483647&groupName=GG"),
            json!({"count":1,"doms":["gsvc2"]})
        );
        assert_eq!(
            parsed("/v1/ns/service/list?pageNo=2&pageSize=10"),
            json!({"count":1,"doms":[]})
        );
        assert_eq!(
            get("/v1/ns/service/list"),
            (400, "Param 'pageNo' is required.".into())
        );
        assert_eq!(
            get("/v1/ns/service/selector/types").1,
            r#"{"code":200,"message":null,"data":["label","none"]}"#
        );
    }

    #[test]
    fn names_go_by_namespace() {
        let view = view();
        let Plan::Long(look) = plan(
            &Routes::all(),
            &view,
            Compat::All,
            Method::Get,
            "/v1/ns/service/names?namespaceId=public",
        ) else {
            panic!("names are long")
        };
        let Plan::Answer(answer) = look(&view) else {
            panic!("names are answered")
        };
        let names: Value = serde_json::from_str(&told(&answer).2).unwrap();
        assert_eq!(
            names,
            json!({"META-INF/services":{"public":["DEFAULT_GROUP@@gsvc","GG@@gsvc2"]},"count":2})
        );
    }

    #[test]
    fn refusals_name_the_service_as_recorded() {
        assert_eq!(
            refused(
                Method::Post,
                "/v1/ns/service?serviceName=gsvc",
                Refusal::ServiceExists
            ),
            (
                400,
                "specified service DEFAULT_GROUP@@gsvc already exists!".into()
            )
        );
        assert_eq!(
            refused(
                Method::Put,
                "/v1/ns/service?serviceName=x&protectThreshold=abc",
                Refusal::ServiceNotFound
            ),
            (400, "service DEFAULT_GROUP@@x not found!".into())
        );
        assert_eq!(
            refused(Method::Delete, "/v1/ns/service?serviceName=gper", Refusal::ServiceNotEmpty),
            (400, "Service DEFAULT_GROUP@@gper is not empty, can't be delete. Please unregister instance first".into())
        );
    }

    #[test]
    fn subscribers_are_paged() {
        let view = view();
        let uri = "/v1/ns/service/subscribers?serviceName=gsvc&pageNo=2&pageSize=1";
        let Plan::Submit { then, .. } = plan(&Routes::all(), &view, Compat::All, Method::Get, uri)
        else {
            panic!("subscribers are asked for")
        };
        let subscriber = |port| Subscriber {
            service: ServiceKey::new("", "", "gsvc"),
            client: "c".into(),
            ip: "1.1.1.1".into(),
            port,
            agent: "a".into(),
            app: "p".into(),
            clusters: "".into(),
            since: 0,
        };
        let Plan::Answer(answer) = then(
            Ok(Reply::Subscribers(Vec::from([
                subscriber(2),
                subscriber(1),
            ]))),
            &view,
        ) else {
            panic!("they are answered")
        };
        let want = json!({"subscribers":[{"addrStr":"1.1.1.1:2","agent":"a","app":"p","ip":"1.1.1.1","port":2,
            "namespaceId":"public","serviceName":"DEFAULT_GROUP@@gsvc","cluster":""}],"count":2});
        assert_eq!(
            serde_json::from_str::<Value>(&told(&answer).2).unwrap(),
            want
        );
    }
}
