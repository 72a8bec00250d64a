//! gRPC requests as data, like HTTP routes.

/// What the edge writes back.
#[derive(Clone, Debug, PartialEq)]
pub struct GrpcAnswer {
    /// `metadata.type`.
    pub kind: &'static str,
    /// The JSON body.
    pub json: alloc::vec::Vec<u8>,
}
