//! A client of fuzzy watches over a stream that loses messages and answers: it comes to know exactly what exists.

use alloc::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::node::output::SyncKind;

#[derive(Clone, Copy, Debug)]
enum Fate {
    Taken,
    AnswerLost,
    Lost,
    Refused,
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    /// A key comes, changes or goes.
    Turn(usize),
    /// The client compares what it knows.
    Watch,
}

fn key(of: usize) -> ServiceKey {
    ServiceKey::new("", "g", &format!("s{of:02}"))
}

struct Client {
    bench: Bench,
    configs: bool,
    exist: BTreeSet<usize>,
    known: BTreeSet<Arc<str>>,
    finished: bool,
    seen: usize,
}

impl Client {
    fn text(&self, of: usize) -> Arc<str> {
        let key = key(of);
        if self.configs {
            format!("{}+{}+{}", key.name, key.group, key.namespace).into()
        } else {
            key.fuzzy().into()
        }
    }

    fn watch(&mut self) {
        let names: Vec<String> = self
            .exist
            .iter()
            .map(|of| key(*of).name.to_string())
            .collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let known: Vec<Arc<str>> = self.known.iter().cloned().collect();
        let known: Vec<&str> = known.iter().map(|key| &**key).collect();
        let made = self.bench.watch(
            1,
            self.configs,
            "public>>g>>*",
            &known,
            !self.finished,
            &names,
        );
        made.unwrap();
    }

    fn turn(&mut self, of: usize) {
        let (key, now) = (key(of), self.bench.clock());
        let exists = self.exist.insert(of) || {
            self.exist.remove(&of);
            false
        };
        if self.configs {
            let key = ConfigKey::new(&key.namespace, &key.group, &key.name);
            self.bench
                .push
                .config_changed(&key, exists, exists, Vec::new(), now);
        } else {
            self.bench
                .push
                .service_changed(&key, None, exists, !exists, usize::from(exists), now);
        }
        self.bench.collect();
    }

    fn apply(&mut self, body: &PushBody) {
        let put = |known: &mut BTreeSet<Arc<str>>, key: Arc<str>, exists: bool| {
            if exists {
                known.insert(key)
            } else {
                known.remove(&key)
            };
        };
        match body {
            PushBody::FuzzyService { key, added } => {
                put(&mut self.known, key.fuzzy().into(), *added);
            }
            PushBody::FuzzyConfig { key, exists } => {
                put(&mut self.known, key.to_string().into(), *exists);
            }
            PushBody::FuzzySync { keys, kind, .. } => {
                keys.iter()
                    .for_each(|(key, added)| put(&mut self.known, key.clone(), *added));
                self.finished |= *kind == SyncKind::Finish;
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Works off what was sent, in order.
    fn receive(&mut self, fates: &mut impl Iterator<Item = Fate>) {
        while let Some((_, output)) = self.bench.raw.get(self.seen).cloned() {
            self.seen += 1;
            let Output::Push { push, body, .. } = output else {
                continue;
            };
            match fates.next().unwrap_or(Fate::Taken) {
                Fate::Taken => {
                    self.apply(&body);
                    self.bench.ack(1, push);
                }
                Fate::AnswerLost => self.apply(&body),
                Fate::Lost => {}
                Fate::Refused => self.bench.fail(1, push),
            }
        }
    }
}

proptest! {
    #[test]
    fn a_watcher_comes_to_know_what_exists(
        configs in any::<bool>(),
        start in vec(0..45usize, 0..45),
        steps in vec(prop_oneof![
            2 => (0..3_000u64).prop_map(Step::Wait),
            6 => (0..45usize).prop_map(Step::Turn),
            1 => Just(Step::Watch),
        ], 0..60),
        fates in vec(prop_oneof![
            4 => Just(Fate::Taken),
            1 => Just(Fate::AnswerLost),
            1 => Just(Fate::Lost),
            1 => Just(Fate::Refused),
        ], 0..60),
    ) {
        let mut client = Client {
            bench: Bench::with(&[1]),
            configs,
            exist: start.into_iter().collect(),
            known: BTreeSet::from([arc("gone")]),
            finished: false,
            seen: 0,
        };
        let mut fates = fates.into_iter();
        client.watch();
        for step in steps {
            match step {
                Step::Wait(ms) => {
                    let until = client.bench.now + ms;
                    while let Some(due) = client.bench.push.deadline().filter(|due| *due <= until) {
                        client.bench.to(due);
                        client.receive(&mut fates);
                    }
                    client.bench.to(until);
                }
                Step::Turn(of) => client.turn(of),
                Step::Watch => client.watch(),
            }
            if !matches!(step, Step::Turn(_)) {
                client.receive(&mut fates);
            }
        }
        let mut calm = core::iter::empty();
        client.receive(&mut calm);
        while let Some(due) = client.bench.push.deadline() {
            client.bench.to(due);
            client.receive(&mut calm);
        }
        let exist: BTreeSet<_> = client.exist.iter().map(|of| client.text(*of)).collect();
        prop_assert_eq!(&client.known, &exist);
        prop_assert!(client.finished);
    }
}
