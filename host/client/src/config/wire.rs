//! How configs are read and written: over gRPC, or over HTTP.

use http::Method;
use serde_json::{Value, json};

use crate::{Error, Settings, rpc::Rpc, v1::V1};

const CONFIGS: &str = "/nacos/v1/cs/configs";

/// One of the two.
#[derive(Debug)]
pub(super) enum Wire {
    Grpc(Rpc),
    Http(Box<V1>),
}

/// As every gRPC request names its config.
fn named(settings: &Settings, group: &str, data_id: &str) -> Value {
    json!({
        "dataId": data_id,
        "group": group,
        "tenant": settings.tenant(),
        "headers": {},
        "module": "config",
    })
}

/// As every HTTP request does.
fn pairs<'a>(settings: &'a Settings, group: &'a str, data_id: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut pairs = vec![("dataId", data_id), ("group", group)];
    if !settings.tenant().is_empty() {
        pairs.push(("tenant", settings.tenant()));
    }
    pairs
}

/// What a write over HTTP came to: `true`, or a refusal in words.
fn done(text: &str) -> Result<(), Error> {
    if text == "true" {
        return Ok(());
    }
    Err(Error::Refused {
        code: 500,
        message: text.into(),
    })
}

impl Wire {
    pub(super) fn is_connected(&self) -> bool {
        match self {
            Self::Grpc(rpc) => rpc.is_connected(),
            Self::Http(_) => true,
        }
    }

    /// The content; none if there is no such config.
    pub(super) async fn fetch(
        &self,
        settings: &Settings,
        group: &str,
        data_id: &str,
        notified: bool,
    ) -> Result<Option<String>, Error> {
        match self {
            Self::Grpc(rpc) => {
                let body = named(settings, group, data_id);
                let headers = [("notify", if notified { "true" } else { "false" })];
                match rpc.request("ConfigQueryRequest", &body, &headers).await {
                    Ok(answer) => Ok(Some(answer.text("content").into())),
                    Err(Error::Refused { code: 300, .. }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
            Self::Http(v1) => {
                let pairs = pairs(settings, group, data_id);
                let answer = v1.ask(Method::GET, CONFIGS, &pairs).await?;
                if answer.status == 404 {
                    return Ok(None);
                }
                answer.ok().map(Some)
            }
        }
    }

    /// Writes; `md5` is compared if it is not empty.
    pub(super) async fn publish(
        &self,
        settings: &Settings,
        (group, data_id): (&str, &str),
        content: &str,
        kind: &str,
        md5: &str,
    ) -> Result<(), Error> {
        match self {
            Self::Grpc(rpc) => {
                let mut body = named(settings, group, data_id);
                body["content"] = content.into();
                if !md5.is_empty() {
                    body["casMd5"] = md5.into();
                }
                body["additionMap"] =
                    json!({"type": kind, "appName": settings.app, "encryptedDataKey": ""});
                let asked = rpc.request("ConfigPublishRequest", &body, &[]).await;
                asked.map(drop)
            }
            Self::Http(v1) => {
                let mut pairs = pairs(settings, group, data_id);
                pairs.extend([
                    ("content", content),
                    ("type", kind),
                    ("appName", &*settings.app),
                ]);
                let cas = [("casMd5", md5)];
                let cas = if md5.is_empty() { &[][..] } else { &cas[..] };
                let within = settings.request_timeout;
                let asked = v1.ask_within(Method::POST, CONFIGS, &pairs, cas, within);
                done(&asked.await?.ok()?)
            }
        }
    }

    pub(super) async fn remove(
        &self,
        settings: &Settings,
        group: &str,
        data_id: &str,
    ) -> Result<(), Error> {
        match self {
            Self::Grpc(rpc) => {
                let body = named(settings, group, data_id);
                let asked = rpc.request("ConfigRemoveRequest", &body, &[]).await;
                asked.map(drop)
            }
            Self::Http(v1) => {
                let pairs = pairs(settings, group, data_id);
                let answer = v1.ask(Method::DELETE, CONFIGS, &pairs).await?;
                done(&answer.ok()?)
            }
        }
    }
}
