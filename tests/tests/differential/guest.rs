//! The wasm engine as a host drives it: the boundary of `nacrite_wasm::engine`.

use std::path::PathBuf;
use std::sync::OnceLock;

use nacrite_core::node::{NodeSettings, SCHEMA};
use wasmtime::{Engine, Instance, Memory, Module, Store, TypedFunc};

/// Most that crosses the boundary at once of a snapshot.
const PIECE: usize = 1 << 20;

/// An instance of the engine module.
pub(crate) struct Guest {
    store: Store<()>,
    memory: Memory,
    buffer: TypedFunc<u32, u32>,
    init: TypedFunc<u32, u32>,
    handle: TypedFunc<u32, u64>,
    deadline: TypedFunc<(), u64>,
    snapshot: TypedFunc<(), u64>,
    snapshot_end: TypedFunc<(), ()>,
    restore_piece: TypedFunc<u32, ()>,
    restore: TypedFunc<(), u32>,
    panic_message: TypedFunc<(), u64>,
}

/// Where `cargo xtask wasm` leaves the module.
fn module_path() -> PathBuf {
    let program = std::env::current_exe().expect("a test knows its own program");
    // <target>/debug/deps/differential-…
    let target = program.ancestors().nth(3).expect("cargo's folders");
    target.join("wasm/wasm32-unknown-unknown/wasm/nacrite_wasm.wasm")
}

fn module() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let path = module_path();
        let bytes = std::fs::read(&path).unwrap_or_else(|e| {
            panic!(
                "no engine module at {} ({e}); build it with `cargo xtask wasm`",
                path.display()
            )
        });
        Module::new(&Engine::default(), bytes).expect("the module is valid")
    })
}

impl Guest {
    /// An instance without a node.
    pub(crate) fn new() -> Self {
        let module = module();
        assert_eq!(module.imports().count(), 0, "the engine imports nothing");
        let mut store = Store::new(module.engine(), ());
        let instance = Instance::new(&mut store, module, &[]).expect("it starts");
        let memory = instance
            .get_memory(&mut store, "memory")
            .expect("it has memory");
        macro_rules! export {
            ($name:literal) => {
                instance
                    .get_typed_func(&mut store, $name)
                    .expect("the module exports it")
            };
        }
        let schema: TypedFunc<(), u32> = export!("schema");
        let guest = Self {
            memory,
            buffer: export!("buffer"),
            init: export!("init"),
            handle: export!("handle"),
            deadline: export!("deadline"),
            snapshot: export!("snapshot"),
            snapshot_end: export!("snapshot_end"),
            restore_piece: export!("restore_piece"),
            restore: export!("restore"),
            panic_message: export!("panic_message"),
            store,
        };
        let mut guest = guest;
        let number = schema.call(&mut guest.store, ()).expect("it has a number");
        assert_eq!(
            number, SCHEMA,
            "the module is of another schema; build it with `cargo xtask wasm`"
        );
        guest
    }

    /// With a new node.
    pub(crate) fn started(settings: &NodeSettings) -> Self {
        let mut guest = Self::new();
        let length = guest.write(&postcard::to_allocvec(settings).expect("it is serialised"));
        let init = guest.init.clone();
        let done = init.call(&mut guest.store, length).expect("it answers");
        assert_eq!(done, 0, "the settings are understood");
        guest
    }

    /// With the node of a snapshot; `Err` is the engine's code.
    pub(crate) fn restored(snapshot: &[u8]) -> Result<Self, u32> {
        let mut guest = Self::new();
        for piece in snapshot.chunks(PIECE) {
            let length = guest.write(piece);
            let take = guest.restore_piece.clone();
            take.call(&mut guest.store, length).expect("it fits");
        }
        let restore = guest.restore.clone();
        match restore.call(&mut guest.store, ()).expect("it answers") {
            0 => Ok(guest),
            code => Err(code),
        }
    }

    /// A batch in, its outputs out; a trap is its message.
    pub(crate) fn handle(&mut self, batch: &[u8]) -> Result<Vec<u8>, String> {
        let length = self.write(batch);
        let handle = self.handle.clone();
        match handle.call(&mut self.store, length) {
            Ok(place) => Ok(self.read(place)),
            Err(trap) => {
                let message = self.panic_message.clone();
                let place = message.call(&mut self.store, ()).expect("it answers");
                let message = String::from_utf8_lossy(&self.read(place)).into_owned();
                Err(format!("{trap}: {message}"))
            }
        }
    }

    /// When the node wants a tick.
    pub(crate) fn deadline(&mut self) -> Option<u64> {
        let deadline = self.deadline.clone();
        let at = deadline.call(&mut self.store, ()).expect("it answers");
        (at != u64::MAX).then_some(at)
    }

    /// The node's whole state.
    pub(crate) fn snapshot(&mut self) -> Vec<u8> {
        let (take, end) = (self.snapshot.clone(), self.snapshot_end.clone());
        let place = take.call(&mut self.store, ()).expect("it answers");
        let bytes = self.read(place);
        end.call(&mut self.store, ()).expect("it frees it");
        bytes
    }

    /// Bytes of linear memory.
    pub(crate) fn memory(&self) -> usize {
        self.memory.data_size(&self.store)
    }

    fn write(&mut self, bytes: &[u8]) -> u32 {
        let length = u32::try_from(bytes.len()).expect("a batch fits wasm's memory");
        let buffer = self.buffer.clone();
        let at = buffer
            .call(&mut self.store, length)
            .expect("there is memory");
        let memory = self.memory.data_mut(&mut self.store);
        memory[at as usize..][..bytes.len()].copy_from_slice(bytes);
        length
    }

    fn read(&self, place: u64) -> Vec<u8> {
        let (at, length) = ((place >> 32) as usize, (place & 0xffff_ffff) as usize);
        self.memory.data(&self.store)[at..][..length].to_vec()
    }
}
