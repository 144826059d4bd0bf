// The kernel in wasm, one thread: rates, and how near they come to a roofline measured in the same run.
//
//   node benches/kernel.mjs [--wasm FILE] [--rows N] [--cols N] [--seconds S] [--json FILE]
//
// Without --wasm it builds the module itself, as the package's is built. The roofline of a rank is the time of decoding and encoding alone (rank 0)
// plus 2 · rank operations an element at the measured peak of multiplications and additions.
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";
import { parseArgs } from "node:util";
import { buildKernel, instantiateKernel } from "./kernel-module.mjs";

const { values: options } = parseArgs({
  options: {
    wasm: { type: "string" },
    rows: { type: "string", default: "4096" },
    cols: { type: "string", default: "4096" },
    seconds: { type: "string", default: "1" },
    json: { type: "string" },
  },
});
const rows = Number(options.rows);
const cols = Number(options.cols);
const FLOATS = ["f16", "bf16", "f32"];
const RANKS = [4, 8, 16, 32, 64, 128];

/** Runs the functions in turn, again and again while there is time (at least three times): the least seconds of each. */
function best(...runs) {
  const least = runs.map(() => Infinity);
  const end = performance.now() + Number(options.seconds) * 1000;
  for (let turn = 0; turn < 3 || performance.now() < end; turn++) {
    runs.forEach((run, index) => {
      const start = performance.now();
      run();
      least[index] = Math.min(least[index], (performance.now() - start) / 1000);
    });
  }
  return least;
}

const kernel = instantiateKernel(options.wasm ?? buildKernel());
const elements = rows * cols;
const turns = 200_000;
const operations = kernel.bench_peak(turns);
let peak = 0; // operations a second, the best of the whole run

const results = [];
for (const float of FLOATS) {
  for (const rank of [0, ...RANKS]) {
    if (!kernel.bench_prepare(rows, cols, rank, FLOATS.indexOf(float))) throw new Error("not enough memory");
    for (let turn = 0; turn < 2; turn++) [0, 1].forEach((statistics) => kernel.bench_fold(statistics)); // V8 optimises meanwhile
    const [plain, counted, peakTime] = best(
      () => kernel.bench_fold(0),
      () => kernel.bench_fold(1),
      () => kernel.bench_peak(turns),
    );
    peak = Math.max(peak, operations / peakTime);
    results.push({ float, rank, seconds: plain, rate: elements / plain, statistics: counted / plain - 1 });
  }
}
for (const result of results) {
  const cast = results.find(({ float, rank }) => float === result.float && rank === 0);
  result.ofRoofline = (cast.seconds + (2 * result.rank * elements) / peak) / result.seconds;
}

// Whole tensors as one row, converted; and blocks of fewer rows than a panel has, at rank 16.
const conversions = [];
for (const from of FLOATS) {
  kernel.bench_prepare(rows, cols, 0, FLOATS.indexOf(from));
  const others = FLOATS.filter((to) => to !== from);
  const runs = others.map((to) => () => kernel.bench_convert(FLOATS.indexOf(to)));
  const [inPlace, ...seconds] = best(() => kernel.bench_fold(0), ...runs);
  others.forEach((to, index) => conversions.push({ from, to, rate: elements / seconds[index], ofInPlace: inPlace / seconds[index] }));
}
const blocks = [];
for (const float of FLOATS) {
  kernel.bench_prepare(rows, cols, 16, FLOATS.indexOf(float));
  const [whole, ...seconds] = best(() => kernel.bench_fold(0), ...[1, 2, 3].map((count) => () => kernel.bench_fold_rows(count)));
  seconds.forEach((time, index) => blocks.push({ float, rows: index + 1, rate: elements / time, ofWhole: whole / time }));
}
// What DoRA's norms take.
kernel.bench_prepare_tile(1024, cols);
const tiles = ["squares of rows", "squares of columns", "scaled rows"].map((what, index) => {
  const [seconds] = best(() => kernel.bench_tile(index));
  return { what, rate: (1024 * cols) / seconds };
});

const machine = { cpu: cpus()[0].model, engine: `Node ${process.version}, V8 ${process.versions.v8}` };
console.log(`${machine.cpu}, ${machine.engine}, ${rows} × ${cols}, in place, one thread`);
console.log(`multiply + add peak: ${(peak / 1e9).toFixed(1)} GFLOP/s\n`);
console.log("type  rank  Gelem/s  of roofline  statistics cost");
const percent = (value) => `${(100 * value).toFixed(0)} %`;
for (const { float, rank, rate, ofRoofline, statistics } of results) {
  const columns = [float.padEnd(5), String(rank).padStart(4), (rate / 1e9).toFixed(3).padStart(8)];
  console.log([...columns, percent(ofRoofline).padStart(12), percent(statistics).padStart(15)].join(" "));
}
const rate = (value) => (value / 1e9).toFixed(3).padStart(8);
console.log("\nconversion   Gelem/s  of the cast in place");
for (const one of conversions) console.log(`${`${one.from} → ${one.to}`.padEnd(11)} ${rate(one.rate)} ${percent(one.ofInPlace).padStart(21)}`);
console.log("\nblocks, r=16  Gelem/s  of the whole");
for (const one of blocks) console.log(`${`${one.float}, rows: ${one.rows}`.padEnd(12)} ${rate(one.rate)} ${percent(one.ofWhole).padStart(13)}`);
console.log("\nf32 tile             Gelem/s");
for (const one of tiles) console.log(`${one.what.padEnd(20)} ${rate(one.rate)}`);
if (options.json) {
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify({ machine, rows, cols, peak, results, conversions, blocks, tiles }, null, 2)}\n`);
}
