// @ts-check
// The merge job when workers die, the base changes, R2 drops what it had, or nothing helps.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { correct, scriptedServer, whole } from "../js/scripted-server.mjs";
import { sha256, writeFolder } from "../js/scratch.mjs";
import { byCommandLine, filesOf, SHARD } from "./model.mjs";
import { openUploads, startPlatform } from "./platform.mjs";
import { assertClean, assertDone, begin, expected, fill, folder, gate, isPart, isReceipt, models, platform, request, uploads } from "./setting.mjs";

/** @typedef {import("./platform.mjs").Op} Op */

describe("a worker that dies", () => {
  /** @type {[string, (op: Op, part: number) => string, ("large" | "small")?][]} */
  const deaths = [
    ["in the middle of a part", (op, part) => (op.phase === "half" ? "die" : isPart(op) && part === 3 ? "half" : "")],
    ["between a part and its receipt", (op, part) => (isReceipt(op) && op.phase === "before" && part === 2 ? "die" : "")],
    ["between two completions", ({ op, phase }) => (op === "complete" && phase === "after" ? "die" : "")],
    ["before config.json", ({ op, phase, key }) => (op === "complete" && phase === "before" && key.endsWith("/config.json") ? "die" : ""), "small"],
    ["between the end and the cleaning up", ({ op, phase }) => (op === "delete" && phase === "before" ? "die" : ""), "small"],
  ];
  for (const [name, isDeath, model = "large"] of deaths) {
    test(name, async (t) => {
      const bucket = await mkdtemp(join(folder, "dying-"));
      const first = await startPlatform({ folder: bucket });
      await fill(first);
      const died = gate();
      let part = 0;
      first.set((op) => {
        if (isPart(op)) part++;
        const verdict = isDeath(op, part);
        if (verdict !== "die") return verdict;
        // What it was about to do never happens: it waits for this answer when it is killed.
        first.set(() => new Promise(() => {}));
        void first.stop().then(died.open);
        return new Promise(() => {});
      });
      const id = await begin(request(model, "out/dead"), first);
      await died.passed;

      const second = await startPlatform({ folder: bucket });
      t.after(() => second.stop());
      if (!/config|end/.test(name)) assert.ok(!(await second.keys("out/dead/")).some((key) => key.endsWith("config.json")));
      // The queue delivers again what was not acknowledged; here, and no harm, all of it.
      const tasks = first.log.flatMap(({ op, tasks, key, phase, ...task }) => (op === "sendBatch" ? (tasks ?? []) : op === "send" ? [{ job: key, finish: true }] : []));
      const queue = /** @type {any} */ (await second.mf.getQueueProducer("QUEUE"));
      for (const task of tasks) await queue.send(task);
      await second.ended(id, ["done"]);
      // What the first one has begun, the second one ends.
      second.log.unshift(...first.log);
      await assertDone(id, "out/dead", expected[model], second);
    });
  }
});

describe("a base that changes", () => {
  /** The small base in a folder of its own. @param {string} name */
  async function own(name) {
    for (const [file, bytes] of await filesOf(models.small.base)) await platform.bucket.put(`${name}/base/${file}`, bytes);
    const changed = Object.fromEntries(await filesOf(models.small.base))[SHARD];
    changed[changed.length - 1] ^= 1;
    return { asked: { ...request("small", `out/${name}`), base: `r2:${name}/base` }, changed, put: () => platform.bucket.put(`${name}/base/${SHARD}`, changed) };
  }

  /** @type {[string, (op: Op) => boolean, boolean][]} */
  const moments = [
    ["between two parts", (op) => isReceipt(op) && op.phase === "after", false],
    ["before a consumer opens it", ({ op, phase, key }) => op === "head" && phase === "before" && key.includes("/receipts/"), true],
    ["when the first shards are complete", ({ op, phase }) => op === "complete" && phase === "after", false],
  ];
  for (const [number, [name, isIt, forget]] of moments.entries()) {
    test(`${name} fails the job, and nothing is left`, async () => {
      const { asked, changed, put } = await own(`changing-${number}`);
      let done = false;
      platform.set(async (op) => {
        if (done || !isIt(op)) return "";
        done = true;
        await put();
        // Another model takes the place of the one that the isolate holds.
        if (forget) await platform.ask("POST", "/jobs", request("large", "small/base"));
        // The small files are of the base, too.
        if (op.op === "complete") await platform.bucket.put(`${asked.base.slice(3)}/generation_config.json`, '{ "new": 1 }');
        return "";
      });
      const id = await begin(asked);
      const job = await platform.ended(id);
      assert.deepEqual([job.status, job.error?.code], ["failed", "source-changed"]);
      await assertClean(id);
      assert.deepEqual(await platform.keys(`${asked.out}/`), []);

      // Asked for again, it is another job, of what the base is now.
      platform.set(() => "");
      const next = await begin(asked);
      assert.notEqual(next, id);
      const base = join(folder, `changed-${number}`);
      await rm(base, { recursive: true, force: true });
      await writeFolder(base, Object.fromEntries(await filesOf(models.small.base)));
      await writeFile(join(base, SHARD), changed);
      if (number === 2) await writeFile(join(base, "generation_config.json"), '{ "new": 1 }');
      await assertDone(next, asked.out, await byCommandLine({ base, adapter: models.small.adapter }, 0.5, join(folder, `changed-${number}-merged`)));
    });
  }
});

test("a value that is not finite fails the job with its code and its tensor", async () => {
  const asked = { ...request("small", "out/infinite"), adapters: [{ source: "r2:small/adapter", weight: 1e42 }] };
  const id = await begin(asked);
  const job = await platform.ended(id);
  assert.equal(job.status, "failed");
  assert.equal(job.error.code, "non-finite");
  assert.match(job.error.message, /_proj/);
  await assertClean(id);
  assert.deepEqual(await platform.keys("out/infinite/"), []);
});

for (const [number, [name, isError]] of /** @type {[string, (op: Op) => boolean][]} */ ([
  ["", () => false],
  [", though its messages cannot be sent at first", ({ op }) => op === "sendBatch"],
  [", though its state cannot be written at first", ({ op, phase, key }) => op === "put" && phase === "before" && key.endsWith("job.json")],
]).entries()) {
  test(`an upload that R2 has dropped is begun again${name}`, async () => {
    let dropped = false;
    let failed = 0;
    platform.set(async (op) => {
      if (dropped) return isError(op) && failed++ === 0 ? "fail" : "";
      if (!isPart(op) || op.part !== 2) return "";
      dropped = true;
      await platform.bucket.resumeMultipartUpload(op.key, op.uploadId).abort();
      platform.log.push({ phase: "after", op: "abort", key: op.key, uploadId: op.uploadId });
      return "";
    });
    const out = `out/dropped-${number}`;
    const id = await begin(request("small", out));
    await assertDone(id, out, expected.small);
    assert.equal(platform.log.filter(({ op, key }) => op === "created" && key.endsWith(SHARD)).length, 2);
  });
}

describe("an upload is aborted though that fails at first:", () => {
  const isAbort = (/** @type {Op} */ { op, phase }) => op === "abort" && phase === "before";
  /** Nothing asks for the job meanwhile: messages do it. */
  async function assertAborted() {
    for (let tries = 0; openUploads(platform.log).length > 0; tries++) {
      assert.ok(tries < 100, "never aborted");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  test("when the job could not be begun", async () => {
    let aborts = 0;
    platform.set((op) => ((op.op === "put" && op.phase === "before" && op.key.endsWith("job.json")) || (isAbort(op) && aborts++ < 3) ? "fail" : ""));
    assert.equal((await platform.ask("POST", "/jobs", request("small", "out/abort-start"))).status, 500);
    assert.ok(aborts > 2);
    await assertAborted();
  });

  test("when it was begun again", async () => {
    let spoilt = "";
    let aborts = 0;
    platform.set(async (op) => {
      if (op.op === "uploadPart" && op.phase === "after" && op.part === 2 && spoilt === "") {
        spoilt = op.uploadId ?? "";
        await platform.bucket.resumeMultipartUpload(op.key, spoilt).uploadPart(2, "another");
      }
      return isAbort(op) && op.uploadId === spoilt && aborts++ === 0 ? "fail" : "";
    });
    const id = await begin(request("small", "out/abort-spoilt"));
    await platform.ended(id);
    await assertAborted();
    await assertDone(id, "out/abort-spoilt", expected.small);
    assert.equal(aborts, 2);
  });

  test("when the job was cancelled", async () => {
    let aborts = 0;
    platform.set((op) => (op.op === "sendBatch" ? "lose" : isAbort(op) && aborts++ === 0 ? "fail" : ""));
    const id = await begin(request("small", "out/abort-cancelled"));
    const { status, body } = await platform.ask("DELETE", `/jobs/${id}`);
    assert.deepEqual([status, body.status], [200, "failed"]);
    await assertAborted();
    await assertClean(id);
    assert.ok(aborts > 1);
  });
});

test("uploads that are dropped again and again fail the job", async () => {
  platform.set(async (op) => {
    if (!isPart(op)) return "";
    await platform.bucket.resumeMultipartUpload(op.key, op.uploadId).abort();
    return "";
  });
  const id = await begin(request("small", "out/lost"));
  const job = await platform.ended(id);
  assert.deepEqual([job.status, job.error?.code], ["failed", "upload-lost"]);
});

test("messages that are tried in vain stall the job; asking again does the rest, and only that", async (t) => {
  const own = await startPlatform({ folder: await mkdtemp(join(folder, "stalling-")), maxRetries: 2 });
  t.after(() => own.stop());
  await fill(own);
  own.set((op) => (isPart(op) && op.key.endsWith(SHARD) ? "fail" : ""));
  const id = await begin(request("large", "out/stalled"), own);
  const stalled = await own.ended(id, ["stalled"]);
  assert.match(stalled.trouble.message, /internal error/);
  assert.deepEqual(await own.keys("out/stalled/"), []);
  // All that can be done is done.
  for (let done = 0; done < 5; ) {
    done = (await own.ask("GET", `/jobs/${id}`)).body.files.reduce((/** @type {number} */ sum, /** @type {any} */ file) => sum + file.partsDone, 0);
  }
  const before = uploads(own.log);
  own.set(() => "");
  assert.equal(await begin(request("large", "out/stalled"), own), id);
  await assertDone(id, "out/stalled", expected.large, own);
  assert.equal(uploads(own.log) - before, 2);
});

test("a server that ignores ranges for a while delays the job, and stalls it if it goes on; nothing is lost", async (t) => {
  const own = await startPlatform({ folder: await mkdtemp(join(folder, "ranges-")), maxRetries: 2 });
  t.after(() => own.stop());
  await fill(own);
  let ignored = 1;
  const isOfPart = (/** @type {import("../js/scripted-server.mjs").Asked} */ { range }) => range !== undefined && range[1] - range[0] > 1 << 20;
  const base = Object.fromEntries((await filesOf(models.small.base)).map(([name, bytes]) => [`base/${name}`, bytes]));
  const server = await scriptedServer(base, (asked) => (isOfPart(asked) && ignored-- > 0 ? whole(asked) : correct(asked)));
  t.after(() => server.close());
  const asked = (/** @type {string} */ out) => ({ ...request("small", out), base: `${server.url}base/` });
  await assertDone(await begin(asked("out/ranges"), own), "out/ranges", expected.small, own);
  assert.ok(ignored < 1);

  ignored = Infinity;
  const id = await begin(asked("out/no-ranges"), own);
  const stalled = await own.ended(id);
  assert.deepEqual([stalled.status, stalled.trouble.code], ["stalled", "no-range-support"]);
  ignored = 0;
  assert.equal(await begin(asked("out/no-ranges"), own), id);
  await assertDone(id, "out/no-ranges", expected.small, own);
});

test("messages that are lost are sent again when a job that nothing has come of is asked for, and not before", async (t) => {
  const own = await startPlatform({ folder: await mkdtemp(join(folder, "losing-")), vars: { QUIET_SECONDS: "0" } });
  t.after(() => own.stop());
  for (const on of [platform, own]) {
    if (on === own) await fill(own);
    on.set(({ op }) => (op === "sendBatch" ? "lose" : ""));
    const id = await begin(request("small", "out/lost-messages"), on);
    on.set(() => "");
    on.log.length = 0;
    assert.equal(await begin(request("small", "out/lost-messages"), on), id);
    const sent = on.log.filter(({ op }) => op === "sendBatch").length;
    assert.equal(sent, on === own ? 1 : 0);
    if (on === own) await assertDone(id, "out/lost-messages", expected.small, own);
    else assert.equal((await on.ask("DELETE", `/jobs/${id}`)).status, 200);
  }
});

test("a run that is cleaned up late leaves the next one its receipts", async () => {
  const out = "out/late-cleaning";
  const [arrived, held, gone, received, rest] = Array.from({ length: 5 }, gate);
  let run = 1;
  let first = true;
  platform.set(async (op) => {
    if (run === 1) {
      if (isPart(op)) await gone.passed;
      if (op.op === "list" && op.phase === "before" && op.key.includes("/receipts/") && !op.key.endsWith("/1/") && first) {
        first = false;
        arrived.open();
        await held.passed;
      }
      return "";
    }
    if (isPart(op) && op.part === 2) await rest.passed;
    if (isReceipt(op) && op.phase === "after") received.open();
    return "";
  });
  const id = await begin(request("small", out));
  const cancelled = platform.ask("DELETE", `/jobs/${id}`);
  await arrived.passed;
  run = 2;
  gone.open();
  assert.equal(await begin(request("small", out)), id);
  // One part of the second run is done when the first one's cleaner goes on.
  await received.passed;
  held.open();
  assert.equal((await cancelled).status, 200);
  rest.open();
  await assertDone(id, out, expected.small);
});

test("one message that is none does not keep the others from stalling their job", async () => {
  platform.set(({ op }) => (op === "sendBatch" ? "lose" : ""));
  const id = await begin(request("small", "out/dead-letters"));
  const worker = /** @type {any} */ (await platform.mf.getWorker());
  const bodies = [null, "text", { job: id, file: 1, round: 1, part: 1 }];
  const ended = await worker.queue("merge-job-dead", bodies.map((body, number) => ({ id: String(number), timestamp: new Date(), attempts: 1, body })));
  assert.equal(ended.outcome, "ok");
  assert.deepEqual(ended.explicitAcks, ["1", "2"]);
  assert.deepEqual(ended.retryMessages.map((/** @type {any} */ { msgId }) => msgId), ["0"]);
  assert.equal((await platform.ask("GET", `/jobs/${id}`)).body.status, "stalled");
  assert.equal((await platform.ask("DELETE", `/jobs/${id}`)).status, 200);
});

for (const late of [false, true]) {
  test(`a last step that was held up leaves the next model of the folder alone, ${late ? "once that is done" : "while that is merged"}`, async () => {
    const out = `out/held-up-${late}`;
    const [arrived, held, rest] = Array.from({ length: 3 }, gate);
    let first = true;
    let sent = false;
    let run = 1;
    /** @type {Promise<any[]> | undefined} */
    let slow;
    platform.set(async (op) => {
      if (run === 1 && op.op === "send" && !sent) {
        sent = true;
        slow = platform.deliver([{ job: op.key, finish: true }]);
        await arrived.passed;
      }
      if (run === 1 && first && (op.op === "complete" || op.op === "put") && op.phase === "before" && op.key === `${out}/config.json`) {
        first = false;
        arrived.open();
        await held.passed;
      }
      if (run === 2 && !late && isPart(op)) await rest.passed;
      return "";
    });
    const id = await begin(request("small", out, { dtype: "float32" }));
    assert.equal((await platform.ended(id)).status, "done");
    run = 2;
    const next = await begin(request("small", out, { force: true }));
    if (late) await assertDone(next, out, expected.small);
    const before = await platform.hashes(out);
    held.open();
    await slow;
    assert.deepEqual(await platform.hashes(out), before);
    rest.open();
    await assertDone(next, out, expected.small);
  });
}

test("a file without bytes is merged like any other", async () => {
  for (const [file, bytes] of await filesOf(models.small.base)) await platform.bucket.put(`empty/base/${file}`, bytes);
  await platform.bucket.put("empty/base/empty.txt", "");
  const id = await begin({ ...request("small", "out/empty"), base: "r2:empty/base" });
  await assertDone(id, "out/empty", { ...expected.small, "empty.txt": sha256(new Uint8Array(0)) });
});
