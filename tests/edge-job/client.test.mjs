// @ts-check
// The merge job as its clients see it: tokens, mistakes, models that are there already, cancelling.
import assert from "node:assert/strict";
import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { sha256 } from "../js/scratch.mjs";
import { filesOf, SHARD } from "./model.mjs";
import { startPlatform, TOKEN } from "./platform.mjs";
import { assertClean, assertDone, begin, expected, folder, gate, isPart, isReceipt, JOBS, models, platform, request } from "./setting.mjs";

/** @typedef {import("./platform.mjs").Op} Op */

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

  /** The name of a folder, which has so many bytes. @param {number} bytes */
  const folderOf = (bytes) => "out/bad/".padEnd(8 + ((bytes - 8) % 2), "x") + "é".repeat(Math.floor((bytes - 8) / 2));

  test("may give a folder as long a name as its files' names leave room for", async () => {
    const out = folderOf(1024 - 1 - SHARD.length);
    await assertDone(await begin(request("small", out)), out, expected.small);
    for (const key of await platform.keys(`${out}/`)) await platform.bucket.delete(key);
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
      [{ ...good, out: "out/bad\0" }, 400, /folder/],
      [JSON.stringify({ ...good, out: "out/bad" }).replace("out/bad", "out/bad\\ud800"), 400, /folder/],
      [{ ...good, out: `out/bad/${"é".repeat(600)}` }, 400, /out: too long.* 1241 bytes/],
      [{ ...good, out: folderOf(992) }, 400, /out: too long.* 1025 bytes/],
      [{ ...good, dtype: "float12" }, 422, /float12/],
      [{ ...good, base: "r2:nowhere" }, 422, /no objects directly below nowhere/],
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
    for (const file of ["adapter_config.json", "pytorch_model.bin", "chat_template.jinja", "notes.txt", "below/notes.txt"]) await platform.bucket.put(`out/old/${file}`, "old");
    await assertDone(await begin(request("small", "out/old", { force: true })), "out/old", { ...expected.small, "below/notes.txt": sha256(Buffer.from("old")) });
  });

  test("loses nothing when it repeats a request that overwrites", async () => {
    const asked = request("small", "out/repeated", { force: true });
    const id = await begin(asked);
    await assertDone(id, "out/repeated", expected.small);
    platform.log.length = 0;
    const { status, body } = await platform.ask("POST", "/jobs", asked);
    assert.deepEqual([status, body.id, body.status], [200, id, "done"]);
    assert.deepEqual(platform.log.filter(({ op }) => op === "delete" || op === "create"), []);
    await assertDone(id, "out/repeated", expected.small);
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

test("a job that is done is not said to be so when another merge of equal sizes has taken its place", async () => {
  const [asked, other] = [request("small", "out/taken"), { ...request("small", "out/taken", { force: true }), adapters: [{ source: "r2:small/adapter", weight: 0.7 }] }];
  await assertDone(await begin(asked), "out/taken", expected.small);
  assert.equal((await platform.ended(await begin(other))).status, "done");
  const { status, body } = await platform.ask("POST", "/jobs", asked);
  assert.deepEqual([status, body.error?.code], [409, "output-exists"]);
  await assertDone(await begin({ ...asked, force: true }), "out/taken", expected.small);
});

test("whoever watches a job is told that its files are gone or another's, and that they are back", async () => {
  const out = "out/watched";
  const asked = request("small", out);
  const id = await begin(asked);
  await assertDone(id, out, expected.small);
  const said = async (method = "GET") => {
    const { status, body } = await platform.ask(method, `/jobs/${id}`);
    assert.equal(status, 200);
    return [body.status, body.error?.code, body.bytes === body.total];
  };
  assert.deepEqual(await said(), ["done", undefined, true]);
  const other = await begin({ ...asked, adapters: [{ source: "r2:small/adapter", weight: 0.7 }], force: true });
  assert.equal((await platform.ended(other)).status, "done");
  for (const method of ["GET", "DELETE"]) assert.deepEqual(await said(method), ["failed", "output-changed", false]);

  await assertDone(await begin({ ...asked, force: true }), out, expected.small);
  assert.deepEqual(await said(), ["done", undefined, true]);
  await platform.bucket.delete(`${out}/${SHARD}`);
  assert.deepEqual(await said(), ["failed", "output-changed", false]);
});

test("a job that is begun once more has its folder before its state says so", async () => {
  const out = "out/once-more";
  const asked = request("small", out, { force: true });
  const id = await begin(asked);
  await assertDone(id, out, expected.small);
  await platform.bucket.delete(`${out}/config.json`);
  const [arrived, held] = [gate(), gate()];
  platform.set(async ({ op, phase, key }) => {
    if (op !== "put" || phase !== "before" || !key.endsWith(`/${id}/job.json`)) return "";
    arrived.open();
    await held.passed;
    return "";
  });
  const again = platform.ask("POST", "/jobs", asked);
  await arrived.passed;
  const other = { ...asked, adapters: [{ source: "r2:small/adapter", weight: 0.7 }] };
  const { status, body } = await platform.ask("POST", "/jobs", other);
  assert.deepEqual([status, body.error?.code], [409, "busy"]);
  // The same job asked for twice is one.
  const twice = platform.ask("POST", "/jobs", asked);
  held.open();
  assert.deepEqual([(await again).body.id, (await twice).body.id], [id, id]);
  await assertDone(id, out, expected.small);
});

describe("a folder that was claimed for a job that was not begun", () => {
  const isCreation = (/** @type {Op} */ { op, phase }) => op === "create" && phase === "before";
  const isClaim = (/** @type {Op} */ { op, phase, key }) => op === "put" && phase === "before" && key.startsWith(`${JOBS}/outputs/`);
  const another = (/** @type {string} */ out) => request("small", out, { adapters: [{ source: "r2:small/adapter", weight: 0.7 }] });
  const refused = async (/** @type {string} */ out) => {
    const { status, body } = await platform.ask("POST", "/jobs", another(out));
    assert.deepEqual([status, body.error?.code], [409, "busy"]);
    return /[0-9a-f]{32}/.exec(body.error.message)?.[0] ?? "";
  };

  test("is free when the start has failed", async () => {
    const out = "out/failed-start";
    platform.set((op) => (isCreation(op) && op.key.endsWith(SHARD) ? "fail" : ""));
    assert.equal((await platform.ask("POST", "/jobs", request("small", out))).status, 500);
    platform.set(() => "");
    assert.equal((await platform.ended(await begin(another(out)))).status, "done");
  });

  test("is not free while the same request, made twice, may still succeed", async () => {
    const out = "out/other-start";
    const [arrived, held] = [gate(), gate()];
    let creations = 0;
    platform.set(async (op) => {
      if (!isCreation(op) || creations++ > 1) return "";
      if (creations === 2) return "fail";
      arrived.open();
      await held.passed;
      return "";
    });
    const slow = platform.ask("POST", "/jobs", request("small", out));
    await arrived.passed;
    assert.equal((await platform.ask("POST", "/jobs", request("small", out))).status, 500);
    const id = await refused(out);
    held.open();
    assert.equal((await slow).body.id, id);
    await assertDone(id, out, expected.small);
  });

  test("is given up by whoever cancels the job", async () => {
    const out = "out/claimed";
    let claims = 0;
    platform.set((op) => (isCreation(op) || (isClaim(op) && claims++ > 0) ? "fail" : ""));
    assert.equal((await platform.ask("POST", "/jobs", request("small", out))).status, 500);
    platform.set(() => "");
    const id = await refused(out);
    const { status, body } = await platform.ask("DELETE", `/jobs/${id}`);
    assert.deepEqual([status, body.id, body.status, body.out, body.error.code], [200, id, "failed", out, "aborted"]);
    assert.equal((await platform.ask("DELETE", `/jobs/${id}`)).status, 404);
    assert.equal((await platform.ended(await begin(another(out)))).status, "done");
  });

  test("is not written to by who was about to begin the job when it was cancelled", async () => {
    const out = "out/cancelled-start";
    const [arrived, held] = [gate(), gate()];
    let first = true;
    platform.set(async (op) => {
      if (!first || !isCreation(op) || !op.key.startsWith(`${out}/`)) return "";
      first = false;
      arrived.open();
      await held.passed;
      return "";
    });
    const slow = platform.ask("POST", "/jobs", request("small", out, { force: true }));
    await arrived.passed;
    const id = await refused(out);
    assert.equal((await platform.ask("DELETE", `/jobs/${id}`)).status, 200);
    assert.equal((await platform.ended(await begin(another(out)))).status, "done");
    const before = await platform.hashes(out);
    held.open();
    const { body } = await slow;
    assert.deepEqual([body.id, body.status, body.error?.code], [id, "failed", "aborted"]);
    await assertClean(id);
    assert.deepEqual(await platform.hashes(out), before);
  });
});

describe("a model that is replaced", () => {
  test("by two requests at once is deleted by one of them before the merge begins", async () => {
    const out = "out/replaced-twice";
    for (const [file, bytes] of await filesOf(models.small.base)) await platform.bucket.put(`${out}/${file}`, bytes);
    const [arrived, held] = [gate(), gate()];
    let first = true;
    platform.set(async ({ op, phase, key }) => {
      if (op !== "delete" || phase !== "before" || key !== `${out}/config.json` || !first) return "";
      first = false;
      arrived.open();
      await held.passed;
      return "";
    });
    const asked = request("small", out, { force: true });
    const slow = platform.ask("POST", "/jobs", asked);
    await arrived.passed;
    // The second one does what the first one has not, and the job is done meanwhile.
    const id = await begin(asked);
    await assertDone(id, out, expected.small);
    platform.log.length = 0;
    held.open();
    assert.equal((await slow).body.id, id);
    // What it was about to delete is deleted, is missed, and is made again.
    const deleted = platform.log.filter(({ op, phase, key }) => op === "delete" && phase === "after" && key.startsWith(`${out}/`)).map(({ key }) => key);
    assert.equal(deleted[0], `${out}/config.json`);
    await assertDone(id, out, expected.small);
  });

  test("is not missed when the deletion of a shard takes effect after the new one is there", async () => {
    const out = "out/late-deletion";
    for (const [file, bytes] of await filesOf(models.small.base)) await platform.bucket.put(`${out}/${file}`, bytes);
    const [arrived, held] = [gate(), gate()];
    let first = true;
    /** @type {Promise<any> | undefined} */
    let slow;
    platform.set(async ({ op, phase, key }) => {
      if (op === "delete" && phase === "before" && key.split(",").includes(`${out}/${SHARD}`) && first) {
        first = false;
        arrived.open();
        await held.passed;
      }
      if (phase === "before" && key === `${out}/config.json` && op === "complete") {
        held.open();
        await slow;
      }
      return "";
    });
    const asked = request("small", out, { force: true });
    slow = platform.ask("POST", "/jobs", asked);
    await arrived.passed;
    await assertDone(await begin(asked), out, expected.small);
  });
});
