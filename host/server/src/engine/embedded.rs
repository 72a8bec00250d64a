//! The module that the build has put into this program: as it is, and compiled for the machine of the build.

use nacrite_guest::Code;

use super::CoreError;

/// The module's code: as it was compiled beforehand if version and processor fit, else compiled now.
#[cfg(feature = "embed")]
pub(super) fn code() -> Result<Code, CoreError> {
    const MODULE: &[u8] = include_bytes!(concat!(env!("CORE_MODULE_DIR"), "/engine.wasm"));
    const COMPILED: &[u8] = include_bytes!(concat!(env!("CORE_MODULE_DIR"), "/engine.cwasm"));
    #[expect(
        unsafe_code,
        reason = "machine code that this project's own build has made"
    )]
    // SAFETY: the build has made these bytes with `nacrite_guest::precompile`, and put them here.
    let compiled = unsafe { Code::precompiled(COMPILED) };
    compiled.or_else(|why| {
        tracing::info!(target: "nacrite", "{why}; it is compiled here");
        Code::compile(MODULE).map_err(|e| CoreError::Refused(e.to_string()))
    })
}

/// There is none.
#[cfg(not(feature = "embed"))]
pub(super) fn code() -> Result<Code, CoreError> {
    Err(CoreError::NotBuilt("the engine module"))
}
