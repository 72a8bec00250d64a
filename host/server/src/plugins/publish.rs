//! `nacrite plugin publish`: hands a module to a server.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::admin::{send, token};

/// What is published where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    /// The module.
    pub file: PathBuf,
    /// Name of the plugin.
    pub name: String,
    /// The server, `http://host[:port]`.
    pub server: String,
    /// The server's admin token; none = that of `data`.
    pub token: Option<String>,
    /// The server's data folder.
    pub data: PathBuf,
    /// Configuration that the server tries it with, JSON.
    pub config: String,
}

/// Host and port of a server's URL; 8848 if it names none.
fn host_of(server: &str) -> Result<String, String> {
    let plain = server.strip_prefix("http://").unwrap_or(server);
    let host = plain.trim_end_matches('/');
    let host = host.strip_suffix("/nacos").unwrap_or(host);
    if plain.contains("://") || host.is_empty() || host.contains(['/', '?', ' ']) {
        return Err(format!("--server {server}: must be like http://host:port"));
    }
    let bracket_or_name = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    Ok(if bracket_or_name.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:8848")
    })
}

/// Publishes a module and prints what a policy names it by; whether the server took it.
///
/// # Errors
/// The module cannot be read, or the server cannot be asked.
pub fn publish(asked: &Publish) -> Result<bool, String> {
    let at = host_of(&asked.server)?;
    let module = fs::read(&asked.file).map_err(|e| format!("{}: {e}", asked.file.display()))?;
    let token = match &asked.token {
        Some(given) => given.trim().to_owned(),
        None => token(&asked.data).map_err(|e| format!("{e} (--token or --data gives it)"))?,
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("name", &asked.name)
        .append_pair("config", &asked.config)
        .finish();
    let target = format!("/nacrite/v1/plugins?{query}");
    let (done, text) = send(&at, "PUT", &target, &token, module)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    let data = &answer["data"];
    match (done, data["digest"].as_str(), data.as_str()) {
        (true, Some(digest), _) => {
            let name = &asked.name;
            println!(
                "published {name}: revision {}, digest {digest}",
                data["revision"]
            );
            println!("a policy names it so: {{\"rule\": \"wasm:{name}\"}}");
        }
        (false, _, Some(why)) => println!("refused: {why}"),
        _ => println!("{at} answered: {}", text.trim_end()),
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_named_with_or_without_its_port() {
        for (given, host) in [
            ("http://127.0.0.1:8848", "127.0.0.1:8848"),
            ("http://nacrite/nacos/", "nacrite:8848"),
            ("nacrite:1", "nacrite:1"),
            ("http://[::1]", "[::1]:8848"),
            ("http://[::1]:9", "[::1]:9"),
        ] {
            assert_eq!(host_of(given).as_deref(), Ok(host), "{given}");
        }
        for bad in ["", "http://", "https://a", "a/b", "a b"] {
            assert!(host_of(bad).is_err(), "{bad}");
        }
    }
}
