//! The core as a module in wasmtime.

use nacrite_core::node::{NodeSettings, output::Output};
use nacrite_guest::{Code, Guest, Limits, Refused};

use super::{Batch, CoreError, Engine, EngineLimits, Fault, Image, Memory};

/// One instance.
pub(super) struct Wasm {
    guest: Guest,
    most: usize,
}

impl From<nacrite_guest::Fault> for Fault {
    fn from(fault: nacrite_guest::Fault) -> Self {
        Self {
            reason: fault.reason,
            handled: fault.handled,
        }
    }
}

impl From<Refused> for CoreError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.to_string())
    }
}

fn limits(limits: EngineLimits) -> Limits {
    Limits {
        memory: limits.memory,
        cpu: limits.cpu,
    }
}

impl Wasm {
    pub(super) fn start(
        code: &Code,
        of: EngineLimits,
        settings: &NodeSettings,
    ) -> Result<Self, CoreError> {
        let settings =
            postcard::to_stdvec(settings).expect("a vector takes any value that can be serialised");
        Ok(Self {
            guest: Guest::started(code, limits(of), &settings)?,
            most: of.memory,
        })
    }

    pub(super) fn restore(
        code: &Code,
        of: EngineLimits,
        snapshot: &[u8],
    ) -> Result<Self, CoreError> {
        Ok(Self {
            guest: Guest::restored(code, limits(of), snapshot)?,
            most: of.memory,
        })
    }

    pub(super) fn of_image(
        code: &Code,
        of: EngineLimits,
        image: &nacrite_guest::Image,
    ) -> Result<Self, CoreError> {
        Ok(Self {
            guest: Guest::of_image(code, limits(of), image)?,
            most: of.memory,
        })
    }
}

impl Engine for Wasm {
    fn batch(&mut self, batch: &mut Batch) -> Result<Vec<Output>, Fault> {
        let bytes = batch.bytes();
        let outputs = self.guest.handle(&bytes, |outputs| {
            batch.answered_with(outputs);
            postcard::from_bytes(outputs)
        })?;
        outputs.map_err(|e| Fault {
            reason: format!("its answer cannot be read: {e}"),
            handled: None,
        })
    }

    fn deadline(&mut self) -> Result<Option<u64>, Fault> {
        Ok(self.guest.deadline()?)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        Ok(self.guest.snapshot()?)
    }

    fn image(&mut self, spare: Option<Image>) -> Image {
        let spare = match spare {
            Some(Image::Memory(spare)) => Some(spare),
            Some(Image::Node(_)) | None => None,
        };
        Image::Memory(self.guest.image(spare))
    }

    fn memory(&mut self) -> Option<Memory> {
        Some(Memory {
            live: self.guest.live().ok()?,
            committed: self.guest.committed(),
            most: self.most,
        })
    }
}
