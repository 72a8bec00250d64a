//! Probes of persistent instances, as the core asks for them (Nacos 2.x health checkers).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use mysql_async::prelude::Queryable;
use nacrite_core::node::{
    input::{Input, ProbeOutcome},
    output::ProbeTarget,
};
use tokio::{net::TcpStream, sync::Semaphore, time::timeout};

use crate::{drive::Drive, exchange::exchange};

/// Time to connect, and for HTTP to answer.
const CONNECT: Duration = Duration::from_millis(500);
/// Time for a MySQL login.
const LOGIN: Duration = Duration::from_secs(1);
/// Time for a MySQL command.
const QUERY: Duration = Duration::from_secs(1);
/// The command whose answer must not say that the server is read-only.
const READ_ONLY: &str = "show global variables where variable_name='read_only'";
/// Probes under way, at most; further ones wait, and their core has them for as long as that takes.
const AT_ONCE: usize = 256;

/// Carries out probes.
pub struct Prober {
    slots: Arc<Semaphore>,
}

impl Default for Prober {
    fn default() -> Self {
        Self {
            slots: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Prober {
    /// Starts a probe; its outcome comes back as an input.
    pub fn start(
        &self,
        runtime: &tokio::runtime::Handle,
        drive: &Arc<Drive>,
        probe: u64,
        target: ProbeTarget,
    ) {
        let (drive, slots) = (drive.clone(), self.slots.clone());
        runtime.spawn(async move {
            let _slot = slots.acquire_owned().await;
            let start = Instant::now();
            let outcome = attempt(&target).await;
            let took_ms = u32::try_from(start.elapsed().as_millis()).unwrap_or(u32::MAX);
            drive.control(Input::Probed {
                probe,
                outcome,
                took_ms,
            });
        });
    }
}

async fn attempt(target: &ProbeTarget) -> ProbeOutcome {
    match target {
        ProbeTarget::Tcp { ip, port } => match connect(ip, *port).await {
            Ok(_) => ProbeOutcome::Healthy,
            Err(outcome) => outcome,
        },
        ProbeTarget::Http {
            ip,
            port,
            path,
            headers,
        } => timeout(CONNECT * 2, get(ip, *port, path, headers))
            .await
            .unwrap_or(ProbeOutcome::TimedOut),
        ProbeTarget::Mysql {
            ip,
            port,
            user,
            pwd,
            cmd,
        } => mysql(ip, *port, user, pwd, cmd).await,
    }
}

async fn connect(ip: &str, port: u16) -> Result<TcpStream, ProbeOutcome> {
    match timeout(CONNECT, TcpStream::connect((ip, port))).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
            Err(ProbeOutcome::Hard(e.to_string()))
        }
        Ok(Err(e)) => Err(ProbeOutcome::Soft(e.to_string())),
        Err(_) => Err(ProbeOutcome::TimedOut),
    }
}

async fn get(ip: &str, port: u16, path: &str, headers: &str) -> ProbeOutcome {
    let stream = match connect(ip, port).await {
        Ok(stream) => stream,
        Err(ProbeOutcome::Soft(text)) => return ProbeOutcome::Hard(text),
        Err(outcome) => return outcome,
    };
    let path = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    };
    let mut request = http::Request::get(path).header("host", format!("{ip}:{port}"));
    for (name, value) in headers.split('|').filter_map(|h| h.split_once(':')) {
        request = request.header(name.trim(), value.trim());
    }
    let request = match request.body(Empty::<Bytes>::new()) {
        Ok(request) => request,
        Err(e) => return ProbeOutcome::Soft(e.to_string()),
    };
    let answer = exchange(stream, request, async |response| {
        let status = response.status().as_u16();
        // A few bytes at most: the answer's body does not matter.
        let _ = timeout(Duration::from_millis(50), response.into_body().frame()).await;
        status
    });
    match timeout(CONNECT, answer).await {
        Ok(Ok(200)) => ProbeOutcome::Healthy,
        Ok(Ok(status @ (503 | 302))) => ProbeOutcome::Soft(format!("status {status}")),
        Ok(Ok(status)) => ProbeOutcome::Hard(format!("status {status}")),
        Ok(Err(e)) => ProbeOutcome::Soft(e.to_string()),
        Err(_) => ProbeOutcome::TimedOut,
    }
}

async fn mysql(ip: &str, port: u16, user: &str, pwd: &str, cmd: &str) -> ProbeOutcome {
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(ip)
        .tcp_port(port)
        .user(Some(user))
        .pass(Some(pwd))
        .prefer_socket(false);
    let mut connection = match timeout(LOGIN, mysql_async::Conn::new(options)).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(mysql_async::Error::Server(e))) => return ProbeOutcome::Hard(e.to_string()),
        Ok(Err(e)) => return ProbeOutcome::Soft(e.to_string()),
        Err(_) => return ProbeOutcome::TimedOut,
    };
    let rows = timeout(QUERY, connection.query::<mysql_async::Row, _>(cmd)).await;
    let outcome = match rows {
        Ok(Ok(rows)) => {
            let second = rows
                .first()
                .and_then(|row| row.get_opt::<String, _>(1))
                .and_then(Result::ok);
            if cmd.trim().eq_ignore_ascii_case(READ_ONLY) && second.as_deref() == Some("ON") {
                ProbeOutcome::Hard("the server is read-only".to_owned())
            } else {
                ProbeOutcome::Healthy
            }
        }
        Ok(Err(e)) => ProbeOutcome::Hard(e.to_string()),
        Err(_) => ProbeOutcome::TimedOut,
    };
    // Closing politely is not worth waiting for.
    let _ = timeout(Duration::from_millis(100), connection.disconnect()).await;
    outcome
}
