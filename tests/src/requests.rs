//! Requests of the kinds that a server meets most, as bytes: what load is made of, in the bench program and in tests.
//!
//! Each writes the request of a number to the end of `out`; numbers choose names, so that the same number is the same
//! thing in every request. HTTP as a 1.4 client sends it, gRPC as a 3.x one.

use serde_json::{Value, json};

use crate::{
    grpc::framed,
    wire::{form, request},
};

/// Reads a config.
pub fn read_config(number: u64, out: &mut Vec<u8>) {
    out.extend(request(
        "GET",
        &format!("/v1/cs/configs?dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant="),
    ));
}

/// A content of 1 KiB that differs from number to number.
#[must_use]
pub fn content(number: u64) -> String {
    format!("{number:016}={}", "v".repeat(1_024 - 17))
}

/// Publishes a config's first content.
pub fn publish_one(number: u64, out: &mut Vec<u8>) {
    publish(number, &content(number), out);
}

/// A thousand configs take turns; each time the content is another.
pub fn publish_some(number: u64, out: &mut Vec<u8>) {
    publish(number % 1_000, &content(number), out);
}

/// Publishes a content without characters that a form must escape, but for one.
pub fn publish(number: u64, content: &str, out: &mut Vec<u8>) {
    let content = content.replace('=', "%3D");
    out.extend(form(
        "POST",
        "/v1/cs/configs",
        "",
        &format!(
            "dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant=&type=properties&content={content}"
        ),
    ));
}

/// Address of an instance.
#[must_use]
pub fn ip(number: u64) -> String {
    let [.., b, c, d] = number.to_be_bytes();
    format!("10.{b}.{c}.{d}")
}

/// Registers an ephemeral instance with two metadata keys, as a 1.4 client does.
pub fn register(service: u64, number: u64, out: &mut Vec<u8>) {
    let ip = ip(number);
    out.extend(request(
        "POST",
        &format!(
            "/v1/ns/instance?app=bench&metadata=%7B%22version%22%3A%221.0%22%2C%22zone%22%3A%22a%22%7D&ip={ip}&weight=1.0&ephemeral=true&serviceName=DEFAULT_GROUP%40%40bench-{service}&encoding=UTF-8&enable=true&groupName=DEFAULT_GROUP&clusterName=DEFAULT&namespaceId=public&port=8080&healthy=true"
        ),
    ));
}

/// A light beat.
pub fn beat(service: u64, number: u64, out: &mut Vec<u8>) {
    let ip = ip(number);
    out.extend(request(
        "PUT",
        &format!(
            "/v1/ns/instance/beat?app=bench&serviceName=DEFAULT_GROUP%40%40bench-{service}&namespaceId=public&port=8080&clusterName=DEFAULT&ip={ip}"
        ),
    ));
}

/// Lists a service without subscribing.
pub fn list(service: u64, out: &mut Vec<u8>) {
    out.extend(request(
        "GET",
        &format!(
            "/v1/ns/instance/list?app=bench&healthyOnly=false&namespaceId=public&clientIP=127.0.0.1&serviceName=DEFAULT_GROUP%40%40bench-{service}&udpPort=0&encoding=UTF-8&clusters="
        ),
    ));
}

/// Takes an instance away.
pub fn deregister(service: u64, number: u64, out: &mut Vec<u8>) {
    let ip = ip(number);
    out.extend(request(
        "DELETE",
        &format!(
            "/v1/ns/instance?serviceName=DEFAULT_GROUP%40%40bench-{service}&ip={ip}&port=8080&ephemeral=true&clusterName=DEFAULT&namespaceId=public"
        ),
    ));
}

/// Removes a config.
pub fn remove_config(number: u64, out: &mut Vec<u8>) {
    out.extend(request(
        "DELETE",
        &format!("/v1/cs/configs?dataId=bench-{number}.properties&group=DEFAULT_GROUP&tenant="),
    ));
}

fn frame(kind: &str, body: &Value, out: &mut Vec<u8>) {
    out.extend(framed(kind, body.to_string().as_bytes()));
}

fn config_of(number: u64) -> Value {
    json!({"dataId": format!("bench-{number}.properties"), "group": "DEFAULT_GROUP", "tenant": ""})
}

/// Reads a config over gRPC.
pub fn grpc_read_config(number: u64, out: &mut Vec<u8>) {
    frame("ConfigQueryRequest", &config_of(number), out);
}

/// Publishes a config over gRPC.
pub fn grpc_publish(number: u64, content: &str, out: &mut Vec<u8>) {
    let mut body = config_of(number);
    body["content"] = content.into();
    frame("ConfigPublishRequest", &body, out);
}

/// Listens to a config over gRPC, whatever it is.
pub fn grpc_listen(number: u64, md5: &str, out: &mut Vec<u8>) {
    let mut context = config_of(number);
    context["md5"] = md5.into();
    let body = json!({"listen": true, "configListenContexts": [context]});
    frame("ConfigBatchListenRequest", &body, out);
}

/// Registers an ephemeral instance with two metadata keys over gRPC; it is the connection's.
pub fn grpc_register(service: u64, number: u64, out: &mut Vec<u8>) {
    let body = json!({
        "namespace": "public", "groupName": "DEFAULT_GROUP", "serviceName": format!("bench-{service}"),
        "type": "registerInstance",
        "instance": {
            "ip": ip(number), "port": 8080, "weight": 1.0, "healthy": true, "enabled": true, "ephemeral": true,
            "clusterName": "DEFAULT", "metadata": {"version": "1.0", "zone": "a"},
        },
    });
    frame("InstanceRequest", &body, out);
}

/// Lists a service over gRPC without subscribing.
pub fn grpc_list(service: u64, out: &mut Vec<u8>) {
    let body = json!({
        "namespace": "public", "groupName": "DEFAULT_GROUP", "serviceName": format!("bench-{service}"),
        "cluster": "", "healthyOnly": false, "udpPort": 0,
    });
    frame("ServiceQueryRequest", &body, out);
}
