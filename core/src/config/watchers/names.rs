//! Configs that somebody watches, each under a small number for as long as somebody does.

use alloc::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::super::{Configs, slots::Slots};
use crate::model::{ConfigItem, ConfigKey};

/// A config that is watched.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watched {
    pub(super) key: ConfigKey,
    /// As its watchers know it.
    pub(super) item: Option<Arc<ConfigItem>>,
    watchers: u32,
}

/// Watched configs by number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Names {
    slots: Slots<Watched>,
    numbers: BTreeMap<ConfigKey, u32>,
}

impl Names {
    /// The number of a config; a new one has no watcher yet and must get one at once.
    pub(super) fn intern(&mut self, key: &ConfigKey, configs: &Configs) -> u32 {
        if let Some(number) = self.find(key) {
            return number;
        }
        let watched = Watched {
            key: key.clone(),
            item: configs.get(key).cloned(),
            watchers: 0,
        };
        let number = self.slots.insert(watched);
        self.numbers.insert(key.clone(), number);
        number
    }

    pub(super) fn find(&self, key: &ConfigKey) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn get(&self, number: u32) -> Option<&Watched> {
        self.slots.get(number)
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut Watched> {
        self.slots.get_mut(number)
    }

    /// One watcher more.
    pub(super) fn watch(&mut self, number: u32) {
        if let Some(watched) = self.slots.get_mut(number) {
            watched.watchers += 1;
        }
    }

    /// One watcher less; after the last the config is forgotten.
    pub(super) fn unwatch(&mut self, number: u32) {
        let Some(watched) = self.slots.get_mut(number) else {
            return;
        };
        watched.watchers -= 1;
        if watched.watchers == 0
            && let Some(watched) = self.slots.remove(number)
        {
            self.numbers.remove(&watched.key);
        }
    }

    /// Shares what equals the configs' own with them.
    pub(super) fn share(&mut self, configs: &Configs) {
        for watched in self.slots.iter_mut() {
            if let Some(item) = configs.get(&watched.key)
                && watched.item.as_ref() == Some(item)
            {
                watched.item = Some(item.clone());
            }
        }
    }

    /// How many configs are watched.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}
