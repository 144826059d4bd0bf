//! Merges adapters into a base, from folder to folder.
//!
//!     cargo run --release --example merge -- models/base adapters/style adapters/detail@0.5 models/merged

use std::process::ExitCode;

use lorafold::{AdapterFolder, Merge, Merged, Result};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [base, adapters @ .., out] = arguments.as_slice() else {
        eprintln!("usage: merge BASE ADAPTER[@WEIGHT]... OUT");
        return ExitCode::from(2);
    };
    match merge(base, adapters, out) {
        Ok(merged) => {
            println!("{out}: {} files, {} bytes", merged.plan.files.len(), merged.plan.output_bytes());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{}: {error}", error.code());
            ExitCode::FAILURE
        }
    }
}

/// Merge the adapters, each a path that may end in `@` and a weight.
pub fn merge(base: &str, adapters: &[String], out: &str) -> Result<Merged> {
    let mut builder = Merge::builder().base(base).on_progress(|progress| {
        eprint!("\r{} of {} bytes", progress.bytes, progress.total);
    });
    for adapter in adapters {
        let weighted = adapter.rsplit_once('@').and_then(|(path, weight)| Some((path, weight.parse().ok()?)));
        builder = match weighted {
            Some((path, weight)) => builder.adapter(AdapterFolder::new(path).weight(weight)),
            None => builder.adapter(adapter),
        };
    }
    let merge = builder.plan()?;
    for finding in &merge.plan().findings {
        eprintln!("{}", finding.message);
    }
    let merged = merge.run(out);
    eprintln!();
    merged
}
