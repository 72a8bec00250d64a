//! The stages of `cargo xtask test`: one row each. What is not in this table is not run by CI.
//!
//! To add one: write `tests/tests/NAME.rs` and add a row with `xtask: &[], tests: &["NAME"]`; `lint` fails for a test
//! file that is in no row, and for a row whose file is missing. A test takes a seeded sample by itself and the numbers
//! of the full proof when `NACRITE_FULL` is set (it must take that variable from a server that it starts, since the
//! server takes all of this prefix for settings). It finds the server as `nacrite` in the folder above its own
//! program's, and the engine modules in `wasm/engine` of the target directory; both are built before, the modules by the
//! stage `wasm`, which comes first of all.
//!
//! A client suite that CI shall judge loses its `not_yet` in `clients.rs` and gets a row here. Choose the lane by what
//! the stage does to the machine.

/// What a stage does to the machine, and so what runs beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Computes: one after the other.
    Computing,
    /// Mostly waits: several at once, beside the computing ones.
    Waiting,
    /// Measures or loads the whole machine: alone, after all others.
    Alone,
}

/// What must be there before a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// The workspace, built with all its targets.
    Build,
    /// Also the client suites, fetched and built.
    Clients,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    /// What passes when it passes.
    pub(crate) about: &'static str,
    /// A command of this program, or empty.
    pub(crate) xtask: &'static [&'static str],
    /// Else test programs of `tests/tests`, one after the other.
    pub(crate) tests: &'static [&'static str],
    pub(crate) lane: Lane,
    pub(crate) needs: Needs,
    /// It is ended and fails after this; three times as many with `--full`.
    pub(crate) minutes: u64,
}

/// Started in this order within a lane, the longest of a lane first.
pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "unit",
        about: "every test that a crate carries, and its examples",
        xtask: &["unit"],
        tests: &[],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 15,
    },
    Stage {
        name: "lint",
        about: "formatting, clippy, dependency policy, house rules",
        xtask: &["lint"],
        tests: &[],
        lane: Lane::Computing,
        needs: Needs::Nothing,
        minutes: 20,
    },
    Stage {
        name: "wasm",
        about: "the core and the engine module build for wasm32",
        xtask: &["wasm"],
        tests: &[],
        lane: Lane::Computing,
        needs: Needs::Nothing,
        minutes: 40,
    },
    Stage {
        name: "differential",
        about: "the core natively and as wasm: the same bytes",
        xtask: &[],
        tests: &["differential"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 5,
    },
    Stage {
        name: "sim",
        about: "whole members in simulated worlds hold their invariants",
        xtask: &[],
        tests: &["sim"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "planted",
        about: "the simulator finds every bug that is planted",
        xtask: &[],
        tests: &["planted"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 15,
    },
    Stage {
        name: "incidents",
        about: "what users of other registries reported does not happen here",
        xtask: &[],
        tests: &["incidents"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "fuzz",
        about: "no bytes make a parser or `apply` panic or linger",
        xtask: &[],
        tests: &["fuzz"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "balance",
        about: "the rules as a plugin: real balancers' recordings in wasmtime and five languages",
        xtask: &[],
        tests: &["balance"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 20,
    },
    Stage {
        name: "npm",
        about: "the package for browsers and Node: types, recordings, balanced fetches in Node and in Chromium",
        xtask: &[],
        tests: &["npm"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 10,
    },
    Stage {
        name: "recordings",
        about: "recordings give the same on both engines, and hold no secret",
        xtask: &[],
        tests: &["recordings"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 5,
    },
    Stage {
        name: "powercut",
        about: "no power cut loses or halves an acknowledged write",
        xtask: &[],
        tests: &["powercut"],
        lane: Lane::Computing,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "golden",
        about: "answers as recorded from real servers",
        xtask: &["golden"],
        tests: &[],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 15,
    },
    Stage {
        name: "golden-wasm",
        about: "a part of these answers from the core as wasm",
        xtask: &[
            "golden",
            "2.x",
            "--areas",
            "v1.cs,v1.ns",
            "--engine",
            "wasm",
        ],
        tests: &[],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 10,
    },
    Stage {
        name: "starts",
        about: "fresh starts beside busy cores all serve",
        xtask: &[],
        tests: &["starts"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 10,
    },
    Stage {
        name: "kill",
        about: "kill -9 under load loses no acknowledged write",
        xtask: &[],
        tests: &["kill"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "reopen",
        about: "how long opening takes by the size of the data, after kill -9 and after an ordered end",
        xtask: &[],
        tests: &["reopen"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "grpc",
        about: "every kind of gRPC request, hostile clients, a crowd of connections",
        xtask: &[],
        tests: &["grpc", "crowd"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "polls",
        about: "parked polls are small, and woken by what they name",
        xtask: &[],
        tests: &["polls"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "client",
        about: "the client host: each behaviour of the Java client, policies that are followed, calls by name",
        xtask: &[],
        tests: &["client"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "overload",
        about: "ten times too much on each API; hostile heads, idle crowds, every poll at once",
        xtask: &[],
        tests: &["overload", "storms"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 15,
    },
    Stage {
        name: "soak",
        about: "memory is flat under mixed load with names that come and go",
        xtask: &[],
        tests: &["soak"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "engine",
        about: "faults of a module are contained; engines take over under load",
        xtask: &[],
        tests: &["faults", "swap"],
        lane: Lane::Alone,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "damage",
        about: "damaged data is refused, saved or set aside",
        xtask: &[],
        tests: &["damage"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 6,
    },
    Stage {
        name: "spring",
        about: "a Spring Boot 3 application: config, discovery, calls by name",
        xtask: &[],
        tests: &["spring"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 15,
    },
    Stage {
        name: "udp",
        about: "UDP pushes, in a network namespace of their own",
        xtask: &[],
        tests: &["udp"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "probes",
        about: "active checks over TCP and HTTP and of a real MariaDB",
        xtask: &[],
        tests: &["probes"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 8,
    },
    Stage {
        name: "host",
        about: "limits, bad input, start and end over real sockets; labels; every metric moves",
        xtask: &[],
        tests: &["host", "labels", "metrics"],
        lane: Lane::Waiting,
        needs: Needs::Build,
        minutes: 8,
    },
    clients("java-1.4.8", &["clients", "java-1.4.8"]),
    clients("go-v1", &["clients", "go-v1"]),
    clients("node", &["clients", "node"]),
    clients("python-http", &["clients", "python-http"]),
    clients("python-grpc", &["clients", "python-grpc"]),
    clients("rust", &["clients", "rust"]),
    clients("go-v2", &["clients", "go-v2"]),
    clients("java-2.5.1", &["clients", "java-2.5.1"]),
    clients("java-3.1.1", &["clients", "java-3.1.1"]),
];

const fn clients(name: &'static str, command: &'static [&'static str]) -> Stage {
    Stage {
        name,
        about: "a real client library",
        xtask: command,
        tests: &[],
        lane: Lane::Waiting,
        needs: Needs::Clients,
        minutes: 17,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::SUITES;

    #[test]
    fn names_are_unique() {
        for (n, stage) in STAGES.iter().enumerate() {
            assert!(
                STAGES[..n].iter().all(|other| other.name != stage.name),
                "{}",
                stage.name
            );
        }
    }

    #[test]
    fn each_runs_one_thing() {
        for stage in STAGES {
            assert!(
                stage.xtask.is_empty() != stage.tests.is_empty(),
                "{}",
                stage.name
            );
        }
    }

    #[test]
    fn every_judged_client_has_its_stage() {
        for suite in SUITES {
            let staged = STAGES
                .iter()
                .any(|s| s.name == suite.name && s.needs == Needs::Clients);
            assert_eq!(staged, suite.not_yet.is_none(), "{}", suite.name);
        }
    }
}
