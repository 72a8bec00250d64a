//! A service as readers see it.

use alloc::{boxed::Box, sync::Arc, vec::Vec};
use core::{
    cmp,
    sync::atomic::{AtomicU64, Ordering},
};

use once_cell::race::OnceBox;

use super::delta::{InstanceChange, ServiceState};
use crate::{
    model::{Instance, InstanceKey, KeyHead, Selector, ServiceKey, ServiceMetadata},
    node::output::{NameForm, RenderClass},
};

/// Most instances of one chunk: a change copies at most so many pointers, and one more for each chunk.
const CHUNK: usize = 64;

/// Most renderings that one revision of a service keeps; further classes are rendered for each reader.
const RENDERINGS: usize = 32;

/// A service with its instances, in the order of their keys.
#[derive(Debug)]
pub struct ServiceView {
    /// Which.
    pub key: ServiceKey,
    state: ServiceState,
    /// Instances by key, in pieces.
    chunks: Vec<Chunk>,
    len: usize,
    /// Last `lastRefTime` given out. Shared by the revisions of one service, because it must never repeat.
    last_ref: Arc<AtomicU64>,
    renderings: OnceBox<Rendering>,
}

/// An instance beside the beginning of its key, which mostly spares a search the look at it.
#[derive(Clone, Debug)]
struct Entry {
    head: KeyHead,
    instance: Arc<Instance>,
}

impl Entry {
    fn new(instance: &Arc<Instance>) -> Self {
        Self {
            head: instance.key.head(),
            instance: instance.clone(),
        }
    }

    /// How its key compares with one of this head.
    fn compare(&self, head: KeyHead, key: &InstanceKey) -> cmp::Ordering {
        let heads = self.head.cmp(&head);
        heads.then_with(|| self.instance.key.cmp(key))
    }
}

/// Neighbours in the order of their keys: never none, never more than [`CHUNK`].
#[derive(Clone, Debug)]
struct Chunk {
    /// That of the first.
    head: KeyHead,
    entries: Arc<Vec<Entry>>,
}

impl Chunk {
    fn new(entries: Vec<Entry>) -> Self {
        Self {
            head: entries[0].head,
            entries: Arc::new(entries),
        }
    }

    /// Changes the entries, of which one stays at least.
    fn change<R>(&mut self, change: impl FnOnce(&mut Vec<Entry>) -> R) -> R {
        let entries = Arc::make_mut(&mut self.entries);
        let result = change(entries);
        self.head = entries[0].head;
        result
    }

    /// How its first key compares with one of this head.
    fn compare(&self, head: KeyHead, key: &InstanceKey) -> cmp::Ordering {
        let heads = self.head.cmp(&head);
        heads.then_with(|| self.entries[0].instance.key.cmp(key))
    }
}

/// The hosts of a service as JSON for one class of readers.
#[derive(Debug)]
pub struct RenderedHosts {
    /// The JSON array.
    pub json: Vec<u8>,
    /// `reachProtectionThreshold`.
    pub protected: bool,
}

/// One rendering that this revision keeps; a list that only grows, so that readers need no lock.
#[derive(Debug)]
struct Rendering {
    clusters: Arc<str>,
    healthy_only: bool,
    bare_names: bool,
    hosts: Arc<RenderedHosts>,
    next: OnceBox<Rendering>,
}

impl ServiceView {
    /// A service nobody has registered with yet.
    #[must_use]
    pub fn new(key: ServiceKey, state: ServiceState) -> Self {
        let last_ref = Arc::new(AtomicU64::new(0));
        Self {
            key,
            state,
            chunks: Vec::new(),
            len: 0,
            last_ref,
            renderings: OnceBox::new(),
        }
    }

    /// This service after a change; what did not change is shared.
    #[must_use]
    pub fn changed(&self, state: ServiceState, changes: &[InstanceChange]) -> Self {
        let mut new = Self {
            key: self.key.clone(),
            state: state.clone(),
            chunks: self.chunks.clone(),
            len: self.len,
            last_ref: self.last_ref.clone(),
            renderings: OnceBox::new(),
        };
        new.change(state, changes);
        new
    }

    /// Changes it in place: for who alone has it. Chunks that an older revision shares are copied all the same.
    pub fn change(&mut self, state: ServiceState, changes: &[InstanceChange]) {
        self.state = state;
        self.renderings = OnceBox::new();
        for change in changes {
            match change {
                InstanceChange::Put(instance) => self.put(instance),
                InstanceChange::Remove(key) => self.remove(key),
            }
        }
    }

    /// The chunk where an instance of this key is or would be put, and where in it; no chunk if there is none.
    fn search(&self, key: &InstanceKey) -> (usize, Result<usize, usize>) {
        let head = key.head();
        let after = self
            .chunks
            .partition_point(|chunk| chunk.compare(head, key).is_le());
        let at = after.saturating_sub(1);
        let within = self.chunks.get(at).map_or(Err(0), |chunk| {
            let entries = &chunk.entries;
            entries.binary_search_by(|entry| entry.compare(head, key))
        });
        (at, within)
    }

    fn put(&mut self, instance: &Arc<Instance>) {
        let (at, place) = self.search(&instance.key);
        let entry = Entry::new(instance);
        let Some(chunk) = self.chunks.get_mut(at) else {
            self.chunks.push(Chunk::new(Vec::from([entry])));
            self.len += 1;
            return;
        };
        let tail = chunk.change(|entries| match place {
            Ok(place) => {
                entries[place] = entry;
                None
            }
            Err(place) => {
                self.len += 1;
                entries.insert(place, entry);
                // What comes in ascending order fills its chunks; else both halves have room.
                let cut = if place == CHUNK { CHUNK } else { CHUNK / 2 };
                (entries.len() > CHUNK).then(|| entries.split_off(cut))
            }
        });
        if let Some(tail) = tail {
            self.chunks.insert(at + 1, Chunk::new(tail));
        }
    }

    fn remove(&mut self, key: &InstanceKey) {
        let (at, Ok(place)) = self.search(key) else {
            return;
        };
        let chunk = &mut self.chunks[at];
        self.len -= 1;
        if chunk.entries.len() == 1 {
            self.chunks.remove(at);
        } else {
            chunk.change(|entries| entries.remove(place));
        }
    }

    /// Whether its instances are ephemeral.
    #[must_use]
    pub fn ephemeral(&self) -> bool {
        self.state.ephemeral
    }

    /// Its metadata; a service made by a registration alone has none.
    #[must_use]
    pub fn metadata(&self) -> Option<&ServiceMetadata> {
        self.state.metadata.as_deref()
    }

    /// Whether what a consumer is shown depends on its address.
    #[must_use]
    pub fn selects_by_label(&self) -> bool {
        self.metadata()
            .is_some_and(|m| matches!(m.selector, Selector::Label { .. }))
    }

    /// Grows with every change.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.state.revision
    }

    /// All instances, in the order of their keys.
    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        let entries = self.chunks.iter().flat_map(|chunk| chunk.entries.iter());
        entries.map(|entry| &entry.instance)
    }

    /// How many instances there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One instance.
    #[must_use]
    pub fn instance(&self, key: &InstanceKey) -> Option<&Arc<Instance>> {
        let (at, Ok(place)) = self.search(key) else {
            return None;
        };
        Some(&self.chunks[at].entries[place].instance)
    }

    /// A `lastRefTime` for an answer built at `wall`: strictly growing per service, also within a millisecond
    /// (clients drop what does not grow).
    #[must_use]
    pub fn next_ref_time(&self, wall: u64) -> u64 {
        let next = |last: u64| wall.max(last + 1);
        let last = self
            .last_ref
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| {
                Some(next(last))
            });
        next(last.unwrap_or_default())
    }

    /// The hosts for a class of readers: as an earlier reader of this revision has rendered them, or rendered now.
    ///
    /// What depends on the consumer's address is never kept: labels change without the service.
    #[must_use]
    pub fn rendered(
        &self,
        class: &RenderClass,
        render: impl FnOnce() -> RenderedHosts,
    ) -> Arc<RenderedHosts> {
        if self.selects_by_label() {
            return Arc::new(render());
        }
        let bare_names = class.names == NameForm::GroupedOld;
        let mut slot = &self.renderings;
        let mut made: Option<Arc<RenderedHosts>> = None;
        let mut render = Some(render);
        for _ in 0..RENDERINGS {
            // Another reader may win a slot, with another class: then the next one is tried.
            let kept = match slot.get() {
                Some(kept) => kept,
                None => {
                    let hosts = made
                        .get_or_insert_with(|| {
                            Arc::new(render.take().expect("rendered once: kept in `made`")())
                        })
                        .clone();
                    let new = Rendering {
                        clusters: class.clusters.clone(),
                        healthy_only: class.healthy_only,
                        bare_names,
                        hosts,
                        next: OnceBox::new(),
                    };
                    slot.get_or_init(|| Box::new(new))
                }
            };
            if kept.bare_names == bare_names
                && kept.healthy_only == class.healthy_only
                && kept.clusters == class.clusters
            {
                return kept.hosts.clone();
            }
            slot = &kept.next;
        }
        made.unwrap_or_else(|| Arc::new(render.take().expect("rendered once: kept in `made`")()))
    }
}

#[cfg(test)]
mod tests {
    use alloc::{collections::BTreeMap, format};

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Metadata, Weight};

    fn instance(n: u16, healthy: bool) -> Arc<Instance> {
        Arc::new(Instance {
            key: InstanceKey::new("10.0.0.1", n, ""),
            weight: Weight::default(),
            healthy,
            enabled: true,
            ephemeral: true,
            metadata: Metadata::default(),
            instance_id: "".into(),
        })
    }

    fn state(revision: u64) -> ServiceState {
        ServiceState {
            ephemeral: true,
            metadata: None,
            revision,
        }
    }

    fn service() -> ServiceView {
        ServiceView::new(ServiceKey::new("", "", "s"), state(0))
    }

    #[test]
    fn a_change_in_place_leaves_older_revisions_as_they_were() {
        let key = InstanceKey::new("10.0.0.1", 1, "");
        let old = service().changed(state(1), &[InstanceChange::Put(instance(1, true))]);
        let mut new = old.changed(state(2), &[]);
        let render = |text: &'static str| {
            move || RenderedHosts {
                json: text.into(),
                protected: false,
            }
        };
        let class = RenderClass::default();
        assert_eq!(new.rendered(&class, render("before")).json, b"before");
        new.change(state(3), &[InstanceChange::Put(instance(1, false))]);
        assert!(old.instance(&key).unwrap().healthy);
        assert!(!new.instance(&key).unwrap().healthy);
        assert_eq!((old.revision(), new.revision()), (1, 3));
        assert_eq!(new.rendered(&class, render("after")).json, b"after");
    }

    #[test]
    fn a_change_copies_one_chunk() {
        let puts: Vec<_> = (0..1000)
            .map(|n| InstanceChange::Put(instance(n, true)))
            .collect();
        let old = service().changed(state(1), &puts);
        assert_eq!(
            (old.len(), old.chunks.len()),
            (1000, 1000usize.div_ceil(CHUNK))
        );
        let new = old.changed(state(2), &[InstanceChange::Put(instance(500, false))]);
        let shared = old
            .chunks
            .iter()
            .zip(&new.chunks)
            .filter(|(a, b)| Arc::ptr_eq(&a.entries, &b.entries))
            .count();
        assert_eq!(shared, old.chunks.len() - 1);
        assert!(
            !new.instance(&InstanceKey::new("10.0.0.1", 500, ""))
                .unwrap()
                .healthy
        );
        assert!(
            old.instance(&InstanceKey::new("10.0.0.1", 500, ""))
                .unwrap()
                .healthy
        );
    }

    #[test]
    fn ref_times_grow_over_revisions() {
        let old = service();
        assert_eq!(
            (
                old.next_ref_time(7),
                old.next_ref_time(7),
                old.next_ref_time(3)
            ),
            (7, 8, 9)
        );
        assert_eq!(old.changed(state(1), &[]).next_ref_time(8), 10);
    }

    #[test]
    fn a_rendering_is_kept_for_its_class_alone() {
        let service = service();
        let class = |clusters: &str| RenderClass {
            clusters: clusters.into(),
            ..RenderClass::default()
        };
        let hosts = |json: &str| RenderedHosts {
            json: json.into(),
            protected: false,
        };
        assert_eq!(service.rendered(&class("a"), || hosts("1")).json, b"1");
        assert_eq!(service.rendered(&class("b"), || hosts("2")).json, b"2");
        assert_eq!(service.rendered(&class("a"), || unreachable!()).json, b"1");
        assert_eq!(service.rendered(&class("b"), || unreachable!()).json, b"2");
        let grouped = RenderClass {
            names: NameForm::Grouped,
            ..class("a")
        };
        assert_eq!(
            service.rendered(&grouped, || unreachable!()).json,
            b"1",
            "hosts spell names alike"
        );
        for n in 0..2 * RENDERINGS {
            let text = format!("x{n}");
            assert_eq!(
                service.rendered(&class(&text), || hosts(&text)).json,
                text.as_bytes()
            );
        }
        assert_eq!(
            service
                .changed(state(1), &[])
                .rendered(&class("a"), || hosts("3"))
                .json,
            b"3"
        );
    }

    proptest! {
        #[test]
        fn chunks_hold_what_a_map_holds(changes in prop::collection::vec((0_u16..200, any::<bool>(), any::<bool>()), 0..600), cut in 0_usize..600) {
            let mut map = BTreeMap::new();
            let changes: Vec<_> = changes.into_iter().map(|(n, put, healthy)| {
                if put { InstanceChange::Put(instance(n, healthy)) } else { InstanceChange::Remove(InstanceKey::new("10.0.0.1", n, "")) }
            }).collect();
            for change in &changes {
                match change {
                    InstanceChange::Put(i) => drop(map.insert(i.key.clone(), i.clone())),
                    InstanceChange::Remove(key) => drop(map.remove(key)),
                }
            }
            let (first, second) = changes.split_at(cut.min(changes.len()));
            let view = service().changed(state(1), first).changed(state(2), second);
            prop_assert_eq!(view.len(), map.len());
            prop_assert!(view.instances().eq(map.values()));
            prop_assert!(view.chunks.iter().all(|c| (1..=CHUNK).contains(&c.entries.len()) && c.head == c.entries[0].head));
            for n in 0..200 {
                let key = InstanceKey::new("10.0.0.1", n, "");
                prop_assert_eq!(view.instance(&key), map.get(&key));
            }
        }
    }
}
