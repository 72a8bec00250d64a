//! Whoever publishes, removes, locks and registers what is durable.

use alloc::{boxed::Box, format, string::String, sync::Arc, vec::Vec};

use super::{super::air::Air, Phase, Sizes, config, instance};
use crate::{
    model::{ConfigType, ContentRef, GrayRule, InstanceKey, Md5, ServiceKey},
    node::op::{Op, Publish},
};

const NAMESPACES: u32 = 3;
const LOCKS: u32 = 2;
const HOSTS: u32 = 3;
/// Contents are few, so that the same is published again, and `casMd5` fits now and then.
const CONTENTS: u32 = 4;

pub(in crate::sim) struct Writing {
    me: usize,
    sizes: Sizes,
    /// How long it rests between two writes, milliseconds.
    rest: u32,
    /// What it still has to remove before it leaves.
    left: Option<u32>,
}

pub(in crate::sim) fn persistent() -> ServiceKey {
    ServiceKey::new("", "", "persistent")
}

fn host(n: u32) -> InstanceKey {
    InstanceKey::new(&format!("10.9.0.{n}"), 90, "")
}

fn content(n: u32) -> String {
    // Some are larger than a page of the store.
    let mut text = format!("{n}: ");
    let size = [0, 40, 900, 6_000][n as usize % 4];
    text.extend((0..size).map(|at: u32| char::from(b'a' + (at % 26) as u8)));
    text
}

impl Writing {
    pub(in crate::sim) fn new(me: usize, sizes: Sizes, rest: u32) -> Self {
        Self {
            me,
            sizes,
            rest,
            left: None,
        }
    }

    pub(in crate::sim) fn wake(&mut self, air: &mut Air, phase: Phase) {
        match phase {
            Phase::Busy => {
                let rest = u64::from(1 + air.below(self.rest));
                air.wake(self.me, rest);
                let (op, content) = self.draw(air);
                self.ask(air, op, content);
            }
            Phase::Calm => air.wake(self.me, 1_000),
            Phase::Leaving => {
                let n = self.left.map_or(0, |n| n + 1);
                self.left = Some(n);
                if n < HOSTS {
                    air.wake(self.me, 500);
                    let op = Op::Deregister {
                        service: persistent(),
                        key: host(n),
                        ephemeral: false,
                    };
                    self.ask(air, op, None);
                }
            }
        }
    }

    fn ask(&mut self, air: &mut Air, op: Op, content: Option<Vec<u8>>) {
        let ip: Arc<str> = Arc::from("10.8.0.1");
        air.ask(self.me, &ip, op, content);
    }

    fn draw(&mut self, air: &mut Air) -> (Op, Option<Vec<u8>>) {
        let n = air.below(self.sizes.configs);
        let op = match air.below(100) {
            0..50 => {
                let text = content(air.below(CONTENTS)).into_bytes();
                let cas = air.chance(200);
                let cas = cas.then(|| {
                    let guess = content(air.below(CONTENTS));
                    Md5::of(guess.as_bytes()).hex().into()
                });
                let gray = air.chance(200).then(|| GrayRule::Beta {
                    ips: format!("10.3.0.{},10.4.0.{}", air.below(4), air.below(4)).into(),
                });
                let publish = publish(n, &text, gray, cas);
                return (publish, Some(text));
            }
            50..62 => Op::RemoveConfig {
                key: config(n),
                gray: air.chance(300).then(|| "beta".into()),
            },
            62..80 => {
                let key = host(air.below(HOSTS));
                let service = persistent();
                if air.chance(400) {
                    Op::Deregister {
                        service,
                        key,
                        ephemeral: false,
                    }
                } else {
                    let instance = instance(&key, air.below(1_000), false);
                    Op::Register { service, instance }
                }
            }
            80..90 => {
                let id: Arc<str> = format!("namespace-{}", air.below(NAMESPACES)).into();
                let desc: Arc<str> = format!("{}", air.below(1_000)).into();
                let name = Arc::from("n");
                match air.below(3) {
                    0 => Op::CreateNamespace { id, name, desc },
                    1 => Op::UpdateNamespace { id, name, desc },
                    _ => Op::DeleteNamespace { id },
                }
            }
            _ => Op::Lock {
                key: format!("lock-{}", air.below(LOCKS)).into(),
                kind: Arc::from("NACOS_LOCK"),
                acquire: air.chance(600),
                expires_ms: *air.one(&[500, 20_000, 1_800_000]),
            },
        };
        (op, None)
    }
}

/// A config's publication.
pub(in crate::sim) fn publish(
    n: u32,
    content: &[u8],
    gray: Option<GrayRule>,
    cas: Option<Arc<str>>,
) -> Op {
    let blank: Arc<str> = Arc::from("");
    Op::Publish(Box::new(Publish {
        key: config(n),
        content: ContentRef {
            index: 0,
            md5: Md5::of(content),
            bytes: u32::try_from(content.len()).expect("contents are small"),
        },
        kind: ConfigType::Text,
        app: blank.clone(),
        desc: blank.clone(),
        usage: blank.clone(),
        effect: blank.clone(),
        schema: blank.clone(),
        tags: blank.clone(),
        encrypted_data_key: blank.clone(),
        gray,
        cas,
        create_only: false,
        user: blank.clone(),
        ip: blank,
    }))
}
