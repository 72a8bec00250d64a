//! A batch of inputs on its way to an engine: as values, as bytes, or as both, each made only if somebody wants it.

use std::sync::Arc;

use nacrite_core::{
    encoding::encode_after,
    node::{
        input::{Input, Now},
        output::Output,
    },
};
use twox_hash::XxHash3_128;

/// Inputs in their order, and a digest of what came of them.
#[derive(Debug, Default)]
pub struct Batch {
    inputs: Option<Vec<(Now, Input)>>,
    bytes: Option<Arc<[u8]>>,
    wants_digest: bool,
    digest: u128,
}

/// Digest of encoded outputs.
pub(super) fn digest(outputs: &[u8]) -> u128 {
    XxHash3_128::oneshot(outputs)
}

impl Batch {
    /// Of values.
    #[must_use]
    pub fn new(inputs: Vec<(Now, Input)>) -> Self {
        Self {
            inputs: Some(inputs),
            ..Self::default()
        }
    }

    /// Of what [`Batch::bytes`] gave.
    #[must_use]
    pub fn encoded(bytes: Arc<[u8]>) -> Self {
        Self {
            bytes: Some(bytes),
            ..Self::default()
        }
    }

    /// With a digest of its outputs.
    #[must_use]
    pub fn digested(mut self) -> Self {
        self.wants_digest = true;
        self
    }

    /// The postcard of `Vec<(Now, Input)>`.
    pub fn bytes(&mut self) -> Arc<[u8]> {
        if let Some(bytes) = &self.bytes {
            return bytes.clone();
        }
        let inputs = self.inputs.as_deref().unwrap_or_default();
        let room = Vec::with_capacity(256 + inputs.len() * 128);
        let encoded = encode_after(room, inputs);
        self.bytes.insert(encoded.into()).clone()
    }

    /// The values, once.
    pub fn take_inputs(&mut self) -> Vec<(Now, Input)> {
        match (self.inputs.take(), &self.bytes) {
            (Some(inputs), _) => inputs,
            (None, Some(bytes)) => decode(bytes),
            (None, None) => Vec::new(),
        }
    }

    /// Notes the digest of these outputs, if it is wanted.
    pub fn answered(&mut self, outputs: &[Output]) {
        if self.wants_digest {
            let bytes = postcard::to_stdvec(outputs)
                .expect("a vector takes any value that can be serialised");
            self.digest = digest(&bytes);
        }
    }

    /// As [`Batch::answered`], of outputs that are encoded already.
    pub fn answered_with(&mut self, outputs: &[u8]) {
        if self.wants_digest {
            self.digest = digest(outputs);
        }
    }

    /// The digest, after an engine has handled the batch.
    #[must_use]
    pub fn digest(&self) -> u128 {
        self.digest
    }
}

/// The inputs of a batch that [`Batch::bytes`] made.
pub(super) fn decode(bytes: &[u8]) -> Vec<(Now, Input)> {
    postcard::from_bytes(bytes).expect("these bytes were made by this process")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_bytes_are_the_same_batch() {
        let inputs = vec![(Now { mono: 1, wall: 2 }, Input::Overloaded(true))];
        let mut batch = Batch::new(inputs.clone());
        let mut again = Batch::encoded(batch.bytes()).digested();
        assert_eq!(batch.take_inputs(), inputs);
        assert_eq!(again.take_inputs(), inputs);
        again.answered(&[]);
        let of_values = again.digest();
        again.answered_with(&[0]);
        assert_eq!(again.digest(), of_values);
    }
}
