//! Long and short polls of configs, and who polls what.

use alloc::{borrow::Cow, format, string::String, sync::Arc, vec::Vec};
use core::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{
    CLIENT, DATA_ID, GROUP, TENANT, group_key, json_answer, json_of, key_of, listing::namespace,
    tenant,
};
use crate::{
    api::{
        Answer, Args, Check, Class, Compat, Fault, Kind, Method, Param, Plan, Route,
        check::{Names, first_refusal},
    },
    config::effective_md5,
    model::{ConfigKey, Md5},
    node::{
        op::{Op, Question},
        reply::{Listener, Reply},
    },
};

/// Between the fields of an entry.
const WORD: char = '\u{2}';
/// After an entry.
const LINE: char = '\u{1}';
/// So much earlier than the client's time-out a poll is answered, milliseconds.
const BEFORE_TIMEOUT_MS: u64 = 500;
/// The shortest time that a poll waits, milliseconds.
const SHORTEST_WAIT_MS: u64 = 10_000;

const SAMPLES: Param = Param::of("sampleTime", Kind::Int, "not looked at");

/// Its routes.
pub const ROUTES: &[Route] = &[
    Route {
        methods: &[Method::Post],
        path: "/v1/cs/configs/listener",
        params: &[Param::text(
            "Listening-Configs",
            "what the caller has of which configs",
        )],
        check: Check::None,
        summary: "Waits (header Long-Pulling-Timeout) until one of some configs differs from what the caller has.",
        make: poll,
        ..CLIENT
    },
    Route {
        path: "/v1/cs/configs/listener",
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/listener",
        params: &[DATA_ID, GROUP, TENANT, SAMPLES],
        summary: "Lists who listens to a config.",
        make: listeners,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/listener",
        instead: "GET ${contextPath:nacos}/v3/console/cs/config/listener/ip",
        params: &[
            Param::text("ip", "address of a listener").required(),
            Param::of("all", Kind::Bool, "in all namespaces"),
            TENANT,
            SAMPLES,
        ],
        summary: "Lists what an address listens to.",
        make: listened,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/communication/configWatchers",
        class: Class::Inner,
        params: &[DATA_ID, GROUP, TENANT],
        summary: "Lists who listens to a config; members ask it.",
        make: listeners,
        ..Route::CONFIG_V1
    },
    Route {
        path: "/v1/cs/communication/watcherConfigs",
        class: Class::Inner,
        params: &[Param::text("ip", "address of a listener").required()],
        summary: "Lists what an address listens to; members ask it.",
        make: listened,
        ..Route::CONFIG_V1
    },
];

/// One config that a poll is about.
#[derive(Clone, Debug, PartialEq)]
struct Entry<'a> {
    key: ConfigKey,
    /// What the caller has; empty for nothing.
    md5: &'a str,
    /// The namespace as the caller spelt it; nothing if it named none.
    tenant: &'a str,
}

/// Why a text is no list of entries.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wrong {
    /// The reference's filter trips over it, and the container answers.
    Shape,
    /// The handler refuses it.
    Entries,
}

/// As Java splits: without the empty parts at the end.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    text.trim_end_matches(at).split(at)
}

/// The first four of some fields, and how many there are.
fn fields<'a>(parts: impl Iterator<Item = &'a str>) -> ([&'a str; 4], usize) {
    let mut fields = [""; 4];
    let mut count = 0;
    for part in parts {
        if let Some(field) = fields.get_mut(count) {
            *field = part;
        }
        count += 1;
    }
    (fields, count)
}

/// The entries of a well-formed list. It has thousands of them, for each of hundreds of polls: they are read where they
/// stand, once to check them and once to use them.
struct Entries<'a> {
    lines: Option<&'a str>,
    count: usize,
}

impl<'a> Entries<'a> {
    /// The entries of `Listening-Configs`, decoded once more (as a form is), and what the filter says to their names.
    fn parse(decoded: &'a str, most: usize) -> Result<(Self, Option<Fault>), Wrong> {
        let mut refusal = None;
        for line in split(decoded, LINE) {
            let ([data_id, group, _, namespace], count) = fields(split(line, WORD));
            if !(2..=4).contains(&count) {
                return Err(Wrong::Shape);
            }
            refusal = refusal.or_else(|| {
                let names = Names {
                    data_id,
                    group,
                    namespace,
                    ..Names::default()
                };
                first_refusal([names])
            });
        }
        // What stands behind the last end of an entry is none.
        let lines = decoded.rfind(LINE).map(|end| &decoded[..end]);
        let mut count = 0;
        for line in lines.into_iter().flat_map(|lines| lines.split(LINE)) {
            count += 1;
            if !(3..=4).contains(&fields(line.split(WORD)).1) || count > most {
                return Err(Wrong::Entries);
            }
        }
        Ok((Self { lines, count }, refusal))
    }

    fn iter(&self) -> impl Iterator<Item = Entry<'a>> + use<'a> {
        let mut last: Option<ConfigKey> = None;
        let lines = self.lines.into_iter().flat_map(|lines| lines.split(LINE));
        lines.map(move |line| {
            let ([data_id, group, md5, tenant], _) = fields(line.split(WORD));
            let key = ConfigKey::beside(last.as_ref(), tenant, group, data_id);
            last = Some(key.clone());
            let tenant = tenant.trim();
            Entry { key, md5, tenant }
        })
    }
}

/// `%XX` and `+` replaced; none if that is no text.
fn url_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains(['%', '+']) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |at: usize| char::from(*tail.get(at)?).to_digit(16);
                out.push(u8::try_from(digit(0)? << 4 | digit(1)?).ok()?);
                rest = &tail[2..];
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// As Java's `URLEncoder`.
pub(in crate::api) fn url_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'*' | b'_' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            // Writing to a String cannot fail.
            byte => drop(write!(out, "%{byte:02X}")),
        }
    }
    out
}

/// Adds a config that differs, as clients read it.
fn name_changed(out: &mut String, key: &ConfigKey, tenant: &str) {
    for (at, word) in [&*key.data_id, &*key.group, tenant].into_iter().enumerate() {
        if at == 2 && word.is_empty() {
            continue;
        }
        if at > 0 {
            out.push_str("%02");
        }
        out.push_str(&url_encoded(word));
    }
    out.push_str("%01");
}

/// The answer that names these; nothing at all if there are none.
fn answer(changed: String) -> Answer {
    let body = if changed.is_empty() {
        changed
    } else {
        changed + "\n"
    };
    json_answer(body).not_cached()
}

fn poll(args: &Args<'_>) -> Result<Plan, Fault> {
    let call = args.call();
    let text = call.raw("Listening-Configs").unwrap_or_default();
    let wrong = |wrong| match (wrong, call.server.compat) {
        (Wrong::Entries, _) => Fault::Argument("invalid probeModify".into()),
        (Wrong::Shape, Compat::V3) => Fault::Container {
            status: 500,
            message: "Handle API Compatibility failed, please see log for detail.".into(),
        },
        (Wrong::Shape, _) => Fault::Container {
            status: 500,
            message: "invalid probeModify".into(),
        },
    };
    if text.trim().is_empty() {
        return Err(wrong(Wrong::Entries));
    }
    let decoded = url_decoded(text).ok_or_else(|| wrong(Wrong::Shape))?;
    let (entries, refusal) = Entries::parse(&decoded, call.server.max_poll_keys).map_err(wrong)?;
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    let tag = (call.header)("vipserver-tag").unwrap_or_default();
    let differs = |entry: &Entry<'_>| {
        let item = call.view.config(&entry.key);
        let md5 = effective_md5(item.as_deref(), call.ip, tag);
        md5.map_or(!entry.md5.is_empty(), |md5| !md5.is_written(entry.md5))
    };
    let Some(timeout) = (call.header)("long-pulling-timeout") else {
        return Ok(Plan::Answer(short(args, entries.iter().filter(differs))));
    };
    let mut changed_now = String::new();
    let mut keys = Vec::with_capacity(entries.count);
    // All that a parked poll keeps of its request: a bit a key, whether the caller named the namespace.
    let mut named = alloc::vec![0_u64; entries.count.div_ceil(64)].into_boxed_slice();
    for (at, entry) in entries.iter().enumerate() {
        if differs(&entry) {
            name_changed(&mut changed_now, &entry.key, entry.tenant);
        }
        named[at / 64] |= u64::from(!entry.tenant.is_empty()) << (at % 64);
        // Of those that do not differ each is an MD5 or nothing.
        keys.push((entry.key, Md5::parse(entry.md5)));
    }
    let no_hangup = (call.header)("long-pulling-timeout-no-hangup");
    if !changed_now.is_empty() || no_hangup.is_some_and(|v| v.eq_ignore_ascii_case("true")) {
        return Ok(Plan::Answer(answer(changed_now)));
    }
    let Ok(timeout) = timeout.trim().parse::<i64>() else {
        return Err(Fault::Argument(format!("For input string: \"{timeout}\"")));
    };
    let wait = u64::try_from(timeout)
        .unwrap_or(0)
        .saturating_sub(BEFORE_TIMEOUT_MS);
    let op = Op::Poll {
        keys,
        wait_ms: wait.max(SHORTEST_WAIT_MS),
        tag: tag.into(),
    };
    Ok(args.submit(op, move |reply| {
        let Reply::Woken { position, key } = reply else {
            // The time is up, or the server ends.
            return Ok(answer(String::new()));
        };
        let at = position as usize;
        let spelt = named
            .get(at / 64)
            .is_some_and(|bits| bits >> (at % 64) & 1 == 1);
        let mut changed = String::new();
        name_changed(&mut changed, &key, if spelt { &key.namespace } else { "" });
        Ok(answer(changed))
    }))
}

/// The answer to a poll that does not wait. Clients before 2.0.4 read it from headers.
fn short<'a>(args: &Args<'_>, differing: impl Iterator<Item = Entry<'a>>) -> Answer {
    let (mut old, mut new) = (String::new(), String::new());
    for Entry { key, tenant, .. } in differing {
        // Writing to a String cannot fail.
        let _ = write!(old, "{}:{};", key.data_id, key.group);
        name_changed(&mut new, &key, tenant);
    }
    let version = (args.call().header)("client-version").unwrap_or("2.0.0");
    // Clients call themselves 2.0.4, 3.2.1 or Nacos-Java-Client:v1.2.3; what is no number does not count.
    let number = version
        .split('.')
        .filter_map(|part| part.parse::<u32>().ok())
        .fold(0_u32, |sum, part| {
            sum.saturating_mul(10).saturating_add(part)
        });
    if number >= 204 {
        return answer(new);
    }
    answer(String::new())
        .with("Probe-Modify-Response", old)
        .with("Probe-Modify-Response-New", new)
}

/// MD5s by what they belong to.
fn sample(md5s: impl Iterator<Item = (String, Option<Md5>)>) -> Answer {
    let md5s: Map<String, Value> = md5s
        .map(|(of, md5)| (of, md5.map(|md5| md5.hex()).unwrap_or_default().into()))
        .collect();
    json_of(&json!({ "collectStatus": 200, "lisentersGroupkeyStatus": md5s }))
}

fn listeners(args: &Args<'_>) -> Result<Plan, Fault> {
    let question = Question::ListenersOf { key: key_of(args) };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listeners(found) => found,
            _ => Vec::new(),
        };
        let md5s = found
            .into_iter()
            .map(|Listener { ip, md5, .. }| (String::from(&*ip), md5));
        Ok(sample(md5s))
    }))
}

fn listened(args: &Args<'_>) -> Result<Plan, Fault> {
    let all = args.flag("all") || args.call().path.ends_with("/watcherConfigs");
    let question = Question::ListenedBy {
        ip: Arc::from(args.text("ip")),
        namespace: (!all).then(|| namespace(args.text("tenant"))),
    };
    Ok(args.submit(Op::Ask(question), |reply| {
        let found = match reply {
            Reply::Listened(found) => found,
            _ => Vec::new(),
        };
        Ok(sample(found.into_iter().map(|(key, md5)| {
            (group_key(&key, tenant(&key.namespace)), md5)
        })))
    }))
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Vec<Entry<'_>>, Wrong> {
        let (entries, _) = Entries::parse(text, 10_000)?;
        let found: Vec<_> = entries.iter().collect();
        assert_eq!(found.len(), entries.count);
        Ok(found)
    }

    #[test]
    fn entries_have_three_fields_or_four() {
        let found = parse("d\u{2}g\u{2}m\u{1}e\u{2}h\u{2}\u{2}ns\u{1}").unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&*found[0].key.namespace, found[0].md5, found[0].tenant),
            ("public", "m", "")
        );
        assert_eq!(
            (&*found[1].key.data_id, found[1].md5, found[1].tenant),
            ("e", "", "ns")
        );
        let mut changed = String::new();
        for entry in &found {
            name_changed(&mut changed, &entry.key, entry.tenant);
        }
        assert_eq!(changed, "d%02g%01e%02h%02ns%01");
        for (text, wrong) in [
            ("garbage", Wrong::Shape),
            ("a\u{2}b\u{2}c\u{2}d\u{2}e\u{1}", Wrong::Shape),
            ("a\u{2}b\u{1}", Wrong::Entries),
        ] {
            assert_eq!(parse(text), Err(wrong), "{text:?}");
        }
        // Without the end of an entry there is none.
        assert_eq!(parse("a\u{2}b\u{2}c"), Ok(Vec::new()));
        assert!(Entries::parse("a\u{2}b\u{2}\u{1}a\u{2}b\u{2}\u{1}", 1).is_err());
    }

    #[test]
    fn names_are_checked_entry_by_entry() {
        let refused = |text: &str| Entries::parse(text, 9).unwrap().1;
        assert_eq!(refused("a\u{2}b\u{2}\u{1}"), None);
        let fault = refused("a\u{2}b\u{2}\u{1}a b\u{2}b\u{2}\u{1}").expect("a blank is refused");
        assert!(matches!(fault, Fault::Checked(line) if line.contains("'dataId'")));
    }

    proptest! {
        #[test]
        fn what_is_no_list_is_refused_without_panic(text in "([a-c%+\u{1}\u{2}é]|\\PC){0,40}") {
            let decoded = url_decoded(&text);
            let _ = parse(decoded.as_deref().unwrap_or(&text));
        }

        #[test]
        fn entries_are_read_as_they_were_written(
            given in prop::collection::vec(("[a-z.:]{1,6}", "[A-Z]{1,4}", "[0-9a-f]{0,4}", prop::option::of("[a-z-]{1,5}")), 1..20),
        ) {
            let mut text = String::new();
            for (data_id, group, md5, tenant) in &given {
                let _ = write!(text, "{data_id}\u{2}{group}\u{2}{md5}");
                if let Some(tenant) = tenant {
                    let _ = write!(text, "\u{2}{tenant}");
                }
                text.push(LINE);
            }
            let encoded = url_encoded(&text);
            let decoded = url_decoded(&encoded).expect("an encoded text is read back");
            prop_assert_eq!(&*decoded, &text);
            let read = parse(&decoded).expect("a list is one");
            let read: Vec<_> = read
                .iter()
                .map(|e| (e.key.data_id.to_string(), e.key.group.to_string(), e.md5.to_string(), (!e.tenant.is_empty()).then(|| e.tenant.to_string())))
                .collect();
            prop_assert_eq!(read, given);
        }
    }
}
