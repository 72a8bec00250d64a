//! What a host does to answer a request, step by step.

use alloc::{boxed::Box, string::String, sync::Arc, vec::Vec};

use super::{answer::Answer, clients::ClientRequest};
use crate::{
    log::{Row, Table},
    node::{op::Op, reply::Answered},
    view::Reading,
};

/// Continues with the result of a step.
pub type Then<R, A> = Box<dyn FnOnce(R, &dyn Reading) -> Plan<A> + Send>;

/// Continues with nothing but the view.
pub type Look<A> = Box<dyn FnOnce(&dyn Reading) -> Plan<A> + Send>;

/// Contents as read, in the order asked for; none for one that is no longer there.
pub type Contents = Vec<Option<Arc<[u8]>>>;

/// The next step. `A` is what the edge writes: [`Answer`] for HTTP, [`super::grpc::GrpcAnswer`] for gRPC.
pub enum Plan<A = Answer> {
    /// Write this.
    Answer(A),
    /// Hand an operation to the node and go on with what comes of it.
    Submit {
        /// The operation.
        op: Op,
        /// Bytes of the content that goes with a publish.
        content: Option<Vec<u8>>,
        /// What then.
        then: Then<Answered, A>,
    },
    /// Read rows of the state store (which has first reached what the view shows).
    Rows {
        /// Which.
        query: RowsQuery,
        /// What then, with how many there are in all (if counted) and those asked for.
        then: Then<(usize, Vec<Row>), A>,
    },
    /// Read contents by their log indexes.
    Contents {
        /// Which.
        indexes: Vec<u64>,
        /// What then.
        then: Then<Contents, A>,
    },
    /// Ask gRPC clients of this member.
    Clients {
        /// The ids of their connections, as APIs show them; those that are gone are passed over.
        ids: Vec<Arc<str>>,
        /// What they are asked.
        request: ClientRequest,
        /// What then, with the JSON of the answers that came in time, in no order.
        then: Then<Vec<Vec<u8>>, A>,
    },
    /// Try a load-balancing plugin: whether it is a module within the limits that does what the ABI asks of it.
    Examine {
        /// The module.
        module: Vec<u8>,
        /// The configuration that it is tried with, JSON.
        config: String,
        /// What then.
        then: Then<Examined, A>,
    },
    /// Set the level of a logger of this member.
    LogLevel {
        /// `root`, or where its lines come from.
        logger: String,
        /// The level, by name.
        level: String,
        /// What then; the error says which there are.
        then: Then<Result<(), String>, A>,
    },
    /// Go on with a closure of the host's choosing a thread for: work that is long for an I/O thread.
    Long(Look<A>),
}

/// What came of [`Plan::Examine`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The module, as it was given.
    pub module: Vec<u8>,
    /// Why it is refused, if it is.
    pub verdict: Result<(), String>,
}

/// Rows to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsQuery {
    /// Of which table.
    pub table: Table,
    /// Whose keys begin so.
    pub prefix: Vec<u8>,
    /// The last keys first.
    pub reverse: bool,
    /// Passed over.
    pub skip: usize,
    /// Given at most.
    pub limit: usize,
    /// Whether all that fit are counted.
    pub count: bool,
}

impl<A> Plan<A> {
    /// Hands over an operation whose result alone makes the answer.
    pub fn submit(op: Op, then: impl FnOnce(Answered) -> A + Send + 'static) -> Self {
        Self::Submit {
            op,
            content: None,
            then: Box::new(move |result, _| Self::Answer(then(result))),
        }
    }

    /// Hands over an operation and makes the answer from its result and the view after it.
    pub fn submit_then(
        op: Op,
        then: impl FnOnce(Answered, &dyn Reading) -> Plan<A> + Send + 'static,
    ) -> Self {
        Self::Submit {
            op,
            content: None,
            then: Box::new(then),
        }
    }
}
