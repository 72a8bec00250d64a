//! What the server says of its settings, to whoever asks.

use super::data;
use crate::api::{Answer, Args, Fault, Plan, console::state_json};

/// For administrators.
pub(in crate::api) fn admin(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(data(&state_json(args.call().server))))
}

/// For the console, without the wrapper.
pub(in crate::api) fn console(args: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::json_of(&state_json(
        args.call().server,
    ))))
}

/// Nothing is announced.
pub(in crate::api) fn nothing(_: &Args<'_>) -> Result<Plan, Fault> {
    Ok(Plan::Answer(Answer::wrapped("null")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Compat, tests::facts};

    #[test]
    fn settings_are_texts() {
        let state = state_json(&facts(Compat::All));
        assert_eq!(
            (&state["maxContent"], &state["startup_mode"]),
            (&"10485760".into(), &"standalone".into())
        );
        assert!(
            state
                .as_object()
                .expect("an object")
                .values()
                .all(|v| v.is_string() || v.is_null())
        );
    }
}
