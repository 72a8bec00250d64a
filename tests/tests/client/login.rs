//! Servers that ask who is there: a stub that gives tokens and refuses whoever shows none, over HTTP and over gRPC.

use std::collections::HashMap;
use std::io::Read;
use std::sync::MutexGuard;

use nacrite_client::{Credentials, Protocol};
use serde_json::json;

use super::*;

/// What a stub knows of tokens.
#[derive(Debug)]
struct Tokens {
    /// The one in force; counts logins.
    number: u32,
    /// Seconds that the next one lives.
    life: u32,
    /// Only the path of servers before 3.x is known.
    old: bool,
    /// Password of the one user, `nacos`.
    password: &'static str,
}

#[derive(Clone)]
struct Stub(Arc<Mutex<Tokens>>);

impl Stub {
    fn new(life: u32, old: bool) -> Self {
        Self(Arc::new(Mutex::new(Tokens {
            number: 0,
            life,
            old,
            password: "right",
        })))
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn logins(&self) -> u32 {
        self.tokens().number
    }

    /// Makes the token in force no good.
    fn revoke(&self) {
        self.tokens().number += 1;
    }

    fn is_good(&self, token: Option<&str>) -> bool {
        let tokens = self.tokens();
        tokens.number > 0 && token == Some(&*format!("token-{}", tokens.number))
    }

    /// Status and body for a request over HTTP.
    fn answer(&self, target: &str, token: Option<&str>, body: &str) -> (u16, String) {
        let path = target.split('?').next().unwrap_or_default();
        match path {
            "/nacos/v3/auth/user/login" if self.tokens().old => (404, "not found".into()),
            "/nacos/v3/auth/user/login" | "/nacos/v1/auth/users/login" => {
                let mut tokens = self.tokens();
                let wanted = format!("username=nacos&password={}", tokens.password);
                if body != wanted {
                    return (403, "unknown user!".into());
                }
                tokens.number += 1;
                let answer = json!({
                    "accessToken": format!("token-{}", tokens.number),
                    "tokenTtl": tokens.life, "globalAdmin": true, "username": "nacos",
                });
                (200, answer.to_string())
            }
            _ if !self.is_good(token) => (403, "token invalid!".into()),
            _ => (200, "secret content".into()),
        }
    }

    /// Serves HTTP, each connection by a thread of its own; it ends with the test program.
    fn serve_http(&self, port: u16) -> u16 {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let stub = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let stub = stub.clone();
                thread::spawn(move || stub.serve_one(&stream));
            }
        });
        port
    }

    /// Answers what comes over a connection, until it ends.
    fn serve_one(&self, stream: &std::net::TcpStream) -> Option<()> {
        let (mut reader, mut writer) = (BufReader::new(stream), stream);
        loop {
            let mut first = String::new();
            reader.read_line(&mut first).ok().filter(|n| *n > 0)?;
            let mut headers = HashMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
                let Some((name, value)) = line.trim_end().split_once(": ") else {
                    break;
                };
                headers.insert(name.to_ascii_lowercase(), value.to_owned());
            }
            let length = headers.get("content-length").and_then(|n| n.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            reader.read_exact(&mut body).ok()?;
            let token = headers.get("accesstoken").map(String::as_str);
            let target = first.split(' ').nth(1)?;
            let (status, text) = self.answer(target, token, &String::from_utf8_lossy(&body));
            let head = format!(
                "HTTP/1.1 {status} x\r\nContent-Length: {}\r\n\r\n",
                text.len()
            );
            writer.write_all((head + &text).as_bytes()).ok()?;
        }
    }
}

fn with_name(port: u16, password: &str) -> Settings {
    Settings {
        credentials: Some(Credentials {
            username: "nacos".into(),
            password: password.into(),
        }),
        login_check: Duration::from_millis(100),
        login_pause: Duration::from_millis(300),
        ..settings(&[port])
    }
}

async fn over_http(port: u16, password: &str) -> Client {
    let settings = Settings {
        protocol: Protocol::Http,
        ..with_name(port, password)
    };
    Client::start(settings).await.expect("a client")
}

async fn reads(client: &Client) -> bool {
    let got = client.config().get(GROUP, "d").await;
    // The same question more than five times a second is refused by the client itself.
    tokio::time::sleep(Duration::from_millis(210)).await;
    got.is_ok_and(|content| content.as_deref() == Some("secret content"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_had_at_the_start_and_shown_with_each_request() {
    for old in [false, true] {
        let stub = Stub::new(18_000, old);
        let client = over_http(stub.serve_http(0), "right").await;
        assert_eq!(stub.logins(), 1, "before the first request");
        assert!(reads(&client).await);
        assert!(reads(&client).await);
        assert_eq!(stub.logins(), 1, "once for all");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_new_before_it_expires() {
    let stub = Stub::new(1, false);
    let client = over_http(stub.serve_http(0), "right").await;
    eventually("it was made new twice", async || stub.logins() >= 3).await;
    eventually("the new one is shown", async || reads(&client).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_makes_it_log_in_again() {
    let stub = Stub::new(18_000, false);
    let client = over_http(stub.serve_http(0), "right").await;
    assert!(reads(&client).await);
    stub.revoke();
    let refused = client.config().get(GROUP, "d").await.unwrap_err();
    assert_eq!(
        refused.code(),
        Some(403),
        "this one is refused all the same"
    );
    eventually("it has logged in again", async || reads(&client).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_wrong_password_requests_are_refused_until_it_is_right() {
    let stub = Stub::new(18_000, false);
    let client = over_http(stub.serve_http(0), "later").await;
    let refused = client.config().get(GROUP, "d").await.unwrap_err();
    assert_eq!((refused.code(), stub.logins()), (Some(403), 0));
    stub.tokens().password = "later";
    eventually("it is let in", async || reads(&client).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_the_token_goes_with_the_metadata() {
    let stub = Stub::new(18_000, false);
    let port = nacrite_tests::server::free_port();
    stub.serve_http(port);
    let tokens = stub.clone();
    let _grpc = stub::Stub::serve(port + 1_000, move |kind, headers| {
        let good = tokens.is_good(headers.get("accessToken").map(String::as_str));
        Some(match kind {
            "ServerCheckRequest" | "HealthCheckRequest" => stub::good(),
            _ if !good => json!({"resultCode": 500, "errorCode": 403, "message": "token invalid!"}),
            _ => json!({"resultCode": 200, "errorCode": 0, "content": "secret content"}),
        })
    })
    .await;
    let client = Client::start(with_name(port, "right")).await;
    let client = client.expect("a client");
    eventually("it is connected", async || reads(&client).await).await;
    stub.revoke();
    eventually("it has logged in again", async || {
        reads(&client).await && stub.logins() == 3
    })
    .await;
}
