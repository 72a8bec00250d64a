//! The gRPC envelope that server and clients share: `Payload` of Nacos's proto3 file (which has no package), and a codec
//! that passes encoded bytes through.

use std::collections::HashMap;

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::{
    Status,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

/// Path of the unary call.
pub const REQUEST: &str = "/Request/request";
/// Path of the stream that pushes and acknowledgements go over.
pub const STREAM: &str = "/BiRequestStream/requestBiStream";

/// `Metadata`.
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// Simple class name of the message: the only dispatch key.
    #[prost(string, tag = "3")]
    pub kind: String,
    /// Headers of the request.
    #[prost(map = "string, string", tag = "7")]
    pub headers: HashMap<String, String>,
    /// The client's own idea of its address.
    #[prost(string, tag = "8")]
    pub client_ip: String,
}

/// `google.protobuf.Any`; the type URL is empty and not looked at.
#[derive(Clone, PartialEq, Message)]
pub struct Any {
    /// Not used.
    #[prost(string, tag = "1")]
    pub type_url: String,
    /// JSON.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

/// `Payload`.
#[derive(Clone, PartialEq, Message)]
pub struct Payload {
    /// What it is.
    #[prost(message, optional, tag = "2")]
    pub metadata: Option<Metadata>,
    /// What it says.
    #[prost(message, optional, tag = "3")]
    pub body: Option<Any>,
}

/// Reads a payload; its body shares the message's bytes.
///
/// # Errors
/// It is none.
pub fn decode(message: Bytes) -> Result<Payload, prost::DecodeError> {
    Payload::decode(message)
}

/// A payload with this metadata, encoded.
#[must_use]
pub fn encode_with(metadata: Metadata, json: Vec<u8>) -> Bytes {
    payload(metadata, json).encode_to_vec().into()
}

/// A payload of this kind as it goes over a stream: encoded, behind the head of a gRPC message. Up to 4 GiB.
#[must_use]
pub fn frame(kind: &str, json: Vec<u8>) -> Bytes {
    let payload = payload(of_kind(kind), json);
    let length = payload.encoded_len();
    let mut frame = Vec::with_capacity(HEAD + length);
    // Not compressed.
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a message is shorter than 4 GiB"));
    payload.encode(&mut frame).expect("a vector grows");
    frame.into()
}

fn of_kind(kind: &str) -> Metadata {
    Metadata {
        kind: kind.to_owned(),
        ..Metadata::default()
    }
}

fn payload(metadata: Metadata, json: Vec<u8>) -> Payload {
    let body = Any {
        type_url: String::new(),
        value: json.into(),
    };
    Payload {
        metadata: Some(metadata),
        body: Some(body),
    }
}

/// Bytes of the head of a gRPC message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// Every stream that is open keeps two buffers of the first size: most of them are idle most of the time.
fn small_buffers() -> BufferSettings {
    BufferSettings::new(512, 32 << 10)
}

/// Decodes payloads; what is encoded are bytes of a payload already, so that one encoding serves many streams.
#[derive(Clone, Copy, Debug, Default)]
pub struct PayloadCodec;

impl Codec for PayloadCodec {
    type Encode = Bytes;
    type Decode = Payload;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for PayloadCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.reserve(item.len());
        buffer.put(item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        small_buffers()
    }
}

impl Decoder for PayloadCodec {
    type Item = Payload;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Payload>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        Payload::decode(bytes)
            .map(Some)
            .map_err(|e| Status::invalid_argument(format!("no Payload: {e}")))
    }

    fn buffer_settings(&self) -> BufferSettings {
        small_buffers()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_a_payload() {
        let encoded = encode_with(of_kind("HealthCheckResponse"), b"{}".to_vec());
        let payload = decode(encoded).unwrap();
        assert_eq!(payload.metadata.unwrap().kind, "HealthCheckResponse");
        assert_eq!(payload.body.unwrap().value, &b"{}"[..]);
    }

    #[test]
    fn a_frame_is_its_length_and_the_payload() {
        let encoded = encode_with(of_kind("ServerCheckResponse"), b"{}".to_vec());
        let frame = frame("ServerCheckResponse", b"{}".to_vec());
        let length = u8::try_from(encoded.len()).unwrap();
        assert_eq!(frame[..HEAD], [0, 0, 0, 0, length]);
        assert_eq!(frame[HEAD..], encoded[..]);
    }

    proptest::proptest! {
        #[test]
        fn noise_is_refused_without_panic(bytes: Vec<u8>) {
            let _ = Payload::decode(&bytes[..]);
        }
    }
}
