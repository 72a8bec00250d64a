//! Compiled modules, and the one wasmtime engine of a process.

use std::sync::OnceLock;
use std::time::Duration;

use wasmtime::{Config, Engine, Module};

/// How often a running call is interrupted to look at its CPU time.
pub(crate) const EPOCH: Duration = Duration::from_millis(50);

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub enum CodeError {
    /// This is no module that wasmtime takes.
    #[error("the module cannot be compiled: {0}")]
    Compile(String),
    /// What was compiled beforehand is of another version, for another processor, or damaged.
    #[error("the precompiled module does not fit: {0}")]
    Unfit(String),
    /// The module wants something from its host; the engine gives it nothing.
    #[error("the module imports {0}; an engine imports nothing")]
    Imports(String),
    /// wasmtime does not run here.
    #[error("wasmtime does not run here: {0}")]
    Here(String),
}

/// A compiled module.
#[derive(Clone)]
pub struct Code(pub(crate) Module);

impl std::fmt::Debug for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Code")
    }
}

/// Everything that decides about the machine code stands here: what is precompiled fits only the same settings.
fn config() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    // A trap's reason is the module's own message; a backtrace would be collected at each.
    config.wasm_backtrace_max_frames(None);
    // Reading each function's place in the module takes memory and is of use to backtraces alone.
    config.generate_address_map(false);
    config
}

fn engine() -> Result<&'static Engine, CodeError> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let made = ENGINE.get_or_init(|| {
        let engine = Engine::new(&config()).map_err(|e| format!("{e:#}"))?;
        let ticking = engine.clone();
        std::thread::Builder::new()
            .name("epochs".to_owned())
            .spawn(move || {
                loop {
                    std::thread::sleep(EPOCH);
                    ticking.increment_epoch();
                }
            })
            .map_err(|e| e.to_string())?;
        Ok(engine)
    });
    made.as_ref().map_err(|e| CodeError::Here(e.clone()))
}

/// Machine code of a module for this version of wasmtime and this processor.
///
/// # Errors
/// See [`CodeError`].
pub fn precompile(wasm: &[u8]) -> Result<Vec<u8>, CodeError> {
    let engine = engine()?;
    engine
        .precompile_module(wasm)
        .map_err(|e| CodeError::Compile(format!("{e:#}")))
}

impl Code {
    /// Compiles a module: about a second of CPU.
    ///
    /// # Errors
    /// See [`CodeError`].
    pub fn compile(wasm: &[u8]) -> Result<Self, CodeError> {
        let module = Module::from_binary(engine()?, wasm);
        Self::checked(module.map_err(|e| CodeError::Compile(format!("{e:#}")))?)
    }

    /// Takes what [`precompile`] made.
    ///
    /// # Errors
    /// [`CodeError::Unfit`] if it was made by another version of wasmtime, with other settings or for another processor.
    ///
    /// # Safety
    /// The bytes must be what [`precompile`] gave: they are machine code that is run as it is. Never a file from
    /// somewhere else.
    #[expect(
        unsafe_code,
        reason = "machine code that this project's own build has made"
    )]
    pub unsafe fn precompiled(bytes: &[u8]) -> Result<Self, CodeError> {
        // SAFETY: see above. wasmtime itself compares version, settings and processor.
        let module = unsafe { Module::deserialize(engine()?, bytes) };
        Self::checked(module.map_err(|e| CodeError::Unfit(format!("{e:#}")))?)
    }

    /// Whether both are the same compiled module, so that an [`crate::Image`] of one fits the other.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        self.0.image_range() == other.0.image_range()
    }

    fn checked(module: Module) -> Result<Self, CodeError> {
        let first = module.imports().next();
        let first = first.map(|import| format!("{}.{}", import.module(), import.name()));
        first.map_or(Ok(Self(module)), |import| Err(CodeError::Imports(import)))
    }
}
