// @ts-check
// What wrangler.toml says, and the template's modules.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { root } from "../edge/isolate.mjs";

const TEMPLATE = join(root, "pkg-templates", "edge-job");

/** A module of the template, to be called here. @param {string} name */
export async function templateModule(name) {
  const { outputFiles: [bundled] } = await build({ entryPoints: [join(TEMPLATE, "src", name)], bundle: true, write: false, format: "esm", logLevel: "silent" });
  return import(`data:text/javascript,${encodeURIComponent(bundled.text)}`);
}

/** What wrangler.toml says, as far as it is as simple as ours. @returns {Record<string, any>} */
export function wranglerConfig() {
  /** @type {Record<string, any>} */
  const config = {};
  let table = config;
  for (const line of readFileSync(join(TEMPLATE, "wrangler.toml"), "utf8").split("\n")) {
    const [, array, path] = /^\[(\[)?([\w.]+)\]\]?$/.exec(line) ?? [];
    if (path) {
      const keys = path.split(".");
      const last = /** @type {string} */ (keys.pop());
      const parent = keys.reduce((at, key) => (at[key] ??= {}), config);
      if (array) (parent[last] ??= []).push((table = {}));
      else table = parent[last] ??= {};
      continue;
    }
    const [, key, value] = /^(\w+) = (.+)$/.exec(line) ?? [];
    if (key) table[key] = JSON.parse(value);
    else if (line !== "" && !line.startsWith("#")) throw new Error(`wrangler.toml: ${line}`);
  }
  return config;
}
