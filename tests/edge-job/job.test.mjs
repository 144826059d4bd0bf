// @ts-check
// The merge job in workerd with R2 and Queues: what it makes is what the command line makes, whatever goes wrong on the way.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { random } from "../js/numbers.mjs";
import { writeFolder } from "../js/scratch.mjs";
import { byCommandLine, filesOf, SHARD, shardedModel } from "./model.mjs";
import { openUploads, startPlatform, TOKEN } from "./platform.mjs";

/** @typedef {import("./platform.mjs").Platform} Platform */
/** @typedef {import("./platform.mjs").Op} Op */

const JOBS = ".lorafold-jobs";

/** @type {string} */
let folder;
/** Folders of the models. @type {Record<"large" | "small", { base: string, adapter: string }>} */
let models;
/** What the command line makes of them. @type {Record<"large" | "small", Record<string, string>>} */
let expected;
/** @type {Platform} */
let platform;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "lorafold-job-"));
  models = { large: await shardedModel(join(folder, "large")), small: await shardedModel(join(folder, "small"), { small: true }) };
  expected = {
    large: await byCommandLine(models.large, 0.5, join(folder, "large", "merged")),
    small: await byCommandLine(models.small, 0.5, join(folder, "small", "merged")),
  };
  platform = await startPlatform({ folder: join(folder, "r2") });
  await fill(platform);
});
after(async () => {
  await platform?.stop();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  platform.set(() => "");
  platform.log.length = 0;
});

/** Put the models into the bucket. @param {Platform} to */
async function fill({ bucket }) {
  for (const [name, { base, adapter }] of Object.entries(models)) {
    for (const [file, bytes] of await filesOf(base)) await bucket.put(`${name}/base/${file}`, bytes);
    for (const [file, bytes] of await filesOf(adapter)) await bucket.put(`${name}/adapter/${file}`, bytes);
  }
}

/** @param {"large" | "small"} model @param {string} out */
const request = (model, out, more = {}) => ({ base: `r2:${model}/base/`, adapters: [{ source: `r2:${model}/adapter`, weight: 0.5 }], out, ...more });

/** Begin a job. @param {object} asked @returns {Promise<string>} */
async function begin(asked, on = platform) {
  const { status, body, headers } = await on.ask("POST", "/jobs", asked);
  assert.equal(status, 202, JSON.stringify(body));
  assert.equal(headers.get("location"), `/jobs/${body.id}`);
  return body.id;
}

/** Everything is there, every bit of it right, and nothing else is left. @param {string} id @param {string} out @param {Record<string, string>} hashes */
async function assertDone(id, out, hashes, on = platform) {
  const job = await on.ended(id);
  assert.equal(job.status, "done", JSON.stringify(job));
  assert.deepEqual(await on.hashes(out), hashes);
  assert.equal(job.bytes, job.total);
  await assertClean(id, on);
}

/** No receipts, no uploads. @param {string} id */
async function assertClean(id, on = platform) {
  // The state says that the job has ended before everything is cleaned up.
  for (let tries = 0; !(await (await on.bucket.get(`${JOBS}/${id}/job.json`)).json()).cleaned; tries++) {
    assert.ok(tries < 100, "never cleaned up");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(await on.keys(`${JOBS}/${id}/`), [`${JOBS}/${id}/job.json`]);
  assert.deepEqual(openUploads(on.log), []);
}

/** What became visible, in order. @param {string} out */
const appeared = (out, log = platform.log) =>
  log.filter(({ phase, op, key }) => phase === "after" && (op === "put" || op === "complete") && key.startsWith(`${out}/`)).map(({ key }) => key.slice(out.length + 1));

/** Parts that were uploaded. */
const uploads = (log = platform.log) => log.filter(({ phase, op }) => phase === "after" && op === "uploadPart").length;

const isPart = (/** @type {Op} */ { op, phase }) => op === "uploadPart" && phase === "before";
const isReceipt = (/** @type {Op} */ { op, key }) => op === "put" && key.includes("/receipts/");

/** Wait until it is opened. */
function gate() {
  /** @type {() => void} */
  let open = () => {};
  const passed = new Promise((resolve) => (open = () => resolve(undefined)));
  return { open: () => open(), passed };
}

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
  assert.equal(log.filter(({ op, phase }) => op === "complete" && phase === "before").length, 2, "the upload was not begun again");
  assert.equal(log.filter(({ op }) => op === "created").length, 2);
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
    ["writing config.json", ({ op, phase, key }) => op === "put" && phase === "before" && key.endsWith("/config.json"), "fail", 3],
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

describe("a worker that dies", () => {
  /** @type {[string, (op: Op, part: number) => string, ("large" | "small")?][]} */
  const deaths = [
    ["in the middle of a part", (op, part) => (op.phase === "half" ? "die" : isPart(op) && part === 3 ? "half" : "")],
    ["between a part and its receipt", (op, part) => (isReceipt(op) && op.phase === "before" && part === 2 ? "die" : "")],
    ["between two completions", ({ op, phase }) => (op === "complete" && phase === "after" ? "die" : "")],
    ["before config.json", ({ op, phase, key }) => (op === "put" && phase === "before" && key.endsWith("/config.json") ? "die" : ""), "small"],
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
    assert.equal(platform.log.filter(({ op }) => op === "created").length, 2);
  });
}

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

describe("a client", () => {
  test("needs the token", async (t) => {
    for (const [token, status] of /** @type {[string, number][]} */ ([["another", 401], ["", 401], [TOKEN, 404]])) {
      assert.equal((await platform.ask("GET", `/jobs/${"0".repeat(32)}`, undefined, token)).status, status);
    }
    const open = await startPlatform({ folder: await mkdtemp(join(folder, "open-")), vars: { ACCESS_TOKEN: "" } });
    t.after(() => open.stop());
    const { status, body } = await open.ask("POST", "/jobs", request("small", "out/open"));
    assert.deepEqual([status, body.error.code], [503, "no-token"]);
  });

  test("is told what is wrong with its request", async () => {
    const good = request("small", "out/bad");
    for (const [asked, status, says] of /** @type {[any, number, RegExp][]} */ ([
      ["{", 400, /JSON/],
      [[], 400, /object/],
      [{ ...good, outt: "x" }, 400, /outt/],
      [{ ...good, out: 5 }, 400, /out/],
      [{ base: good.base, out: good.out }, 400, /adapters: not given/],
      [{ ...good, adapters: [{ weight: 1 }] }, 400, /adapter 1: source/],
      [{ ...good, adapters: [{ source: "r2:small/adapter", weigth: 1 }] }, 400, /weigth/],
      [{ ...good, base: "/etc" }, 400, /neither/],
      [{ ...good, out: "" }, 400, /folder/],
      [{ ...good, out: "a/../b" }, 400, /folder/],
      [{ ...good, out: "small/base/" }, 400, /source/],
      [{ ...good, out: `${JOBS}/x` }, 400, /state/],
      [{ ...good, dtype: "float12" }, 422, /float12/],
      [{ ...good, base: "r2:nowhere" }, 422, /base/],
      [{ ...good, adapters: ["r2:small/base"] }, 422, /adapter/],
    ])) {
      const answer = await platform.ask("POST", "/jobs", asked);
      assert.equal(answer.status, status, JSON.stringify(answer.body));
      assert.match(answer.body.error.message, says);
    }
    assert.equal((await platform.ask("PUT", "/jobs")).status, 404);
    assert.deepEqual(await platform.keys("out/bad/"), []);
  });

  test("does not overwrite a model unless it says so, and then nothing of the old one is left", async () => {
    await assertDone(await begin(request("large", "out/old")), "out/old", expected.large);
    const { status, body } = await platform.ask("POST", "/jobs", request("small", "out/old"));
    assert.deepEqual([status, body.error.code], [409, "output-exists"]);
    await platform.bucket.put("out/old/notes.txt", "mine");
    const id = await begin(request("small", "out/old", { force: true }));
    await platform.ended(id);
    // Shards of the old model and what it shares with the new one are gone or replaced; what no model is made of stays.
    const { "tokenizer.json": tokenizer, "notes.txt": notes, ...rest } = await platform.hashes("out/old");
    assert.deepEqual(rest, expected.small);
    assert.equal(tokenizer, expected.large["tokenizer.json"]);
    assert.ok(notes);
  });

  for (const [name, isHeld] of /** @type {[string, (op: Op) => boolean][]} */ ([
    ["before a part is uploaded", isPart],
    ["between a part and its receipt", (op) => isReceipt(op) && op.phase === "before"],
  ])) {
    test(`cannot write two models into one folder at once, and may cancel: ${name}`, async () => {
      const out = `out/busy ${name}`;
      const held = gate();
      platform.set(async (op) => {
        if (isHeld(op)) await held.passed;
        return "";
      });
      const id = await begin(request("small", out));
      while (!platform.log.some(isHeld)) await new Promise((resolve) => setTimeout(resolve, 10));
      const other = { ...request("small", out), adapters: [{ source: "r2:small/adapter", weight: 2 }] };
      const refused = await platform.ask("POST", "/jobs", other);
      assert.deepEqual([refused.status, refused.body.error.code], [409, "busy"]);
      const cancelled = await platform.ask("DELETE", `/jobs/${id}`);
      assert.deepEqual([cancelled.status, cancelled.body.status, cancelled.body.error.code], [200, "failed", "aborted"]);
      // The consumer is in the middle of a part, and the job's other messages are in the queue.
      held.open();
      platform.set(() => "");
      const next = await begin(other);
      assert.equal((await platform.ended(next)).status, "done");
      await assertClean(id);
      assert.notDeepEqual(await platform.hashes(out), expected.small);

      // What was cancelled can be begun again.
      await assertDone(await begin(request("small", out, { force: true })), out, expected.small);
    });
  }
});
