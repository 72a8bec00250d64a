//! Recorded draws in place of a generator.

use super::Mismatch;
use super::document::wrong;
use crate::balance::rng::Rng;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde_json::Value;

/// A generator that gives the recorded draws and notes when a rule asks for others.
#[derive(Debug, Default)]
pub struct Scripted {
    /// (bound, value); bound 0 stands for a unit draw.
    draws: Vec<(u32, f64)>,
    used: usize,
    complaint: Option<String>,
}

impl Scripted {
    /// From the `draws` of a step; none or null means that the rule must not draw.
    pub(super) fn read(draws: &Value) -> Result<Self, Mismatch> {
        let mut script = Self::default();
        for draw in draws.as_array().map(Vec::as_slice).unwrap_or_default() {
            let value = super::document::real(&draw["value"])?;
            match draw["type"].as_str() {
                Some("int") => script
                    .draws
                    .push((super::document::count(draw, "bound")?, value)),
                Some("unit") => script.draws.push((0, value)),
                _ => return wrong("draws", "a draw is of type int or unit"),
            }
        }
        Ok(script)
    }

    /// Unit draws with these values.
    #[must_use]
    pub fn units(values: &[f64]) -> Self {
        Self {
            draws: values.iter().map(|&value| (0, value)).collect(),
            ..Self::default()
        }
    }

    /// All of them: (bound, value); bound 0 stands for a unit draw.
    pub(super) fn draws(&self) -> &[(u32, f64)] {
        &self.draws
    }

    fn take(&mut self, bound: u32) -> f64 {
        let name = |bound: u32| {
            if bound == 0 {
                "unit".to_string()
            } else {
                format!("int({bound})")
            }
        };
        let at = self.used;
        self.used += 1;
        match self.draws.get(at) {
            Some(&(wanted, value)) if wanted == bound => value,
            other => {
                let wanted = other.map_or_else(|| "no draw".to_string(), |(bound, _)| name(*bound));
                self.complaint.get_or_insert_with(|| {
                    format!("draw {at}: expected {wanted}, got {}", name(bound))
                });
                0.0
            }
        }
    }

    /// Whether exactly the recorded draws were taken.
    ///
    /// # Errors
    /// [`Mismatch`] with the first difference.
    pub fn settled(&self, at: &str) -> Result<(), Mismatch> {
        match &self.complaint {
            Some(complaint) => wrong(at, complaint),
            None if self.used != self.draws.len() => wrong(
                at,
                format!("expected {} draws, got {}", self.draws.len(), self.used),
            ),
            None => Ok(()),
        }
    }
}

impl Rng for Scripted {
    fn int(&mut self, bound: u32) -> u32 {
        self.take(bound) as u32
    }

    fn unit(&mut self) -> f64 {
        self.take(0)
    }
}
