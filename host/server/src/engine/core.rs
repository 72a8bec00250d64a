//! Cores that can be run: how to start an engine of one, new or with the state of another.

use nacrite_core::node::{Node, NodeSettings};

#[cfg(feature = "wasm")]
use super::wasm::Wasm;
use super::{Engine, EngineLimits, Image, Native};
use crate::settings::{EngineKind, Settings};

/// Why a core does not run.
#[derive(Debug, thiserror::Error)]
pub enum CoreError {
    /// This program has no wasmtime, or no module.
    #[error(
        "this program was built without {0}: `cargo xtask build` builds the module first and embeds it; a module can also \
         be named with --core-module FILE.wasm"
    )]
    NotBuilt(&'static str),
    /// A module cannot be read.
    #[error("{0}")]
    File(String),
    /// A module is refused.
    #[error("{0}")]
    Refused(String),
}

/// A core.
#[derive(Clone, Debug)]
pub enum Core {
    /// The one that is linked in.
    Native,
    /// A module.
    #[cfg(feature = "wasm")]
    Wasm {
        /// Its code.
        code: nacrite_guest::Code,
        /// What it may use.
        limits: EngineLimits,
        /// Where it is from.
        name: std::sync::Arc<str>,
    },
}

impl Core {
    /// The module that this program carries.
    ///
    /// # Errors
    /// See [`CoreError`].
    #[cfg(feature = "wasm")]
    pub fn embedded(limits: EngineLimits) -> Result<Self, CoreError> {
        Ok(Self::Wasm {
            code: super::embedded::code()?,
            limits,
            name: "wasm".into(),
        })
    }

    /// A module from its bytes, compiled here.
    ///
    /// # Errors
    /// See [`CoreError`].
    #[cfg(feature = "wasm")]
    pub fn module(name: &str, bytes: &[u8], limits: EngineLimits) -> Result<Self, CoreError> {
        let code =
            nacrite_guest::Code::compile(bytes).map_err(|e| CoreError::Refused(e.to_string()))?;
        Ok(Self::Wasm {
            code,
            limits,
            name: name.into(),
        })
    }

    /// Without wasmtime there is none.
    ///
    /// # Errors
    /// [`CoreError::NotBuilt`].
    #[cfg(not(feature = "wasm"))]
    pub fn embedded(_: EngineLimits) -> Result<Self, CoreError> {
        Err(CoreError::NotBuilt("wasmtime"))
    }

    /// Without wasmtime there is none.
    ///
    /// # Errors
    /// [`CoreError::NotBuilt`].
    #[cfg(not(feature = "wasm"))]
    pub fn module(_: &str, _: &[u8], _: EngineLimits) -> Result<Self, CoreError> {
        Err(CoreError::NotBuilt("wasmtime"))
    }

    /// The module in a file.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn file(path: &std::path::Path, limits: EngineLimits) -> Result<Self, CoreError> {
        let bytes =
            std::fs::read(path).map_err(|e| CoreError::File(format!("{}: {e}", path.display())))?;
        Self::module(&path.display().to_string(), &bytes, limits)
    }

    /// What the settings ask for.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn of(settings: &Settings) -> Result<Self, CoreError> {
        let module = &settings.core.module;
        match settings.server.engine {
            EngineKind::Native => Ok(Self::Native),
            EngineKind::Wasm if module.as_os_str().is_empty() => {
                Self::embedded(EngineLimits::of(settings))
            }
            EngineKind::Wasm => Self::file(module, EngineLimits::of(settings)),
        }
    }

    /// `native`, `wasm`, or where its module is from.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Native => "native",
            #[cfg(feature = "wasm")]
            Self::Wasm { name, .. } => name,
        }
    }

    /// Whether a fault of it can be contained.
    #[must_use]
    pub fn is_contained(&self) -> bool {
        !matches!(self, Self::Native)
    }

    /// A new node.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn start(&self, settings: &NodeSettings) -> Result<Box<dyn Engine>, CoreError> {
        match self {
            Self::Native => Ok(Box::new(Native::new(Node::new(settings)))),
            #[cfg(feature = "wasm")]
            Self::Wasm { code, limits, .. } => Ok(Box::new(Wasm::start(code, *limits, settings)?)),
        }
    }

    /// Whether it is the same code, so that an image of one is an image of the other.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Native, Self::Native) => true,
            #[cfg(feature = "wasm")]
            (Self::Wasm { code, .. }, Self::Wasm { code: other, .. }) => code.is(other),
            #[cfg(feature = "wasm")]
            _ => false,
        }
    }

    /// An engine that goes on where another of this core was.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn of_image(&self, image: &Image) -> Result<Box<dyn Engine>, CoreError> {
        match (self, image) {
            (Self::Native, Image::Node(node)) => Ok(Box::new(Native::new(Node::clone(node)))),
            #[cfg(feature = "wasm")]
            (Self::Wasm { code, limits, .. }, Image::Memory(memory)) => {
                Ok(Box::new(Wasm::of_image(code, *limits, memory)?))
            }
            #[cfg(feature = "wasm")]
            _ => Err(CoreError::Refused(
                "the image is of another core".to_owned(),
            )),
        }
    }

    /// The node of a snapshot.
    ///
    /// # Errors
    /// See [`CoreError`].
    pub fn restore(&self, snapshot: &[u8]) -> Result<Box<dyn Engine>, CoreError> {
        match self {
            Self::Native => {
                let node =
                    Node::from_snapshot(snapshot).map_err(|e| CoreError::Refused(e.to_string()))?;
                Ok(Box::new(Native::new(node)))
            }
            #[cfg(feature = "wasm")]
            Self::Wasm { code, limits, .. } => {
                Ok(Box::new(Wasm::restore(code, *limits, snapshot)?))
            }
        }
    }
}
