//! Everything that changes an agent. The index is written first, so that who comes too late touches nothing.

use alloc::{format, string::String, vec::Vec};

use super::{
    Card, Index, Registration, VERSION_MARK, card, card_key, find, found, index_key, is_of,
};
use crate::{
    ai::{
        Fault,
        decision::{Decided, Decision, Known, Step, Write, absent},
    },
    model::ConfigKey,
};

/// Makes an agent; its first version is the latest.
///
/// # Errors
/// There is one of that name (409/20005).
pub fn create(
    known: &Known<'_>,
    namespace: &str,
    given: &Card,
    registration: Registration,
    at: &str,
) -> Decided<()> {
    if find(known, namespace, &given.name)?.is_some() {
        let text = format!(
            "agent card `{}` has existed, please update it rather than create.",
            given.name
        );
        return Err(Fault::conflict(text).into());
    }
    put(
        known,
        namespace,
        given,
        Index::new(&given.name, registration),
        true,
        at,
    )
}

/// Adds a version, or replaces one.
///
/// # Errors
/// The agent is unknown (50100).
pub fn update(
    known: &Known<'_>,
    namespace: &str,
    given: &Card,
    registration: Option<Registration>,
    as_latest: bool,
    at: &str,
) -> Decided<()> {
    let mut index = found(known, namespace, &given.name)?;
    if let Some(registration) = registration {
        index.registration = registration;
    }
    put(known, namespace, given, index, as_latest, at)
}

/// Makes an agent, or adds a version; one that is there stays as it is, which is well.
///
/// # Errors
/// As [`create`].
pub fn release(
    known: &Known<'_>,
    namespace: &str,
    given: &Card,
    registration: Registration,
    as_latest: bool,
    at: &str,
) -> Decided<()> {
    let Some(index) = find(known, namespace, &given.name)? else {
        return create(known, namespace, given, registration, at);
    };
    if index.has(&given.version) && card(known, namespace, &given.name, &given.version)?.is_some() {
        return Ok(Decision::answer(()));
    }
    put(known, namespace, given, index, as_latest, at)
}

fn put(
    known: &Known<'_>,
    namespace: &str,
    given: &Card,
    mut index: Index,
    as_latest: bool,
    at: &str,
) -> Decided<()> {
    known.get(&index_key(namespace, &index.name))?;
    let key = card_key(namespace, &given.name, &given.version);
    let stored = known.get(&key)?;
    if stored.is_some_and(|d| !is_of(d, &given.name, &given.version) && !d.json.is_empty()) {
        let text = format!(
            "version `{}` of agent `{}` has the same name as one of another agent",
            given.version, given.name
        );
        return Err(Fault::conflict(text).into());
    }
    index.put(given, as_latest, at);
    let mut detail = given.fields.clone();
    detail.insert("registrationType".into(), index.registration.name().into());
    let card = Write::new(key, &detail, &given.name).tagged(VERSION_MARK);
    let steps = Vec::from([Step::Write(index.write(namespace)), Step::Write(card)]);
    Ok(Decision { steps, answer: () })
}

/// Removes a version of an agent, or all of it; what is not there is well.
///
/// # Errors
/// [`Stop::Need`]
pub fn delete(known: &Known<'_>, namespace: &str, name: &str, version: &str) -> Decided<()> {
    let Some(mut index) = find(known, namespace, name)? else {
        return Ok(Decision::answer(()));
    };
    let gone = |v: &String| version.is_empty() || v == version;
    let gone: Vec<String> = index
        .versions
        .iter()
        .map(|v| v.version.clone())
        .filter(gone)
        .collect();
    let keys: Vec<ConfigKey> = gone.iter().map(|v| card_key(namespace, name, v)).collect();
    known.need(&keys)?;
    for version in &gone {
        index.drop_version(version);
    }
    let (mut cards, mut own) = (Vec::new(), Vec::new());
    for (key, version) in keys.into_iter().zip(&gone) {
        let mine = card(known, namespace, name, version)?.is_some();
        if mine {
            cards.push(Step::Remove(key.clone()));
        }
        if mine || known.get(&key)?.is_none() {
            own.push(key);
        }
    }
    let steps = if version.is_empty() || index.versions.is_empty() {
        // After the rest: as long as it is there, the agent can be deleted once more.
        cards.push(Step::Remove(index_key(namespace, name)));
        // Who was writing a version meanwhile is done with it, or will see that the index is gone.
        cards.push(Step::Holds(absent(own)));
        cards
    } else if gone.is_empty() {
        Vec::new()
    } else {
        cards.insert(0, Step::Write(index.write(namespace)));
        cards
    };
    Ok(Decision { steps, answer: () })
}
