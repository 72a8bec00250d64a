//! What the server sends of itself.

use alloc::{format, vec::Vec};

use serde_json::{Value, json};

use super::GrpcAnswer;
use crate::{
    api::{hosts, own::PolicyJson, v1::config::group_key},
    model::ServiceKey,
    node::output::{PushBody, SyncKind},
    view::Reading,
};

/// A push as clients read it, rendered from the newest view at `wall`.
#[must_use]
pub fn push(view: &dyn Reading, number: u64, body: &PushBody, wall: u64) -> GrpcAnswer {
    match body {
        PushBody::Service { key, class } | PushBody::ServicePolicy { key, class } => {
            let cache_millis = view.switches().default_push_cache_millis;
            let list = hosts::service_list(view, key, class, cache_millis, wall);
            let head = format!(
                r#"{{"headers":{{}},"requestId":"{number}","module":"naming","namespace":{},"serviceName":{},"groupName":{},"serviceInfo":"#,
                crate::api::json_string(&key.namespace),
                crate::api::json_string(&key.name),
                crate::api::json_string(&key.group),
            );
            let mut json = Vec::with_capacity(head.len() + list.len() + 1);
            json.extend_from_slice(head.as_bytes());
            json.extend_from_slice(&list);
            if matches!(body, PushBody::ServicePolicy { .. }) {
                push_policy(&mut json, view, key);
            }
            json.push(b'}');
            GrpcAnswer {
                kind: "NotifySubscriberRequest",
                json,
                ok: true,
            }
        }
        PushBody::Config { key, blank_tenant } => {
            let mut fields = with_id(number, "config");
            fields["dataId"] = (*key.data_id).into();
            fields["group"] = (*key.group).into();
            if !blank_tenant {
                fields["tenant"] = (*key.namespace).into();
            }
            message("ConfigChangeNotifyRequest", &fields)
        }
        PushBody::FuzzyService { key, added } => {
            let mut fields = with_id(number, "naming");
            fields["syncType"] = "FUZZY_WATCH_RESOURCE_CHANGED".into();
            fields["serviceKey"] = key.fuzzy().into();
            fields["changedType"] = if *added {
                "ADD_SERVICE"
            } else {
                "DELETE_SERVICE"
            }
            .into();
            message("NamingFuzzyWatchChangeNotifyRequest", &fields)
        }
        PushBody::FuzzyConfig { key, exists } => {
            let mut fields = with_id(number, "config");
            fields["syncType"] = "FUZZY_WATCH_RESOURCE_CHANGED".into();
            fields["groupKey"] = group_key(key, &key.namespace).into();
            fields["changeType"] = if *exists {
                "CONFIG_CHANGED"
            } else {
                "DELETE_CONFIG"
            }
            .into();
            message("ConfigFuzzyWatchChangeNotifyRequest", &fields)
        }
        PushBody::FuzzySync {
            config,
            pattern,
            kind,
            keys,
            total,
            current,
        } => {
            let (module, name, added, gone) = if *config {
                ("config", "groupKey", "ADD_CONFIG", "DELETE_CONFIG")
            } else {
                ("naming", "serviceKey", "ADD_SERVICE", "DELETE_SERVICE")
            };
            let contexts: Vec<Value> = keys
                .iter()
                .map(|(key, is_new)| json!({name: **key, "changedType": if *is_new { added } else { gone }}))
                .collect();
            let mut fields = with_id(number, module);
            fields["syncType"] = match kind {
                SyncKind::Init => "FUZZY_WATCH_INIT_NOTIFY",
                SyncKind::Finish => "FINISH_FUZZY_WATCH_INIT_NOTIFY",
                SyncKind::Diff => "FUZZY_WATCH_DIFF_SYNC_NOTIFY",
            }
            .into();
            fields["groupKeyPattern"] = (**pattern).into();
            fields["contexts"] = contexts.into();
            fields["totalBatch"] = (*total).into();
            fields["currentBatch"] = (*current).into();
            message(
                if *config {
                    "ConfigFuzzyWatchSyncRequest"
                } else {
                    "NamingFuzzyWatchSyncRequest"
                },
                &fields,
            )
        }
    }
}

/// Adds the policy in force for a service to an object that is not closed yet; nothing if there is none.
pub(super) fn push_policy(json: &mut Vec<u8>, view: &dyn Reading, service: &ServiceKey) {
    if let Some(policy) = PolicyJson::in_force(view, service) {
        json.extend_from_slice(br#","policy":"#);
        json.extend(serde_json::to_vec(&policy).expect("a policy has text keys"));
    }
}

fn with_id(number: u64, module: &str) -> Value {
    json!({"headers": {}, "requestId": format!("{number}"), "module": module})
}

fn message(kind: &'static str, fields: &Value) -> GrpcAnswer {
    let json = serde_json::to_vec(fields).expect("a JSON value is JSON");
    GrpcAnswer {
        kind,
        json,
        ok: true,
    }
}
