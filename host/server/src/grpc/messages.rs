//! gRPC's framing: messages out of what a stream brings, and answers into it.

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header::CONTENT_TYPE};
use tonic::{Status, metadata::GRPC_CONTENT_TYPE};

/// Bytes before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// A message that has come in part.
pub(super) struct Messages {
    /// Bytes of one message, at most.
    most: usize,
    part: BytesMut,
}

impl Messages {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            part: BytesMut::new(),
        }
    }

    /// The next whole message, if there is one; of `chunk` what is behind it stays. A message that came in one piece is
    /// not copied.
    ///
    /// # Errors
    /// The message is compressed or too long; nothing can be read behind it.
    pub(super) fn next(&mut self, chunk: &mut Bytes) -> Result<Option<Bytes>, Status> {
        if self.part.is_empty()
            && let Some(length) = self.length(chunk)?
            && chunk.len() >= HEAD + length
        {
            chunk.advance(HEAD);
            return Ok(Some(chunk.split_to(length)));
        }
        self.part.extend_from_slice(chunk);
        chunk.clear();
        let Some(length) = self.length(&self.part)? else {
            return Ok(None);
        };
        if self.part.len() < HEAD + length {
            return Ok(None);
        }
        // What is behind it comes by the short way next.
        let mut message = std::mem::take(&mut self.part).freeze();
        message.advance(HEAD);
        *chunk = message.split_off(length);
        Ok(Some(message))
    }

    fn length(&self, bytes: &[u8]) -> Result<Option<usize>, Status> {
        let Some((&[compressed, length @ ..], _)) = bytes.split_first_chunk::<HEAD>() else {
            return Ok(None);
        };
        if compressed != 0 {
            return Err(Status::unimplemented("messages must not be compressed"));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > self.most {
            let most = self.most;
            return Err(Status::out_of_range(format!(
                "the message has {length} bytes, and at most {most} are taken"
            )));
        }
        Ok(Some(length))
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
    use super::*;

    fn framed(text: &str) -> Vec<u8> {
        let length = u32::try_from(text.len()).unwrap();
        [&[0], &length.to_be_bytes()[..], text.as_bytes()].concat()
    }

    #[test]
    fn messages_come_out_whole_wherever_they_are_cut() {
        let wire: Vec<u8> = ["one", "", "three"].into_iter().flat_map(framed).collect();
        for size in 1..=wire.len() {
            let mut messages = Messages::new(5);
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
        let mut messages = Messages::new(5);
        let code = |messages: &mut Messages, bytes: &[u8]| {
            let next = messages.next(&mut Bytes::copy_from_slice(bytes));
            next.err().map(|status| status.code())
        };
        assert_eq!(code(&mut messages, &[0, 0, 0]), None);
        let long = code(&mut messages, &[0, 6]);
        assert_eq!(long, Some(tonic::Code::OutOfRange));
        let compressed = code(&mut Messages::new(5), &[1, 0, 0, 0, 1]);
        assert_eq!(compressed, Some(tonic::Code::Unimplemented));
    }
}
