// @ts-check
// What a base of very many small tensors costs, whose header has 91 MB: seconds and peak memory of the command line. Only the plan, the
// header and the report are of that size; the weights have 5 MB.
//   node benches/many-tensors.mjs [--tensors 690000]
// LORAFOLD_BENCH_DIR and LORAFOLD_BENCH_PKG: see model.mjs and package.mjs.
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { manyTensors } from "../tests/js/many-tensors.mjs";
import { measureNode } from "./child.mjs";
import { workFolder } from "./model.mjs";
import { demandPackage, packageFolder } from "./package.mjs";

const { values } = parseArgs({ options: { tensors: { type: "string", default: "690000" } } });

await demandPackage({ browsers: false });
const folder = join(workFolder, "many-tensors");
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
const tensors = Number(values.tensors);
const { base, adapter, headerBytes } = await manyTensors(folder, { tensors, changed: Math.min(600, tensors) });
console.log(`${tensors} tensors, a header of ${(headerBytes / 1e6).toFixed(1)} MB`);
const merge = [join(packageFolder, "cli.js"), "merge", "--quiet", "--base", base, "--adapter", adapter];
const out = ["--out", join(folder, "out"), "--force"];
const cases = {
  "merge --dry-run": ["--dry-run"],
  merge: out,
  "merge --json": [...out, "--json"],
  "merge --report": [...out, "--report", join(folder, "report.json")],
};
for (const [what, words] of Object.entries(cases)) {
  const { wall, user = 0, system = 0, rss = 0 } = await measureNode([...merge, ...words]);
  console.log(`${what}: ${wall.toFixed(1)} s (${(user + system).toFixed(1)} of processors), ${((rss * 2 ** 20) / 1e6).toFixed(0)} MB`);
}
rmSync(folder, { recursive: true, force: true });
