//! Carries out what a rule decides ([`crate::ai::decision`]) as a plan: reads what it needs, takes its steps one by one
//! under the conditions that it decided by, and undoes them if one fails. Nothing of a content stays in the core.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

use super::{Call, Contents, Plan, grpc::GrpcCall};
use crate::{
    ai::{
        Fault,
        decision::{Decided, Decision, Document, Known, Rule, Step, Stop, Write},
    },
    model::{ConfigKey, ConfigType, ConfigVersion, ContentRef, Md5},
    node::{
        op::{Op, Publish, Question},
        reply::{Answered, Refusal, Reply},
    },
    view::Reading,
};

/// How often a rule is asked afresh because others changed what it decided by.
const ATTEMPTS: u32 = 8;
/// How often a rule may need more, in all its attempts.
const ROUNDS: u32 = 64;
/// Bytes that one request reads, at most.
const MOST_BYTES: usize = 128 << 20;
/// Who writes.
const USER: &str = "nacos";

/// Why nothing came of a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Trouble {
    /// The rule refuses it.
    Rule(Fault),
    /// The node refuses a step.
    Node(Refusal),
}

/// Who asks, and what is allowed to him.
pub(super) struct Caller {
    ip: Arc<str>,
    max_content: usize,
}

impl Caller {
    /// Of an HTTP request.
    pub(super) fn of_http(call: &Call<'_>) -> Self {
        Self {
            ip: call.ip.into(),
            max_content: call.server.max_content,
        }
    }

    /// Of a gRPC request.
    pub(super) fn of_grpc(call: &GrpcCall<'_>) -> Self {
        Self {
            ip: call.details.ip.clone(),
            max_content: call.server.max_content,
        }
    }
}

type Answering<T, A> = Box<dyn FnOnce(Result<T, Trouble>) -> A + Send>;

struct Carrier<T, A> {
    rule: Rule<T>,
    answer: Answering<T, A>,
    caller: Caller,
    loaded: BTreeMap<ConfigKey, Document>,
    attempts: u32,
    rounds: u32,
    read: usize,
}

/// A change under way.
struct Run<T> {
    left: alloc::vec::IntoIter<Step>,
    /// What takes back what was done, the last first in the end.
    undo: Vec<Undo>,
    written: Vec<Written>,
    answer: T,
}

/// What takes a step back.
struct Undo {
    op: Op,
    content: Option<Vec<u8>>,
    /// Only as long as this config is there with this id: who removed it meanwhile must not see it again.
    over: Option<(ConfigKey, u64)>,
}

impl From<Op> for Undo {
    fn from(op: Op) -> Self {
        Self {
            op,
            content: None,
            over: None,
        }
    }
}

impl Undo {
    fn is_due(&self, view: &dyn Reading) -> bool {
        let stands =
            |(key, id): &(ConfigKey, u64)| version_of(view, key).is_some_and(|(now, _)| now == *id);
        self.over.as_ref().is_none_or(stands)
    }
}

/// A config that was written.
struct Written {
    key: ConfigKey,
    revision: u64,
    /// The id that it had before; none if it was not there.
    before: Option<u64>,
    /// Where it stands in what is to be undone.
    undo: usize,
}

/// What comes after everything is undone.
enum After {
    Again,
    Fails(Trouble),
}

/// Makes the plan of a rule.
pub(super) fn carry<T: Send + 'static, A: 'static>(
    view: &dyn Reading,
    caller: Caller,
    rule: Rule<T>,
    answer: impl FnOnce(Result<T, Trouble>) -> A + Send + 'static,
) -> Plan<A> {
    let carrier = Carrier {
        rule,
        answer: Box::new(answer),
        caller,
        loaded: BTreeMap::new(),
        attempts: 0,
        rounds: 0,
        read: 0,
    };
    Box::new(carrier).decide(view)
}

/// As [`carry`], for a rule that may want a new id: a random UUID.
pub(super) fn carry_with_id<T: Send + 'static, A: 'static>(
    caller: Caller,
    rule: impl Fn(&Known<'_>, &str) -> Decided<T> + Send + 'static,
    answer: impl FnOnce(Result<T, Trouble>) -> A + Send + 'static,
) -> Plan<A> {
    Plan::submit_then(Op::Ask(Question::Uuid), move |answered, view| {
        let refusal = match answered {
            Ok(Reply::Uuid(id)) => {
                let rule = Box::new(move |known: &Known<'_>| rule(known, &id));
                return carry(view, caller, rule, answer);
            }
            Ok(_) => Refusal::Illegal("the node gives no ids".into()),
            Err(refusal) => refusal,
        };
        Plan::Answer(answer(Err(Trouble::Node(refusal))))
    })
}

fn version_of(view: &dyn Reading, key: &ConfigKey) -> Option<(u64, ConfigVersion)> {
    let item = view.config(key)?;
    Some((item.id, item.formal.clone()?))
}

impl<T: Send + 'static, A: 'static> Carrier<T, A> {
    fn fail(self, trouble: Trouble) -> Plan<A> {
        Plan::Answer((self.answer)(Err(trouble)))
    }

    fn decide(mut self: Box<Self>, view: &dyn Reading) -> Plan<A> {
        self.loaded.retain(|key, document| {
            version_of(view, key).is_some_and(|(_, v)| v.content == document.version.content)
        });
        match (self.rule)(&Known::new(view, &self.loaded)) {
            Ok(Decision { steps, answer }) => {
                let too_long = |step: &Step| match step {
                    Step::Write(write) => core::str::from_utf8(&write.content)
                        .is_ok_and(|text| text.chars().count() > self.caller.max_content),
                    _ => false,
                };
                if steps.iter().any(too_long) {
                    let most = self.caller.max_content;
                    let text = alloc::format!("what is to be stored has over {most} characters");
                    return self.fail(Trouble::Rule(Fault::illegal(text)));
                }
                let run = Run {
                    left: steps.into_iter(),
                    undo: Vec::new(),
                    written: Vec::new(),
                    answer,
                };
                self.go_on(run, view)
            }
            Err(Stop::Fault(fault)) => self.fail(Trouble::Rule(fault)),
            Err(Stop::Need(keys)) => self.load(keys, view),
        }
    }

    fn load(mut self: Box<Self>, keys: Vec<ConfigKey>, view: &dyn Reading) -> Plan<A> {
        self.rounds += 1;
        if self.rounds > ROUNDS {
            return self.fail(Trouble::Rule(Fault::contended()));
        }
        let found = keys.into_iter();
        let found: Vec<(ConfigKey, u64, ConfigVersion)> = found
            .filter_map(|key| {
                let (id, version) = version_of(view, &key)?;
                Some((key, id, version))
            })
            .collect();
        let bytes: usize = found.iter().map(|(_, _, v)| v.content.bytes as usize).sum();
        self.read = self.read.saturating_add(bytes);
        if self.read > MOST_BYTES {
            return self.fail(Trouble::Rule(Fault::too_much(MOST_BYTES)));
        }
        Plan::Contents {
            indexes: found.iter().map(|(_, _, v)| v.content.index).collect(),
            then: Box::new(move |contents: Contents, view| {
                for ((key, id, version), bytes) in found.into_iter().zip(contents) {
                    // One that was replaced meanwhile is read again.
                    if let Some(bytes) = bytes {
                        self.loaded.insert(key, Document::new(id, version, bytes));
                    }
                }
                self.decide(view)
            }),
        }
    }

    fn go_on(self: Box<Self>, mut run: Run<T>, view: &dyn Reading) -> Plan<A> {
        // A loop and no recursion: of what only looks there may be any number in a row.
        let (op, undo, well) = loop {
            match run.left.next() {
                None => return self.finish(run, view),
                Some(Step::Holds(holds)) if holds(view) => {}
                Some(Step::Holds(_)) => return self.back(run, After::Again, view),
                Some(Step::Write(write)) => return self.write(write, run),
                Some(Step::Remove(key)) => {
                    let Some(seen) = self.loaded.get(&key) else {
                        continue;
                    };
                    let undo = self.restore(&key, seen, None);
                    break (removal(&key, seen.version.content.index), Some(undo), None);
                }
                Some(Step::Do { op, undo, well }) => {
                    break (op, undo.map(Undo::from), Some(well));
                }
            }
        };
        Plan::Submit {
            op,
            content: None,
            then: Box::new(move |answered, view| match answered {
                Ok(_) => {
                    run.undo.extend(undo);
                    self.go_on(run, view)
                }
                Err(refusal) if well.is_some_and(|well| well(&refusal)) => self.go_on(run, view),
                Err(Refusal::CasMismatch) => self.back(run, After::Again, view),
                Err(refusal) => self.back(run, After::Fails(Trouble::Node(refusal)), view),
            }),
        }
    }

    fn write(self: Box<Self>, write: Write, mut run: Run<T>) -> Plan<A> {
        let Write {
            key,
            content,
            app,
            tags,
        } = write;
        let seen = self.loaded.get(&key);
        let before = seen.map(|d| d.id);
        let (md5, publish) = self.publish(&key, &content, app, tags);
        let publish = Publish {
            cas: seen.map(|d| d.version.content.md5.hex().into()),
            create_only: seen.is_none(),
            ..publish
        };
        let undo = seen.map(|document| self.restore(&key, document, Some(md5)));
        Plan::Submit {
            op: Op::Publish(Box::new(publish)),
            content: Some(content),
            then: Box::new(move |answered: Answered, view| match answered {
                Ok(reply) => {
                    let revision = match reply {
                        Reply::Published { revision } => revision,
                        _ => 0,
                    };
                    let undo = undo.unwrap_or_else(|| removal(&key, revision).into());
                    run.written.push(Written {
                        key,
                        revision,
                        before,
                        undo: run.undo.len(),
                    });
                    run.undo.push(undo);
                    self.go_on(run, view)
                }
                Err(Refusal::CasMismatch | Refusal::ConfigExists) => {
                    self.back(run, After::Again, view)
                }
                Err(refusal) => self.back(run, After::Fails(Trouble::Node(refusal)), view),
            }),
        }
    }

    /// All steps are done: unless somebody removed meanwhile what was written (or had removed before what was meant to
    /// be replaced), that is it.
    fn finish(self: Box<Self>, mut run: Run<T>, view: &dyn Reading) -> Plan<A> {
        let mut stands = true;
        for written in &run.written {
            let Written { key, revision, .. } = written;
            let now = version_of(view, key).map(|(id, _)| id);
            if now.is_none() || written.before.is_some_and(|id| now != Some(id)) {
                stands = false;
                // It must not come back.
                run.undo[written.undo] = removal(key, *revision).into();
            }
        }
        if stands {
            return Plan::Answer((self.answer)(Ok(run.answer)));
        }
        self.back(run, After::Again, view)
    }

    /// Undoes what was done, the last first; what cannot be undone stays.
    fn back(mut self: Box<Self>, mut run: Run<T>, after: After, view: &dyn Reading) -> Plan<A> {
        while let Some(undo) = run.undo.pop() {
            if !undo.is_due(view) {
                continue;
            }
            let Undo { op, content, over } = undo;
            return Plan::Submit {
                op,
                content,
                then: Box::new(move |answered, view| {
                    // It was removed just before, and is there again by this.
                    if let (Some((key, id)), Ok(Reply::Published { revision })) = (over, answered)
                        && version_of(view, &key).is_some_and(|(now, _)| now != id)
                    {
                        run.undo.push(removal(&key, revision).into());
                    }
                    self.back(run, after, view)
                }),
            };
        }
        match after {
            After::Fails(trouble) => self.fail(trouble),
            After::Again if self.attempts + 1 >= ATTEMPTS => {
                self.fail(Trouble::Rule(Fault::contended()))
            }
            After::Again => {
                self.attempts += 1;
                self.loaded.clear();
                self.decide(view)
            }
        }
    }

    fn publish(
        &self,
        key: &ConfigKey,
        content: &[u8],
        app: Arc<str>,
        tags: Arc<str>,
    ) -> (Md5, Publish) {
        let md5 = Md5::of(content);
        let none: Arc<str> = Arc::default();
        let publish = Publish {
            key: key.clone(),
            content: ContentRef {
                index: 0,
                md5,
                bytes: u32::try_from(content.len()).unwrap_or(u32::MAX),
            },
            kind: ConfigType::Json,
            app,
            desc: none.clone(),
            usage: none.clone(),
            effect: none.clone(),
            schema: none.clone(),
            tags,
            encrypted_data_key: none,
            gray: None,
            cas: None,
            create_only: false,
            user: USER.into(),
            ip: self.caller.ip.clone(),
        };
        (md5, publish)
    }

    /// What makes a config be as it was read: over what this change wrote, or in the place of what it removed.
    fn restore(&self, key: &ConfigKey, was: &Document, over: Option<Md5>) -> Undo {
        let version = &was.version;
        let bytes = was.bytes.to_vec();
        let (_, publish) = self.publish(key, &bytes, version.app.clone(), version.tags.clone());
        let publish = Publish {
            kind: version.kind,
            desc: version.desc.clone(),
            usage: version.usage.clone(),
            effect: version.effect.clone(),
            schema: version.schema.clone(),
            encrypted_data_key: version.encrypted_data_key.clone(),
            cas: over.map(|md5| md5.hex().into()),
            create_only: over.is_none(),
            ..publish
        };
        Undo {
            op: Op::Publish(Box::new(publish)),
            content: Some(bytes),
            over: over.map(|_| (key.clone(), was.id)),
        }
    }
}

fn removal(key: &ConfigKey, revision: u64) -> Op {
    Op::RemoveRevision {
        key: key.clone(),
        revision,
    }
}
