//! From a request to its route, and everything that is decided before the route's own words: what is unknown, what an
//! old generation no longer serves, names, the parameter check, required parameters and their kinds.

use alloc::{format, string::String, vec::Vec};

use super::{
    answer::Answer,
    call::{Args, Call, percent_decoded},
    check,
    fault::{Area, Fault, Telling},
    plan::Plan,
    route::{Class, Compat, Generation, Method, Right, Route},
};
use crate::model::split_grouped;

/// All routes, found by path.
pub struct Routes {
    rows: Vec<&'static Route>,
    /// Sorted by path; the rows of one path, those with `when` first.
    exact: Vec<(&'static str, Vec<&'static Route>)>,
    /// Paths with a part in braces.
    patterns: Vec<(&'static str, Vec<&'static Route>)>,
}

/// What a path and method lead to.
enum Found {
    Route(&'static Route),
    /// The path is known, but not with this method.
    OtherMethod(Vec<Method>),
    /// Every route there wants a parameter that was not given.
    NoSelector,
    Nothing,
}

impl Routes {
    /// The routes of all generations.
    #[must_use]
    pub fn all() -> Self {
        Self::of(&[
            super::v1::TABLES,
            super::console::TABLES,
            super::v2::TABLES,
            super::v3::TABLES,
            super::own::TABLES,
        ])
    }

    /// The routes of these tables.
    #[must_use]
    pub fn of(tables: &[&'static [&'static [Route]]]) -> Self {
        let rows: Vec<&'static Route> = tables
            .iter()
            .flat_map(|t| t.iter())
            .flat_map(|t| t.iter())
            .collect();
        let mut paths: Vec<(&'static str, &'static Route)> = rows
            .iter()
            .flat_map(|r| r.paths().map(|p| (p, *r)))
            .collect();
        // Stable: within a path and its selectors, rows stay in the order of their tables.
        paths.sort_by_key(|(path, row)| (*path, row.when.is_none()));
        let mut routes = Self {
            rows,
            exact: Vec::new(),
            patterns: Vec::new(),
        };
        for (path, row) in paths {
            let table = if path.contains('{') {
                &mut routes.patterns
            } else {
                &mut routes.exact
            };
            match table.last_mut() {
                Some((last, rows)) if *last == path => rows.push(row),
                _ => table.push((path, Vec::from([row]))),
            }
        }
        routes
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &'static Route> {
        self.rows.iter().copied()
    }

    /// Understands a request: the first step of its answer. Never fails: a fault is an answer too.
    #[must_use]
    pub fn plan<'a>(&self, call: &'a Call<'a>) -> Plan {
        let path = call
            .path
            .strip_suffix('/')
            .filter(|p| !p.is_empty())
            .unwrap_or(call.path);
        let path = percent_decoded(path);
        let naming = path
            .strip_prefix("/v1/ns")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if naming && let Some(answer) = super::traffic::gate(call) {
            return Plan::Answer(answer);
        }
        let found = self.find(call, &path);
        let Found::Route(route) = found else {
            return Plan::Answer(not_found(call, &path, naming, &found));
        };
        let answered = refused_by_class(route, call)
            .or_else(|| refused_by_right(route, call))
            .or_else(|| if naming { misnamed(call) } else { None })
            .or_else(|| check::fault(route.check_on(&path), route.area, call))
            .map_or_else(
                || Args::new(call, route).and_then(|args| (route.make)(&args)),
                Err,
            );
        answered.unwrap_or_else(|fault| Plan::Answer(fault.tell(&Telling::new(route.area, call))))
    }

    fn find(&self, call: &Call<'_>, path: &str) -> Found {
        let rows = match self.exact.binary_search_by(|(p, _)| (*p).cmp(path)) {
            Ok(at) => &self.exact[at].1,
            Err(_) => match self
                .patterns
                .iter()
                .find(|(pattern, _)| fits(pattern, path))
            {
                Some((_, rows)) => rows,
                None => return Found::Nothing,
            },
        };
        let served =
            |row: &&&Route| !(row.generation == Generation::V3 && call.server.compat == Compat::V2);
        // The framework answers HEAD wherever it answers GET.
        let method = if call.method == Method::Head {
            Method::Get
        } else {
            call.method
        };
        let mut selected = rows
            .iter()
            .filter(served)
            .filter(|row| row.methods.contains(&method))
            .peekable();
        if selected.peek().is_none() {
            let mut others: Vec<Method> = rows
                .iter()
                .filter(served)
                .flat_map(|r| r.methods)
                .copied()
                .collect();
            others.sort();
            others.dedup();
            return if others.is_empty() {
                Found::Nothing
            } else {
                Found::OtherMethod(others)
            };
        }
        selected
            .find(|row| match row.when {
                None => true,
                Some((name, "*")) => call.raw(name).is_some(),
                Some((name, value)) => call.raw(name) == Some(value),
            })
            .map_or(Found::NoSelector, |row| Found::Route(row))
    }
}

/// Whether a path fits one with parts in braces.
fn fits(pattern: &str, path: &str) -> bool {
    let (mut want, mut have) = (pattern.split('/'), path.split('/'));
    loop {
        match (want.next(), have.next()) {
            (None, None) => return true,
            (Some(want), Some(have))
                if want == have || (want.starts_with('{') && !have.is_empty()) => {}
            _ => return false,
        }
    }
}

/// Answers to what leads to no route, as the reference's generations word them.
fn not_found(call: &Call<'_>, path: &str, naming: bool, found: &Found) -> Answer {
    let area = if path.starts_with("/v1/cs/") {
        Area::ConfigV1
    } else {
        Area::ConsoleV1
    };
    let telling = Telling::new(area, call);
    let method = method_name(call.method);
    let page = |status, message: String| Fault::Container { status, message }.tell(&telling);
    if naming {
        return page(501, format!("no such api:{method}:{}", call.full_path));
    }
    let newer = call.server.compat == Compat::V3 || path.starts_with("/v3");
    match found {
        Found::OtherMethod(others) => {
            let allowed: Vec<&str> = others.iter().copied().map(method_name).collect();
            let text = if newer {
                format!("Request method '{method}' is not supported")
            } else {
                format!("Request method '{method}' not supported")
            };
            page(405, text).with("Allow", allowed.join(","))
        }
        Found::NoSelector => page(
            400,
            "Parameter conditions not met for actual request parameters".into(),
        ),
        _ if newer => page(404, format!("No endpoint {method} {}.", call.full_path)),
        _ => page(404, "No message available".into()),
    }
}

/// Name of a method in messages.
fn method_name(method: Method) -> &'static str {
    match method {
        Method::Get => "GET",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Patch => "PATCH",
        Method::Head => "HEAD",
        Method::Options => "OPTIONS",
    }
}

/// 3.x refuses the administration's and the console's routes of the old generations, and names the new one.
fn refused_by_class(route: &Route, call: &Call<'_>) -> Option<Fault> {
    let old = matches!(route.generation, Generation::V1 | Generation::V2);
    let class = match route.class {
        Class::Admin => "admin",
        Class::Console => "console",
        Class::Client | Class::Inner => return None,
    };
    if !old || call.server.compat != Compat::V3 {
        return None;
    }
    let instead = if route.instead.is_empty() {
        String::from("If wanted continue to use, please set")
    } else {
        format!("please use API(s) `{}` instead, or set", route.instead)
    };
    let message = format!(
        "{{\"code\":40000,\"message\":\"Current API will be deprecated, {instead} `nacos.core.api.compatibility.{class}.enabled=true` in application.properties.\"}}"
    );
    Some(Fault::Container {
        status: 410,
        message,
    })
}

/// Until users exist, only what needs the server's token is asked for a right.
fn refused_by_right(route: &Route, call: &Call<'_>) -> Option<Fault> {
    (route.right == Right::Operator && !call.operator).then(|| {
        let why = "the header nacrite-token must carry what is in admin.token of the server's data folder";
        Fault::detail(403, 10_001, why)
    })
}

/// The step of `/v1/ns` that groups the service's name, and what it refuses.
fn misnamed(call: &Call<'_>) -> Option<Fault> {
    let given = call.param("serviceName")?;
    let (group, name) = split_grouped(given);
    let why = match group {
        None => return None,
        Some("") => "groupName can't be empty",
        Some(_) if name.is_empty() => "it should be format as 'groupName@@serviceName'",
        Some(_) => return None,
    };
    let message =
        format!("Service name filter error,caused: Param 'serviceName' is illegal, {why};");
    Some(Fault::Container {
        status: 400,
        message,
    })
}

/// Group and name of the service that a request of `/v1/ns` names: `GROUP@@NAME` wins over `groupName`.
#[must_use]
pub fn grouped_service<'a>(call: &Call<'a>) -> (&'a str, &'a str) {
    let (group, name) = split_grouped(call.param("serviceName").unwrap_or_default());
    let group = group
        .or_else(|| call.param("groupName"))
        .filter(|g| !g.is_empty());
    (group.unwrap_or(crate::model::DEFAULT_GROUP), name)
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;

    use super::*;
    use crate::{
        api::{
            route::{Check, Kind, Param},
            tests::{View, ask},
        },
        naming::Switches,
    };

    fn text(_: &Args<'_>) -> Result<Plan, Fault> {
        Ok(Plan::Answer(Answer::text("made")))
    }

    fn part(args: &Args<'_>) -> Result<Plan, Fault> {
        Ok(Plan::Answer(Answer::text(args.part("id").into_owned())))
    }

    const ROWS: &[Route] = &[
        Route {
            path: "/v1/cs/x",
            check: Check::None,
            make: text,
            ..Route::CONFIG_V1
        },
        Route {
            path: "/v1/cs/x",
            when: Some(("search", "blur")),
            params: &[Param::of("pageNo", Kind::Int, "page").required()],
            make: |_| Ok(Plan::Answer(Answer::text("blur"))),
            ..Route::CONFIG_V1
        },
        Route {
            methods: &[Method::Post],
            path: "/v1/cs/only",
            when: Some(("import", "*")),
            make: text,
            ..Route::CONFIG_V1
        },
        Route {
            path: "/v1/console/parts/{id}/end",
            make: part,
            ..Route::CONSOLE_V1
        },
        Route {
            path: "/v1/ns/admin",
            instead: "GET ${contextPath:nacos}/v3/admin/ns/x",
            params: &[Param::text("ip", "address").required()],
            make: text,
            ..Route::NAMING_V1
        },
        Route {
            path: "/v3/admin/x",
            make: text,
            ..Route::V3
        },
        Route {
            path: "/v3/admin/ns/x",
            console: &["/v3/console/ns/x"],
            check: Check::Naming,
            make: text,
            ..Route::V3
        },
    ];

    fn get_as(compat: Compat, uri: &str) -> (u16, String) {
        let (status, _, body) = ask(
            &Routes::of(&[&[ROWS]]),
            &View::default(),
            compat,
            Method::Get,
            uri,
        );
        (status, body)
    }

    fn get(uri: &str) -> (u16, String) {
        get_as(Compat::All, uri)
    }

    #[test]
    fn a_selector_goes_before_the_row_without() {
        assert_eq!(get("/v1/cs/x"), (200, "made".into()));
        assert_eq!(get("/v1/cs/x/"), (200, "made".into()));
        assert_eq!(get("/v1/cs/x?search=accurate").1, "made");
        assert_eq!(get("/v1/cs/x?search=blur&pageNo=1").1, "blur");
        let routes = Routes::of(&[&[ROWS]]);
        let post = |uri| ask(&routes, &View::default(), Compat::All, Method::Post, uri);
        assert_eq!(post("/v1/cs/only?import=false").0, 200);
        assert_eq!(post("/v1/cs/only").0, 400);
        assert_eq!(
            ask(
                &routes,
                &View::default(),
                Compat::All,
                Method::Head,
                "/v1/cs/x"
            )
            .0,
            200
        );
    }

    #[test]
    fn parts_in_braces_take_one_part() {
        assert_eq!(get("/v1/console/parts/a%20b/end"), (200, "a b".into()));
        assert_eq!(get("/v1/console/parts//end").0, 404);
        assert_eq!(get("/v1/console/parts/a/b/end").0, 404);
    }

    #[test]
    fn what_is_unknown_is_told_as_each_generation_does() {
        let (status, body) = get("/v1/console/nothing-here");
        assert_eq!(status, 404);
        assert!(body.contains(r#""error":"Not Found","message":"No message available","path":"/nacos/v1/console/nothing-here""#));
        let newer = get_as(Compat::V3, "/nothing-here");
        assert!(newer.1.contains("No endpoint GET /nacos/nothing-here."));
        assert!(
            get("/v3/admin/nothing")
                .1
                .contains("No endpoint GET /nacos/v3/admin/nothing.")
        );
        let (status, body) = get("/v1/ns/operator/servers");
        assert_eq!(status, 501);
        assert!(body.contains(
            r#""error":"Not Implemented","message":"no such api:GET:/nacos/v1/ns/operator/servers""#
        ));
        assert_eq!(get("/v1/nsx").0, 404);
        let routes = Routes::of(&[&[ROWS]]);
        let post = |uri| ask(&routes, &View::default(), Compat::All, Method::Post, uri);
        assert_eq!(post("/v1/ns/admin").0, 501);
        let (status, _, body) = post("/v1/cs/x");
        assert_eq!(status, 405);
        assert!(body.contains("Request method 'POST' not supported"));
        assert_eq!(get_as(Compat::V2, "/v3/admin/x").0, 404);
        assert_eq!(get("/v3/admin/x").0, 200);
    }

    #[test]
    fn the_console_asks_the_same_without_layer_a() {
        for (path, status) in [("admin", 400), ("console", 200)] {
            assert_eq!(get(&format!("/v3/{path}/ns/x")).0, 200, "{path}");
            let illegal = get(&format!("/v3/{path}/ns/x?namespaceId=bad*"));
            assert_eq!(illegal.0, status, "{path}");
        }
    }

    #[test]
    fn old_classes_are_gone_in_3_before_anything_is_checked() {
        let (status, body) = get_as(Compat::V3, "/v1/ns/admin?namespaceId=bad*");
        assert_eq!(status, 410);
        assert!(body.contains(
            r#""error":"Gone","message":"{\"code\":40000,\"message\":\"Current API will be deprecated, please use API(s) `GET ${contextPath:nacos}/v3/admin/ns/x` instead, or set `nacos.core.api.compatibility.admin.enabled=true` in application.properties.\"}""#
        ), "{body}");
        let console = get_as(Compat::V3, "/v1/cs/x").1;
        assert!(console.contains("deprecated, If wanted continue to use, please set `nacos.core.api.compatibility.console.enabled=true` in"));
    }

    #[test]
    fn checks_go_before_required_parameters() {
        let line = "Param 'namespaceId/tenant' is illegal, illegal characters should not appear in the param.\r\n";
        assert_eq!(get("/v1/ns/admin?namespaceId=bad*"), (400, line.into()));
        assert_eq!(
            get("/v1/ns/admin"),
            (400, "Parameter 'ip' is missing".into())
        );
        // What is declared may be blank.
        assert_eq!(get("/v1/ns/admin?ip=").0, 200);
        assert_eq!(get("/v1/cs/x?search=blur").0, 500);
        assert_eq!(get("/v1/cs/x?search=blur&pageNo=x").0, 400);
        let misnamed = get("/v1/ns/admin?serviceName=@@s");
        assert_eq!(misnamed.0, 400);
        assert!(
            misnamed
                .1
                .contains("Param 'serviceName' is illegal, groupName can't be empty;")
        );
    }

    #[test]
    fn operators_can_shut_the_gate() {
        let get = |switches: Switches| {
            let view = View::default().with_switches(switches);
            let (status, _, body) = ask(
                &Routes::of(&[&[ROWS]]),
                &view,
                Compat::All,
                Method::Get,
                "/v1/ns/admin?ip=1",
            );
            (status, body)
        };
        let overridden = |status: &str| Switches {
            overridden_server_status: Some(status.into()),
            ..Switches::default()
        };
        assert_eq!(get(overridden("UP")).0, 200);
        assert_eq!(get(overridden("READ_ONLY")).0, 200);
        assert_eq!(get(overridden("WRITE_ONLY")).0, 503);
        assert_eq!(get(overridden("DOWN")).0, 503);
        let limited = Switches {
            limited_url_map: [("/nacos/v1/ns/ad".into(), 429)].into(),
            ..Switches::default()
        };
        assert_eq!(get(limited), (429, "".into()));
        let limited = |url: &str| Switches {
            limited_url_map: [(url.into(), 429)].into(),
            ..Switches::default()
        };
        assert_eq!(get(limited("/nacos/v1/ns/admin?ip=")).0, 429);
        assert_eq!(get(limited("/nacos/v1/ns/admin?")).0, 429);
        assert_eq!(get(limited("/nacos/v1/ns/admin?ip=2")).0, 200);
        assert_eq!(get(limited("/nacos/v1/ns/administrator")).0, 200);
    }

    #[test]
    fn every_row_is_documented_and_every_row_is_reached() {
        let routes = Routes::all();
        let mut seen = BTreeSet::new();
        for row in routes.rows() {
            assert!(
                row.path.starts_with('/') && !row.methods.is_empty(),
                "{}",
                row.path
            );
            assert!(row.summary.ends_with('.'), "{} has no summary", row.path);
            for (at, param) in row.params.iter().enumerate() {
                assert!(!param.meaning.is_empty(), "{} {}", row.path, param.name);
                let twice = row.params[..at].iter().any(|p| p.name == param.name);
                assert!(!twice, "{} has {} twice", row.path, param.name);
            }
            for path in row.paths() {
                for method in row.methods {
                    // A selector of any value would hide one of a certain value behind it.
                    assert!(
                        seen.insert((path, *method, row.when)),
                        "{path} {method:?} {:?} stands there twice",
                        row.when
                    );
                }
            }
        }
        for (path, method, when) in &seen {
            let Some((name, value)) = when else { continue };
            let hidden = *value != "*" && seen.contains(&(*path, *method, Some((*name, "*"))));
            assert!(!hidden, "{path} {name}={value} is hidden by {name}=*");
        }
    }
}
