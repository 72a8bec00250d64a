//! `nacrite balance` and `nacrite plugin`: what their author does with rules and plugins; and what a server does with a module
//! before it is published.

mod project;
mod publish;

use std::fs;
use std::path::Path;

use nacrite_core::api::Examined;
use nacrite_core::balance::replay::Recording;
use nacrite_plugin::{Engine, Instance, Limits, Plugin, Replayed, check};

use crate::cli::Verify;
pub use project::{Language, new_project};
pub use publish::{Publish, publish};

fn plugin(file: &Path, limits: &Limits) -> Result<Plugin, String> {
    let named = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let bytes = fs::read(file).map_err(|e| named(&e))?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    Plugin::new(&Engine::new(limits), &name, &bytes).map_err(|e| named(&e))
}

/// Runs one recording; how many answers were compared.
fn run(recording: &Recording, verify: &Verify, plugin: Option<&Plugin>) -> Result<u32, String> {
    let Some(plugin) = plugin else {
        return recording.run(verify.mode).map_err(|e| e.to_string());
    };
    let config = match &verify.config {
        Some(config) => config.clone(),
        None => Replayed::config(recording.policy(verify.mode).map_err(|e| e.to_string())?),
    };
    let instance = Instance::new(plugin, &config).map_err(|e| e.to_string())?;
    let mut subject = Replayed::new(instance);
    let outcome = recording.run_against(&mut subject);
    match subject.failure() {
        Some(failure) => Err(failure.to_string()),
        None => outcome.map_err(|e| e.to_string()),
    }
}

/// Runs recordings and prints what differs; whether none does. A recording that compares nothing counts as differing.
///
/// # Errors
/// When a file cannot be read, or is no plugin or no recording.
pub fn verify(verify: &Verify) -> Result<bool, String> {
    let limits = Limits::default();
    let plugin = verify
        .plugin
        .as_deref()
        .map(|file| plugin(file, &limits))
        .transpose()?;
    let (mut passed, mut failed) = (0, 0);
    for file in &verify.files {
        let named = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
        let text = fs::read_to_string(file).map_err(|e| named(&e))?;
        let recording = Recording::parse(&text).map_err(|e| named(&e))?;
        match run(&recording, verify, plugin.as_ref()) {
            Ok(1..) => passed += 1,
            Ok(0) => {
                println!("{}: nothing was compared", recording.id());
                failed += 1;
            }
            Err(why) => {
                println!("{}: {why}", recording.id());
                failed += 1;
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    Ok(failed == 0)
}

/// Runs the acceptance of a plugin and prints what its calls cost.
///
/// # Errors
/// What is wrong with it.
pub fn check_file(file: &Path, config: &str, large: bool) -> Result<(), String> {
    let mut limits = Limits::default();
    if large {
        limits.module = Limits::MOST_MODULE;
    }
    let plugin = plugin(file, &limits)?;
    let checked = check(&plugin, config).map_err(|e| format!("{}: {e}", file.display()))?;
    println!(
        "accepted: {} scenarios within the limits",
        checked.scenarios
    );
    println!(
        "a pick of 10 instances {} ns, of 1000 {} ns; an update of 1000 {} us",
        checked.pick_of_10.as_nanos(),
        checked.pick_of_1000.as_nanos(),
        checked.update_of_1000.as_micros()
    );
    Ok(())
}

/// Tries a module with a configuration, within the limits. How large it may be, who asks has looked at.
#[must_use]
pub fn examine(module: Vec<u8>, config: &str) -> Examined {
    let limits = Limits {
        module: Limits::MOST_MODULE,
        ..Limits::default()
    };
    let verdict = Plugin::new(&Engine::new(&limits), "it", &module)
        .and_then(|plugin| check(&plugin, config).map(drop))
        .map_err(|why| why.to_string());
    Examined { module, verdict }
}
