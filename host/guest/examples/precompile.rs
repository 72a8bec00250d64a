//! Compiles an engine module for this version of wasmtime and this processor: `precompile IN.wasm OUT.cwasm`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [from, to] = &arguments[..] else {
        eprintln!("precompile IN.wasm OUT.cwasm");
        return ExitCode::from(2);
    };
    let made = std::fs::read(from)
        .map_err(|e| e.to_string())
        .and_then(|wasm| nacrite_guest::precompile(&wasm).map_err(|e| e.to_string()))
        .and_then(|code| std::fs::write(to, code).map_err(|e| e.to_string()));
    match made {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("precompile: {}: {why}", from.display());
            ExitCode::FAILURE
        }
    }
}
