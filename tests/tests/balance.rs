//! The balancing rules as a wasm module: the recordings of real balancers through the plugin ABI, in wasmtime and in hosts of
//! five other languages (`wasm/examples`). The transcripts that those play are written down while wasmtime passes the recordings.

#[path = "../balance/src/programs.rs"]
mod programs;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use nacrite::cli::Verify;
use nacrite::plugins::{self, Language, new_project};
use nacrite_core::balance::Mode;
use nacrite_core::balance::replay::Recording;
use nacrite_plugin::{Budget, Engine, Instance, Limits, Plugin, Replayed, check};
use nacrite_tests::built;

/// A rule that was given as code, which no configuration can name; the module of recordings runs it inside.
const BY_CODE: &str = "com.netflix.loadbalancer.PredicateBasedRule";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn module(name: &str) -> Vec<u8> {
    fs::read(built::wasm(name)).expect("what is built can be read")
}

/// Instructions a call: the dearest rule needs between 50 and 60 million for a list of a thousand. The 50 ms of CPU that an update may
/// take by default are not asked for here: how fast this machine is, and how busy, must not decide.
const BUDGET: Budget = Budget::Fuel(100_000_000);

fn plugin(name: &str) -> Plugin {
    let limits = Limits {
        budget: BUDGET,
        ..Limits::default()
    };
    plugin_within(&limits, name)
}

fn plugin_within(limits: &Limits, name: &str) -> Plugin {
    Plugin::new(&Engine::new(limits), name, &module(name)).expect("it is a plugin")
}

fn documents() -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(root().join("tests/golden/lb"))
        .expect("the recordings")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "json")
        })
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| fs::read_to_string(path).expect("a readable file"))
        .collect()
}

/// Picks of a distribution that the other hosts make: interpreters take minutes for all.
fn most() -> u64 {
    if std::env::var_os("NACRITE_FULL").is_some() {
        u64::MAX
    } else {
        3_000
    }
}

/// The transcripts of all traces, which wasmtime passed; and how many they are.
fn traces() -> &'static (PathBuf, usize) {
    static TRACES: OnceLock<(PathBuf, usize)> = OnceLock::new();
    TRACES.get_or_init(|| {
        let plugin = plugin("nacrite-balance.wasm");
        let (mut text, mut failures, mut passed) = (String::new(), Vec::new(), 0);
        for document in documents() {
            let recording = Recording::parse(&document).expect("a recording");
            if !recording.is_trace() || document.contains(BY_CODE) {
                continue;
            }
            let config = Replayed::config(recording.policy(Mode::Exact).expect("a policy"));
            let instance = Instance::new(&plugin, &config).expect("the configuration is taken");
            let mut subject = Replayed::written_down(instance, &config, most());
            let run = recording.run_against(&mut subject);
            match (run, subject.failure()) {
                (Ok(compared), None) if compared > 0 => passed += 1,
                (run, failure) => {
                    failures.push(format!("{}: {run:?}, {failure:?}", recording.id()));
                }
            }
            text.push_str(&format!("# {}\n{}", recording.id(), subject.transcript()));
        }
        assert!(failures.is_empty(), "{}", failures.join("\n"));
        (written("traces.txt", &text), passed)
    })
}

/// All recordings as configurations of the module that replays them inside.
fn recordings() -> &'static PathBuf {
    static RECORDINGS: OnceLock<PathBuf> = OnceLock::new();
    RECORDINGS.get_or_init(|| {
        let line = |document: &String| {
            let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
            format!("init {{\"mode\":\"exact\",\"recording\":{document}}}\n")
        };
        written(
            "recordings.txt",
            &documents().iter().map(line).collect::<String>(),
        )
    })
}

fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("balance")
        .join(name);
    fs::create_dir_all(&folder).expect("a folder for the test");
    folder
}

fn written(name: &str, text: &str) -> PathBuf {
    let path = folder("transcripts").join(name);
    fs::write(&path, text).expect("room for a transcript");
    path
}

fn run(command: &mut Command) -> String {
    done(programs::output(command))
}

fn done<T>(what: Result<T, Box<dyn Error>>) -> T {
    what.unwrap_or_else(|why| panic!("{why}"))
}

/// Plays both sets by a host; `command` gives the program with its arguments for a module and a transcript.
fn plays(command: impl Fn(&Path, &Path) -> Command) {
    let lines = |path: &Path| {
        let text = fs::read_to_string(path).expect("a transcript");
        text.lines()
            .filter(|line| {
                ["init", "list", "draws", "pick", "many"]
                    .iter()
                    .any(|word| line.starts_with(word))
            })
            .count()
    };
    for (name, transcript) in [
        ("nacrite-balance.wasm", traces().0.as_path()),
        ("nacrite-balance-recordings.wasm", recordings().as_path()),
    ] {
        let said = run(&mut command(&built::wasm(name), transcript));
        let last = said.trim().lines().last().unwrap_or_default();
        let passed: usize = last
            .split(' ')
            .next()
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        // A host may count lines without an answer as passed, never fewer than those with one.
        assert!(
            passed >= lines(transcript) && last.ends_with(", 0 failed"),
            "{said}"
        );
    }
}

#[test]
fn wasmtime_passes_every_recording() {
    assert_eq!(traces().1, 77);
    // A configuration that replays a whole recording takes longer than one that names a rule.
    let limits = Limits {
        budget: Budget::Cpu {
            pick: Duration::from_secs(10),
            update: Duration::from_secs(60),
        },
        ..Limits::default()
    };
    let plugin = plugin_within(&limits, "nacrite-balance-recordings.wasm");
    let text = fs::read_to_string(recordings()).expect("a transcript");
    let failures: Vec<String> = text
        .lines()
        .filter_map(|line| Instance::new(&plugin, line.strip_prefix("init ")?).err())
        .map(|refused| refused.to_string())
        .collect();
    assert_eq!(
        (text.lines().count(), failures.as_slice()),
        (101, [].as_slice())
    );
    // The check itself can fail: a recording with another answer is refused.
    let wrong = text
        .lines()
        .find(|line| line.contains("\"rr-three-servers\""))
        .expect("it is there");
    let wrong = wrong.replacen("\"expect\":[1", "\"expect\":[2", 1);
    assert!(Instance::new(&plugin, wrong.strip_prefix("init ").expect("a line")).is_err());
}

#[test]
fn the_module_is_accepted_with_every_rule() {
    let plugin = plugin("nacrite-balance.wasm");
    // A ring of a thousand members, beside the one before it, is larger than what plugins get by default.
    let limits = Limits {
        memory: 8 << 20,
        budget: BUDGET,
        ..Limits::default()
    };
    let roomy = plugin_within(&limits, "nacrite-balance.wasm");
    for (name, rule) in nacrite_core::balance::names::NAMES
        .iter()
        .filter(|(name, _)| !name.contains('.'))
    {
        let plugin = if *name == "ring-hash" {
            &roomy
        } else {
            &plugin
        };
        let checked = check(plugin, &format!("{{\"rule\":\"{name}\"}}"));
        assert!(checked.is_ok(), "{name} ({rule:?}): {checked:?}");
    }
    let refused = check(&plugin, r#"{"rule":"round-robbin"}"#)
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("the nearest names are round-robin"),
        "{refused}"
    );
}

#[test]
fn the_example_plugins_are_accepted() {
    for name in [
        "weighted_by_cpu",
        "canary_by_header",
        "tenant_sharding",
        "least_latency_by_zone",
    ] {
        let plugin = plugin(&format!("examples/{name}.wasm"));
        let checked = check(&plugin, "{}");
        assert!(checked.is_ok(), "{name}: {checked:?}");
        let refused = check(&plugin, "{").unwrap_err().to_string();
        assert!(
            refused.ends_with("refuses the configuration: not JSON at byte 1"),
            "{name}: {refused}"
        );
    }
}

#[test]
fn the_command_line_verifies_and_says_what_differs() {
    let lb = root().join("tests/golden/lb");
    let verify = |files: &[PathBuf], plugin: bool, mode| {
        plugins::verify(&Verify {
            files: files.to_vec(),
            plugin: plugin.then(|| built::wasm("nacrite-balance.wasm")),
            config: None,
            mode,
        })
    };
    let [turns, quirk] =
        ["rr-three-servers", "rr-ten-try-limit"].map(|id| lb.join(format!("{id}.json")));
    for plugin in [false, true] {
        assert_eq!(
            verify(&[turns.clone(), quirk.clone()], plugin, Mode::Exact),
            Ok(true)
        );
        assert_eq!(
            verify(std::slice::from_ref(&quirk), plugin, Mode::Safe),
            Ok(false),
            "a defect is gone"
        );
    }
    assert_eq!(
        verify(&[lb.join("breaker-blackout.json")], true, Mode::Exact),
        Ok(false),
        "a table is no trace"
    );
    assert!(verify(&[lb.join("README.md")], false, Mode::Exact).is_err());
}

/// A new project of this language and name, in a folder that is made anew.
fn project(language: Language, name: &str) -> PathBuf {
    let folder = folder("projects").join(name);
    let _none = fs::remove_dir_all(&folder);
    new_project(&folder, language).expect("a project");
    folder
}

fn accept(module: &Path) {
    let bytes = fs::read(module).expect("the build leaves a module");
    let plugin =
        Plugin::new(&Engine::new(&Limits::default()), "new", &bytes).expect("it is a plugin");
    let checked = check(&plugin, "{}");
    assert!(checked.is_ok(), "{checked:?}");
}

#[test]
fn a_new_project_in_rust_passes_its_test() {
    let mut cargo = Command::new("cargo");
    cargo
        .current_dir(project(Language::Rust, "rust"))
        .args(["test", "--quiet", "--target-dir"]);
    run(cargo.arg(folder("projects-target")));
}

#[test]
fn a_new_project_in_rust_builds_a_plugin() {
    let folder = project(Language::Rust, "rust-wasm");
    let xtask = built::folder().join("xtask");
    run(Command::new(xtask).arg("plugin").arg(&folder));
    accept(&folder.join("rust-wasm.wasm"));
}

/// The standard compiler takes the project too, which shows that it is sound Go; but its modules want WASI, which the ABI does
/// not have. TinyGo, whose modules want nothing, has no package in the registries that CI reaches: with it on the PATH it is used.
#[test]
fn a_new_project_in_go_compiles() {
    let folder = project(Language::Go, "go");
    let module = folder.join("standard.wasm");
    run(Command::new("go")
        .current_dir(&folder)
        .envs([("GOOS", "wasip1"), ("GOARCH", "wasm")])
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(&module)
        .arg("."));
    let limits = Limits {
        module: Limits::MOST_MODULE,
        ..Limits::default()
    };
    let bytes = fs::read(&module).expect("the build leaves a module");
    let refused = Plugin::new(&Engine::new(&limits), "go", &bytes).expect_err("it wants WASI");
    assert!(
        refused.to_string().contains("wasi_snapshot_preview1"),
        "{refused}"
    );
    let has_tinygo = Command::new("tinygo").arg("version").output().is_ok();
    if has_tinygo {
        run(Command::new("tinygo").current_dir(&folder).args([
            "build",
            "-o",
            "go.wasm",
            "-target=wasm-unknown",
            "-gc=conservative",
            "-no-debug",
            ".",
        ]));
        accept(&folder.join("go.wasm"));
    } else {
        println!("left out: TinyGo is not here, so its module was not built and not tried");
    }
}

#[test]
fn a_new_project_in_assemblyscript_builds_a_plugin() {
    let folder = project(Language::AssemblyScript, "assemblyscript");
    run(Command::new("npm").current_dir(&folder).args([
        "install",
        "--silent",
        "--no-audit",
        "--no-fund",
    ]));
    run(Command::new("npm")
        .current_dir(&folder)
        .args(["run", "--silent", "build"]));
    accept(&folder.join("assemblyscript.wasm"));
}

#[test]
fn a_new_project_in_c_builds_a_plugin() {
    let project = project(Language::C, "c");
    let python = done(programs::python(&folder("zig"), &["ziglang==0.17.0"]));
    run(Command::new("make")
        .current_dir(&project)
        .arg(format!("CC={} -m ziglang cc", python.display())));
    accept(&project.join("c.wasm"));
}

#[test]
fn node_plays_them() {
    plays(|module, transcript| {
        let mut command = Command::new("node");
        command
            .arg(root().join("wasm/examples/node/host.mjs"))
            .args([module, transcript]);
        command
    });
}

#[test]
fn python_plays_them() {
    let here = root().join("wasm/examples/python");
    let requirements = here.join("requirements.txt");
    let packages: [&str; 2] = ["-r", &requirements.to_string_lossy()];
    let python = done(programs::python(&folder("python"), &packages));
    plays(|module, transcript| {
        let mut command = Command::new(&python);
        command.arg(here.join("host.py")).args([module, transcript]);
        command
    });
}

#[test]
fn go_plays_them() {
    let example = root().join("wasm/examples/go");
    let program = done(programs::go(&example, &folder("go")));
    plays(|module, transcript| {
        let mut command = Command::new(&program);
        command.args([module, transcript]);
        command
    });
}

#[test]
fn java_plays_them() {
    let example = root().join("wasm/examples/java");
    let classes = done(programs::maven(&example, &folder("java")));
    plays(|module, transcript| {
        let mut command = Command::new("java");
        command.args(["-cp", &classes]);
        command.arg("Host").args([module, transcript]);
        command
    });
}

#[test]
fn c_plays_them() {
    let build = root().join("wasm/examples/c/build.sh");
    plays(|module, transcript| {
        let program = folder("c").join(module.file_stem().expect("a file"));
        run(Command::new("sh").arg(&build).arg(module).arg(&program));
        let mut command = Command::new(program);
        command.arg(transcript);
        command
    });
}
