// @ts-check
// Arguments that must be refused, and sums that leave the output's type.
import { join } from "node:path";
import { config, tensors } from "./mutation.mjs";
import { Q } from "./tiny-model.mjs";

/** The usual arguments with others in their place. @param {Partial<{ base: string, adapter: string, out: string }>} other */
const paths = (other) => (/** @type {{ base: string, adapter: string, out: string }} */ usual) => {
  const { base, adapter, out } = { ...usual, ...other };
  return ["merge", "--base", base, "--adapter", adapter, "--out", out];
};

const LARGE = tensors("base", (all) => {
  all[`${Q}.weight`] = { dtype: "F16", shape: [5, 4], values: Array.from({ length: 20 }, (_, i) => (i === 13 ? 65504 : 1)) };
  all["model.norm.weight"] = { dtype: "F32", shape: [4], values: [1, 1, 1e30, 1] };
});

/** The largest f16 with a few hundred added to it. @param {import("./mutation.mjs").Model} model */
export const overflowing = (model) => {
  LARGE(model);
  config({ lora_alpha: 40_000 })(model);
};

/** @type {import("./mutation.mjs").Malformed[]} */
export const OPTIONS = [
  { name: "an adapter as the base", command: (usual) => paths({ base: usual.adapter })(usual), code: "wrong-input", says: ["adapter", "not a base"] },
  { name: "a base as the adapter", command: (usual) => paths({ adapter: usual.base })(usual), code: "wrong-input", says: ["base", "not an adapter"] },
  { name: "a base that is not there", command: (usual) => paths({ base: join(usual.base, "nowhere") })(usual), code: "bad-option", says: ["no such folder", "nowhere"] },
  { name: "an adapter that is not there", command: (usual) => paths({ adapter: join(usual.adapter, "nowhere") })(usual), code: "bad-option", says: ["no such folder", "nowhere"] },
  { name: "a base that is another kind of file", command: (usual) => paths({ base: join(usual.base, "tokenizer.json") })(usual), code: "wrong-input", says: ["safetensors"] },
  { name: "a URL of another kind", command: paths({ base: "ftp://host/model" }), code: "bad-option", says: ["ftp://host/model"] },
  { name: "a repository that is not one", command: paths({ base: "hf://gpt2" }), code: "bad-option", says: ["hf://gpt2"] },
  { name: "weight nan", command: (usual) => paths({ adapter: `${usual.adapter}@nan` })(usual), says: ["@nan", "finite"] },
  { name: "weight -inf", command: (usual) => paths({ adapter: `${usual.adapter}@-inf` })(usual), says: ["@-inf", "finite"] },
  { name: "weight 1e999", command: (usual) => paths({ adapter: `${usual.adapter}@1e999` })(usual), code: "bad-option", exit: 2, says: ["--adapter", "Infinity"] },
  { name: "an unknown dtype", args: ["--dtype", "f8"], says: ["dtype", "f8"] },
  { name: "an unknown method", args: ["--method", "average"], says: ["method", "average"] },
  { name: "a method without the density that it needs", args: ["--method", "ties"], code: "bad-option", exit: 2, says: ["density", "ties"] },
  { name: "a density of 2", args: ["--method", "ties", "--density", "2"], code: "bad-option", exit: 2, says: ["density", "2"] },
  { name: "a density of an adapter that is no number", command: (usual) => paths({ adapter: `${usual.adapter}@1:density=most` })(usual), says: ["most", "not a number"] },
  { name: "a seed below zero", args: ["--seed=-1"], code: "bad-option", exit: 2, says: ["seed", "-1"] },
  { name: "a seed that is no whole number", args: ["--seed", "0.5"], code: "bad-option", exit: 2, says: ["seed", "0.5"] },
  { name: "a seed beyond the whole numbers", args: ["--seed", "9007199254740992"], code: "bad-option", exit: 2, says: ["seed"] },
  { name: "a seed that is no number", args: ["--seed", "x"], says: ["--seed", "x"] },
  { name: "an unknown rounding", args: ["--rounding", "up"], says: ["rounding", "up"] },
  { name: "--only that is no regular expression", args: ["--only", "("], code: "bad-option", exit: 2, says: ["only", "("] },
  { name: "--skip that is no regular expression", args: ["--skip", "[z-a]"], code: "bad-option", exit: 2, says: ["skip", "[z-a]"] },
  { name: "--only that matches nothing", args: ["--only", "k_proj"], code: "bad-option", says: ["only"] },
  { name: "--skip that leaves nothing", args: ["--skip", "proj"], code: "bad-option", says: ["skip"] },
  { name: "workers -1", args: ["--workers=-1"], code: "bad-option", exit: 2, says: ["workers", "-1"] },
  { name: "workers 1.5", args: ["--workers", "1.5"], code: "bad-option", exit: 2, says: ["workers", "1.5"] },
  { name: "workers many", args: ["--workers", "many"], says: ["--workers", "many"] },
  { name: "shards of 0 bytes", args: ["--max-shard-size", "0"], code: "bad-option", exit: 2, says: ["--max-shard-size"] },
  { name: "shards of 1e30 bytes", args: ["--max-shard-size", "999999999999999999TB"], code: "bad-option", exit: 2, says: ["--max-shard-size"] },
  { name: "shards of a word", args: ["--max-shard-size", "big"], says: ["--max-shard-size", "big"] },
  { name: "a budget of 1 MB", args: ["--memory-budget", "1MB"], code: "bad-option", exit: 2, says: ["--memory-budget"] },
  { name: "an unknown flag", args: ["--fast"], says: ["--fast"] },
  { name: "a word too many", args: ["more"], says: ["more"] },
  { name: "no base", command: ({ adapter, out }) => ["merge", "--adapter", adapter, "--out", out], says: ["--base"] },
  { name: "no adapter", command: ({ base, out }) => ["merge", "--base", base, "--out", out], says: ["--adapter"] },
  { name: "no output", command: ({ base, adapter }) => ["merge", "--base", base, "--adapter", adapter], says: ["--out"] },
  { name: "a report where none can be written", args: ["--report", join("nowhere", "at", "all", "report.json")], code: "bad-option", says: ["--report", "there is no such folder to write it to"] },
  { name: "an output that is a file", command: (usual) => paths({ out: join(usual.base, "config.json") })(usual), code: "bad-option", says: ["--out", "is a file or below one"] },
  { name: "a sum beyond f16", change: overflowing, args: ["--only", "q_proj"], code: "non-finite", says: [`${Q}.weight`, "element 13", "F16"] },
  { name: "a value beyond the f16 that was asked for", change: overflowing, args: ["--only", "v_proj", "--dtype", "f16"], code: "non-finite", says: ["model.norm.weight", "element 2", "F16"] },
];
