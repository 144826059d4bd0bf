//! Makes an adapter of a fine-tuned model and its base: `cargo run --release --example extract -- BASE TUNED OUT [RANK]`.

use std::time::Instant;

use lorafold::{ExtractOptions, NewAdapter};

fn main() -> lorafold::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, tuned, out, rest @ ..] = arguments.as_slice() else {
        eprintln!("usage: extract BASE TUNED OUT [RANK]");
        std::process::exit(2);
    };
    let mut options = ExtractOptions::default();
    options.rank = rest.first().and_then(|rank| rank.parse().ok());
    let started = Instant::now();
    let report = NewAdapter::extracted(base, tuned, options).force(true).run(out)?;
    for module in report.modules.iter().take(3) {
        println!("{}: rank {}, {:.3} of the energy", module.module, module.rank, module.energy);
    }
    println!("{} modules, {:.2} s", report.modules.len(), started.elapsed().as_secs_f64());
    Ok(())
}
