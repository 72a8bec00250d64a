//! The WebAssembly build: finds a toolchain for wasm32, installs one on Debian, or says how to get one.
//!
//! Never calls rustup: with its auto-install on, `rust-toolchain.toml` has already brought the target.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::workspace::{cargo, has_program, root, target};
use crate::{Failure, npm, packages, process};

const TARGET: &str = "wasm32-unknown-unknown";

/// The linker leaves five bytes for each address unless it is told not to: a twentieth of a module.
const FLAGS: &str =
    "target.wasm32-unknown-unknown.rustflags=[\"-Clink-arg=--compress-relocations\"]";

/// Debian's own compiler for web applications, with the sources of the standard library.
const DEBIAN: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// A way to compile for wasm32.
pub(crate) enum Toolchain {
    /// The current toolchain has the target.
    Installed,
    /// A compiler with the sources of the standard library, which it builds along.
    FromSource {
        rustc: PathBuf,
        cargo: PathBuf,
        linker: PathBuf,
    },
}

/// Most that the balance module may weigh with gzip: clients in browsers load it.
// The aim is 64 kB; it has 60.5, and other compilers give other code. Nothing in it may use `fmt` or the standard library's sort,
// which are kilobytes. The rules compiled for size would be 6 kB less, and some of them three times as slow.
const BALANCE_GZIP: usize = 62_000;

/// What no pick of the balance module waits for is compiled to be small: the allocator, and what stands between the ABI and the rules.
// Told for its builds alone: the engine's calls wait for its allocator.
const BALANCE_PROFILE: [&str; 2] = [
    "profile.wasm.package.dlmalloc.opt-level=\"s\"",
    "profile.wasm.package.nacrite-wasm.opt-level=\"s\"",
];

/// The example plugins of `wasm/plugin/examples`.
const EXAMPLES: &[&str] = &[
    "weighted_by_cpu",
    "canary_by_header",
    "tenant_sharding",
    "least_latency_by_zone",
];

/// Where the modules of the server's wasm engine are after `wasm`: `engine.wasm`, `engine.cwasm` compiled for this
/// machine, and `planted.wasm`, which fails when a test asks it to.
pub(crate) fn engine_folder() -> PathBuf {
    target().join("wasm").join("engine")
}

/// Bytes of the engine module with brotli, at most.
const MOST_BROTLI: usize = 350_000;

/// Where cargo leaves the module of the features built last; the engine's stays there.
fn built_module() -> PathBuf {
    built(Library::Core, "nacrite_wasm.wasm")
}

/// Where cargo leaves a module.
pub(crate) fn built(library: Library, name: &str) -> PathBuf {
    library.target().join(TARGET).join("wasm").join(name)
}

/// Where a finished module is after `wasm`.
fn finished(name: &str) -> PathBuf {
    target().join("wasm").join(name)
}

/// What makes cargo embed the engine module in the server, once it is there; nothing before.
pub(crate) fn embed(command: &mut Command) -> &mut Command {
    if engine_folder().join("engine.cwasm").is_file() {
        // Cargo wants an absolute path: the compiler runs in each package's own folder.
        command
            .env("CORE_MODULE_DIR", engine_folder())
            .args(["--features", "nacrite/embed"]);
    }
    command
}

/// Builds the modules and the package for npm, and prints what they weigh.
///
/// # Errors
/// When no toolchain can be had (how to get one), a build fails, or something is too large.
pub(crate) fn wasm() -> Result<(), Failure> {
    modules()?;
    npm::npm(&find_or_install()?)?;
    println!("12 passed, 0 failed");
    Ok(())
}

/// Builds the core and the modules for wasm32 and prints the modules' sizes.
///
/// # Errors
/// As `wasm`.
pub(crate) fn modules() -> Result<(), Failure> {
    let toolchain = find_or_install()?;
    // Alone first: what fails here is a std item in the core, whatever the module's crate does.
    process::run(build(&toolchain, Library::Core).args(["--package", "nacrite-core"]))?;
    let module = |feature: &str| {
        let package = ["--package", "nacrite-wasm", "--features", feature];
        process::run(build(&toolchain, Library::Core).args(package))
    };
    let rules = |feature: &str, name: &str| {
        let package = ["--package", "nacrite-wasm", "--features", feature];
        let mut command = build(&toolchain, Library::Core);
        for setting in BALANCE_PROFILE {
            command.args(["--config", setting]);
        }
        process::run(command.args(package))?;
        strip(&built_module(), &finished(name))?;
        weigh(&finished(name))
    };
    let balance = rules("balance", "nacrite-balance.wasm")?;
    if balance > BALANCE_GZIP {
        return Err(format!(
            "nacrite-balance.wasm has {balance} bytes with gzip, more than {BALANCE_GZIP}"
        ));
    }
    rules("recordings", "nacrite-balance-recordings.wasm")?;
    let examples = ["--package", "nacrite-balance-plugin", "--examples"];
    process::run(build(&toolchain, Library::Core).args(examples))?;
    for name in EXAMPLES {
        let built = built_module().with_file_name(format!("examples/{name}.wasm"));
        strip(&built, &finished(&format!("examples/{name}.wasm")))?;
        weigh(&finished(&format!("examples/{name}.wasm")))?;
    }
    engine(&module)
}

/// Builds the plugin project in a folder (`nacrite plugin new`) and leaves `<its name>.wasm` there.
///
/// # Errors
/// When the folder holds no project, no toolchain can be had (how to get one), or the build fails.
pub(crate) fn plugin(folder: &Path) -> Result<(), Failure> {
    let folder = &folder
        .canonicalize()
        .map_err(|e| format!("{}: {e}", folder.display()))?;
    let manifest = folder.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(|e| format!("{}: {e}", manifest.display()))?;
    let named = |line: &str| {
        Some(
            line.strip_prefix("name = \"")?
                .strip_suffix('"')?
                .to_owned(),
        )
    };
    let name = text.lines().find_map(named);
    let name = name.ok_or_else(|| format!("{} names no package", manifest.display()))?;
    let toolchain = find_or_install()?;
    let library = Library::Plugins;
    let mut command = build(&toolchain, library);
    command.current_dir(folder);
    for setting in PLUGIN_PROFILE {
        command.args(["--config", &format!("profile.wasm.{setting}")]);
    }
    process::run(&mut command)?;
    let built = format!("{TARGET}/wasm/{}.wasm", name.replace('-', "_"));
    let built = library.target().join(built);
    let module = folder.join(format!("{name}.wasm"));
    strip(&built, &module)?;
    weigh(&module).map(drop)
}

/// The profile `wasm` of the workspace, which a plugin's project has not.
const PLUGIN_PROFILE: [&str; 6] = [
    "inherits=\"release\"",
    "opt-level=3",
    "lto=\"fat\"",
    "codegen-units=1",
    "panic=\"abort\"",
    "strip=\"debuginfo\"",
];

/// Copies a module without its custom sections: names of functions, which nobody reads.
fn strip(from: &Path, to: &Path) -> Result<(), Failure> {
    let module = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
    let stripped = without_custom(&module)
        .ok_or_else(|| format!("{} is no WebAssembly module", from.display()))?;
    let folder = to.parent().unwrap_or(to);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(to, stripped));
    written.map_err(|e| format!("{}: {e}", to.display()))
}

/// The module's head and its sections of another kind than 0; none when it is malformed.
fn without_custom(module: &[u8]) -> Option<Vec<u8>> {
    let mut kept = module.get(..8)?.to_vec();
    let mut at = 8;
    while at < module.len() {
        let (start, kind) = (at, module[at]);
        at += 1;
        let (mut size, mut shift) = (0_usize, 0);
        loop {
            let byte = *module.get(at)?;
            at += 1;
            size |= usize::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                break;
            }
        }
        at = at.checked_add(size)?;
        let section = module.get(start..at)?;
        if kind != 0 {
            kept.extend_from_slice(section);
        }
    }
    Some(kept)
}

/// Prints a module's sizes; its bytes with gzip.
fn weigh(module: &Path) -> Result<usize, Failure> {
    let raw = fs::read(module).map_err(|e| format!("{}: {e}", module.display()))?;
    if !raw.starts_with(b"\0asm") {
        return Err(format!("{} is no WebAssembly module", module.display()));
    }
    let gzip = Command::new("gzip")
        .args(["-9", "-c"])
        .arg(module)
        .stderr(Stdio::null())
        .output()
        .map_err(|e| format!("gzip: {e}"))?;
    let (whole, packed) = (raw.len(), gzip.stdout.len());
    println!("{}: {whole} bytes, {packed} with gzip", module.display());
    Ok(packed)
}

/// The engine modules, and the machine code of the one that is shipped.
fn engine(build: &dyn Fn(&str) -> Result<(), Failure>) -> Result<(), Failure> {
    let folder = engine_folder();
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    // The module itself last, so that it is what lies where cargo leaves it.
    for (feature, name) in [("planted-fault", "planted.wasm"), ("engine", "engine.wasm")] {
        build(feature)?;
        let stripped = folder.join("stripped");
        strip(&built_module(), &stripped)?;
        take_over(&stripped, &folder.join(name))?;
    }
    let module = folder.join("engine.wasm");
    let fresh = folder.join("engine.cwasm.new");
    process::run(Command::new(precompile()?).args([&module, &fresh]))?;
    take_over(&fresh, &folder.join("engine.cwasm"))?;
    let raw = fs::read(&module).map_err(|e| format!("{}: {e}", module.display()))?;
    let (gzip, brotli) = (packed("gzip", &["-9", "-c"], &module), brotli(&module));
    let said = |size: Option<usize>| size.map_or("unknown".to_owned(), |n| format!("{n} bytes"));
    println!(
        "{}: {} bytes, {} with gzip, {} with brotli",
        module.display(),
        raw.len(),
        said(gzip),
        said(brotli)
    );
    if let Some(size) = brotli.filter(|size| *size > MOST_BROTLI) {
        return Err(format!(
            "the module packs to {size} bytes; {MOST_BROTLI} are allowed"
        ));
    }
    Ok(())
}

/// Builds the program that compiles modules beforehand, out of the very libraries that the workspace's build needs anyway:
/// as an example, because then features unify as in a build of all targets.
fn precompile() -> Result<PathBuf, Failure> {
    process::run(cargo().args(["build", "--workspace", "--example", "precompile"]))?;
    Ok(target().join("debug").join("examples").join("precompile"))
}

/// Copies a file if it differs, so that what depends on it is built again only then.
fn take_over(from: &Path, to: &Path) -> Result<(), Failure> {
    let new = fs::read(from).map_err(|e| format!("{}: {e}", from.display()))?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    fs::write(to, new).map_err(|e| format!("{}: {e}", to.display()))
}

/// With brotli's own program, or with node, which the client suites need anyway.
fn brotli(file: &Path) -> Option<usize> {
    let script = "process.stdout.write(require('zlib').brotliCompressSync(require('fs').readFileSync(process.argv[1])))";
    packed("brotli", &["-q", "11", "-c"], file).or_else(|| packed("node", &["-e", script], file))
}

/// Bytes of a file: as it is, with gzip, with brotli.
///
/// # Errors
/// When it cannot be read or a packer is missing.
pub(crate) fn packed_sizes(file: &Path) -> Result<[usize; 3], Failure> {
    let raw = fs::metadata(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let missing = |name: &str| format!("{}: no {name} to pack it with", file.display());
    Ok([
        usize::try_from(raw.len()).unwrap_or(usize::MAX),
        packed("gzip", &["-9", "-c"], file).ok_or_else(|| missing("gzip"))?,
        brotli(file).ok_or_else(|| missing("brotli or node"))?,
    ])
}

/// Bytes of a file as this program packs it.
fn packed(program: &str, arguments: &[&str], file: &Path) -> Option<usize> {
    let mut command = Command::new(program);
    let out = command
        .args(arguments)
        .arg(file)
        .stderr(Stdio::null())
        .output();
    out.ok()
        .filter(|out| out.status.success())
        .map(|out| out.stdout.len())
}

fn find_or_install() -> Result<Toolchain, Failure> {
    if let Some(found) = find() {
        return Ok(found);
    }
    let how = format!(
        "no compiler for {TARGET}; with rustup: rustup target add {TARGET}; on Debian: \
         apt-get install --no-install-recommends {}",
        DEBIAN.join(" ")
    );
    if !Path::new("/etc/debian_version").exists() || !packages::can_install() {
        return Err(how);
    }
    packages::install(DEBIAN).map_err(|why| format!("{how}\n{why}"))?;
    find().ok_or(how)
}

fn find() -> Option<Toolchain> {
    let sysroot = sysroot(Path::new("rustc"))?;
    if sysroot
        .join("lib/rustlib")
        .join(TARGET)
        .join("lib")
        .is_dir()
    {
        return Some(Toolchain::Installed);
    }
    // The current compiler first: the same version as everything else.
    let here = (sysroot.join("bin/rustc"), sysroot.join("bin/cargo"));
    let debian = (
        PathBuf::from("/usr/bin/rustc"),
        PathBuf::from("/usr/bin/cargo"),
    );
    let linker = linker(&sysroot)?;
    [here, debian].into_iter().find_map(|(rustc, cargo)| {
        let sources = self::sysroot(&rustc)?.join("lib/rustlib/src/rust/library");
        // `Cargo.lock` is not part of every package; the crates are.
        let whole = sources.join("core/src/lib.rs").is_file() && cargo.is_file();
        whole.then(|| Toolchain::FromSource {
            rustc,
            cargo,
            linker: linker.clone(),
        })
    })
}

fn sysroot(rustc: &Path) -> Option<PathBuf> {
    let mut command = Command::new(rustc);
    command
        .current_dir(root())
        .env_remove("LD_LIBRARY_PATH")
        .args(["--print", "sysroot"]);
    process::output(&mut command)
        .ok()
        .map(|text| PathBuf::from(text.trim()))
}

/// A linker for wasm: rust-lld of any toolchain of rustup, else LLVM's.
fn linker(sysroot: &Path) -> Option<PathBuf> {
    let mut toolchains = vec![sysroot.to_path_buf()];
    if let Some(others) = sysroot.parent().and_then(|all| fs::read_dir(all).ok()) {
        toolchains.extend(others.flatten().map(|entry| entry.path()));
    }
    let lld_of = |toolchain: &PathBuf| {
        let hosts = fs::read_dir(toolchain.join("lib/rustlib")).ok()?;
        hosts
            .flatten()
            .map(|host| host.path().join("bin/rust-lld"))
            .find(|lld| lld.is_file())
    };
    let of_rustup = toolchains.iter().find_map(lld_of);
    of_rustup.or_else(|| has_program("wasm-ld").then(|| PathBuf::from("wasm-ld")))
}

/// What a package needs of the standard library, where that is built along.
#[derive(Clone, Copy)]
pub(crate) enum Library {
    /// No more than what `no_std` has: quicker to build, and nothing else can slip in.
    Core,
    /// All of it.
    Std,
    /// As [`Self::Core`], for projects outside the workspace.
    Plugins,
}

impl Library {
    fn crates(self) -> &'static str {
        match self {
            Self::Core | Self::Plugins => "core,alloc",
            Self::Std => "std,panic_abort",
        }
    }

    /// Where is built with it: apart, since each would have cargo build the other's `core` anew.
    fn target(self) -> PathBuf {
        match self {
            Self::Core => target().join("wasm"),
            Self::Std => target().join("wasm").join("std"),
            Self::Plugins => target().join("wasm").join("plugins"),
        }
    }
}

/// A build for wasm32, to which the package is to be added.
pub(crate) fn build(toolchain: &Toolchain, library: Library) -> Command {
    let mut command = match toolchain {
        Toolchain::Installed => cargo(),
        Toolchain::FromSource {
            rustc,
            cargo,
            linker,
        } => {
            let mut command = Command::new(cargo);
            command.current_dir(root());
            command.env("RUSTC", rustc).env("RUSTC_BOOTSTRAP", "1");
            command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
            // They name the toolchain of the cargo that started this program.
            for name in [
                "RUSTUP_TOOLCHAIN",
                "LD_LIBRARY_PATH",
                "CARGO",
                "RUSTC_WRAPPER",
                "RUSTFLAGS",
            ] {
                command.env_remove(name);
            }
            command
        }
    };
    // Profile, target and flags are the same in every call for a library: a change builds it again.
    command
        .args([
            "build",
            "--profile",
            "wasm",
            "--target",
            TARGET,
            "--target-dir",
        ])
        .arg(library.target())
        .args(["--config", FLAGS]);
    if matches!(toolchain, Toolchain::FromSource { .. }) {
        command.arg(format!("-Zbuild-std={}", library.crates()));
    }
    if env::var_os("CI").is_some() {
        command.arg("--quiet");
    }
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn custom_sections_go_and_others_stay() {
        let head = *b"\0asm\x01\0\0\0";
        let module = [
            &head[..],
            &[0, 3, 1, b'n', 9],
            &[1, 1, 0],
            &[0, 0x81, 0x00, 7],
        ]
        .concat();
        assert_eq!(
            without_custom(&module),
            Some([&head[..], &[1, 1, 0]].concat())
        );
        assert_eq!(without_custom(&module[..module.len() - 1]), None);
        assert_eq!(without_custom(b"\0asm"), None);
    }
}
