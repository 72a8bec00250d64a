//! What is measured in other programs: real Ribbon, the package for npm, and the hosts of `wasm/examples`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nacrite_core::balance::Policy;

use crate::clock::of_programs;
use crate::programs::{go, maven, output, python};
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

impl Work {
    fn place(&self, name: &str) -> Result<PathBuf, Failure> {
        let folder = self.folder.join(name);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Every rule of Ribbon's own: name, length of the list, ns.
    pub(crate) fn ribbon(&self, sizes: &[u32]) -> Result<Vec<(String, u32, f64)>, Failure> {
        let classes = maven(
            &self.root.join("tests/balance/ribbon"),
            &self.place("ribbon")?,
        )?;
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
        let in_go = || -> Result<Host, Failure> {
            let program = go(&examples.join("go"), &self.place("go")?)?;
            Ok(host("Go", vec![program.display().to_string()], 2_000_000))
        };
        let in_java = || -> Result<Host, Failure> {
            let classes = maven(&examples.join("java"), &self.place("java")?)?;
            let program = ["java", "-cp", &classes, "Host"].map(str::to_owned);
            Ok(host("Java", program.to_vec(), 100_000))
        };
        let in_python = || -> Result<Host, Failure> {
            let requirements = examples.join("python/requirements.txt");
            let packages: [&str; 2] = ["-r", &requirements.to_string_lossy()];
            let interpreter = python(&self.place("python")?, &packages)?;
            let script = examples.join("python/host.py");
            let program = [interpreter, script].map(|path| path.display().to_string());
            Ok(host("Python", program.to_vec(), 200_000))
        };
        vec![
            ("Go", in_go()),
            ("Java", in_java()),
            ("Python", in_python()),
        ]
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
