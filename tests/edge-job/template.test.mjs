// @ts-check
// The template's arithmetic and its wrangler.toml.
import assert from "node:assert/strict";
import { test } from "node:test";
import { templateModule, wranglerConfig } from "./template.mjs";

const MIB = 2 ** 20;
const { cut, rangeOf } = await templateModule("parts.ts");
const { checkVariables } = await templateModule("env.ts");

test("parts keep R2's rules and cover the file, each byte once", () => {
  for (const wanted of ["5", "64", "1", "7.5", "0"]) {
    for (const size of [1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, 64 * MIB, 64 * MIB + 1, 10 ** 9 + 7, 10_000 * 5 * MIB, 10_000 * 5 * MIB + 1, 5 * 10 ** 12]) {
      const file = { name: "model.safetensors", size };
      const { parts, partSize } = cut(file, { PART_MIB: wanted });
      assert.ok(parts >= 1 && parts <= 10_000, `${size} in ${parts} parts`);
      assert.ok(partSize >= 5 * MIB && partSize <= 5120 * MIB && Number.isInteger(partSize), `parts of ${partSize}`);
      let at = 0;
      for (let part = 1; part <= parts; part++) {
        const { start, end } = rangeOf({ size, partSize }, part);
        assert.equal(start, at);
        assert.ok(part === parts ? end > start && end - start <= partSize : end - start === partSize);
        at = end;
      }
      assert.equal(at, size);
    }
  }
  assert.throws(() => cut({ name: "model.safetensors", size: 1 }, { PART_MIB: "many" }), /PART_MIB|number/);
});

test("small files are not uploaded in parts, weights always are", () => {
  for (const [name, size, parts] of /** @type {[string, number, number][]} */ ([
    ["config.json", 100, 0], ["tokenizer.json", 5 * MIB, 0], ["tokenizer.json", 5 * MIB + 1, 2], ["model.safetensors", 100, 1], ["empty.txt", 0, 0],
  ])) {
    assert.equal(cut({ name, size }, { PART_MIB: "5" }).parts, parts, `${name} of ${size}`);
  }
});

test("a variable that nobody reads is refused by its name", () => {
  const env = /** @type {any} */ ({ BUCKET: {}, QUEUE: {}, PART_MIB: "5" });
  checkVariables(env);
  assert.throws(() => checkVariables({ ...env, PART_MB: "5" }), { message: /there is no variable PART_MB; there are .*PART_MIB/ });
});

test("wrangler.toml sends one part to a consumer, and what was tried in vain to the queue that stalls jobs", () => {
  const { queues: { producers, consumers }, r2_buckets, vars } = wranglerConfig();
  const [parts, dead] = consumers;
  assert.deepEqual(producers.map((/** @type {any} */ { binding, queue }) => [binding, queue]), [["QUEUE", parts.queue]]);
  assert.equal(parts.max_batch_size, 1);
  assert.ok(parts.max_retries >= 3 && parts.max_retries <= 100);
  assert.equal(parts.dead_letter_queue, dead.queue);
  assert.match(dead.queue, /-dead$/);
  assert.equal(r2_buckets[0].binding, "BUCKET");
  assert.deepEqual(Object.keys(vars), ["PART_MIB", "JOBS_PREFIX", "RETRY_SECONDS", "QUIET_SECONDS"]);
});
