//! What is wrong with a request, and how each area of the API says so.

use alloc::{boxed::Box, string::String};

use super::{answer::Answer, route::Kind};

/// Whose way of telling errors a route follows (the reference has a handler of exceptions for each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// `/v1/ns`: texts.
    NamingV1,
    /// `/v1/cs`: `caused: …;` texts.
    ConfigV1,
    /// `/v1/console`, `/v1/core`: as config.
    ConsoleV1,
    /// v2 and v3: the `Result` wrapper.
    Wrapped,
    /// The 3.x client API of configs, which stands outside of the wrapper's error handling.
    ClientV3,
}

/// What is wrong with a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A declared parameter is missing.
    Missing {
        /// Its name.
        name: &'static str,
        /// What it is.
        kind: Kind,
    },
    /// A parameter is not of its kind.
    Convert {
        /// Its name.
        name: &'static str,
        /// What was given.
        value: String,
        /// What it should be.
        kind: Kind,
    },
    /// The parameter check refuses it: 400 with one line of text, in every generation.
    Checked(String),
    /// An illegal argument.
    Argument(String),
    /// A business error with a code of the error table.
    Detail {
        /// HTTP status.
        status: u16,
        /// Code; its text is the message.
        code: u32,
        /// Detail.
        detail: String,
    },
    /// A business error without one.
    Business {
        /// HTTP status.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The container's error page.
    Container {
        /// HTTP status.
        status: u16,
        /// Its `message`.
        message: String,
    },
    /// Exactly this answer.
    Exactly(Box<Answer>),
}

/// The text of a code of the error table; "server error" for an unknown one.
#[must_use]
pub fn code_text(code: u32) -> &'static str {
    match code {
        0 => "success",
        _ => "server error",
    }
}
