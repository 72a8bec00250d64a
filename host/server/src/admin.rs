//! The operator's way to the engine and to plugins: a token in the data folder, and what may be asked with it.
//!
//! Only who can read the data folder has the token: until users and rights exist, that is who an operator is. About the
//! engine only callers on this machine are listened to.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

use crate::{
    drive::Drive,
    engine::{Core, EngineLimits, swap},
    exchange::exchange,
};

/// Name of the token's file in the data folder.
const FILE: &str = "admin.token";
/// Header that carries the token.
pub const HEADER: &str = "nacrite-token";
/// Where the engine is changed and asked about.
pub const CORE: &str = "/nacrite/v1/core";
/// Bytes of a module, at most.
pub const MOST_MODULE: usize = 32 << 20;

/// Bytes of an answer that are read, at most.
const MOST_ANSWER: usize = 1 << 20;
/// Time to connect to one address of a server.
const CONNECT: Duration = Duration::from_secs(5);
/// Time for all of a server's answer.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who may ask, and what is done.
pub struct Admin {
    token: String,
    limits: EngineLimits,
}

impl Admin {
    /// With the token of this data folder, which is made if there is none.
    ///
    /// # Errors
    /// What the file system or the system's randomness says.
    pub fn open(data: &Path, limits: EngineLimits) -> io::Result<Self> {
        let path = data.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) if text.trim().len() >= 32 => {
                return Ok(Self {
                    token: text.trim().to_owned(),
                    limits,
                });
            }
            Ok(_) => {
                let text = format!(
                    "{} holds no token; delete it to have one made",
                    path.display()
                );
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let token: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        file.write_all(token.as_bytes())?;
        Ok(Self { token, limits })
    }

    /// Whether this caller may ask; if not, what it is answered.
    ///
    /// # Errors
    /// Status and text.
    pub fn check(&self, from: IpAddr, headers: &HeaderMap) -> Result<(), (StatusCode, String)> {
        if !from.to_canonical().is_loopback() {
            let text = "only callers on the server's own machine are answered here\n";
            return Err((StatusCode::FORBIDDEN, text.to_owned()));
        }
        if !self.knows(headers) {
            let text =
                format!("the header {HEADER} must carry what is in {FILE} of the data folder\n");
            return Err((StatusCode::UNAUTHORIZED, text));
        }
        Ok(())
    }

    /// Whether a caller showed the token.
    #[must_use]
    pub fn knows(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(HEADER).map(http::HeaderValue::as_bytes);
        given.is_some_and(|given| same(given, self.token.as_bytes()))
    }

    /// Makes another engine take over: `query` says which (`engine=native`, `wasm` or `back`; else the module in `body`).
    /// Blocks.
    #[must_use]
    pub fn swap(&self, drive: &Arc<Drive>, query: &str, body: &[u8]) -> (StatusCode, String) {
        let engine = query
            .split('&')
            .find_map(|pair| pair.strip_prefix("engine="));
        let core = match engine {
            Some("native") => Ok(Core::Native),
            Some("wasm") => Core::embedded(self.limits),
            Some("back") => return told(swap::back(drive)),
            Some(other) => {
                let text = format!("engine={other}: native, wasm and back are known\n");
                return (StatusCode::BAD_REQUEST, text);
            }
            None => {
                let name = query.split('&').find_map(|pair| pair.strip_prefix("name="));
                Core::module(name.unwrap_or("a module"), body, self.limits)
            }
        };
        match core {
            Ok(core) => told(swap::swap(drive, core)),
            Err(why) => (StatusCode::CONFLICT, format!("refused: {why}\n")),
        }
    }
}

/// What runs, and how it does.
#[must_use]
pub fn status(drive: &Arc<Drive>) -> String {
    let (name, memory, faults) = drive.with_engine(|runner| {
        (
            runner.core().name().to_owned(),
            runner.memory(),
            runner.faults(),
        )
    });
    let mut text = format!("engine: {name}\n");
    if let Some(memory) = memory {
        text += &format!(
            "memory: {} bytes in use, {} committed, {} at most\n",
            memory.live, memory.committed, memory.most
        );
    }
    text += &format!(
        "faults: {} inputs dropped, {} recoveries, the longest {:?}; {} checkpoints, the longest {:?}\n",
        faults.dropped,
        faults.recoveries,
        faults.longest,
        faults.checkpoints,
        faults.longest_checkpoint
    );
    text
}

fn told(outcome: Result<swap::Swapped, swap::SwapError>) -> (StatusCode, String) {
    match outcome {
        Ok(done) => {
            let text = format!(
                "{} instead of {}: {} batches compared, a pause of {} us, {} ms in all\n",
                done.to,
                done.from,
                done.compared,
                done.pause.as_micros(),
                done.took.as_millis()
            );
            (StatusCode::OK, text)
        }
        Err(why) => (StatusCode::CONFLICT, format!("refused: {why}\n")),
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |d, (a, b)| d | (a ^ b)) == 0
}

/// What the command line asks of a running server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The server's data folder, with the token.
    pub data: PathBuf,
    /// Its HTTP port on this machine.
    pub port: u16,
    /// `native`, `wasm`, `back`, a module's file, or none to ask how it is.
    pub engine: Option<String>,
}

/// Asks a running server; what it says, and whether it did it.
///
/// # Errors
/// It cannot be asked.
pub fn ask(asked: &Ask) -> Result<(bool, String), String> {
    let token = token(&asked.data)?;
    let (method, target, body) = match asked.engine.as_deref() {
        None => ("GET", CORE.to_owned(), Vec::new()),
        Some(known @ ("native" | "wasm" | "back")) => {
            ("POST", format!("{CORE}/swap?engine={known}"), Vec::new())
        }
        Some(file) => {
            let body = fs::read(file).map_err(|e| format!("{file}: {e}"))?;
            let name: String = form_urlencoded::byte_serialize(file.as_bytes()).collect();
            ("POST", format!("{CORE}/swap?name={name}"), body)
        }
    };
    let at = SocketAddr::from(([127, 0, 0, 1], asked.port));
    let (done, text) = send(&at.to_string(), method, &target, &token, body)?;
    Ok((done, text.trim_end().to_owned()))
}

/// The token in a data folder.
///
/// # Errors
/// The folder has none that can be read.
pub fn token(data: &Path) -> Result<String, String> {
    let path = data.join(FILE);
    let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    Ok(text.trim().to_owned())
}

/// Sends a module with the token to `host:port` and reads the answer: whether its status is 200, and its body. A server
/// takes its time, at most five minutes.
///
/// # Errors
/// The server cannot be reached, or breaks off; the token cannot be sent.
pub fn send(
    at: &str,
    method: &str,
    target: &str,
    token: &str,
    body: Vec<u8>,
) -> Result<(bool, String), String> {
    if !token.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("a token has no spaces and no letters beyond ASCII".to_owned());
    }
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, at)
        .header(header::CONTENT_TYPE, "application/wasm")
        .header(HEADER, token)
        .body(Full::from(body))
        .map_err(|e| format!("{at}: {e}"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let asking = async {
        let stream = reach(at).await?;
        let answer = exchange(stream, request, async |response| {
            let done = response.status() == StatusCode::OK;
            let body = Limited::new(response.into_body(), MOST_ANSWER).collect();
            let body = body.await.map_err(|e| format!("{at}: {e}"))?.to_bytes();
            Ok((done, String::from_utf8_lossy(&body).into_owned()))
        });
        answer.await.map_err(|e| format!("{at}: {e}"))?
    };
    let within = runtime.block_on(async { timeout(PATIENCE, asking).await });
    within.unwrap_or_else(|_| Err(format!("{at}: no answer in {} s", PATIENCE.as_secs())))
}

/// A connection to the first address of `host:port` that takes one.
async fn reach(at: &str) -> Result<TcpStream, String> {
    let addresses = lookup_host(at).await.map_err(|e| format!("{at}: {e}"))?;
    for address in addresses {
        if let Ok(Ok(stream)) = timeout(CONNECT, TcpStream::connect(address)).await {
            return Ok(stream);
        }
    }
    Err(format!("{at}: nobody answers there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_made_once_and_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let admin = Admin::open(folder.path(), EngineLimits::default()).unwrap();
        let again = Admin::open(folder.path(), EngineLimits::default()).unwrap();
        assert_eq!(admin.token, again.token);
        let mode =
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(folder.path().join(FILE)).unwrap());
        assert_eq!(mode & 0o777, 0o600);
        let mut headers = HeaderMap::new();
        let here = IpAddr::from([127, 0, 0, 1]);
        assert_eq!(
            admin.check(here, &headers).unwrap_err().0,
            StatusCode::UNAUTHORIZED
        );
        headers.insert(HEADER, admin.token.parse().unwrap());
        assert_eq!(admin.check(here, &headers), Ok(()));
        let there = IpAddr::from([10, 0, 0, 1]);
        assert_eq!(
            admin.check(there, &headers).unwrap_err().0,
            StatusCode::FORBIDDEN
        );
        headers.insert(HEADER, "0".repeat(64).parse().unwrap());
        assert!(admin.check(here, &headers).is_err());
        fs::write(folder.path().join(FILE), "short").unwrap();
        assert!(Admin::open(folder.path(), EngineLimits::default()).is_err());
    }
}
