//! What crosses a boundary or stands in a recording names variants by number: these numbers never change within a
//! schema, and new variants come at the end.

use alloc::vec::Vec;
use core::fmt;

use serde::{
    Deserialize,
    de::{self, Visitor},
};

use super::*;

/// Ends the asking.
#[derive(Debug)]
struct Stop;

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped")
    }
}

impl core::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

/// Takes note of the variants that an enum names to whoever reads it; postcard writes their positions.
struct Asked<'a>(&'a mut &'static [&'static str]);

impl<'de> de::Deserializer<'de> for Asked<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        *self.0 = variants;
        Err(Stop)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

fn variants<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut found: &[&str] = &[];
    let _ = T::deserialize(Asked(&mut found));
    found
}

fn first_byte<T: serde::Serialize>(value: &T) -> usize {
    let bytes: Vec<u8> = postcard::to_allocvec(value).unwrap();
    usize::from(bytes[0])
}

#[test]
fn the_position_is_the_first_byte() {
    let at = |all: &[&str], name| all.iter().position(|variant| *variant == name).unwrap();
    let input = variants::<Input>();
    assert_eq!(first_byte(&Input::Tick), at(input, "Tick"));
    assert_eq!(first_byte(&Input::Gone { id: 1 }), at(input, "Gone"));
    assert_eq!(first_byte(&Reply::Done), at(variants::<Reply>(), "Done"));
    let locked = Reply::Locked(true);
    assert_eq!(first_byte(&locked), at(variants::<Reply>(), "Locked"));
    let limit = Refusal::LimitReached(String::new());
    assert_eq!(
        first_byte(&limit),
        at(variants::<Refusal>(), "LimitReached")
    );
    let ask = Op::Ask(Question::Totals);
    assert_eq!(first_byte(&ask), at(variants::<Op>(), "Ask"));
}

#[test]
fn variants_of_input_keep_their_numbers() {
    let expected = [
        "Request",
        "Connected",
        "Disconnected",
        "Ack",
        "UdpAck",
        "Committed",
        "Rejected",
        "Role",
        "Restore",
        "Ready",
        "Tick",
        "Probed",
        "Overloaded",
        "Gone",
    ];
    assert_eq!(variants::<Input>(), expected);
}

#[test]
fn variants_of_output_keep_their_numbers() {
    let expected = [
        "Reply", "Close", "Push", "Datagram", "Propose", "Store", "View", "Probe",
    ];
    assert_eq!(variants::<Output>(), expected);
}

#[test]
fn variants_of_op_keep_their_numbers() {
    let expected = [
        "Register",
        "BatchRegister",
        "Deregister",
        "UpdateInstance",
        "PatchInstance",
        "MetadataBatch",
        "Beat",
        "SetHealth",
        "CreateService",
        "UpdateService",
        "DeleteService",
        "UpdateCluster",
        "SetSwitch",
        "SubscribeUdp",
        "Subscribe",
        "Unsubscribe",
        "Publish",
        "RemoveConfig",
        "Poll",
        "Listen",
        "SetCapacity",
        "CreateNamespace",
        "UpdateNamespace",
        "DeleteNamespace",
        "Lock",
        "FuzzyWatch",
        "Ask",
        "PutPolicy",
        "RemovePolicy",
        "RemoveRevision",
        "PutPlugin",
        "RemovePlugin",
    ];
    assert_eq!(variants::<Op>(), expected);
}

#[test]
fn variants_of_question_keep_their_numbers() {
    let expected = [
        "Subscribers",
        "ListenersOf",
        "ListenedBy",
        "Clients",
        "Client",
        "PublishersOf",
        "SubscribersOf",
        "PushState",
        "Totals",
        "Connections",
        "Uuid",
    ];
    assert_eq!(variants::<Question>(), expected);
}

#[test]
fn variants_of_reply_keep_their_numbers() {
    let expected = [
        "Done",
        "Beat",
        "Updated",
        "Subscribed",
        "Changed",
        "Published",
        "Removed",
        "Namespace",
        "Locked",
        "Subscribers",
        "Listeners",
        "Listened",
        "Clients",
        "Client",
        "ServiceClients",
        "PushState",
        "Totals",
        "Connections",
        "Woken",
        "Policy",
        "Uuid",
        "Plugin",
    ];
    assert_eq!(variants::<Reply>(), expected);
}

#[test]
fn variants_of_refusal_keep_their_numbers() {
    let expected = [
        "Unregistered",
        "Busy",
        "NoLeader",
        "ServiceNotFound",
        "ServiceExists",
        "ServiceNotEmpty",
        "InstanceNotFound",
        "OtherKind",
        "CheckedByServer",
        "ClientNotFound",
        "CasMismatch",
        "ConfigExists",
        "TooManyGrays",
        "NamespaceExists",
        "ClusterQuota",
        "GroupQuota",
        "NamespaceQuota",
        "ContentSize",
        "Illegal",
        "TooManyPatterns",
        "TooManyMatches",
        "LimitReached",
        "PolicyConflict",
        "Failed",
    ];
    assert_eq!(variants::<Refusal>(), expected);
}

#[test]
fn variants_of_delta_keep_their_numbers() {
    let expected = [
        "Service",
        "Config",
        "Namespace",
        "Capacity",
        "Switches",
        "Policy",
        "Plugin",
    ];
    assert_eq!(variants::<Delta>(), expected);
}

#[test]
fn variants_of_push_body_keep_their_numbers() {
    let expected = [
        "Service",
        "Config",
        "FuzzyService",
        "FuzzySync",
        "FuzzyConfig",
        "ServicePolicy",
    ];
    assert_eq!(variants::<PushBody>(), expected);
}
