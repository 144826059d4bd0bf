// @ts-check
// The merge job in workerd with R2 and Queues: what it makes is what the command line makes, whatever goes wrong on the way.
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { random } from "../js/numbers.mjs";
import { SHARD } from "./model.mjs";
import { appeared, assertDone, begin, expected, fill, gate, isPart, isReceipt, platform, request, uploads } from "./setting.mjs";

/** @typedef {import("./platform.mjs").Op} Op */

test("a job makes what the command line makes; nothing is seen of it before every part is there, and config.json comes last", async () => {
  const id = await begin(request("large", "out/plain"));
  await assertDone(id, "out/plain", expected.large);
  const { log } = platform;
  const firstSeen = log.findIndex(({ op, key }) => (op === "put" || op === "complete") && key.startsWith("out/"));
  const lastReceipt = log.findLastIndex(isReceipt);
  assert.ok(firstSeen > lastReceipt && lastReceipt > 0);
  const order = appeared("out/plain");
  assert.equal(order.length, Object.keys(expected.large).length);
  assert.deepEqual(order.slice(-2), ["model.safetensors.index.json", "config.json"]);
  assert.equal(uploads(), 7);

  log.length = 0;
  const again = await platform.ask("POST", "/jobs", request("large", "out/plain"));
  assert.deepEqual([again.status, again.body.id, again.body.status], [200, id, "done"]);
  assert.equal(log.filter(({ op }) => op === "create" || op === "sendBatch").length, 0);
});

test("messages that come twice", async () => {
  platform.set(({ op }) => (/^send/.test(op) ? "twice" : ""));
  const id = await begin(request("large", "out/twice"));
  await assertDone(id, "out/twice", expected.large);
  // One after the other: the second one finds the receipt.
  assert.equal(uploads(), 7);
});

test("the same request twice at once is one job", async () => {
  const asked = request("small", "out/same");
  const ids = await Promise.all([begin(asked), begin(asked), begin(asked)]);
  assert.equal(new Set(ids).size, 1);
  await assertDone(ids[0], "out/same", expected.small);
});

test("every part by two consumers, all of them at once", async () => {
  const held = gate();
  // The queue's own consumer waits with the first part.
  let first = true;
  platform.set(async (op) => {
    if (!isPart(op) || !first) return "";
    first = false;
    await held.passed;
    return "";
  });
  const id = await begin(request("large", "out/crowd"));
  const tasks = platform.log.filter(({ op }) => op === "sendBatch").flatMap(({ tasks }) => tasks ?? []);
  assert.equal(tasks.length, 7);
  const outcomes = await platform.deliver([...tasks, ...tasks]);
  for (const { outcome, explicitAcks, retryMessages } of outcomes) {
    assert.equal(outcome, "ok");
    assert.equal(explicitAcks.length + retryMessages.length, 1);
  }
  held.open();
  await assertDone(id, "out/crowd", expected.large);
});

test("the last step by four consumers at once", async () => {
  /** @type {Promise<any[]> | undefined} */
  let delivered;
  let arrived = 0;
  const all = gate();
  platform.set(async ({ op, phase, key }) => {
    if (op === "send") delivered ??= platform.deliver(Array(3).fill({ job: key, finish: true }));
    if (op !== "complete" || phase !== "before") return "";
    if (++arrived === 4) all.open();
    await all.passed;
    return "";
  });
  const id = await begin(request("large", "out/last"));
  await assertDone(id, "out/last", expected.large);
  for (const { outcome } of (await delivered) ?? []) assert.equal(outcome, "ok");
  assert.equal((await delivered)?.length, 3);
});

test("two consumers upload the same part, and the receipt is of the one that was replaced", async () => {
  const received = gate();
  let receipts = 0;
  let parts = 0;
  platform.set(async (op) => {
    // The queue's consumer uploads first, and the other one replaces its part; but it writes its receipt last.
    if (op.op === "uploadPart" && op.part === 1 && op.phase === "before" && parts++ === 0) return "";
    if (op.op === "uploadPart" && op.part === 1 && op.phase === "after" && parts === 1) {
      void platform.deliver(platform.log.flatMap(({ tasks }) => tasks ?? []).slice(0, 1));
      await received.passed;
    }
    if (isReceipt(op) && op.phase === "after" && receipts++ === 0) received.open();
    return "";
  });
  const id = await begin(request("small", "out/replaced"));
  await assertDone(id, "out/replaced", expected.small);
  const { log } = platform;
  assert.equal(log.filter(({ op, phase, key }) => op === "complete" && phase === "before" && key.endsWith(SHARD)).length, 2, "the upload was not begun again");
  assert.equal(log.filter(({ op, key }) => op === "created" && key.endsWith(SHARD)).length, 2);
});

describe("an error of R2 is tried again:", () => {
  /** @type {[string, (op: Op) => boolean, string, number][]} */
  const errors = [
    ["reading the base", ({ op, phase, key }) => op === "get" && phase === "before" && key.endsWith(SHARD), "fail", 6],
    ["in the middle of the base's bytes", ({ op, phase, key }) => op === "get" && phase === "before" && key.endsWith(SHARD), "cut", 3],
    ["uploading a part", isPart, "fail", 3],
    ["in the middle of a part", isPart, "half", 3],
    ["a part whose answer is lost", ({ op, phase }) => op === "uploadPart" && phase === "after", "fail", 3],
    ["writing a receipt", (op) => isReceipt(op) && op.phase === "before", "fail", 3],
    ["a receipt whose answer is lost", (op) => isReceipt(op) && op.phase === "after", "fail", 2],
    ["listing receipts", ({ op, key }) => op === "list" && key.includes("/receipts/"), "fail", 3],
    ["sending that the job can be finished", ({ op }) => op === "send", "fail", 3],
    ["completing", ({ op, phase }) => op === "complete" && phase === "before", "fail", 3],
    ["a completion whose answer is lost", ({ op, phase }) => op === "complete" && phase === "after", "fail", 1],
    ["looking at what was completed", ({ op, key }) => op === "head" && key.startsWith("out/"), "fail", 3],
    ["uploading config.json", ({ op, phase, key }) => op === "uploadPart" && phase === "before" && key.endsWith("/config.json"), "fail", 3],
    ["completing config.json", ({ op, phase, key }) => op === "complete" && phase === "before" && key.endsWith("/config.json"), "fail", 3],
    ["a state whose answer is lost", ({ op, phase, key }) => op === "put" && phase === "after" && key.endsWith("job.json"), "fail", 1],
    ["cleaning up", ({ op }) => op === "delete", "fail", 3],
  ];
  for (const [number, [name, isIt, verdict, times]] of errors.entries()) {
    test(name, async () => {
      let left = times;
      // What fails while the client waits is the client's to try again: consumers begin when it has its answer.
      const answered = gate();
      let isAnswered = false;
      platform.set(async (op) => {
        if (op.op === "head" && op.key.includes("/receipts/")) await answered.passed;
        return isAnswered && isIt(op) && left > 0 ? (left--, verdict) : "";
      });
      const id = await begin(request("small", `out/error-${number}`));
      isAnswered = true;
      answered.open();
      await assertDone(id, `out/error-${number}`, expected.small);
      assert.equal(left, 0, "it never failed");
      assert.equal(appeared(`out/error-${number}`).at(-1), "config.json");
    });
  }
});

test("errors everywhere, at random", async () => {
  for (const seed of [1, 2, 3]) {
    const next = random(seed);
    platform.log.length = 0;
    platform.set(({ op, phase }) => (next() < 0.03 && op !== "created" && !(op === "create" && phase === "after") ? "fail" : ""));
    const asked = request("large", `out/storm-${seed}`);
    for (let status = ""; status !== "done"; ) {
      const { status: code, body } = await platform.ask("POST", "/jobs", asked);
      if (code === 500 || code === 502) continue;
      assert.ok(code === 200 || code === 202, JSON.stringify(body));
      status = (await platform.ended(body.id)).status;
      assert.notEqual(status, "failed");
    }
    assert.deepEqual(await platform.hashes(`out/storm-${seed}`), expected.large);
  }
});

test("a request that breaks off is gone on with when it is made again", async () => {
  for (const [number, isIt] of [
    (/** @type {Op} */ { op, phase }) => op === "create" && phase === "before",
    (/** @type {Op} */ { op, phase, key }) => op === "put" && phase === "before" && key.endsWith("job.json"),
    (/** @type {Op} */ { op, phase, key }) => op === "put" && phase === "after" && key.endsWith("job.json"),
    (/** @type {Op} */ { op }) => op === "sendBatch",
  ].entries()) {
    const asked = request("small", `out/broken-off-${number}`);
    let failed = false;
    platform.set((op) => (!failed && isIt(op) ? ((failed = true), "fail") : ""));
    const { status, body } = await platform.ask("POST", "/jobs", asked);
    assert.equal(status, 500, JSON.stringify(body));
    assert.deepEqual(await platform.keys(`${asked.out}/`), []);
    await assertDone(await begin(asked), asked.out, expected.small);
  }
});
