//! Replays recordings of the real balancers against a rule: what `nacrite balance verify` and the tests run.
//!
//! A recording is one JSON document: a trace of steps with the draws the rule took and the index it gave, a table of cases
//! with their answers, or a distribution. A trace runs against any [`Subject`], so a plugin can be checked by the same files.

pub mod chi_square;
mod document;
mod draws;
mod tables;
mod trace;

pub use draws::Scripted;
pub use trace::{Subject, run_trace};

use super::policy::{Mode, Policy, PolicyError};
use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;
use document::text;
use serde_json::Value;

/// What a recording and the rule disagree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where in the recording.
    pub at: String,
    /// What was expected and what came.
    pub what: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}

impl core::error::Error for Mismatch {}

impl From<PolicyError> for Mismatch {
    fn from(error: PolicyError) -> Self {
        Self {
            at: "config".to_string(),
            what: error.to_string(),
        }
    }
}

/// A recording that was read.
#[derive(Clone, Debug)]
pub struct Recording {
    document: Value,
}

impl Recording {
    /// Reads a recording.
    ///
    /// # Errors
    /// [`Mismatch`] when the text is no JSON object with an `id` and a `rule`.
    pub fn parse(json: &str) -> Result<Self, Mismatch> {
        let document: Value = serde_json::from_str(json).map_err(|why| Mismatch {
            at: "document".to_string(),
            what: why.to_string(),
        })?;
        text(&document, "id")?;
        text(&document, "rule")?;
        Ok(Self { document })
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.document["id"].as_str().unwrap_or_default()
    }

    /// Whether the original does something here that a user would not expect; such recordings need `exact` mode.
    #[must_use]
    pub fn is_quirk(&self) -> bool {
        self.document["quirk"] == true
    }

    /// Whether it is a trace of steps, which any [`Subject`] can run.
    #[must_use]
    pub fn is_trace(&self) -> bool {
        self.document["steps"].is_array()
    }

    /// The policy that the recorded configuration stands for.
    ///
    /// # Errors
    /// [`Mismatch`] when the recording names a rule or a value that is not known.
    pub fn policy(&self, mode: Mode) -> Result<Policy, Mismatch> {
        trace::policy(&self.document, mode)
    }

    /// Runs it against the built-in rule it names; the number of answers that were compared.
    ///
    /// # Errors
    /// The first [`Mismatch`].
    pub fn run(&self, mode: Mode) -> Result<u32, Mismatch> {
        if self.is_trace() {
            trace::run_builtin(&self.document, mode)
        } else {
            tables::run(&self.document, mode)
        }
    }

    /// Runs a trace against a rule of the caller's.
    ///
    /// # Errors
    /// The first [`Mismatch`]; a recording that is no trace is one.
    pub fn run_against(&self, subject: &mut dyn Subject) -> Result<u32, Mismatch> {
        if self.is_trace() {
            run_trace(&self.document, subject)
        } else {
            Err(Mismatch {
                at: self.id().to_string(),
                what: format!("{} is a table, not a trace", self.id()),
            })
        }
    }
}
