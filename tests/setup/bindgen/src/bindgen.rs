//! `bindgen MODULE.wasm FOLDER`: the WebAssembly, JavaScript and TypeScript that the package is made of.
//!
//! What `wasm-bindgen --target web --omit-default-module-path --experimental-reset-state-function --out-name lorafold` makes, byte for byte.

use std::env;

fn main() -> anyhow::Result<()> {
    let mut given = env::args_os().skip(1);
    let (Some(module), Some(folder), None) = (given.next(), given.next(), given.next()) else {
        anyhow::bail!("usage: bindgen MODULE.wasm FOLDER");
    };
    // One target serves every runtime: the entry points say where the wasm comes from.
    wasm_bindgen_cli_support::Bindgen::new()
        .web(true)?
        .input_path(module)
        .out_name("lorafold")
        .demangle(true)
        .typescript(true)
        .omit_default_module_path(true)
        .reset_state_function(true)
        .generate(folder)
}
