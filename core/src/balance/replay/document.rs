//! Reading the fields of a recording; a missing one is a mismatch with its name.

use super::Mismatch;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use serde_json::Value;

pub(super) fn wrong<T>(at: &str, what: impl core::fmt::Display) -> Result<T, Mismatch> {
    Err(Mismatch {
        at: at.to_string(),
        what: what.to_string(),
    })
}

fn missing<T>(value: Option<T>, field: &str, kind: &str) -> Result<T, Mismatch> {
    value.ok_or_else(|| Mismatch {
        at: field.to_string(),
        what: format!("the recording needs {kind} here"),
    })
}

pub(super) fn text<'a>(value: &'a Value, field: &str) -> Result<&'a str, Mismatch> {
    missing(value[field].as_str(), field, "a text")
}

pub(super) fn list<'a>(value: &'a Value, field: &str) -> Result<&'a [Value], Mismatch> {
    missing(value[field].as_array().map(Vec::as_slice), field, "a list")
}

pub(super) fn count(value: &Value, field: &str) -> Result<u32, Mismatch> {
    missing(
        value[field]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok()),
        field,
        "a count",
    )
}

pub(super) fn millis(value: &Value, field: &str) -> Result<u64, Mismatch> {
    missing(value[field].as_u64(), field, "a time in ms")
}

pub(super) fn flag(value: &Value, field: &str) -> Result<bool, Mismatch> {
    missing(value[field].as_bool(), field, "true or false")
}

/// A number; the recordings write those JSON does not know as text.
pub(super) fn real(value: &Value) -> Result<f64, Mismatch> {
    let number = match value.as_str() {
        Some("NaN") => Some(f64::NAN),
        Some("Infinity") => Some(f64::INFINITY),
        _ => value.as_f64(),
    };
    missing(number, "number", "a number")
}

pub(super) fn reals(value: &Value, field: &str) -> Result<Vec<f64>, Mismatch> {
    list(value, field)?.iter().map(real).collect()
}

/// Indices; null stands for no answer.
pub(super) fn answers(value: &Value, field: &str) -> Result<Vec<Option<u32>>, Mismatch> {
    Ok(list(value, field)?
        .iter()
        .map(|answer| answer.as_u64().map(|index| index as u32))
        .collect())
}

pub(super) fn near(at: &str, got: f64, expected: f64) -> Result<(), Mismatch> {
    // A step of the last digit: the parser of the recording may be off by one.
    let slack = 1e-14 * libm::fabs(expected);
    if libm::fabs(got - expected) <= slack {
        Ok(())
    } else {
        wrong(at, format!("expected {expected}, got {got}"))
    }
}

pub(super) fn same<T: PartialEq + core::fmt::Debug>(
    at: &str,
    got: &T,
    expected: &T,
) -> Result<(), Mismatch> {
    if got == expected {
        Ok(())
    } else {
        wrong(at, format!("expected {expected:?}, got {got:?}"))
    }
}
