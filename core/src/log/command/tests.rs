//! Golden bytes: what a log holds must be read by every later release, so a change here is a change of the format.

use alloc::{collections::BTreeMap, format, string::String, vec};

use proptest::prelude::*;

use super::*;
use crate::model::{ConfigType, ContentRef, GrayRule, HealthChecker, Md5, Selector, Sha256};
use crate::policies::PolicyScope;

/// Number of the variant; new variants must be added here, and then to the samples.
fn number(command: &Command) -> u8 {
    match command {
        Command::Publish { .. } => 0,
        Command::RemoveConfig { .. } => 1,
        Command::CutHistory { .. } => 2,
        Command::SetCapacity { .. } => 3,
        Command::CreateNamespace { .. } => 4,
        Command::UpdateNamespace { .. } => 5,
        Command::DeleteNamespace { .. } => 6,
        Command::CreateService { .. } => 7,
        Command::UpdateService { .. } => 8,
        Command::DeleteService { .. } => 9,
        Command::UpdateCluster { .. } => 10,
        Command::SetSwitch { .. } => 11,
        Command::PutInstance { .. } => 12,
        Command::RemoveInstance { .. } => 13,
        Command::FlipHealth(_) => 14,
        Command::PutOperator { .. } => 15,
        Command::PatchOperator { .. } => 16,
        Command::ExpireMetadata { .. } => 17,
        Command::Lock { .. } => 18,
        Command::SetPolicy(_) => 19,
        Command::PublishWithin { .. } => 20,
        Command::RemoveRevision { .. } => 21,
        Command::SetPlugin { .. } => 22,
        Command::SetPluginPolicy(_) => 23,
    }
}
const VARIANTS: usize = 24;

fn publish(gray: Option<GrayRule>, cas: Option<&str>, create_only: bool) -> Command {
    Command::Publish {
        publish: Box::new(Publish {
            key: ConfigKey::new("", "g", "d"),
            content: ContentRef {
                index: 0,
                md5: Md5(*b"0123456789abcdef"),
                bytes: 300,
            },
            kind: ConfigType::Unset,
            app: "a".into(),
            desc: "b".into(),
            usage: "c".into(),
            effect: "d".into(),
            schema: "e".into(),
            tags: "f".into(),
            encrypted_data_key: "k".into(),
            gray,
            cas: cas.map(Arc::from),
            create_only,
            user: "u".into(),
            ip: "i".into(),
        }),
        stamp: 1_800_000_000_000,
    }
}

fn within(publish: Command) -> Command {
    let Command::Publish { publish, stamp } = publish else {
        panic!("a publish")
    };
    let quotas = Quotas {
        cluster: 1,
        group: 2,
        namespace: 3,
        max_size: 300,
    };
    Command::PublishWithin {
        publish,
        stamp,
        quotas,
    }
}

fn metadata() -> Metadata {
    [("k", "v")].into_iter().collect()
}

fn cluster(checker: HealthChecker) -> ClusterMetadata {
    ClusterMetadata {
        check_port: 80,
        use_instance_port: true,
        checker,
        extend: metadata(),
    }
}

/// At least one command of each variant, and one of each of the parts that it may have.
fn samples() -> Vec<(Command, &'static str)> {
    let service = ServiceKey::new("", "g", "s");
    let key = InstanceKey::new("1.1.1.1", 8080, "c");
    let clusters: BTreeMap<Arc<str>, ClusterMetadata> = [
        ("a", HealthChecker::Tcp),
        (
            "b",
            HealthChecker::Http {
                path: "/".into(),
                headers: "h:v".into(),
                expected_code: 200,
            },
        ),
        (
            "c",
            HealthChecker::Mysql {
                user: "u".into(),
                pwd: "p".into(),
                cmd: "q".into(),
            },
        ),
        ("d", HealthChecker::None),
    ]
    .into_iter()
    .map(|(name, checker)| (name.into(), cluster(checker)))
    .collect();
    let full = ServiceMetadata {
        ephemeral: false,
        protect_threshold: 0.5,
        selector: Selector::Label {
            expression: "x".into(),
        },
        extend: metadata(),
        clusters,
    };
    let instance = Instance {
        key: key.clone(),
        weight: Weight::new(2.5).expect("in bounds"),
        healthy: true,
        enabled: false,
        ephemeral: false,
        metadata: metadata(),
        instance_id: "id".into(),
    };
    let change = CapacityChange {
        quota: Some(200),
        max_size: None,
        max_aggr_count: Some(0),
        max_aggr_size: None,
    };
    vec![
        (
            publish(None, None, false),
            r"\x01\x00\x06public\x01g\x01d\x000123456789abcdef\xac\x02\x07\x01a\x01b\x01c\x01d\x01e\x01f\x01k\x00\x00\x00\x01u\x01i\x80\xa0\xf1\xc2\xb14",
        ),
        (
            publish(
                Some(GrayRule::Beta {
                    ips: "1.1.1.1".into(),
                }),
                Some("m"),
                true,
            ),
            r"\x01\x00\x06public\x01g\x01d\x000123456789abcdef\xac\x02\x07\x01a\x01b\x01c\x01d\x01e\x01f\x01k\x01\x00\x071.1.1.1\x01\x01m\x01\x01u\x01i\x80\xa0\xf1\xc2\xb14",
        ),
        (
            publish(Some(GrayRule::Tag { tag: "t".into() }), None, false),
            r"\x01\x00\x06public\x01g\x01d\x000123456789abcdef\xac\x02\x07\x01a\x01b\x01c\x01d\x01e\x01f\x01k\x01\x01\x01t\x00\x00\x01u\x01i\x80\xa0\xf1\xc2\xb14",
        ),
        (
            Command::RemoveConfig {
                key: ConfigKey::new("", "g", "d"),
                gray: None,
                user: "u".into(),
                ip: "i".into(),
                stamp: 7,
            },
            r"\x01\x01\x06public\x01g\x01d\x00\x01u\x01i\x07",
        ),
        (
            Command::RemoveConfig {
                key: ConfigKey::new("n", "g", "d"),
                gray: Some("beta".into()),
                user: "".into(),
                ip: "".into(),
                stamp: 7,
            },
            r"\x01\x01\x01n\x01g\x01d\x01\x04beta\x00\x00\x07",
        ),
        (Command::CutHistory { before: 300 }, r"\x01\x02\xac\x02"),
        (
            Command::SetCapacity {
                of: CapacityOf::Namespace("n".into()),
                change,
                stamp: 7,
            },
            r"\x01\x03\x00\x01n\x01\xc8\x01\x00\x01\x00\x00\x07",
        ),
        (
            Command::SetCapacity {
                of: CapacityOf::Group("g".into()),
                change,
                stamp: 7,
            },
            r"\x01\x03\x01\x01g\x01\xc8\x01\x00\x01\x00\x00\x07",
        ),
        (
            Command::CreateNamespace {
                id: "n".into(),
                name: "a".into(),
                desc: "b".into(),
                stamp: 7,
            },
            r"\x01\x04\x01n\x01a\x01b\x07",
        ),
        (
            Command::UpdateNamespace {
                id: "n".into(),
                name: "a".into(),
                desc: "b".into(),
                stamp: 7,
            },
            r"\x01\x05\x01n\x01a\x01b\x07",
        ),
        (
            Command::DeleteNamespace { id: "n".into() },
            r"\x01\x06\x01n",
        ),
        (
            Command::CreateService {
                service: service.clone(),
                metadata: full,
            },
            r"\x01\x07\x06public\x01g\x01s\x00\x00\x00\x00?\x01\x01x\x01\x01\x01k\x01v\x04\x01aP\x01\x00\x01\x01\x01k\x01v\x01bP\x01\x01\x01/\x03h:v\xc8\x01\x01\x01\x01k\x01v\x01cP\x01\x02\x01u\x01p\x01q\x01\x01\x01k\x01v\x01dP\x01\x03\x01\x01\x01k\x01v",
        ),
        (
            Command::UpdateService {
                service: service.clone(),
                metadata: ServiceMetadata::default(),
            },
            r"\x01\x08\x06public\x01g\x01s\x01\x00\x00\x00\x00\x00\x00\x00",
        ),
        (
            Command::DeleteService {
                service: service.clone(),
            },
            r"\x01\t\x06public\x01g\x01s",
        ),
        (
            Command::UpdateCluster {
                service: service.clone(),
                cluster: "c".into(),
                metadata: cluster(HealthChecker::Tcp),
                ephemeral: true,
            },
            r"\x01\n\x06public\x01g\x01s\x01cP\x01\x00\x01\x01\x01k\x01v\x01",
        ),
        (
            Command::SetSwitch {
                entry: "e".into(),
                value: "v".into(),
            },
            r"\x01\x0b\x01e\x01v",
        ),
        (
            Command::PutInstance {
                service: service.clone(),
                instance,
            },
            r"\x01\x0c\x06public\x01g\x01s\x071.1.1.1\x90?\x01c\x00\x00\x00\x00\x00\x00\x04@\x01\x00\x00\x01\x01\x01k\x01v\x02id",
        ),
        (
            Command::RemoveInstance {
                service: service.clone(),
                key: key.clone(),
            },
            r"\x01\r\x06public\x01g\x01s\x071.1.1.1\x90?\x01c",
        ),
        (
            Command::FlipHealth(vec![HealthFlip {
                service: service.clone(),
                key: key.clone(),
                healthy: true,
            }]),
            r"\x01\x0e\x01\x06public\x01g\x01s\x071.1.1.1\x90?\x01c\x01",
        ),
        (
            Command::PutOperator {
                service: service.clone(),
                key: key.clone(),
                metadata: OperatorMetadata {
                    weight: Weight::default(),
                    enabled: true,
                    extend: metadata(),
                },
            },
            r"\x01\x0f\x06public\x01g\x01s\x071.1.1.1\x90?\x01c\x00\x00\x00\x00\x00\x00\xf0?\x01\x01\x01\x01k\x01v",
        ),
        (
            Command::PatchOperator {
                service: service.clone(),
                keys: vec![key.clone()],
                patch: PatchOf {
                    weight: Some(Weight::default()),
                    enabled: Some(false),
                    put: metadata(),
                    remove: Metadata::default(),
                },
            },
            r"\x01\x10\x06public\x01g\x01s\x01\x071.1.1.1\x90?\x01c\x01\x00\x00\x00\x00\x00\x00\xf0?\x01\x00\x01\x01\x01k\x01v\x00",
        ),
        (
            Command::ExpireMetadata {
                instances: vec![(service.clone(), key)],
                services: vec![service],
            },
            r"\x01\x11\x01\x06public\x01g\x01s\x071.1.1.1\x90?\x01c\x01\x06public\x01g\x01s",
        ),
        (
            Command::Lock {
                key: "k".into(),
                kind: "NACOS_LOCK".into(),
                acquire: true,
                until: 300,
                stamp: 7,
            },
            r"\x01\x12\x01k\nNACOS_LOCK\x01\xac\x02\x07",
        ),
        (
            Command::SetPolicy(PolicyChange {
                scope: PolicyScope::Service(ServiceKey::new("", "g", "s")),
                document: Some("{}".into()),
                plugin: Some(PolicyPlugin {
                    name: "p".into(),
                    digest: "d".into(),
                }),
                expected: Some(300),
                user: "u".into(),
                ip: "i".into(),
                stamp: 7,
            }),
            r"\x01\x13\x01\x06public\x01g\x01s\x01\x02{}\x01\x01p\x01d\x01\xac\x02\x01u\x01i\x07",
        ),
        (
            Command::SetPolicy(PolicyChange {
                scope: PolicyScope::Namespace("n".into()),
                document: None,
                plugin: None,
                expected: None,
                user: "".into(),
                ip: "".into(),
                stamp: 7,
            }),
            r"\x01\x13\x00\x01n\x00\x00\x00\x00\x00\x07",
        ),
        (
            within(publish(None, None, true)),
            r"\x01\x14\x06public\x01g\x01d\x000123456789abcdef\xac\x02\x07\x01a\x01b\x01c\x01d\x01e\x01f\x01k\x00\x00\x01\x01u\x01i\x80\xa0\xf1\xc2\xb14\x01\x02\x03\xac\x02",
        ),
        (
            Command::RemoveRevision {
                key: ConfigKey::new("", "g", "d"),
                revision: 300,
                user: "u".into(),
                ip: "i".into(),
                stamp: 7,
            },
            r"\x01\x15\x06public\x01g\x01d\xac\x02\x01u\x01i\x07",
        ),
        (
            Command::SetPlugin {
                name: "p".into(),
                module: Some(PluginModule {
                    digest: Sha256(*b"0123456789abcdef0123456789abcdef"),
                    content: ContentRef {
                        index: 0,
                        md5: Md5(*b"0123456789abcdef"),
                        bytes: 300,
                    },
                }),
                user: "u".into(),
                ip: "i".into(),
                stamp: 7,
            },
            r"\x01\x16\x01p\x010123456789abcdef0123456789abcdef\x000123456789abcdef\xac\x02\x01u\x01i\x07",
        ),
        (
            Command::SetPluginPolicy(PolicyChange {
                scope: PolicyScope::Namespace("n".into()),
                document: "{}".into(),
                plugin: PolicyPlugin {
                    name: "p".into(),
                    digest: "d".into(),
                },
                expected: Some(300),
                user: "u".into(),
                ip: "i".into(),
                stamp: 7,
            }),
            r"\x01\x17\x00\x01n\x02{}\x01p\x01d\x01\xac\x02\x01u\x01i\x07",
        ),
    ]
}

#[test]
fn the_bytes_never_change() {
    let mut seen = [false; VARIANTS];
    for (command, golden) in samples() {
        let bytes = command.encode();
        let written = format!("{}", bytes.escape_ascii());
        assert_eq!(written, golden, "{command:?}");
        assert_eq!(bytes[1], number(&command), "variants keep their numbers");
        assert_eq!(Command::decode(&bytes), Ok(command.clone()));
        seen[usize::from(number(&command))] = true;
    }
    assert_eq!(seen, [true; VARIANTS], "each variant has a sample");
}

#[test]
fn what_is_no_command_is_refused_with_the_reason() {
    assert_eq!(Command::decode(&[]), Err(Decode::Empty));
    assert_eq!(Command::decode(&[2, 2, 5]), Err(Decode::Version(2)));
    assert_eq!(Command::decode(&[1]), Err(Decode::Malformed));
    assert_eq!(
        Command::decode(&[1, 200, 1]),
        Err(Decode::Malformed),
        "a variant of a later release"
    );
    assert_eq!(
        Command::decode(&[1, 2, 5]),
        Ok(Command::CutHistory { before: 5 })
    );
    assert_eq!(
        Command::decode(&[1, 2, 5, 0]),
        Err(Decode::Malformed),
        "bytes are left over"
    );
    let reasons = [Decode::Empty, Decode::Version(2), Decode::Malformed].map(|d| format!("{d}"));
    assert_eq!(
        reasons.each_ref().map(String::as_str),
        ["no bytes", "version 2 is of a later release", "malformed"]
    );
}

proptest! {
    /// No bytes make the decoder panic, and what it accepts it also writes.
    #[test]
    fn any_bytes_are_a_command_or_refused(
        sample in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        noise in prop::collection::vec(any::<u8>(), 0..8),
    ) {
        let samples = samples();
        let mut bytes = sample.get(&samples).0.encode();
        for (at, byte) in flips {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes.truncate(cut.index(bytes.len() + 1));
        bytes.extend(noise);
        if let Ok(command) = Command::decode(&bytes) {
            let again = Command::decode(&command.encode());
            prop_assert_eq!(again.map(|c| format!("{c:?}")), Ok(format!("{command:?}")));
        }
    }
}
