// @ts-check
// What a page loads of the package, as a bundler makes it: the one measure of the browser's entry point.
import { join } from "node:path";
import { build } from "vite";

/** @typedef {{ type: string, fileName: string, isEntry?: boolean, imports?: string[], code?: string, source?: string | Uint8Array }} Output a file of a bundle */

/**
 * The code that is loaded with the entry: its own, and that of the chunks that it imports. What it imports when it is needed is not.
 * @param {readonly Output[]} output
 */
export function loadedCode(output) {
  const chunks = new Map(output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  const loaded = new Set([...chunks.values()].filter(({ isEntry }) => isEntry));
  for (const { imports = [] } of loaded) for (const name of imports) loaded.add(/** @type {Output} */ (chunks.get(name)));
  return [...loaded].map(({ code = "" }) => code).join("\n");
}

/**
 * What a bundler makes of the browser's entry point, minified: chunks, and the workers as assets.
 * @param {string} folder the package
 * @returns {Promise<Output[]>}
 */
export async function browserBundle(folder) {
  const bundled = /** @type {{ output: Output[] }} */ (
    await build({
      configFile: false,
      logLevel: "error",
      root: folder,
      worker: { format: "es" },
      build: {
        write: false,
        minify: true,
        // Without the lines that load styles before a chunk: they are vite's.
        modulePreload: false,
        assetsInlineLimit: 0,
        rollupOptions: { input: join(folder, "browser.js"), preserveEntrySignatures: "strict" },
      },
    })
  );
  if (!loadedCode(bundled.output)) throw new Error("the bundle of the browser's entry point is empty");
  return bundled.output;
}
