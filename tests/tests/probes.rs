//! Persistent instances are checked over real sockets: TCP, HTTP, a real MariaDB, and by hand.
//!
//! When a probe is due and what outcomes add up to is tested in the core with a virtual clock; here the probes are real.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::quoted;
use nacrite_tests::server::{Server, Setup};
use serde_json::Value;

/// Until a first probe at most 7 s pass, between two of them at most 5 s, and the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(90);

/// A web server that answers every request with a status; 0 is silence.
struct Web {
    port: u16,
    status: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

impl Web {
    fn new(status: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let (status, asked) = (
            Arc::new(AtomicU64::new(status)),
            Arc::new(AtomicU64::new(0)),
        );
        let (answers, count) = (status.clone(), asked.clone());
        thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                count.fetch_add(1, Ordering::SeqCst);
                match answers.load(Ordering::SeqCst) {
                    0 => silent.push(stream),
                    status => answer(&mut stream, status),
                }
            }
        });
        Self {
            port,
            status,
            asked,
        }
    }

    fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(stream: &mut TcpStream, status: u64) {
    let mut head = Vec::new();
    let mut piece = [0; 512];
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => head.extend_from_slice(&piece[..n]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    // Path and header are what the cluster says; anything else is told apart by its status.
    let right = head.starts_with("GET /up?deep=1 ") && head.contains("x-probe: yes");
    let status = if right { status } else { 418 };
    let _gone = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\nok");
}

fn refused_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("it is bound").port()
}

/// Registers a persistent instance in a service of its own, whose cluster is checked so.
fn watch(server: &Server, service: &str, port: u16, checker: &str) {
    let put = |method: &str, target: &str, form: &str| {
        let answer = server.ask(method, target, form);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "ok"),
            "{method} {target}"
        );
    };
    put(
        "POST",
        "/nacos/v1/ns/service",
        &format!("serviceName={service}"),
    );
    let cluster = format!(
        "serviceName={service}&clusterName=DEFAULT&checkPort=80&useInstancePort4Check=true&healthChecker={}",
        quoted(checker)
    );
    put("PUT", "/nacos/v1/ns/cluster", &cluster);
    let instance = format!("serviceName={service}&ip=127.0.0.1&port={port}&ephemeral=false");
    put("POST", "/nacos/v1/ns/instance", &instance);
}

/// The instance as an operator sees it: a list for clients says of a service without healthy instances that all are.
fn instance(server: &Server, service: &str) -> Value {
    let target = format!(
        "/nacos/v1/ns/catalog/instances?serviceName={service}&clusterName=DEFAULT&pageNo=1&pageSize=10"
    );
    let list: Value =
        serde_json::from_slice(&server.ask("GET", &target, "").body).expect("a list is JSON");
    assert_eq!(list["count"], 1, "a persistent instance stays: {list}");
    list["list"][0].clone()
}

fn healthy(server: &Server, service: &str) -> bool {
    let health = &instance(server, service)["healthy"];
    health.as_bool().expect("an instance says its health")
}

fn becomes(server: &Server, service: &str, health: bool) {
    let began = Instant::now();
    while healthy(server, service) != health {
        assert!(
            began.elapsed() < PATIENCE,
            "{service} does not become healthy={health}\n{}",
            server.log_tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits until every one of these is unhealthy, and tells how often the web server behind each had been asked when it
/// was first seen so: they fall in an order of their own, and those that fell early go on being asked.
fn falls<const N: usize>(server: &Server, watched: [(&str, Option<&Web>); N]) -> [u64; N] {
    let began = Instant::now();
    let mut fallen = [None; N];
    while fallen.iter().any(Option::is_none) {
        for (seen, (service, web)) in fallen.iter_mut().zip(watched) {
            if seen.is_none() && !healthy(server, service) {
                *seen = Some(web.map_or(0, Web::asked));
            }
        }
        assert!(
            began.elapsed() < PATIENCE,
            "of {:?} only {fallen:?} fell\n{}",
            watched.map(|(service, _)| service),
            server.log_tail()
        );
        thread::sleep(Duration::from_millis(20));
    }
    fallen.map(|asked| asked.expect("the loop ends when all have fallen"))
}

const HTTP: &str = r#"{"type":"HTTP","path":"/up?deep=1","headers":"X-Probe:yes"}"#;

#[test]
fn tcp_http_and_by_hand() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Setup::new(&folder.path().join("data")).start();
    let (good, busy, lost, silent) = (Web::new(200), Web::new(503), Web::new(404), Web::new(0));
    let open = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let open_port = open.local_addr().expect("it is bound").port();
    watch(&server, "tcp-open", open_port, r#"{"type":"TCP"}"#);
    watch(&server, "tcp-refused", refused_port(), r#"{"type":"TCP"}"#);
    watch(&server, "http-200", good.port, HTTP);
    watch(&server, "http-503", busy.port, HTTP);
    watch(&server, "http-404", lost.port, HTTP);
    watch(&server, "http-silent", silent.port, HTTP);
    watch(&server, "http-refused", refused_port(), HTTP);
    let by_hand = refused_port();
    watch(&server, "by-hand", by_hand, r#"{"type":"NONE"}"#);

    // By hand, and only where nobody checks.
    let set = |service: &str, port: u16, healthy: bool| {
        let form = format!("serviceName={service}&ip=127.0.0.1&port={port}&healthy={healthy}");
        server
            .ask("PUT", "/nacos/v1/ns/health/instance", &form)
            .status
    };
    assert_eq!(set("tcp-open", open_port, false), 400);
    assert_eq!(set("by-hand", by_hand, false), 200);
    becomes(&server, "by-hand", false);

    // What is hard falls at once; what is soft at the third failure in a row, and not before.
    let [_, _, hard, soft, unanswered] = falls(
        &server,
        [
            ("tcp-refused", None),
            ("http-refused", None),
            ("http-404", Some(&lost)),
            ("http-503", Some(&busy)),
            ("http-silent", Some(&silent)),
        ],
    );
    assert!(hard <= 2, "one probe was enough, {hard} were made");
    assert!((3..=4).contains(&soft), "{soft}");
    assert!((3..=4).contains(&unanswered), "{unanswered}");

    // Three successes bring it back.
    let before = busy.asked();
    busy.status.store(200, Ordering::SeqCst);
    becomes(&server, "http-503", true);
    assert!(
        busy.asked() >= before + 3,
        "{} after {before}",
        busy.asked()
    );
    assert!(healthy(&server, "tcp-open") && healthy(&server, "http-200"));
    assert!(good.asked() > 0);
    assert!(!healthy(&server, "by-hand"), "nobody but a hand changes it");
}

/// A MariaDB of this test's own; it ends with it.
struct MariaDb {
    folder: PathBuf,
    port: u16,
    child: Child,
}

impl MariaDb {
    /// Starts one; the package is what `cargo xtask test` installs.
    fn start(folder: &Path) -> Self {
        let said = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--user=root", "--skip-test-db"])
            .arg("--auth-root-authentication-method=normal")
            .arg(format!("--datadir={}", folder.display()))
            .output()
            .expect("MariaDB is installed (Debian: mariadb-server)");
        assert!(
            said.status.success(),
            "{}",
            String::from_utf8_lossy(&said.stderr)
        );
        let port = refused_port();
        let at = folder.display();
        let child = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--bind-address=127.0.0.1"])
            .args(["--innodb-buffer-pool-size=8M", "--skip-log-bin"])
            .args([
                format!("--datadir={at}"),
                format!("--socket={at}/s"),
                format!("--port={port}"),
            ])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("MariaDB is installed (Debian: mariadb-server)");
        let database = Self {
            folder: folder.to_owned(),
            port,
            child,
        };
        let began = Instant::now();
        while !database.says("SELECT 1") {
            assert!(began.elapsed() < PATIENCE, "MariaDB does not start");
            thread::sleep(Duration::from_millis(100));
        }
        database
    }

    fn says(&self, sql: &str) -> bool {
        let socket = format!("--socket={}/s", self.folder.display());
        Command::new("mariadb")
            .args(["--no-defaults", "-uroot", &socket, "-e", sql])
            .output()
            .is_ok_and(|o| o.status.success())
    }
}

impl Drop for MariaDb {
    fn drop(&mut self) {
        // Its data is thrown away: nothing to end in order.
        let _gone = (self.child.kill(), self.child.wait());
        let _left = fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn mysql() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let database = MariaDb::start(&folder.path().join("db"));
    assert!(database.says("CREATE USER 'probe'@'%' IDENTIFIED BY 'secret'"));
    let server = Setup::new(&folder.path().join("data")).start();
    let standard = "show global variables where variable_name='read_only'";
    let checker = |pwd: &str, cmd: &str| {
        format!(r#"{{"type":"MYSQL","user":"probe","pwd":"{pwd}","cmd":"{cmd}"}}"#)
    };
    watch(
        &server,
        "writes",
        database.port,
        &checker("secret", standard),
    );
    watch(
        &server,
        "any",
        database.port,
        &checker("secret", "select 1"),
    );
    watch(
        &server,
        "wrong-password",
        database.port,
        &checker("guess", standard),
    );
    watch(
        &server,
        "wrong-sql",
        database.port,
        &checker("secret", "selekt 1"),
    );
    becomes(&server, "wrong-password", false);
    becomes(&server, "wrong-sql", false);
    assert!(healthy(&server, "writes") && healthy(&server, "any"));
    assert!(database.says("SET GLOBAL read_only=ON"));
    becomes(&server, "writes", false);
    assert!(
        healthy(&server, "any"),
        "only the standard command looks at it"
    );
    assert!(database.says("SET GLOBAL read_only=OFF"));
    becomes(&server, "writes", true);
    // A database that is gone is a soft failure: three of them.
    drop(database);
    becomes(&server, "any", false);
}
