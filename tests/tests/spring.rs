//! A Spring Boot 3 application, written as its users do and built with the unmodified starters of the Java registry:
//! config at start and refreshed, registration, discovery, a call by the name of a service.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nacrite_tests::http::ask;
use nacrite_tests::server::{Server, Setup, free_port, tail};

/// The first start of a Java application on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(180);

/// Builds the application; Maven fetches what it lacks, in the versions of `pom.xml`.
fn jar() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("spring");
    let built = Command::new("mvn")
        .args(["-q", "-B", "-DskipTests", "package"])
        .current_dir(&source)
        .status()
        .expect("Maven is installed (Debian: maven)");
    assert!(built.success(), "the application does not build");
    source.join("target/trial.jar")
}

/// A running application; dropping it kills it.
struct Application {
    port: u16,
    child: Child,
    log: PathBuf,
}

impl Application {
    fn start(jar: &Path, folder: &Path, server: &Server) -> Self {
        let port = free_port();
        let log = folder.join(format!("{port}.log"));
        let out = File::create(&log).expect("the log can be written");
        let err = out.try_clone().expect("a file can be shared");
        let child = Command::new("java")
            .args(["-Xmx192m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            // What the client keeps on disk would outlive the test.
            .arg(format!("-Duser.home={}", folder.display()))
            .arg("-jar")
            .arg(jar)
            .arg(format!("--server.port={port}"))
            .arg(format!(
                "--spring.cloud.nacos.server-addr=127.0.0.1:{}",
                server.port()
            ))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("Java is installed (Debian: openjdk-17-jdk-headless)");
        Self { port, child, log }
    }

    fn says(&self, path: &str) -> Option<String> {
        let answer = ask(self.port, "GET", path, "").ok()?;
        (answer.status == 200).then(|| answer.text())
    }

    /// Asks until it says that.
    fn comes_to_say(&mut self, path: &str, wanted: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let said = self.says(path);
            if said.as_deref().is_some_and(&wanted) {
                return;
            }
            let ended = self.child.try_wait().expect("an own child can be asked");
            assert!(
                ended.is_none() && began.elapsed() < PATIENCE,
                "{path} says {said:?}\n{}",
                tail(&self.log)
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        let _gone = (self.child.kill(), self.child.wait());
    }
}

fn publish(server: &Server, greeting: &str) {
    let form = format!("dataId=trial.properties&group=DEFAULT_GROUP&content=greeting={greeting}");
    assert_eq!(
        server.ask("POST", "/nacos/v1/cs/configs", &form).text(),
        "true"
    );
}

#[test]
fn an_application_is_configured_found_and_called() {
    let jar = jar();
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = Setup::new(&folder.path().join("data")).start();
    publish(&server, "hello");
    let mut first = Application::start(&jar, folder.path(), &server);
    first.comes_to_say("/greeting", |said| said == "hello");
    let mut second = Application::start(&jar, folder.path(), &server);

    // Each finds both, and a call by name reaches each of them.
    let mut ports = [first.port, second.port];
    ports.sort_unstable();
    let both = format!("[{}, {}]", ports[0], ports[1]);
    second.comes_to_say("/instances", |said| said == both);
    first.comes_to_say("/instances", |said| said == both);
    for port in ports {
        first.comes_to_say("/call", |said| said == port.to_string());
    }

    publish(&server, "hello+again");
    first.comes_to_say("/greeting", |said| said == "hello again");
    second.comes_to_say("/greeting", |said| said == "hello again");

    // What is gone is not called for long.
    let gone = second.port;
    drop(second);
    let alone = format!("[{}]", first.port);
    first.comes_to_say("/instances", |said| said == alone);
    let left = server
        .ask("GET", "/nacos/v1/ns/instance/list?serviceName=trial", "")
        .text();
    assert!(!left.contains(&gone.to_string()), "{left}");
}
