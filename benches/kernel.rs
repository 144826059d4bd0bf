//! The kernel natively, one thread: `cargo bench --features bench --bench kernel`. In wasm: `node benches/kernel.mjs`.
#![allow(clippy::unwrap_used, reason = "a benchmark")]

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    use criterion::{BenchmarkId, Criterion, Throughput};
    use lorafold::kernel::bench::{Subject, multiply_and_add};
    use lorafold::tensor::Float;

    const ROWS: usize = 4096;
    const COLS: usize = 4096;

    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let mut group = criterion.benchmark_group("peak");
    group.throughput(Throughput::Elements(multiply_and_add(100_000)));
    group
        .bench_function("multiply and add (elements are operations)", |bench| bench.iter(|| multiply_and_add(100_000)));
    group.finish();

    for float in [Float::F16, Float::Bf16, Float::F32] {
        let mut group = criterion.benchmark_group(format!("fold {float:?}"));
        group.throughput(Throughput::Elements((ROWS * COLS) as u64));
        // Rank 0 is decoding and encoding alone.
        for rank in [0, 8, 16, 64, 128] {
            let mut subject = Subject::new(ROWS, COLS, rank, float).unwrap();
            group.bench_function(BenchmarkId::from_parameter(rank), |bench| bench.iter(|| subject.fold(false)));
        }
        let mut subject = Subject::new(ROWS, COLS, 16, float).unwrap();
        group.bench_function("16 with statistics", |bench| bench.iter(|| subject.fold(true)));
        group.finish();
    }
}

#[cfg(target_arch = "wasm32")]
fn main() {}
