// @ts-check
// The cases that PEFT made, see tests/fixtures/README.md.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readModel, readSafetensors } from "./safetensors-file.mjs";

export const FIXTURES = fileURLToPath(new URL("../fixtures", import.meta.url));

/**
 * @typedef {{ rank: number, alpha: number, scale: number }} Scale
 * @typedef {object} Case
 * @property {string} name
 * @property {string} base
 * @property {{ path: string, weight: number, scales: Record<string, Scale> }[]} adapters
 * @property {string[]} merged
 * @property {string[]} untouched
 * @property {string[]} added tensors that the base does not have
 * @property {Record<string, unknown>} config what becomes another in config.json
 */

/** @param {string} name @returns {Case} */
export function fixture(name) {
  const folder = join(FIXTURES, name);
  const { base, adapters, merged, untouched, options, added = [], config = {} } = JSON.parse(readFileSync(join(folder, "case.json"), "utf8"));
  if (options?.dtype !== "keep" || Object.keys(options).length > 1) throw new Error(`${name}: options that these tests do not know`);
  return {
    name, merged, untouched, added, config,
    base: join(folder, base),
    adapters: adapters.map((/** @type {any} */ adapter) => ({ ...adapter, path: join(folder, adapter.path) })),
  };
}

export const CASES = readdirSync(FIXTURES).filter((name) => existsSync(join(FIXTURES, name, "case.json"))).sort();

/** @param {Case} made */
export const expectedOf = ({ name }) => readSafetensors(join(FIXTURES, name, "expected.safetensors")).tensors;

/** @param {Case} made */
export const baseOf = ({ base }) => readModel(base);

/** @param {Case} made */
export const adapterOptions = ({ adapters }) => adapters.map(({ path, weight }) => ({ source: path, weight }));

/** @param {Case} made @returns {string[]} */
export const mergeArguments = ({ base, adapters }) =>
  ["merge", "--base", base, ...adapters.flatMap(({ path, weight }) => ["--adapter", `${path}@${weight}`])];
