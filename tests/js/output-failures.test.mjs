// @ts-check
// Outputs that cannot take what they are given.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { merge } from "../../pkg/node.js";
import { lorafold } from "./command.mjs";
import { adapterOptions, fixture } from "./fixture.mjs";
import { largeModel } from "./large-model.mjs";
import { scratch, snapshot } from "./scratch.mjs";

const made = fixture("sharded");
const sample = { base: made.base, adapters: adapterOptions(made) };

/** A small file system of its own, or why there is none. @param {import("node:test").TestContext} t @param {string} size */
async function smallDisk(t, size) {
  // Before the folder's own end.
  t.after(() => void (mounted && execFileSync("umount", ["--lazy", place])));
  const place = join(await scratch(t), "disk");
  let mounted = false;
  await mkdir(place);
  try {
    execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}`, "lorafold-test", place], { stdio: "pipe" });
  } catch (error) {
    t.skip(`no tmpfs can be mounted here: ${/** @type {Error} */ (error).message.split("\n").at(-2)}`);
    return undefined;
  }
  mounted = true;
  return place;
}

describe("a disk", () => {
  for (const tensor of ["merged", "copied"]) {
    test(`that is full in the middle of a ${tensor} tensor`, async (t) => {
      const disk = await smallDisk(t, "8m");
      if (!disk) return;
      const sizes = tensor === "merged" ? { rows: 10_000, cols: 1024 } : { rows: 10, cols: 10, before: 20e6 };
      const { base, adapter } = await largeModel(await scratch(t), sizes);
      for (const workers of [0, 2]) {
        for (const name of [".", "new", join("new", "and", "deep")]) {
          /** @type {any} */
          const error = await merge({ base, adapters: [adapter], workers, output: join(disk, name) }).then(() => undefined, (e) => e);
          assert.equal(error?.code, "out-of-space", String(error));
          assert.match(error.message, /ENOSPC/);
          assert.deepEqual(await snapshot(disk), {});
        }
      }
      const ended = await lorafold(["merge", "--base", base, "--adapter", adapter, "--out", join(disk, "out"), "--json"]);
      assert.equal(ended.code, 1);
      assert.equal(JSON.parse(ended.stdout).error.code, "out-of-space");
      assert.deepEqual(await snapshot(disk), {});
    });
  }

  test("that cannot be written", async (t) => {
    const root = process.getuid?.() === 0;
    const place = root ? await smallDisk(t, "1m") : join(await scratch(t), "folder");
    if (!place) return;
    if (root) {
      execFileSync("mount", ["-o", "remount,ro", place]);
    } else {
      await mkdir(place);
      await chmod(place, 0o555);
    }
    for (const output of [place, join(place, "new")]) {
      await assert.rejects(merge({ ...sample, output, workers: 1 }), (/** @type {any} */ error) => {
        assert.equal(error.name, "LorafoldError");
        assert.equal(error.code, "write-failed");
        assert.ok(error.message.includes(place));
        return true;
      });
    }
    assert.deepEqual(await snapshot(place), {});
  });
});

describe("streams", () => {
  const mine = new Error("the cable is out");
  for (const workers of [0, 1, 3]) {
    for (const [how, sink] of /** @type {[string, UnderlyingSink][]} */ ([
      ["fails to open", { start: () => Promise.reject(mine) }],
      ["fails to write", { write: () => Promise.reject(mine) }],
      ["fails to close", { close: () => Promise.reject(mine) }],
    ])) {
      test(`one that ${how}, with ${workers} workers`, async () => {
        /** @type {string[]} */
        const opened = [];
        const output = (/** @type {{ name: string }} */ { name }) => {
          opened.push(name);
          return new WritableStream(opened.length === 2 ? sink : {});
        };
        await assert.rejects(merge({ ...sample, workers, output }), { name: "LorafoldError", code: "write-failed", message: /the cable is out/, detail: mine });
        assert.equal(opened.length, 2, "no other is opened");
      });
    }

    test(`a factory that fails, with ${workers} workers`, async () => {
      for (const fails of [1, 3]) {
        let count = 0;
        /** @type {unknown[]} */
        const stopped = [];
        const output = async () => {
          if (++count === fails) throw mine;
          return new WritableStream({ abort: (reason) => void stopped.push(reason) });
        };
        await assert.rejects(merge({ ...sample, workers, output }), { name: "LorafoldError", code: "write-failed", message: /the cable is out/ });
        // Those before it were complete and are closed; none is left open.
        assert.deepEqual([count, stopped], [fails, []]);
      }
    });
  }

  test("the open one is aborted when the merge fails", async () => {
    let stopped = 0;
    const output = () => new WritableStream({ abort: () => void stopped++ });
    await assert.rejects(merge({ ...sample, adapters: [{ ...sample.adapters[0], weight: 1e43 }], output }), { code: "non-finite" });
    assert.equal(stopped, 1);
  });

  test("a quota is a lack of space", async () => {
    const output = () => new WritableStream({ write: () => Promise.reject(new DOMException("full", "QuotaExceededError")) });
    await assert.rejects(merge({ ...sample, output }), { code: "out-of-space" });
  });
});

test("an output of no kind that there is", async () => {
  for (const output of [7, {}]) {
    await assert.rejects(merge({ ...sample, output: /** @type {any} */ (output) }), { name: "LorafoldError" }, String(output));
  }
});
