//! Power cuts: the server's own core, consensus and writers over a simulated disk that loses and tears what was not
//! synced. Whatever was acknowledged is there after the next start, whole; the rest is there in order or not at all.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use nacrite::check::CoreRows;
use nacrite_core::{
    model::{
        ConfigKey, ConfigType, ContentRef, Instance, InstanceKey, Md5, Metadata, ServiceKey, Weight,
    },
    node::{
        op::{Op, Publish},
        reply::Reply,
    },
    view::Reading,
};
use nacrite_storage::{HardState, LOG_FILE, LogWrite, STATE_FILE, SimDisk, Store, check_disk};
use nacrite_tests::{
    member::{Asked, Member, settings},
    sample::{Random, again, is_full, seeds, sized},
};

/// What exists, by name; a content or what tells two versions apart.
type Things = BTreeMap<String, Vec<u8>>;

/// One request: what it makes of which thing.
#[derive(Clone, Debug)]
struct Wish {
    thing: String,
    becomes: Option<Vec<u8>>,
}

const CONFIGS: u64 = 6;
const SERVICES: u64 = 3;
const HOSTS: u64 = 3;
const NAMESPACES: u64 = 4;

fn config(n: u64) -> ConfigKey {
    ConfigKey::new("", "DEFAULT_GROUP", &format!("config-{n}"))
}

fn service(n: u64) -> ServiceKey {
    ServiceKey::new("", "DEFAULT_GROUP", &format!("service-{n}"))
}

fn host(n: u64) -> InstanceKey {
    InstanceKey::new(&format!("10.0.0.{n}"), 8_080, "")
}

/// A content of up to a few pages, different each time.
fn content(random: &mut Random) -> Vec<u8> {
    let length = match random.below(4) {
        0 => random.below(40),
        1 => random.below(600),
        _ => random.below(9_000),
    };
    let mark = random.any();
    let mut bytes = format!("{mark:x}:").into_bytes();
    bytes.extend((0..length).map(|n| b'a' + ((mark >> (n % 48)) % 26) as u8));
    bytes
}

fn publish(key: ConfigKey, content: &[u8]) -> Op {
    Op::Publish(Box::new(Publish {
        key,
        content: ContentRef {
            index: 0,
            md5: Md5::of(content),
            bytes: u32::try_from(content.len()).expect("contents are small"),
        },
        kind: ConfigType::Text,
        app: "".into(),
        desc: "".into(),
        usage: "".into(),
        effect: "".into(),
        schema: "".into(),
        tags: "a,b".into(),
        encrypted_data_key: "".into(),
        gray: None,
        cas: None,
        create_only: false,
        user: "".into(),
        ip: "10.0.0.1".into(),
    }))
}

/// Draws a request. Except for publishes, nothing is asked for a thing that another request is under way for: what
/// would come of it may be decided before that one is applied.
fn draw(
    random: &mut Random,
    things: &Things,
    busy: &BTreeMap<String, usize>,
) -> Option<(Op, Option<Vec<u8>>, Wish)> {
    match random.below(10) {
        0..=4 => {
            let n = random.below(CONFIGS);
            let thing = format!("config/{n}");
            // A removal under way would be overtaken.
            if busy.contains_key(&thing) && !things.contains_key(&thing) {
                return None;
            }
            let content = content(random);
            let wish = Wish {
                thing,
                becomes: Some(content.clone()),
            };
            Some((publish(config(n), &content), Some(content), wish))
        }
        5 => {
            let n = random.below(CONFIGS);
            let wish = Wish {
                thing: format!("config/{n}"),
                becomes: None,
            };
            let op = Op::RemoveConfig {
                key: config(n),
                gray: None,
            };
            (!busy.contains_key(&wish.thing)).then_some((op, None, wish))
        }
        6 | 7 => {
            let (s, h) = (random.below(SERVICES), random.below(HOSTS));
            let thing = format!("instance/{s}/{h}");
            if busy.contains_key(&thing) {
                return None;
            }
            if things.contains_key(&thing) && random.once_in(2) {
                let op = Op::Deregister {
                    service: service(s),
                    key: host(h),
                    ephemeral: false,
                };
                let wish = Wish {
                    thing,
                    becomes: None,
                };
                return Some((op, None, wish));
            }
            let version = format!("{:x}", random.any());
            let instance = Instance {
                key: host(h),
                weight: Weight::default(),
                healthy: true,
                enabled: true,
                ephemeral: false,
                metadata: Metadata::from_iter([("version", version.clone())]),
                instance_id: "".into(),
            };
            let op = Op::Register {
                service: service(s),
                instance,
            };
            let wish = Wish {
                thing,
                becomes: Some(version.into_bytes()),
            };
            Some((op, None, wish))
        }
        _ => {
            let n = random.below(NAMESPACES);
            let thing = format!("namespace/{n}");
            if busy.contains_key(&thing) {
                return None;
            }
            let id: Arc<str> = format!("namespace-{n}").into();
            let desc = format!("{:x}", random.any());
            let (op, becomes) = match (things.contains_key(&thing), random.once_in(3)) {
                (false, _) => (
                    Op::CreateNamespace {
                        id,
                        name: "n".into(),
                        desc: desc.as_str().into(),
                    },
                    Some(desc),
                ),
                (true, false) => (
                    Op::UpdateNamespace {
                        id,
                        name: "n".into(),
                        desc: desc.as_str().into(),
                    },
                    Some(desc),
                ),
                (true, true) => (Op::DeleteNamespace { id }, None),
            };
            let becomes = becomes.map(String::into_bytes);
            Some((op, None, Wish { thing, becomes }))
        }
    }
}

/// What a run has asked for, in order, and how much of it was acknowledged.
#[derive(Default)]
struct Story {
    wishes: Vec<Wish>,
    /// All before this position are known to be durable: one of them was acknowledged, and they share one log.
    acknowledged: usize,
}

impl Story {
    /// What exists after the first so many requests.
    fn after(&self, count: usize) -> Things {
        let mut things = Things::new();
        for wish in &self.wishes[..count] {
            match &wish.becomes {
                Some(value) => things.insert(wish.thing.clone(), value.clone()),
                None => things.remove(&wish.thing),
            };
        }
        things
    }
}

/// Works with a member until it is done or its disk fails.
fn work(disk: &SimDisk, seed: u64, steps: u64, story: &mut Story) -> Result<(), String> {
    let mut random = Random::new(seed);
    let mut member = Member::open(disk, seed).map_err(|e| e.to_string())?;
    member.start()?;
    let mut things = story.after(story.wishes.len());
    let mut busy: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked: Vec<(usize, Asked)> = Vec::new();
    for _ in 0..steps {
        match random.below(10) {
            0..=5 => {
                if let Some((op, content, wish)) = draw(&mut random, &things, &busy) {
                    match &wish.becomes {
                        Some(value) => things.insert(wish.thing.clone(), value.clone()),
                        None => things.remove(&wish.thing),
                    };
                    *busy.entry(wish.thing.clone()).or_default() += 1;
                    let op = member.ask(op, content.as_deref());
                    asked.push((story.wishes.len(), op));
                    story.wishes.push(wish);
                }
            }
            6 | 7 => member.turn_log()?,
            _ => {
                let (most, due) = (1 + random.below(6) as usize, random.once_in(2));
                member.turn_state(most, due)?;
            }
        }
        collect(&mut asked, &mut busy, story);
    }
    member.turn_log()?;
    collect(&mut asked, &mut busy, story);
    assert!(asked.is_empty(), "a synced request is not answered");
    member.turn_state(usize::MAX, true)
}

/// Takes the answers that are there.
fn collect(asked: &mut Vec<(usize, Asked)>, busy: &mut BTreeMap<String, usize>, story: &mut Story) {
    asked.retain_mut(|(at, asked)| {
        let Some(answer) = asked.answer() else {
            return true;
        };
        let wish = &story.wishes[*at];
        assert!(answer.is_ok(), "{wish:?}: {answer:?}");
        // A removal of what is not there needs no entry, and says nothing about those before it.
        if answer != Ok(Reply::Removed(false)) {
            story.acknowledged = story.acknowledged.max(*at + 1);
        }
        if let Some(count) = busy.get_mut(&wish.thing) {
            *count -= 1;
            if *count == 0 {
                busy.remove(&wish.thing);
            }
        }
        false
    });
}

/// Everything that a member shows; contents are compared with their MD5s.
fn shown(member: &Member) -> Things {
    let views = &*member.drive().views;
    let mut things = Things::new();
    for n in 0..CONFIGS {
        if let Some(item) = views.config(&config(n)) {
            let at = item
                .formal
                .as_ref()
                .expect("no gray version is published here")
                .content;
            let bytes = member.content(at.index).expect("the store can be read");
            let bytes = bytes.unwrap_or_else(|| panic!("config-{n} has lost its content"));
            assert_eq!(Md5::of(&bytes), at.md5, "config-{n} has another content");
            things.insert(format!("config/{n}"), bytes.to_vec());
        }
    }
    assert_eq!(
        views.config_count("public"),
        things.len(),
        "there is a config that nobody published"
    );
    for s in 0..SERVICES {
        let Some(view) = views.service(&service(s)) else {
            continue;
        };
        for h in 0..HOSTS {
            if let Some(instance) = view.instance(&host(h)) {
                let version = instance.metadata.get("version").unwrap_or_default();
                things.insert(format!("instance/{s}/{h}"), version.into());
            }
        }
    }
    for n in 0..NAMESPACES {
        if let Some(item) = views.namespace(&format!("namespace-{n}")) {
            things.insert(format!("namespace/{n}"), item.desc.as_bytes().to_vec());
        }
    }
    things
}

/// Starts from what a cut left: everything acknowledged is there, what else is there came in order, and the member
/// works on.
fn recovers(disk: &SimDisk, seed: u64, story: &Story) -> Result<(), String> {
    let mut member = Member::open(disk, seed).map_err(|e| format!("it does not open: {e}"))?;
    member.start()?;
    let shown = shown(&member);
    let fits = (story.acknowledged..=story.wishes.len()).any(|n| story.after(n) == shown);
    if !fits {
        let wanted = story.after(story.acknowledged);
        let differs = |things: &Things, other: &Things| -> Vec<String> {
            let other = |k: &String| other.get(k).cloned();
            let all = things.iter().filter(|(k, v)| other(k).as_ref() != Some(v));
            all.map(|(k, _)| k.clone()).collect()
        };
        return Err(format!(
            "{} of {} requests were acknowledged; missing or other: {:?}; too much or other: {:?}",
            story.acknowledged,
            story.wishes.len(),
            differs(&wanted, &shown),
            differs(&shown, &wanted),
        ));
    }
    let last = b"after the cut".as_slice();
    let mut asked = member.ask(publish(config(0), last), Some(last));
    member.turn_log()?;
    if !matches!(asked.answer(), Some(Ok(Reply::Published { .. }))) {
        return Err("it takes no writes after the start".to_owned());
    }
    member.turn_state(usize::MAX, true)?;
    drop((asked, member));
    let report = check_disk(disk, &CoreRows).map_err(|e| e.to_string())?;
    if report.is_sound() {
        Ok(())
    } else {
        Err(format!("check-data finds: {report}"))
    }
}

/// Says which seed failed, also when it is a panic.
fn naming_the_seed<R>(test: &str, seed: u64, work: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        eprintln!("again: {}", again("powercut", test, seed));
        std::panic::resume_unwind(panic)
    })
}

#[test]
fn the_same_seed_writes_the_same_bytes() {
    let images = || {
        let disk = SimDisk::new();
        work(&disk, 7, 120, &mut Story::default()).expect("this disk has no faults");
        [LOG_FILE, STATE_FILE].map(|name| Md5::of(&disk.image(name)))
    };
    assert_eq!(images(), images());
}

#[test]
fn every_sync_boundary() {
    let (steps, cuts) = sized((90, 2), (90, 4));
    let (mut boundaries, mut starts, mut acknowledged) = (0, 0, 0);
    for seed in seeds(3, 30) {
        naming_the_seed("every_sync_boundary", seed, || {
            let whole = SimDisk::new();
            let mut story = Story::default();
            work(&whole, seed, steps, &mut story).expect("this disk has no faults");
            acknowledged += story.acknowledged;
            let (syncs, _) = whole.counts();
            for boundary in 0..syncs {
                let disk = SimDisk::new();
                disk.fail_after_syncs(boundary);
                let mut story = Story::default();
                let ended = work(&disk, seed, steps, &mut story);
                // The last syncs are those of closing, which fails unheard.
                assert!(
                    ended.is_err() || boundary + 10 > syncs,
                    "boundary {boundary} of {syncs} was not reached"
                );
                boundaries += 1;
                for n in 0..cuts {
                    let at = seed << 32 | boundary << 8 | n;
                    let mut left = disk.cut(at);
                    // Sometimes the power goes again while the member starts and works.
                    if n % 2 == 1 {
                        left.fail_after_syncs(boundary % 5);
                        let more = 20;
                        // It may be through before the disk fails.
                        let _ended = work(&left, at, more, &mut story);
                        left = left.cut(at + 1);
                        starts += 1;
                    }
                    recovers(&left, at, &story)
                        .unwrap_or_else(|e| panic!("sync {boundary} of {syncs}, cut {n}: {e}"));
                    starts += 1;
                }
            }
        });
    }
    println!("{boundaries} sync boundaries, {starts} starts, {acknowledged} acknowledged writes");
}

/// A disk with these two files.
fn disk_of(log: &[u8], state: &[u8]) -> SimDisk {
    let disk = SimDisk::new();
    disk.put(LOG_FILE, log.to_vec());
    disk.put(STATE_FILE, state.to_vec());
    disk
}

#[test]
fn every_crossing_of_log_state_and_commit() {
    for seed in seeds(2, 10) {
        naming_the_seed("every_crossing_of_log_state_and_commit", seed, || {
            crossings(seed);
        });
    }
}

fn crossings(seed: u64) {
    let disk = SimDisk::new();
    let mut story = Story::default();
    // Images of both files, each with how many requests had been made when it was taken.
    let mut images = Vec::new();
    for round in 0..7 {
        work(&disk, seed + round, 40, &mut story).expect("this disk has no faults");
        images.push((
            story.wishes.len(),
            disk.image(LOG_FILE),
            disk.image(STATE_FILE),
        ));
    }
    for (at, (upto, log, _)) in images.iter().enumerate() {
        for (behind, (_, _, state)) in images.iter().enumerate() {
            let crossed = disk_of(log, state);
            if behind > at {
                let refused = match Member::open(&crossed, seed) {
                    Ok(_) => panic!("state {behind} is past log {at} and was taken"),
                    Err(e) => e.to_string(),
                };
                assert!(refused.contains(STATE_FILE), "{refused}");
                continue;
            }
            // The commit index of the hard state is written lazily: anything up to the last entry is right.
            let last = open(&crossed).start.last_index;
            let commits = [0, 1, last / 2, last - 1, last, last + 1];
            for commit in commits {
                let crossed = crossed.copy();
                let mut store = open(&crossed);
                let hard_state = HardState {
                    commit,
                    ..store.start.hard_state
                };
                store
                    .log
                    .append(&LogWrite {
                        entries: Vec::new(),
                        hard_state: Some(hard_state),
                        sync: true,
                    })
                    .expect("this disk has no faults");
                drop(store);
                if commit > last {
                    let refused = Member::open(&crossed, seed).err().map(|e| e.to_string());
                    let refused = refused.expect("a commit past the log is damage");
                    assert!(refused.contains("damaged"), "{refused}");
                    continue;
                }
                let story = Story {
                    wishes: story.wishes[..*upto].to_vec(),
                    acknowledged: *upto,
                };
                recovers(&crossed, seed, &story)
                    .unwrap_or_else(|e| panic!("log {at}, state {behind}, commit {commit}: {e}"));
            }
        }
    }
}

fn open(disk: &SimDisk) -> Store {
    Store::open(Arc::new(disk.clone()), &settings(1).store).expect("the files are sound")
}

#[test]
fn a_flipped_byte_is_detected_or_harmless() {
    let (mut detected, mut harmless) = (0, 0);
    for seed in seeds(1, 5) {
        naming_the_seed("a_flipped_byte_is_detected_or_harmless", seed, || {
            let disk = SimDisk::new();
            let mut story = Story::default();
            work(&disk, seed, 300, &mut story).expect("this disk has no faults");
            let mut random = Random::new(seed);
            for file in [LOG_FILE, STATE_FILE] {
                let length = disk.image(file).len() as u64;
                for _ in 0..50 {
                    let (offset, mask) = (random.below(length), 1 << random.below(8));
                    let flipped = disk.copy();
                    flipped.flip(file, offset as usize, mask);
                    let at = format!("{file}, byte {offset} of {length}, mask {mask:02x}");
                    match Member::open(&flipped, seed) {
                        Err(e) => {
                            let said = e.to_string();
                            assert!(said.contains(file), "{at}: {said}");
                            detected += 1;
                        }
                        Ok(mut member) => {
                            member
                                .start()
                                .unwrap_or_else(|e| panic!("{at}: it opened and then failed: {e}"));
                            assert_eq!(
                                shown(&member),
                                story.after(story.wishes.len()),
                                "{at}: it starts with other contents"
                            );
                            harmless += 1;
                        }
                    }
                }
            }
        });
    }
    println!("flipped bytes: {detected} detected, {harmless} harmless");
    assert!(detected > 0 || !is_full(), "no flip was ever detected");
}
