//! One running plugin: a store, the functions, the table it was given last. Used by one thread at a time.

use std::sync::Arc;
use std::time::Duration;

use nacrite_balance_plugin::table::{RECORD, flags, offset};
use nacrite_balance_plugin::{FALLBACK, NONE, choose};
use nacrite_core::balance::Balancer;
use wasmtime::{Memory, Store, Trap, TypedFunc, WasmParams, WasmResults};

use crate::engine::{Guard, OutOfTime};
use crate::failure::{Failure, Refused};
use crate::limits::Budget;
use crate::module::{Compiled, Plugin};
use crate::snapshot::Snapshot;

/// Most of `lb_error`'s text that is read.
const MOST_SAID: usize = 1024;

/// What a plugin chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chosen {
    Index(u32),
    None,
    Fallback,
}

/// A plugin's instance with its configuration.
pub struct Instance {
    store: Store<Guard>,
    plugin: Arc<Compiled>,
    memory: Memory,
    alloc: TypedFunc<i32, i32>,
    update: TypedFunc<(i32, i32, i64), i32>,
    choose: TypedFunc<(i64, i64, i64, i32), i32>,
    error: TypedFunc<(), i64>,
    counting: Option<Counting>,
    draws: Option<TypedFunc<(i32, i32), i32>>,
    /// Where the table is in the guest's memory, and its records.
    table: usize,
    count: u32,
    /// The list it has; none before the first.
    epoch: Option<u64>,
    /// When its live columns were rewritten.
    fresh_ms: u64,
    tried: Vec<u32>,
}

struct Counting {
    start: TypedFunc<(i32, i64), ()>,
    report: TypedFunc<(i32, i32, i64, i64), ()>,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.plugin.name)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

impl Instance {
    /// Instantiates a plugin and gives it its configuration (JSON).
    ///
    /// # Errors
    /// When it fails at that, or refuses the configuration.
    pub fn new(plugin: &Plugin, config: &str) -> Result<Self, Refused> {
        let plugin = &plugin.0;
        let engine = &plugin.engine.0;
        let during = |what: &str| {
            let during = what.to_owned();
            move |failure| Refused::Failed { during, failure }
        };
        let mut store = Store::new(&engine.wasmtime, Guard::new(engine));
        store.limiter(|guard| guard);
        match engine.limits.budget {
            Budget::Cpu { update, .. } => {
                store.data_mut().budget = update;
                store.epoch_deadline_callback(|mut store| store.data_mut().ticked());
                store.set_epoch_deadline(1);
            }
            Budget::Fuel(fuel) => store.set_fuel(fuel).expect("the engine counts fuel"),
        }
        let instance = wasmtime::Instance::new(&mut store, &plugin.module, &[])
            .map_err(|why| during("instantiation")(read(&mut store, &why, None)))?;
        store.data_mut().started = true;
        macro_rules! function {
            ($name:literal) => {
                instance
                    .get_typed_func(&mut store, $name)
                    .expect("its type was looked at")
            };
        }
        let initialize: Option<TypedFunc<(), ()>> =
            plugin.initialize.then(|| function!("_initialize"));
        let (abi, init): (TypedFunc<(), i32>, TypedFunc<(i32, i32), i32>) =
            (function!("lb_abi"), function!("lb_init"));
        let counting = plugin.counts.then(|| Counting {
            start: function!("lb_start"),
            report: function!("lb_report"),
        });
        let mut made = Self {
            memory: instance
                .get_memory(&mut store, "memory")
                .expect("it was looked at"),
            alloc: function!("lb_alloc"),
            update: function!("lb_update"),
            choose: function!("lb_choose"),
            error: function!("lb_error"),
            counting,
            draws: plugin.scripts.then(|| function!("lb_draws")),
            plugin: Arc::clone(plugin),
            store,
            table: 0,
            count: 0,
            epoch: None,
            fresh_ms: 0,
            tried: Vec::new(),
        };
        if let Some(initialize) = initialize {
            made.call("_initialize", &initialize, ())
                .map_err(during("_initialize"))?;
        }
        match made.call("lb_abi", &abi, ()).map_err(during("lb_abi"))? {
            nacrite_balance_plugin::ABI => {}
            other => return Err(Refused::Version(other)),
        }
        let at = made.place(config.as_bytes()).map_err(during("lb_init"))?;
        match made
            .call("lb_init", &init, (at, config.len() as i32))
            .map_err(during("lb_init"))?
        {
            0 => {}
            code => {
                let said = made.said();
                return Err(Refused::Config(if said.is_empty() {
                    format!("lb_init gave {code}")
                } else {
                    said
                }));
            }
        }
        Ok(made)
    }

    /// Calls a function with the budget of updates.
    fn call<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
        function: &TypedFunc<P, R>,
        arguments: P,
    ) -> Result<R, Failure> {
        self.begin(name, false);
        function
            .call(&mut self.store, arguments)
            .map_err(|why| self.failed(&why))
    }

    /// A call begins: what it may take.
    #[inline]
    fn begin(&mut self, name: &'static str, pick: bool) {
        let engine = &self.plugin.engine.0;
        let guard = self.store.data_mut();
        guard.call += 1;
        guard.name = name;
        match engine.limits.budget {
            Budget::Cpu {
                pick: short,
                update,
            } => guard.budget = if pick { short } else { update },
            Budget::Fuel(fuel) => self.store.set_fuel(fuel).expect("the engine counts fuel"),
        }
    }

    fn failed(&mut self, why: &wasmtime::Error) -> Failure {
        let said = self.error.clone();
        read(&mut self.store, why, Some((&said, &self.memory)))
    }

    /// The text of `lb_error`; empty when there is none that can be read.
    fn said(&mut self) -> String {
        self.begin("lb_error", true);
        said(&mut self.store, &self.error.clone(), &self.memory)
    }

    /// Puts bytes into a new buffer of the guest's.
    fn place(&mut self, bytes: &[u8]) -> Result<i32, Failure> {
        let alloc = self.alloc.clone();
        let at = self.call("lb_alloc", &alloc, bytes.len() as i32)?;
        if at == 0 {
            return Err(Failure::NoBuffer(bytes.len()));
        }
        let written = self
            .memory
            .write(&mut self.store, at as u32 as usize, bytes);
        written
            .map(|()| at)
            .map_err(|_| Failure::BadPlace("lb_alloc"))
    }

    /// The list it has; none before the first.
    #[must_use]
    pub fn epoch(&self) -> Option<u64> {
        self.epoch
    }

    /// Hands a list over.
    ///
    /// # Errors
    /// How the plugin failed; then it has no list.
    pub fn update(&mut self, snapshot: &Snapshot) -> Result<(), Failure> {
        self.epoch = None;
        let at = self.place(snapshot.bytes())?;
        let update = self.update.clone();
        match self.call(
            "lb_update",
            &update,
            (at, snapshot.count() as i32, snapshot.epoch() as i64),
        )? {
            0 => {}
            code => {
                return Err(Failure::Code {
                    call: "lb_update",
                    code,
                    said: self.said(),
                });
            }
        }
        self.table = at as u32 as usize;
        self.count = snapshot.count();
        self.epoch = Some(snapshot.epoch());
        self.fresh_ms = 0;
        Ok(())
    }

    fn records(&mut self) -> Option<&mut [u8]> {
        let end = self.table + self.count as usize * RECORD;
        self.memory
            .data_mut(&mut self.store)
            .get_mut(self.table..end)
    }

    /// Rewrites the live columns from a balancer's counters, at most once for each ms.
    pub(crate) fn refresh(&mut self, balancer: &Balancer, now_ms: u64) -> u32 {
        if self.fresh_ms == now_ms {
            return 0;
        }
        self.fresh_ms = now_ms;
        let Some(records) = self.records() else {
            return 0;
        };
        for (index, record) in (0..).zip(records.chunks_exact_mut(RECORD)) {
            let Some(live) = balancer.live(index, now_ms) else {
                break;
            };
            let kept = record_flags(record) & flags::SAME_ZONE;
            let bits = live.flags.bits() | kept | flags::COUNTED;
            let mut put = |at: usize, field: [u8; 4]| record[at..at + 4].copy_from_slice(&field);
            put(offset::FLAGS, bits.to_le_bytes());
            put(offset::ACTIVE, live.active.to_le_bytes());
            put(offset::EWMA, ((live.cost_ms * 1000.0) as f32).to_le_bytes());
            put(offset::FAILURES, live.failure_run.to_le_bytes());
        }
        choose::FLAGS | choose::COUNTS
    }

    /// Changes flags of one record in place; nothing when there is no such record.
    pub(crate) fn flag(&mut self, index: u32, bits: u32, on: bool) {
        let at = index as usize * RECORD;
        if let Some(record) = self
            .records()
            .and_then(|records| records.get_mut(at..at + RECORD))
        {
            let before = record_flags(record);
            let after = if on { before | bits } else { before & !bits };
            record[offset::FLAGS..offset::FLAGS + 4].copy_from_slice(&after.to_le_bytes());
        }
    }

    /// The flags of one record; 0 when there is no such record.
    pub(crate) fn flags(&mut self, index: u32) -> u32 {
        let at = index as usize * RECORD;
        let record = self
            .records()
            .and_then(|records| records.get(at..at + RECORD));
        record.map_or(0, record_flags)
    }

    /// Marks the instances that a request tried; those of the request before are cleared.
    pub(crate) fn mark_tried(&mut self, tried: &[u32]) -> u32 {
        if tried.is_empty() && self.tried.is_empty() {
            return 0;
        }
        for index in std::mem::take(&mut self.tried) {
            self.flag(index, flags::TRIED, false);
        }
        for &index in tried {
            self.flag(index, flags::TRIED, true);
        }
        self.tried.extend_from_slice(tried);
        if tried.is_empty() { 0 } else { choose::TRIED }
    }

    /// One pick.
    ///
    /// # Errors
    /// How the plugin failed.
    #[inline]
    pub(crate) fn choose(
        &mut self,
        key_hash: u64,
        rand: u64,
        now_ms: u64,
        bits: u32,
    ) -> Result<Chosen, Failure> {
        self.begin("lb_choose", true);
        let arguments = (key_hash as i64, rand as i64, now_ms as i64, bits as i32);
        match self.choose.call(&mut self.store, arguments) {
            Ok(index) if (0..i64::from(self.count)).contains(&i64::from(index)) => {
                Ok(Chosen::Index(index as u32))
            }
            Ok(NONE) => Ok(Chosen::None),
            Ok(FALLBACK) => Ok(Chosen::Fallback),
            Ok(index) => Err(Failure::BadIndex {
                index,
                count: self.count,
            }),
            Err(why) => Err(self.failed(&why)),
        }
    }

    /// A request starts; nothing for a plugin that does not count.
    ///
    /// # Errors
    /// How the plugin failed.
    pub(crate) fn start(&mut self, index: u32, now_ms: u64) -> Result<(), Failure> {
        let Some(counting) = &self.counting else {
            return Ok(());
        };
        let start = counting.start.clone();
        self.begin("lb_start", true);
        start
            .call(&mut self.store, (index as i32, now_ms as i64))
            .map_err(|why| self.failed(&why))
    }

    /// A request ends.
    ///
    /// # Errors
    /// How the plugin failed.
    pub(crate) fn report(
        &mut self,
        index: u32,
        outcome: i32,
        latency_us: u64,
        now_ms: u64,
    ) -> Result<(), Failure> {
        let Some(counting) = &self.counting else {
            return Ok(());
        };
        let report = counting.report.clone();
        self.begin("lb_report", true);
        let arguments = (index as i32, outcome, latency_us as i64, now_ms as i64);
        report
            .call(&mut self.store, arguments)
            .map_err(|why| self.failed(&why))
    }

    /// Puts a script in place of the generator; what became of the one before. None for a plugin without `lb_draws`.
    pub(crate) fn script(&mut self, script: Option<&[u8]>) -> Option<Result<i32, Failure>> {
        let draws = self.draws.clone()?;
        let at = match script
            .filter(|bytes| !bytes.is_empty())
            .map(|bytes| self.place(bytes))
        {
            Some(Err(failure)) => return Some(Err(failure)),
            Some(Ok(at)) => at,
            None => 0,
        };
        let length = script.map_or(0, <[u8]>::len) as i32;
        Some(self.call("lb_draws", &draws, (at, length)))
    }
}

fn record_flags(record: &[u8]) -> u32 {
    let field = record[offset::FLAGS..offset::FLAGS + 4].first_chunk();
    field.map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// The text that `lb_error` points to.
fn said(store: &mut Store<Guard>, error: &TypedFunc<(), i64>, memory: &Memory) -> String {
    let Ok(place) = error.call(&mut *store, ()) else {
        return String::new();
    };
    let (at, length) = (
        (place as u64 >> 32) as usize,
        (place as u64 & 0xffff_ffff) as usize,
    );
    let text = memory
        .data(&*store)
        .get(at..at.saturating_add(length.min(MOST_SAID)));
    String::from_utf8_lossy(text.unwrap_or_default()).into_owned()
}

/// What an error of wasmtime means; `speech` when the guest may have left words.
fn read(
    store: &mut Store<Guard>,
    why: &wasmtime::Error,
    speech: Option<(&TypedFunc<(), i64>, &Memory)>,
) -> Failure {
    if let Some(broken) = store.data_mut().broken.take() {
        return broken;
    }
    let name = store.data().name;
    if why.is::<OutOfTime>() {
        return Failure::OutOfTime(name);
    }
    match why.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel | Trap::Interrupt) => Failure::OutOfTime(name),
        Some(Trap::StackOverflow) => Failure::StackOverflow,
        Some(trap) => {
            store.data_mut().budget = Duration::from_millis(1);
            store.data_mut().call += 1;
            let words = speech
                .map(|(error, memory)| said(store, error, memory))
                .unwrap_or_default();
            let trap = trap.to_string();
            let trap = trap.strip_prefix("wasm trap: ").unwrap_or(&trap);
            Failure::Trap(if words.is_empty() {
                trap.to_owned()
            } else {
                words
            })
        }
        None => Failure::Trap(format!("{why:#}")),
    }
}
