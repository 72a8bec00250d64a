//! UDP pushes as bytes (1.x protocol): the packet that carries a list, and the acknowledgement of one.
//!
//! Compression, sockets and times are not here.

use alloc::vec::Vec;

use super::answer::push_json_string;

/// The largest acknowledgement that is looked at, bytes: what a client's buffer of 64 KiB can send.
const LARGEST: usize = 65_536;

/// The packet of a push: `list` is the `ServiceInfo` JSON, `push` the number that the acknowledgement will name.
/// The list goes as a string, because that is what clients parse it from.
#[must_use]
pub fn packet(list: &[u8], push: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(list.len() + list.len() / 4 + 64);
    out.extend_from_slice(br#"{"type":"dom","data":"#);
    push_json_string(&mut out, core::str::from_utf8(list).unwrap_or_default());
    out.extend_from_slice(br#","lastRefTime":"#);
    out.extend_from_slice(alloc::format!("{push}}}").as_bytes());
    out
}

/// The number that an acknowledgement names: as a string (Java, Go) or as a number (Node). Its type is not looked at, as
/// the reference does not (clients have several). Whatever else arrives is none; the work is bounded by the datagram's
/// size.
#[must_use]
pub fn parse_ack(datagram: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Ack {
        last_ref_time: serde_json::Value,
    }
    if datagram.len() > LARGEST {
        return None;
    }
    let ack: Ack = serde_json::from_slice(datagram).ok()?;
    match &ack.last_ref_time {
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_holds_the_list_as_a_string() {
        let list = r#"{"name":"g@@s","hosts":[{"metadata":{"k":"a\"b\nc"}}]}"#;
        let packet: serde_json::Value =
            serde_json::from_slice(&packet(list.as_bytes(), 42)).unwrap();
        assert_eq!(packet["type"], "dom");
        assert_eq!(packet["lastRefTime"], 42);
        assert_eq!(packet["data"], list);
        assert_eq!(packet.as_object().unwrap().len(), 3);
    }

    #[test]
    fn an_ack_names_its_push_as_text_or_number() {
        let ack = |text: &str| parse_ack(text.as_bytes());
        assert_eq!(
            ack(r#"{"type":"push-ack","lastRefTime":"42","data":""}"#),
            Some(42)
        );
        assert_eq!(
            ack(r#"{"type":"push-ack","lastRefTime":42,"data":""}"#),
            Some(42)
        );
        assert_eq!(
            ack(r#"{"data":"","lastRefTime":"7","type":"push\u002dack"}"#),
            Some(7)
        );
        for kind in ["dump-ack", "unknown-ack", "unknow-ack"] {
            let other = alloc::format!(r#"{{"type":"{kind}","lastRefTime":"42","data":""}}"#);
            assert_eq!(ack(&other), Some(42), "{kind}");
        }
        for garbage in [
            "",
            "42",
            "[]",
            "{}",
            r#"{"type":"push-ack"}"#,
            r#"{"type":"push-ack","lastRefTime":"-1"}"#,
            r#"{"type":"push-ack","lastRefTime":1.5}"#,
            r#"{"type":"push-ack","lastRefTime":null}"#,
            r#"{"type":"push-ack","lastRefTime":"99999999999999999999"}"#,
        ] {
            assert_eq!(ack(garbage), None, "{garbage}");
        }
        let deep = "[".repeat(60_000);
        assert_eq!(ack(&deep), None);
        assert_eq!(
            ack(
                &(r#"{"type":"push-ack","lastRefTime":1,"data":""}"#.to_string()
                    + &" ".repeat(70_000))
            ),
            None
        );
    }

    proptest! {
        #[test]
        fn any_list_survives_the_packet(list in any::<alloc::string::String>(), push in 0u64..1 << 53) {
            let packet: serde_json::Value = serde_json::from_slice(&packet(list.as_bytes(), push)).unwrap();
            prop_assert_eq!(packet["data"].as_str(), Some(&*list));
            prop_assert_eq!(packet["lastRefTime"].as_u64(), Some(push));
        }

        #[test]
        fn no_datagram_is_too_odd(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_ack(&bytes);
        }
    }
}
