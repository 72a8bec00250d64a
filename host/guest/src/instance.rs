//! One instance of the engine module.

use std::time::Duration;

use nacrite_core::node::{SCHEMA, STATE};
use wasmtime::{
    Instance, Memory, Store, StoreLimits, StoreLimitsBuilder, TypedFunc, UpdateDeadline,
    WasmParams, WasmResults,
};

use crate::{Code, Image, code::EPOCH};

/// Most that crosses the boundary at once of a snapshot.
const PIECE: usize = 1 << 20;
/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What an instance may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of linear memory.
    pub memory: usize,
    /// CPU time of one call.
    pub cpu: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 2 << 30,
            cpu: Duration::from_secs(10),
        }
    }
}

/// Why an instance can no longer be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What it said, or what happened to it.
    pub reason: String,
    /// Inputs of the batch that were taken in whole before; none if it was not in a batch.
    pub handled: Option<usize>,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Fault {}

/// Why a module is not this host's engine, or not one for this state.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// Its inputs and outputs are of another shape.
    #[error("the module is of schema {0}, this server of {SCHEMA}")]
    Schema(u32),
    /// It would not understand what the state holds.
    #[error("the module's state is of version {0}, older than this server's {STATE}")]
    State(u32),
    /// A function is missing, or of another type.
    #[error("the module is no engine: {0}")]
    NoEngine(String),
    /// It cannot read these bytes.
    #[error("the module refuses the state: {0}")]
    Damaged(&'static str),
    /// It failed.
    #[error("the module failed: {0}")]
    Fault(#[from] Fault),
}

struct Data {
    limits: StoreLimits,
    budget: Duration,
    /// CPU time of the thread when this call was first interrupted.
    since: Option<Duration>,
}

/// CPU time of this thread.
#[expect(unsafe_code, reason = "a clock of the operating system")]
fn thread_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a whole value of this type.
    let read = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if read != 0 {
        return Duration::ZERO;
    }
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// An instance.
pub struct Guest {
    store: Store<Data>,
    memory: Memory,
    /// Address and length of the request buffer; it stays until a larger one is asked for.
    buffer_at: (usize, usize),
    buffer: TypedFunc<u32, u32>,
    init: TypedFunc<u32, u32>,
    handle: TypedFunc<u32, u64>,
    deadline: TypedFunc<(), u64>,
    snapshot: TypedFunc<(), u64>,
    snapshot_end: TypedFunc<(), ()>,
    restore_piece: TypedFunc<u32, ()>,
    restore: TypedFunc<(), u32>,
    live: TypedFunc<(), u64>,
    handled: TypedFunc<(), u32>,
    panic_message: TypedFunc<(), u64>,
}

impl std::fmt::Debug for Guest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guest").finish_non_exhaustive()
    }
}

impl Guest {
    /// An instance without a node.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn new(code: &Code, limits: Limits) -> Result<Self, Refused> {
        let data = Data {
            limits: StoreLimitsBuilder::new().memory_size(limits.memory).build(),
            budget: limits.cpu,
            since: None,
        };
        let mut store = Store::new(code.0.engine(), data);
        store.limiter(|data| &mut data.limits);
        // The time that a thread waits for a processor is not the module's: only its own CPU time counts.
        store.epoch_deadline_callback(|mut context| {
            let data = context.data_mut();
            let now = thread_time();
            let since = *data.since.get_or_insert(now);
            if now.saturating_sub(since) + EPOCH > data.budget {
                return Ok(UpdateDeadline::Interrupt);
            }
            Ok(UpdateDeadline::Continue(1))
        });
        store.set_epoch_deadline(1);
        let no_engine = |e: wasmtime::Error| Refused::NoEngine(format!("{e:#}"));
        let instance = Instance::new(&mut store, &code.0, &[]).map_err(no_engine)?;
        // Numbers first: a module of another schema may export other functions.
        let schema: TypedFunc<(), u32> = export(&instance, &mut store, "schema")?;
        match schema.call(&mut store, ()).map_err(no_engine)? {
            SCHEMA => {}
            other => return Err(Refused::Schema(other)),
        }
        let state: TypedFunc<(), u32> = export(&instance, &mut store, "state")?;
        let state = state.call(&mut store, ()).map_err(no_engine)?;
        if state < STATE {
            return Err(Refused::State(state));
        }
        let memory = instance
            .get_memory(&mut store, "memory")
            .ok_or_else(|| Refused::NoEngine("it exports no memory".to_owned()))?;
        Ok(Self {
            memory,
            buffer_at: (0, 0),
            buffer: export(&instance, &mut store, "buffer")?,
            init: export(&instance, &mut store, "init")?,
            handle: export(&instance, &mut store, "handle")?,
            deadline: export(&instance, &mut store, "deadline")?,
            snapshot: export(&instance, &mut store, "snapshot")?,
            snapshot_end: export(&instance, &mut store, "snapshot_end")?,
            restore_piece: export(&instance, &mut store, "restore_piece")?,
            restore: export(&instance, &mut store, "restore")?,
            live: export(&instance, &mut store, "live")?,
            handled: export(&instance, &mut store, "handled")?,
            panic_message: export(&instance, &mut store, "panic_message")?,
            store,
        })
    }

    /// With a new node of these settings (postcard).
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn started(code: &Code, limits: Limits, settings: &[u8]) -> Result<Self, Refused> {
        let mut guest = Self::new(code, limits)?;
        let length = guest.write(settings)?;
        let init = guest.init.clone();
        match guest.call(&init, length)? {
            0 => Ok(guest),
            _ => Err(Refused::Damaged("it does not understand the settings")),
        }
    }

    /// With the node of a snapshot.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn restored(code: &Code, limits: Limits, snapshot: &[u8]) -> Result<Self, Refused> {
        let mut guest = Self::new(code, limits)?;
        let (take, restore) = (guest.restore_piece.clone(), guest.restore.clone());
        for piece in snapshot.chunks(PIECE) {
            let length = guest.write(piece)?;
            guest.call(&take, length)?;
        }
        match guest.call(&restore, ())? {
            0 => Ok(guest),
            2 => Err(Refused::Damaged("it is of another schema")),
            _ => Err(Refused::Damaged("it is damaged")),
        }
    }

    /// With the memory of an image of the same code.
    ///
    /// # Errors
    /// See [`Refused`].
    pub fn of_image(code: &Code, limits: Limits, image: &Image) -> Result<Self, Refused> {
        let mut guest = Self::new(code, limits)?;
        let more = image.size().saturating_sub(guest.committed());
        let grown = guest.memory.grow(&mut guest.store, more as u64 / PAGE);
        grown.map_err(|e| Refused::NoEngine(format!("{e:#}")))?;
        if guest.committed() != image.size() {
            return Err(Refused::Damaged("the image is of another module"));
        }
        image.restore(guest.memory.data_mut(&mut guest.store));
        guest.buffer_at = image.buffer_at;
        Ok(guest)
    }

    /// Its memory, copied; into an older image if there is one.
    #[must_use]
    pub fn image(&self, spare: Option<Image>) -> Image {
        Image::of(self.memory.data(&self.store), self.buffer_at, spare)
    }

    /// A batch in, its outputs out (postcard both); what they are is looked at where they lie.
    ///
    /// # Errors
    /// See [`Fault`]: this instance is of no more use.
    pub fn handle<R>(&mut self, batch: &[u8], look: impl FnOnce(&[u8]) -> R) -> Result<R, Fault> {
        let length = self.write(batch)?;
        let handle = self.handle.clone();
        match self.call(&handle, length) {
            Ok(place) => Ok(look(self.at(place)?)),
            Err(mut fault) => {
                let handled = self.handled.clone();
                // An instance whose budget is spent is asked for one number more.
                self.store.data_mut().since = None;
                self.store.set_epoch_deadline(1);
                let count = handled.call(&mut self.store, ()).ok();
                fault.handled = count.map(|n| n as usize);
                Err(fault)
            }
        }
    }

    /// When the node wants a tick, on the monotonic clock.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn deadline(&mut self) -> Result<Option<u64>, Fault> {
        let deadline = self.deadline.clone();
        let at = self.call(&deadline, ())?;
        Ok((at != u64::MAX).then_some(at))
    }

    /// The node's whole state.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn snapshot(&mut self) -> Result<Vec<u8>, Fault> {
        let (take, end) = (self.snapshot.clone(), self.snapshot_end.clone());
        let place = self.call(&take, ())?;
        let bytes = self.at(place)?.to_vec();
        self.call(&end, ())?;
        Ok(bytes)
    }

    /// Bytes of linear memory, which never shrinks.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    /// Bytes of it that are allocated.
    ///
    /// # Errors
    /// See [`Fault`].
    pub fn live(&mut self) -> Result<usize, Fault> {
        let live = self.live.clone();
        let bytes = self.call(&live, ())?;
        Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        function: &TypedFunc<P, R>,
        given: P,
    ) -> Result<R, Fault> {
        self.store.data_mut().since = None;
        self.store.set_epoch_deadline(1);
        match function.call(&mut self.store, given) {
            Ok(result) => Ok(result),
            Err(trap) => Err(self.fault(&trap)),
        }
    }

    /// What a trap was about: the module's own words if it has any.
    fn fault(&mut self, trap: &wasmtime::Error) -> Fault {
        let plain = |reason: String| Fault {
            reason,
            handled: None,
        };
        if let Some(wasmtime::Trap::Interrupt) = trap.downcast_ref() {
            let budget = self.store.data().budget;
            return plain(format!("it used more than {budget:?} of CPU time"));
        }
        self.store.data_mut().since = None;
        self.store.set_epoch_deadline(1);
        let message = self.panic_message.clone();
        let said = message
            .call(&mut self.store, ())
            .ok()
            .and_then(|place| Some(String::from_utf8_lossy(self.at(place).ok()?).into_owned()))
            .filter(|text| !text.is_empty());
        plain(said.unwrap_or_else(|| format!("{trap:#}")))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<u32, Fault> {
        let length = u32::try_from(bytes.len()).map_err(|_| outside())?;
        if bytes.len() > self.buffer_at.1 {
            // Doubled, so that it settles; asked for again only when it is too small.
            let wanted = length.max(4_096).checked_next_power_of_two();
            let wanted = wanted.unwrap_or(length);
            let buffer = self.buffer.clone();
            let at = self.call(&buffer, wanted)?;
            self.buffer_at = (at as usize, wanted as usize);
        }
        let at = self.buffer_at.0;
        let memory = self.memory.data_mut(&mut self.store);
        let place = memory.get_mut(at..at + bytes.len()).ok_or_else(outside)?;
        place.copy_from_slice(bytes);
        Ok(length)
    }

    fn at(&self, place: u64) -> Result<&[u8], Fault> {
        let (at, length) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        let memory = self.memory.data(&self.store);
        memory.get(at..at + length).ok_or_else(outside)
    }
}

fn outside() -> Fault {
    Fault {
        reason: "it named a place outside of its memory".to_owned(),
        handled: None,
    }
}

fn export<P: WasmParams, R: WasmResults>(
    instance: &Instance,
    store: &mut Store<Data>,
    name: &str,
) -> Result<TypedFunc<P, R>, Refused> {
    instance
        .get_typed_func(store, name)
        .map_err(|e| Refused::NoEngine(format!("{name}: {e:#}")))
}
