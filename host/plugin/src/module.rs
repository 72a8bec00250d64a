//! A module that was looked at before it runs: its size, its imports, its exports and their types.

use std::sync::Arc;

use wasmtime::{ExternType, FuncType, Module, ValType};

use crate::engine::Engine;
use crate::failure::Refused;

/// A plugin's module, compiled. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Plugin(pub(crate) Arc<Compiled>);

#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) engine: Engine,
    pub(crate) name: String,
    pub(crate) module: Module,
    pub(crate) counts: bool,
    pub(crate) scripts: bool,
    pub(crate) initialize: bool,
}

/// The functions of the ABI: name, parameters, result (`i` is i32, `I` is i64, `f` and `F` the same with fractions), the type in
/// words, whether it must be there.
const FUNCTIONS: &[(&str, &str, &str, &str, bool)] = &[
    ("lb_abi", "", "i", "() -> i32", true),
    ("lb_alloc", "i", "i", "(i32) -> i32", true),
    ("lb_init", "ii", "i", "(i32, i32) -> i32", true),
    ("lb_error", "", "I", "() -> i64", true),
    ("lb_update", "iiI", "i", "(i32, i32, i64) -> i32", true),
    (
        "lb_choose",
        "IIIi",
        "i",
        "(i64, i64, i64, i32) -> i32",
        true,
    ),
    ("lb_start", "iI", "", "(i32, i64)", false),
    ("lb_report", "iiII", "", "(i32, i32, i64, i64)", false),
    ("lb_draws", "ii", "i", "(i32, i32) -> i32", false),
    // What compilers of some languages make for a library that sets itself up.
    ("_initialize", "", "", "()", false),
    // TinyGo exports these of its own library, from 0.41 on; no host calls them.
    ("fminimum", "FF", "F", "(f64, f64) -> f64", false),
    ("fmaximum", "FF", "F", "(f64, f64) -> f64", false),
    ("fminimumf", "ff", "f", "(f32, f32) -> f32", false),
    ("fmaximumf", "ff", "f", "(f32, f32) -> f32", false),
];

/// Globals that linkers export by themselves.
const LINKER: &[&str] = &["__data_end", "__heap_base"];

fn letters(types: impl Iterator<Item = ValType>) -> String {
    let letter = |kind| match kind {
        ValType::I32 => 'i',
        ValType::I64 => 'I',
        ValType::F32 => 'f',
        ValType::F64 => 'F',
        _ => '?',
    };
    types.map(letter).collect()
}

fn in_words(kind: &ExternType) -> String {
    let list = |types: &[ValType]| {
        let names: Vec<String> = types.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    match kind {
        ExternType::Func(function) => {
            let (parameters, results): (Vec<_>, Vec<_>) =
                (function.params().collect(), function.results().collect());
            match results.as_slice() {
                [] => format!("({})", list(&parameters)),
                results => format!("({}) -> {}", list(&parameters), list(results)),
            }
        }
        ExternType::Global(_) => "a global".to_owned(),
        ExternType::Table(_) => "a table".to_owned(),
        ExternType::Memory(_) => "a memory".to_owned(),
        _ => "something else".to_owned(),
    }
}

fn has_type(function: &FuncType, parameters: &str, results: &str) -> bool {
    letters(function.params()) == parameters && letters(function.results()) == results
}

impl Plugin {
    /// Looks at a module and compiles it; nothing of it runs yet.
    ///
    /// # Errors
    /// What is wrong with it, for the person who made it.
    pub fn new(engine: &Engine, name: &str, bytes: &[u8]) -> Result<Self, Refused> {
        let limit = engine.limits().module;
        if bytes.len() > limit {
            return Err(Refused::TooLarge {
                bytes: bytes.len(),
                limit,
            });
        }
        let not_wasm = |why: &str| Refused::NotWasm(why.to_owned());
        if bytes.is_empty() {
            return Err(not_wasm("it is empty"));
        }
        if !bytes.starts_with(b"\0asm") {
            let text = bytes
                .iter()
                .take(64)
                .all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
            let what = if text {
                "it is text; assemble it first (wat2wasm)"
            } else {
                "it does not begin with \\0asm"
            };
            return Err(not_wasm(what));
        }
        let module = Module::from_binary(&engine.0.wasmtime, bytes)
            .map_err(|why| not_wasm(&format!("{why:#}")))?;
        let imports: Vec<String> = module
            .imports()
            .map(|one| format!("{}.{}", one.module(), one.name()))
            .collect();
        if !imports.is_empty() {
            return Err(Refused::Imports(imports.join(", ")));
        }
        exports(&module)?;
        let has = |name: &str| module.get_export(name).is_some();
        if has("lb_start") != has("lb_report") {
            return Err(Refused::Half(if has("lb_start") {
                "lb_start"
            } else {
                "lb_report"
            }));
        }
        Ok(Self(Arc::new(Compiled {
            engine: engine.clone(),
            name: name.to_owned(),
            counts: has("lb_start"),
            scripts: has("lb_draws"),
            initialize: has("_initialize"),
            module,
        })))
    }

    /// Its name, for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether it is told of requests that start and end.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.0.counts
    }
}

/// Compares the exports with the ABI.
fn exports(module: &Module) -> Result<(), Refused> {
    const MEMORY: (&str, &str) = ("memory", "a memory");
    match module.get_export(MEMORY.0) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => {}
        Some(other) => {
            return Err(Refused::WrongType {
                name: MEMORY.0,
                wanted: MEMORY.1,
                found: in_words(&other),
            });
        }
        None => {
            return Err(Refused::Missing {
                name: MEMORY.0,
                wanted: MEMORY.1,
            });
        }
    }
    for &(name, parameters, results, wanted, required) in FUNCTIONS {
        match module.get_export(name) {
            Some(ExternType::Func(function)) if has_type(&function, parameters, results) => {}
            Some(other) => {
                return Err(Refused::WrongType {
                    name,
                    wanted,
                    found: in_words(&other),
                });
            }
            None if required => return Err(Refused::Missing { name, wanted }),
            None => {}
        }
    }
    for export in module.exports() {
        let known = export.name() == MEMORY.0
            || FUNCTIONS.iter().any(|function| function.0 == export.name())
            || (LINKER.contains(&export.name()) && matches!(export.ty(), ExternType::Global(_)));
        if !known {
            return Err(Refused::Unknown(export.name().to_owned()));
        }
    }
    Ok(())
}
