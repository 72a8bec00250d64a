//! What is measured in other programs: real Ribbon, the package for npm, and the hosts of `wasm/examples`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nacrite_core::balance::Policy;

use crate::clock::of_programs;
use crate::{Failure, subjects};

/// Where programs are built and transcripts lie.
#[derive(Debug)]
pub(crate) struct Work {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Below the target directory.
    pub(crate) folder: PathBuf,
    /// What `cargo xtask wasm` built.
    pub(crate) modules: PathBuf,
}

/// A host of `wasm/examples`, ready to run.
pub(crate) struct Host {
    pub(crate) name: &'static str,
    /// The program with its arguments before module and transcript.
    program: Vec<String>,
    /// Picks of the longer of its two runs: so many that their time stands out from that of its start.
    picks: u64,
}

fn output(command: &mut Command) -> Result<String, Failure> {
    let out = command.output().map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        Ok(String::from_utf8_lossy(&out.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&out.stderr);
        Err(format!("{command:?} ended with {}: {said}", out.status).into())
    }
}

impl Work {
    fn place(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Compiles a Maven project and gives its class path.
    fn maven(&self, project: &Path, name: &str) -> Result<String, Failure> {
        let out = self.place(name)?;
        let classpath = out.join("classpath");
        let mut maven = Command::new("mvn");
        maven
            .current_dir(project)
            .args(["-q", "-B"])
            .arg(format!("-Dout={}", out.display()))
            .arg("compile")
            .arg("dependency:build-classpath")
            .arg(format!("-Dmdep.outputFile={}", classpath.display()));
        output(&mut maven)?;
        let libraries = fs::read_to_string(&classpath)?;
        Ok(format!(
            "{}:{}",
            out.join("classes").display(),
            libraries.trim()
        ))
    }

    /// Every rule of Ribbon's own: name, length of the list, ns.
    pub(crate) fn ribbon(&self, sizes: &[u32]) -> Result<Vec<(String, u32, f64)>, Failure> {
        let classes = self.maven(&self.root.join("tests/balance/ribbon"), "ribbon")?;
        let mut java = Command::new("java");
        java.args(["-cp", &classes, "Ribbon"])
            .args(sizes.iter().map(u32::to_string));
        Ok(lines(&output(&mut java)?))
    }

    /// Rules by the package for npm.
    pub(crate) fn node(
        &self,
        rules: &[&str],
        sizes: &[u32],
    ) -> Result<Vec<(String, u32, f64)>, Failure> {
        let mut node = Command::new("node");
        node.arg(self.root.join("tests/balance/node.mjs"))
            .arg(self.modules.join("npm/node.js"))
            .arg(rules.join(","))
            .args(sizes.iter().map(u32::to_string));
        Ok(lines(&output(&mut node)?))
    }

    /// The hosts of `wasm/examples` in Go, Java and Python.
    pub(crate) fn hosts(&self) -> Vec<(&'static str, Result<Host, Failure>)> {
        let examples = self.root.join("wasm/examples");
        let host = |name, program: Vec<String>, picks| Host {
            name,
            program,
            picks,
        };
        let go = || -> Result<Host, Failure> {
            let program = self.place("go")?.join("host");
            let mut go = Command::new("go");
            go.current_dir(examples.join("go")).args(["build", "-o"]);
            output(go.arg(&program).arg("."))?;
            Ok(host("Go", vec![program.display().to_string()], 2_000_000))
        };
        let java = || -> Result<Host, Failure> {
            let classes = self.maven(&examples.join("java"), "java")?;
            let program = ["java", "-cp", &classes, "Host"].map(str::to_owned);
            Ok(host("Java", program.to_vec(), 100_000))
        };
        let python = || -> Result<Host, Failure> {
            let venv = self.place("python")?;
            let interpreter = venv.join("bin/python");
            if !interpreter.is_file() {
                output(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
            }
            let mut pip = Command::new(&interpreter);
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "-r",
            ]);
            output(pip.arg(examples.join("python/requirements.txt")))?;
            let script = examples.join("python/host.py");
            let program = [interpreter, script].map(|path| path.display().to_string());
            Ok(host("Python", program.to_vec(), 200_000))
        };
        vec![("Go", go()), ("Java", java()), ("Python", python())]
    }

    /// A pick in a host: two runs whose transcripts differ in nothing but the number of picks. The host compares the sum of
    /// its answers with that of the native ones.
    pub(crate) fn pick(&self, host: &Host, policy: &Policy, count: u32) -> Result<f64, Failure> {
        let few = host.picks / 20;
        let (short, long) = (
            self.spent(host, policy, count, few)?,
            self.spent(host, policy, count, host.picks)?,
        );
        let took = long.saturating_sub(short);
        Ok(took.as_nanos() as f64 / (host.picks - few) as f64)
    }

    fn spent(
        &self,
        host: &Host,
        policy: &Policy,
        count: u32,
        picks: u64,
    ) -> Result<Duration, Failure> {
        let transcript = self.place("transcripts")?.join(host.name);
        fs::write(&transcript, subjects::transcript(policy, count, picks)?)?;
        let before = of_programs();
        let (program, arguments) = host.program.split_first().ok_or("a host has a program")?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .arg(self.modules.join("nacrite-balance.wasm"));
        let said = output(command.arg(&transcript))?;
        if !said.trim_end().ends_with(", 0 failed") {
            return Err(format!("{} gives other answers: {said}", host.name).into());
        }
        Ok(of_programs().saturating_sub(before))
    }
}

/// Lines of rule, size and ns.
fn lines(text: &str) -> Vec<(String, u32, f64)> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some((
            words.next()?.to_owned(),
            words.next()?.parse().ok()?,
            words.next()?.parse().ok()?,
        ))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_figures_are_read() {
        let text = "Picked up a setting\nrandom 10 12.5\nrandom x 3\n";
        assert_eq!(lines(text), [("random".to_owned(), 10, 12.5)]);
    }
}
