// @ts-check
// A template of pkg-templates/, bundled as wrangler bundles it, in a real workerd whose isolates have as much WebAssembly memory as the
// platform leaves them: the local runtime knows no limit of 128 MB of its own.
import { build } from "esbuild";
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Pages of 64 KiB: 64 MiB. miniflare reads the variable when a worker starts. */
process.env.MINIFLARE_WORKERD_V8_FLAGS ??= "--wasm-max-mem-pages=1024";

/** The package's wasm, whose files stay modules of their own, compiled. */
const WASM = ["lorafold_bg.wasm", "lorafold_rest.wasm"];

/**
 * The script of a worker that imports `lorafold`, and its modules.
 * @param {string} entry a file
 * @returns {Promise<{ type: "ESModule" | "CompiledWasm", path: string, contents: string | Uint8Array<ArrayBuffer> }[]>}
 */
export async function bundle(entry) {
  const { outputFiles } = await build({
    entryPoints: [entry], bundle: true, format: "esm", target: "es2023", write: false, logLevel: "silent", conditions: ["workerd", "worker", "browser"],
    alias: { "lorafold/edge": join(root, "pkg", "edge-workerd.js") },
    plugins: [{ name: "compiled wasm", setup: (build) => void build.onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path: `./${basename(path)}`, external: true })) }],
  });
  return [
    { type: "ESModule", path: "index.js", contents: outputFiles[0].text },
    ...WASM.map((name) => ({ type: /** @type {const} */ ("CompiledWasm"), path: name, contents: new Uint8Array(readFileSync(join(root, "pkg", name))) })),
  ];
}

/** Put every file of a folder into a bucket. @param {{ put(key: string, value: Uint8Array): Promise<unknown> }} bucket @param {string} prefix @param {string} folder */
export async function upload(bucket, prefix, folder) {
  for (const name of readdirSync(folder)) await bucket.put(`${prefix}/${name}`, new Uint8Array(readFileSync(join(folder, name))));
}
