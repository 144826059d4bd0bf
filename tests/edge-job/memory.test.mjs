// @ts-check
// A part is never in memory as a whole: the isolate stays small however large it is.
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { fetch } from "miniflare";
import { largeModel, wrongIn } from "../js/large-model.mjs";
import { scratch } from "../js/scratch.mjs";
import { filesOf } from "./model.mjs";
import { startPlatform } from "./platform.mjs";

/** What an isolate may take is 128 MB; this is what the job may. */
const LIMIT = 72 << 20;

test("a part of 100 MB needs no more memory than one of 5 MB", async (t) => {
  const folder = await scratch(t);
  const model = await largeModel(join(folder, "model"), { rows: 24_000, cols: 2048, before: 1001, after: 500 });
  /** @type {import("./platform.mjs").Platform | undefined} */
  let platform;
  t.after(async () => platform?.stop());
  for (const partMib of ["5", "1000"]) {
    platform = await startPlatform({ folder: join(folder, "r2"), vars: { PART_MIB: partMib }, inspectorPort: 0 });
    if (partMib === "5") {
      for (const [name, bytes] of await filesOf(model.base)) await platform.bucket.put(`base/${name}`, bytes);
      for (const [name, bytes] of await filesOf(model.adapter)) await platform.bucket.put(`adapter/${name}`, bytes);
    }
    const memory = await watchMemory(await platform.mf.getInspectorURL());
    const { body } = await platform.ask("POST", "/jobs", { base: "r2:base", adapters: ["r2:adapter"], out: partMib });
    const job = await platform.ended(body.id);
    assert.equal(job.status, "done", JSON.stringify(job));
    assert.equal(job.files[0].parts === 1, partMib === "1000");
    const { samples, most } = memory.stop();
    assert.ok(samples > 20, `${samples} samples`);
    // WebAssembly's own is among it: this is the isolate that merges.
    assert.ok(most > 5 << 20, `only ${most} bytes`);
    assert.ok(most < LIMIT, `${most} bytes`);
    const { bucket } = platform;
    const wrong = await wrongIn(async (start, end) => {
      const part = await bucket.get(`${partMib}/model.safetensors`, { range: { offset: start, length: end - start } });
      return new Uint8Array(await part.arrayBuffer());
    });
    assert.deepEqual(wrong, []);
    await platform.stop();
    platform = undefined;
  }
});

/** Ask the worker's isolate, over and over, how much it has: objects and what the engine keeps for them, buffers, WebAssembly's memory. @param {URL} inspector */
async function watchMemory(inspector) {
  const { webSocket } = await fetch(`http://${inspector.host}/core:user:`, { headers: { upgrade: "websocket" } });
  assert.ok(webSocket, "no inspector");
  let samples = 0;
  let most = 0;
  webSocket.addEventListener("message", ({ data }) => {
    const { result } = JSON.parse(String(data));
    if (!result) return;
    samples++;
    most = Math.max(most, result.totalSize + result.embedderHeapUsedSize + result.backingStorageSize);
  });
  webSocket.accept();
  let id = 0;
  const timer = setInterval(() => webSocket.send(JSON.stringify({ id: id++, method: "Runtime.getHeapUsage" })), 10);
  return {
    stop() {
      clearInterval(timer);
      webSocket.close();
      return { samples, most };
    },
  };
}
