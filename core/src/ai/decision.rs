//! How a request that reads several configs and changes several things is said without doing any of it.
//!
//! A [`Rule`] is a pure function of what is stored. What it needs and has not got yet, it names ([`Stop::Need`]), and it
//! is asked again with that; in the end it names steps and the answer. Every config is written or removed under the
//! condition that it still is what the rule saw; if that fails, what was done is undone and the rule is asked afresh. So
//! a change of several configs, of which each is an entry of the log, is never mixed with another.

use alloc::{boxed::Box, collections::BTreeMap, sync::Arc, vec::Vec};

use super::{Fault, Object};
use crate::{
    model::{ConfigKey, ConfigVersion},
    node::{op::Op, reply::Refusal},
    view::Reading,
};

/// A config that was read.
#[derive(Clone, Debug)]
pub struct Document {
    /// Id of the config, which changes if it is removed and made again.
    pub id: u64,
    /// Its version.
    pub version: ConfigVersion,
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// The content as a JSON object; empty if it is none.
    pub json: Object,
}

impl Document {
    /// What was read of a config.
    #[must_use]
    pub fn new(id: u64, version: ConfigVersion, bytes: Arc<[u8]>) -> Self {
        let json = serde_json::from_slice(&bytes).unwrap_or_default();
        Self {
            id,
            version,
            bytes,
            json,
        }
    }
}

/// All that a rule decides by.
pub struct Known<'a> {
    view: &'a dyn Reading,
    loaded: &'a BTreeMap<ConfigKey, Document>,
}

impl<'a> Known<'a> {
    /// The view, with the contents that were read so far.
    #[must_use]
    pub fn new(view: &'a dyn Reading, loaded: &'a BTreeMap<ConfigKey, Document>) -> Self {
        Self { view, loaded }
    }

    /// The view.
    #[must_use]
    pub fn view(&self) -> &'a dyn Reading {
        self.view
    }

    /// A config; none if there is none.
    ///
    /// # Errors
    /// [`Stop::Need`]
    pub fn get(&self, key: &ConfigKey) -> Result<Option<&'a Document>, Stop> {
        self.need(core::slice::from_ref(key))?;
        let exists = self.view.config(key).is_some_and(|c| c.formal.is_some());
        Ok(self.loaded.get(key).filter(|_| exists))
    }

    /// Has several configs read at once.
    ///
    /// # Errors
    /// [`Stop::Need`]
    pub fn need(&self, keys: &[ConfigKey]) -> Result<(), Stop> {
        let needed = |key: &&ConfigKey| {
            let item = self.view.config(key);
            let Some(version) = item.as_ref().and_then(|item| item.formal.as_ref()) else {
                return false;
            };
            let loaded = self.loaded.get(key);
            // Content and all that goes with it is that of one entry of the log.
            loaded.is_none_or(|d| d.version.content.index != version.content.index)
        };
        let needed: Vec<ConfigKey> = keys.iter().filter(needed).cloned().collect();
        if needed.is_empty() {
            Ok(())
        } else {
            Err(Stop::Need(needed))
        }
    }
}

/// Why a rule decides nothing.
#[derive(Debug)]
pub enum Stop {
    /// It must know the contents of these configs, which exist.
    Need(Vec<ConfigKey>),
    /// The request is refused.
    Fault(Fault),
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// Asks the view once more.
pub type Check = Box<dyn Fn(&dyn Reading) -> bool + Send>;

/// Holds as long as none of these configs is there.
#[must_use]
pub fn absent(keys: Vec<ConfigKey>) -> Check {
    Box::new(move |view| {
        let mut there = keys.iter().filter_map(|key| view.config(key));
        there.all(|item| item.formal.is_none())
    })
}

/// One step of a change.
pub enum Step {
    /// Writes a config, if it still is what the rule saw (or still is not there).
    Write(Write),
    /// Removes a config, if it still is what the rule saw.
    Remove(ConfigKey),
    /// Any other operation.
    Do {
        /// Which.
        op: Op,
        /// What takes it back if a later step fails.
        undo: Option<Op>,
        /// Refusals that are well.
        well: fn(&Refusal) -> bool,
    },
    /// Goes on only if this holds; else all is undone and the rule asked afresh.
    Holds(Check),
}

impl core::fmt::Debug for Step {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Write(write) => write.fmt(f),
            Self::Remove(key) => write!(f, "Remove({key})"),
            Self::Do { op, .. } => op.fmt(f),
            Self::Holds(_) => f.write_str("Holds"),
        }
    }
}

/// A config to be written: JSON, of the user `nacos`.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// Which.
    pub key: ConfigKey,
    /// Its content.
    pub content: Vec<u8>,
    /// Its application.
    pub app: Arc<str>,
    /// Its tags.
    pub tags: Arc<str>,
}

impl Write {
    /// Without tags.
    #[must_use]
    pub fn new(key: ConfigKey, content: &Object, app: &str) -> Self {
        let content = serde_json::to_vec(content).expect("a JSON object is JSON");
        Self {
            key,
            content,
            app: app.into(),
            tags: Arc::default(),
        }
    }

    /// With these tags.
    #[must_use]
    pub fn tagged(self, tags: &str) -> Self {
        Self {
            tags: tags.into(),
            ..self
        }
    }
}

/// What a rule comes to.
#[derive(Debug)]
pub struct Decision<T> {
    /// What is to be done, in this order.
    pub steps: Vec<Step>,
    /// What is answered then.
    pub answer: T,
}

impl<T> Decision<T> {
    /// An answer with nothing to be done for it.
    #[must_use]
    pub fn answer(answer: T) -> Self {
        Self {
            steps: Vec::new(),
            answer,
        }
    }
}

/// What is decided, or why not.
pub type Decided<T> = Result<Decision<T>, Stop>;

/// A request as a function of what is stored. It reads every config that it writes.
pub type Rule<T> = Box<dyn Fn(&Known<'_>) -> Decided<T> + Send>;
