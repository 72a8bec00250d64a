//! The tests that every crate carries: unit tests, integration tests of its own, examples in its documentation.
//!
//! Not those of `tests/tests`: each of them is a stage, or part of one.

use serde_json::Value;

use crate::workspace::cargo;
use crate::{Failure, process, wasm};

/// The crate whose test programs are stages.
const STAGED: &str = "nacrite-tests";

/// Runs them all, even after one has failed.
///
/// # Errors
/// When a test fails.
pub(crate) fn unit() -> Result<(), Failure> {
    let metadata =
        process::output(cargo().args(["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut command = cargo();
    // The whole workspace, so that features unify as in the build.
    command.args([
        "test",
        "--workspace",
        "--no-fail-fast",
        "--lib",
        "--bins",
        "--examples",
    ]);
    for name in integration_tests(&metadata) {
        command.args(["--test", &name]);
    }
    let tests = process::run(wasm::embed(&mut command));
    let mut examples = cargo();
    examples.args(["test", "--workspace", "--no-fail-fast", "--doc"]);
    let examples = process::run(wasm::embed(&mut examples));
    tests.and(examples)
}

/// Names of the test programs that no stage names.
fn integration_tests(metadata: &Value) -> Vec<String> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let packages = list(&metadata["packages"])
        .into_iter()
        .filter(|package| package["name"] != STAGED);
    let targets = packages.flat_map(|package| list(&package["targets"]));
    let tests = targets.filter(|target| list(&target["kind"]).iter().any(|kind| kind == "test"));
    tests
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_staged_tests_are_not_among_them() {
        let text = r#"{"packages":[
            {"name":"nacrite-consensus","targets":[{"name":"x","kind":["lib"]},{"name":"members","kind":["test"]}]},
            {"name":"nacrite-tests","targets":[{"name":"kill","kind":["test"]}]}]}"#;
        let metadata = serde_json::from_str(text).expect("the test's own JSON");
        assert_eq!(integration_tests(&metadata), ["members"]);
    }
}
