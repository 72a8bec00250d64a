//! Pushes by virtual clock: each row of the protocol's tables, and what must hold whatever happens.

mod config;
mod fuzzy;
mod fuzzy_client;
mod naming;
mod policies;
mod properties;
mod udp;

use alloc::{
    format,
    string::{String, ToString},
    sync::Arc,
    vec::Vec,
};

use super::{Push, PushLimits};
use crate::{
    model::{ConfigKey, Selector, ServiceKey, ServiceMetadata},
    naming::Switches,
    node::{
        Turn,
        input::{AckOutcome, ConnDetails, ConnId, Now, Origin},
        output::{NameForm, Output, PushBody},
        reply::Answered,
    },
};

/// A `Push` with a clock, whose outputs become lines `time #number what -> recipients`.
struct Bench {
    push: Push,
    now: u64,
    lines: Vec<String>,
    /// Outputs since they were last taken, with their times.
    raw: Vec<(u64, Output)>,
}

const JAVA: &str = "Nacos-Java-Client:v1.4.1";

fn arc(text: &str) -> Arc<str> {
    Arc::from(text)
}

fn service(name: &str) -> ServiceKey {
    ServiceKey::new("", "", name)
}

fn config(data_id: &str) -> ConfigKey {
    ConfigKey::new("", "g", data_id)
}

impl Bench {
    fn new() -> Self {
        let push = Push::new(PushLimits::default());
        Self {
            push,
            now: 0,
            lines: Vec::new(),
            raw: Vec::new(),
        }
    }

    /// With these connections, from 10.0.0.N.
    fn with(conns: &[u64]) -> Self {
        let mut bench = Self::new();
        conns.iter().for_each(|conn| bench.connect(*conn));
        bench
    }

    fn clock(&self) -> Now {
        Now {
            mono: self.now,
            wall: 1_000_000 + self.now,
        }
    }

    /// Lets the time pass up to `until`, each deadline met exactly.
    fn to(&mut self, until: u64) {
        while let Some(due) = self.push.deadline().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.push.tick(self.clock());
            self.collect();
        }
        self.now = until;
    }

    fn collect(&mut self) {
        for output in self.push.take_outputs() {
            self.lines.push(line(self.now, &output));
            self.raw.push((self.now, output));
        }
    }

    /// The lines since the last call.
    fn lines(&mut self) -> Vec<String> {
        core::mem::take(&mut self.lines)
    }

    fn connect(&mut self, conn: u64) {
        self.connect_with(conn, &[]);
    }

    fn connect_with(&mut self, conn: u64, labels: &[(&str, &str)]) {
        let details = ConnDetails {
            id: format!("conn-{conn}").into(),
            ip: format!("10.0.0.{conn}").into(),
            port: 40_000,
            version: arc("Nacos-Java-Client:v3.1.0"),
            app: arc("-"),
            labels: labels.iter().map(|(k, v)| (arc(k), arc(v))).collect(),
        };
        self.push.connected(ConnId(conn), &details, self.clock());
    }

    fn disconnect(&mut self, conn: u64) {
        self.push.disconnected(ConnId(conn));
        self.collect();
    }

    fn turn<T>(&mut self, conn: Option<u64>, act: impl FnOnce(&mut Push, Turn<'_>) -> T) -> T {
        let origin = Origin {
            conn: conn.map(ConnId),
            ..Origin::default()
        };
        let turn = Turn {
            id: 1,
            origin: &origin,
            now: self.clock(),
            stamp: 0,
        };
        let made = act(&mut self.push, turn);
        self.collect();
        made
    }

    fn subscribe(&mut self, conn: u64, name: &str, clusters: &str) -> Answered {
        self.turn(Some(conn), |push, turn| {
            push.subscribe(turn, &service(name), &arc(clusters), &arc("app"))
        })
    }

    fn unsubscribe(&mut self, conn: u64, name: &str) -> Answered {
        self.turn(Some(conn), |push, turn| {
            push.unsubscribe(turn, &service(name))
        })
    }

    fn query_with(&mut self, port: u16, name: &str, agent: &str, switches: &Switches) -> Answered {
        self.turn(None, |push, turn| {
            let (ip, blank, form) = (arc("10.1.0.1"), arc(""), NameForm::Grouped);
            let agent = arc(agent);
            push.subscribe_udp(
                turn,
                &service(name),
                &blank,
                &ip,
                port,
                &agent,
                &blank,
                form,
                switches,
            )
        })
    }

    fn query(&mut self, port: u16, name: &str) -> Answered {
        self.query_with(port, name, JAVA, &Switches::default())
    }

    /// A change of a service that goes on having one instance.
    fn change(&mut self, name: &str) {
        self.changed(name, None, false, false, 1);
    }

    fn changed(
        &mut self,
        name: &str,
        metadata: Option<&ServiceMetadata>,
        came: bool,
        went: bool,
        left: usize,
    ) {
        self.push
            .service_changed(&service(name), metadata, came, went, left, self.clock());
        self.collect();
    }

    fn config_changed(&mut self, data_id: &str, exists: bool, listeners: &[(u64, bool)]) {
        let listeners = listeners
            .iter()
            .map(|(conn, blank)| (ConnId(*conn), *blank))
            .collect();
        self.push
            .config_changed(&config(data_id), exists, false, listeners, self.clock());
        self.collect();
    }

    fn watch(
        &mut self,
        conn: u64,
        of_configs: bool,
        pattern: &str,
        known: &[&str],
        initializing: bool,
        exist: &[&str],
    ) -> Answered {
        let known: Vec<_> = known.iter().map(|key| arc(key)).collect();
        self.turn(Some(conn), |push, turn| {
            push.fuzzy_watch(
                turn,
                of_configs,
                &arc(pattern),
                true,
                &known,
                initializing,
                &|each| {
                    exist.iter().for_each(|name| each("public", "g", name));
                },
            )
        })
    }

    fn unwatch(&mut self, conn: u64, of_configs: bool, pattern: &str) -> Answered {
        self.turn(Some(conn), |push, turn| {
            push.fuzzy_watch(turn, of_configs, &arc(pattern), false, &[], false, &|_| {})
        })
    }

    fn ack(&mut self, conn: u64, push: u64) {
        self.push
            .ack(ConnId(conn), push, AckOutcome::Done, self.clock());
        self.collect();
    }

    fn fail(&mut self, conn: u64, push: u64) {
        self.push
            .ack(ConnId(conn), push, AckOutcome::Failed, self.clock());
        self.collect();
    }

    fn udp_ack(&mut self, port: u16, push: u64) {
        self.push.udp_ack("10.1.0.1", port, push, self.clock());
        self.collect();
    }

    /// Nothing is kept of anybody.
    fn is_empty(&self) -> bool {
        let p = &self.push;
        p.services.is_empty()
            && p.conns.is_empty()
            && p.flights.is_empty()
            && p.udp.is_empty()
            && p.fuzzy.is_empty()
            && p.timers.len() == 0
    }
}

fn labelled() -> ServiceMetadata {
    let selector = Selector::Label {
        expression: arc("CONSUMER.label.zone = PROVIDER.label.zone"),
    };
    ServiceMetadata {
        selector,
        ..ServiceMetadata::default()
    }
}

fn line(now: u64, output: &Output) -> String {
    let to = |conns: &[ConnId]| {
        let conns: Vec<_> = conns.iter().map(|conn| conn.0.to_string()).collect();
        conns.join(" ")
    };
    match output {
        Output::Push { push, body, conns } => {
            let what = match body {
                PushBody::Service { key, class } if class.consumer.is_empty() => {
                    format!("{}[{}]", key.name, class.clusters)
                }
                PushBody::Service { key, class } => {
                    format!("{}[{}] for {}", key.name, class.clusters, class.consumer)
                }
                PushBody::ServicePolicy { key, class } => {
                    format!("{}[{}] with policy", key.name, class.clusters)
                }
                PushBody::Config { key, blank_tenant } => {
                    format!(
                        "{}{}",
                        key.data_id,
                        if *blank_tenant { " blank" } else { "" }
                    )
                }
                PushBody::FuzzyService { key, added: true } => format!("+{}", key.name),
                PushBody::FuzzyService { key, .. } => format!("-{}", key.name),
                PushBody::FuzzyConfig { key, exists: true } => format!("+{}", key.data_id),
                PushBody::FuzzyConfig { key, .. } => format!("-{}", key.data_id),
                PushBody::FuzzySync {
                    kind,
                    keys,
                    total,
                    current,
                    ..
                } => {
                    let keys: Vec<_> = keys
                        .iter()
                        .map(|(key, added)| format!("{}{key}", if *added { '+' } else { '-' }))
                        .collect();
                    format!("{kind:?} {current}/{total} {}", keys.join(" "))
                }
            };
            format!("{now} #{push} {what} -> {}", to(conns))
        }
        Output::Datagram {
            push,
            port,
            service,
            class,
            ..
        } => {
            let consumer = if class.consumer.is_empty() {
                ""
            } else {
                " by consumer"
            };
            format!("{now} #{push} {}{consumer} -> udp {port}", service.name)
        }
        Output::Close { conn, .. } => format!("{now} close {}", conn.0),
        other => panic!("not an output of pushes: {other:?}"),
    }
}
