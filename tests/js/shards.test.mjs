// @ts-check
// Models of many files: more than a process may have open, and names for those that are cut anew.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { plan } from "../../pkg/node.js";
import { CLI } from "./command.mjs";
import { buildSafetensors } from "./safetensors-file.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { asFiles, factor } from "./tiny-model.mjs";

const SHARDS = 150;
const MOST_OPEN = 140;

/** Run the command line where few files may be open. @param {string[]} words @returns {Promise<{ code: number | null, stderr: string }>} */
function limited(words) {
  const child = spawn("sh", ["-c", `ulimit -n ${MOST_OPEN} && exec "$@"`, "sh", process.execPath, CLI, ...words], { stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (stderr += text));
  return new Promise((resolve, reject) => child.once("error", reject).once("close", (code) => resolve({ code, stderr })));
}

test("more shards than files may be open", { skip: process.platform === "win32" && "there is no such limit" }, async (t) => {
  const folder = await scratch(t);
  /** @type {Record<string, Uint8Array | string>} */
  const base = { "config.json": "{}" };
  /** @type {Record<string, string>} */
  const map = {};
  /** @type {Record<string, import("./safetensors-file.mjs").NewTensor>} */
  const factors = {};
  for (let i = 0; i < SHARDS; i++) {
    const module = `model.layers.${i}.mlp.up_proj`;
    const name = `model-${String(i + 1).padStart(5, "0")}-of-${String(SHARDS).padStart(5, "0")}.safetensors`;
    base[name] = buildSafetensors({ [`${module}.weight`]: { dtype: "F32", shape: [2, 2], values: [1, 2, 3, 4] } });
    map[`${module}.weight`] = name;
    factors[factor(module, "A")] = { dtype: "F32", shape: [1, 2], values: [1, 1] };
    factors[factor(module, "B")] = { dtype: "F32", shape: [2, 1], values: [1, 1] };
  }
  base["model.safetensors.index.json"] = JSON.stringify({ metadata: {}, weight_map: map });
  const source = await writeFolder(join(folder, "base"), base);
  const adapter = await writeFolder(join(folder, "adapter"), { "adapter_config.json": JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 }), "adapter_model.safetensors": buildSafetensors(factors) });
  for (const workers of ["0", "1"]) {
    const out = join(folder, `out-${workers}`);
    const { code, stderr } = await limited(["merge", "--base", source, "--adapter", adapter, "--out", out, "--workers", workers]);
    assert.equal(code, 0, stderr);
    assert.equal((await readdir(out)).length, SHARDS + 2);
  }
});

test("one shard that is numbered, cut smaller, gives names that loaders know", async () => {
  const weight = { dtype: "F32", shape: [2, 2], values: [1, 2, 3, 4] };
  const base = asFiles({ "model-00001-of-00001.safetensors": buildSafetensors({ "a.q.weight": weight, "b.q.weight": weight }) });
  const adapter = asFiles({
    "adapter_config.json": Buffer.from(JSON.stringify({ peft_type: "LORA", r: 1, lora_alpha: 1 })),
    "adapter_model.safetensors": buildSafetensors({ [factor("a.q", "A")]: { dtype: "F32", shape: [1, 2], values: [1, 1] }, [factor("a.q", "B")]: { dtype: "F32", shape: [2, 1], values: [1, 1] } }),
  });
  const { files } = await plan({ base, adapters: [adapter], maxShardSize: 16 });
  assert.deepEqual(files.map(({ name }) => name), ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]);
});
