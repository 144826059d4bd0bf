// The kernel in wasm, one thread: rates, and how near they come to a roofline measured in the same run.
//
//   node benches/kernel.mjs [--wasm FILE] [--rows N] [--cols N] [--seconds S] [--json FILE]
//
// Without --wasm it builds the module itself, as the package's is built. The roofline of a rank is the time of decoding and encoding alone (rank 0)
// plus 2 · rank operations an element at the measured peak of multiplications and additions.
import { readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { parseArgs } from "node:util";
import { compile, optimise } from "../pkg-templates/wasm.mjs";

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

function build() {
  const wasm = compile(["bench"]);
  optimise(wasm, `${wasm}.optimised`);
  return `${wasm}.optimised`;
}

// The module's other imports belong to parts that a benchmark does not call.
function instantiate(file) {
  const module = new WebAssembly.Module(readFileSync(file));
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    imports[from] ??= {};
    imports[from][name] = kind === "function" ? () => 0 : new WebAssembly.Table({ initial: 1024, element: "externref" });
  }
  return new WebAssembly.Instance(module, imports).exports;
}

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

const kernel = instantiate(options.wasm ?? build());
const elements = rows * cols;
const turns = 200_000;
const operations = kernel.bench_peak(turns);
let peak = 0; // operations a second, the best of the whole run

const results = [];
for (const float of FLOATS) {
  for (const rank of [0, ...RANKS]) {
    if (!kernel.bench_prepare(rows, cols, rank, FLOATS.indexOf(float))) throw new Error("not enough memory");
    for (let turn = 0; turn < 2; turn++) [0, 1].forEach((tally) => kernel.bench_fold(tally)); // V8 optimises meanwhile
    const [plain, tallied, peakTime] = best(
      () => kernel.bench_fold(0),
      () => kernel.bench_fold(1),
      () => kernel.bench_peak(turns),
    );
    peak = Math.max(peak, operations / peakTime);
    results.push({ float, rank, seconds: plain, rate: elements / plain, tally: tallied / plain - 1 });
  }
}
for (const result of results) {
  const cast = results.find(({ float, rank }) => float === result.float && rank === 0);
  result.ofRoofline = (cast.seconds + (2 * result.rank * elements) / peak) / result.seconds;
}

const machine = { cpu: cpus()[0].model, engine: `Node ${process.version}, V8 ${process.versions.v8}` };
console.log(`${machine.cpu}, ${machine.engine}, ${rows} × ${cols}, in place, one thread`);
console.log(`multiply + add peak: ${(peak / 1e9).toFixed(1)} GFLOP/s\n`);
console.log("type  rank  Gelem/s  of roofline  tally costs");
const percent = (value) => `${(100 * value).toFixed(0)} %`;
for (const { float, rank, rate, ofRoofline, tally } of results) {
  const columns = [float.padEnd(5), String(rank).padStart(4), (rate / 1e9).toFixed(3).padStart(8)];
  console.log([...columns, percent(ofRoofline).padStart(12), percent(tally).padStart(12)].join(" "));
}
if (options.json) writeFileSync(options.json, `${JSON.stringify({ machine, rows, cols, peak, results }, null, 2)}\n`);
