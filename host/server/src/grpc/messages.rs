//! gRPC's framing: messages out of what a stream brings, and answers into it.

use std::io::Read;

use bytes::{Buf, Bytes, BytesMut};
use flate2::read::GzDecoder;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use tonic::{Status, metadata::GRPC_CONTENT_TYPE};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A message that has come in part.
pub(super) struct Messages {
    /// Bytes of one message, at most; of a compressed one before and after.
    most: usize,
    /// Compressed ones are gzip.
    gzip: bool,
    part: BytesMut,
}

impl Messages {
    /// Messages of a call with this head.
    pub(super) fn new(head: &HeaderMap, most: usize) -> Self {
        Self {
            most,
            gzip: head.get("grpc-encoding").is_some_and(|e| e == "gzip"),
            part: BytesMut::new(),
        }
    }

    /// The next whole message, if there is one; of `chunk` what is behind it stays. A message that came in one piece is
    /// not copied.
    ///
    /// # Errors
    /// The message is too long, or compressed in a way that is not known; nothing can be read behind it.
    pub(super) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, Status> {
        if self.part.is_empty()
            && let Some((compressed, length)) = self.head(chunk)?
            && chunk.len() >= HEAD + length
        {
            chunk.advance(HEAD);
            return self.plain(compressed, chunk.split_to(length)).map(Some);
        }
        self.part.extend_from_slice(chunk);
        chunk.clear();
        let Some((compressed, length)) = self.head(&self.part)? else {
            return Ok(None);
        };
        if self.part.len() < HEAD + length {
            return Ok(None);
        }
        // What is behind it comes by the short way next.
        let mut message = std::mem::take(&mut self.part).freeze();
        message.advance(HEAD);
        *chunk = message.split_off(length);
        self.plain(compressed, message).map(Some)
    }

    /// Whether a message is compressed, and how long it is.
    fn head(&self, bytes: &[u8]) -> Result<Option<(bool, usize)>, Status> {
        let Some((&[compressed, length @ ..], _)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        let compressed = compressed != 0;
        if compressed && !self.gzip {
            return Err(Status::unimplemented(
                "messages may be compressed by gzip, and then the call's head says so",
            ));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > self.most {
            return Err(self.too_long(length));
        }
        Ok(Some((compressed, length)))
    }

    fn too_long(&self, length: usize) -> Status {
        let most = self.most;
        Status::out_of_range(format!(
            "the message has {length} bytes, and at most {most} are taken"
        ))
    }

    fn plain(&self, compressed: bool, message: Bytes) -> Result<Bytes, Status> {
        if !compressed {
            return Ok(message);
        }
        let mut plain = Vec::new();
        // One byte more than may be, so that what is too long is seen and the rest of it never made.
        let read = GzDecoder::new(&message[..])
            .take(self.most as u64 + 1)
            .read_to_end(&mut plain);
        match read {
            Ok(length) if length > self.most => Err(self.too_long(length)),
            Ok(_) => Ok(plain.into()),
            Err(error) => Err(Status::internal(format!("the message is no gzip: {error}"))),
        }
    }
}

fn status_header(value: HeaderValue) -> (HeaderName, HeaderValue) {
    (HeaderName::from_static("grpc-status"), value)
}

/// gRPC's word for a good end.
pub(super) fn good_end() -> HeaderMap {
    HeaderMap::from_iter([status_header(HeaderValue::from_static("0"))])
}

/// The head of an answer that messages follow.
pub(super) fn head() -> Response<()> {
    let mut response = Response::new(());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, GRPC_CONTENT_TYPE);
    response
}

/// Answers a call with one framed message, or with its fault. A client that took its call back does not hear it.
pub(super) fn answer(mut respond: SendResponse<Bytes>, answer: Result<Bytes, Status>) {
    match answer {
        Ok(frame) => {
            if let Ok(mut stream) = respond.send_response(head(), false)
                && stream.send_data(frame, false).is_ok()
            {
                let _ = stream.send_trailers(good_end());
            }
        }
        Err(status) => {
            let _ = respond.send_response(status.into_http::<()>(), true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn framed(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&[0], &length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn messages_come_out_whole_wherever_they_are_cut() {
        let wire: Vec<u8> = ["one", "", "three"].into_iter().flat_map(framed).collect();
        for size in 1..=wire.len() {
            let mut messages = Messages::new(&HeaderMap::new(), 5);
            let mut found = Vec::new();
            for chunk in wire.chunks(size) {
                let mut chunk = Bytes::copy_from_slice(chunk);
                while let Some(message) = messages.next(&mut chunk).unwrap() {
                    found.push(String::from_utf8(message.to_vec()).unwrap());
                }
                assert!(chunk.is_empty());
            }
            assert_eq!(found, ["one", "", "three"], "in pieces of {size}");
            assert!(messages.part.is_empty());
        }
    }

    #[test]
    fn what_is_long_or_compressed_is_refused_by_its_head() {
        let plain = || Messages::new(&HeaderMap::new(), 5);
        let mut messages = plain();
        let code = |messages: &mut Messages, bytes: &[u8]| {
            let next = messages.next(&mut Bytes::copy_from_slice(bytes));
            next.err().map(|status| status.code())
        };
        assert_eq!(code(&mut messages, &[0, 0, 0]), None);
        let long = code(&mut messages, &[0, 6]);
        assert_eq!(long, Some(tonic::Code::OutOfRange));
        let compressed = code(&mut plain(), &[1, 0, 0, 0, 1]);
        assert_eq!(compressed, Some(tonic::Code::Unimplemented));
    }

    #[test]
    fn gzip_is_read_where_the_head_names_it() {
        let zipped = |text: &[u8]| {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(text).unwrap();
            let bytes = encoder.finish().unwrap();
            let length = u32::try_from(bytes.len()).unwrap();
            [&[1], &length.to_be_bytes()[..], &bytes].concat()
        };
        let mut head = HeaderMap::new();
        head.insert("grpc-encoding", HeaderValue::from_static("gzip"));
        let wire = [zipped(b"one"), framed("two"), zipped(b"")].concat();
        for size in [1, 7, wire.len()] {
            let (mut messages, mut found) = (Messages::new(&head, 1_000), Vec::new());
            for chunk in wire.chunks(size) {
                let mut chunk = Bytes::copy_from_slice(chunk);
                while let Some(message) = messages.next(&mut chunk).unwrap() {
                    found.push(message.to_vec());
                }
            }
            assert_eq!(found, [&b"one"[..], b"two", b""]);
        }
        let code = |bytes: Vec<u8>| {
            let next = Messages::new(&head, 1_000).next(&mut bytes.into());
            next.err().map(|status| status.code())
        };
        assert_eq!(code(zipped(&[0; 1_000])), None);
        assert_eq!(code(zipped(&[0; 1_001])), Some(tonic::Code::OutOfRange));
        assert_eq!(code(vec![1, 0, 0, 0, 1, 7]), Some(tonic::Code::Internal));
    }
}
