// @ts-check
// What the tests of the job share: two models in a bucket, what the command line makes of them, and how a job is begun and looked at. A file that
// imports this has a platform of its own.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach } from "node:test";
import { byCommandLine, filesOf, shardedModel } from "./model.mjs";
import { openUploads, startPlatform } from "./platform.mjs";

/** @typedef {import("./platform.mjs").Platform} Platform */
/** @typedef {import("./platform.mjs").Op} Op */

export const JOBS = ".lorafold-jobs";

/** @type {string} */
export let folder;
/** Folders of the models. @type {Record<"large" | "small", { base: string, adapter: string }>} */
export let models;
/** What the command line makes of them. @type {Record<"large" | "small", Record<string, string>>} */
export let expected;
/** @type {Platform} */
export let platform;

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
export async function fill({ bucket }) {
  for (const [name, { base, adapter }] of Object.entries(models)) {
    for (const [file, bytes] of await filesOf(base)) await bucket.put(`${name}/base/${file}`, bytes);
    for (const [file, bytes] of await filesOf(adapter)) await bucket.put(`${name}/adapter/${file}`, bytes);
  }
}

/** @param {"large" | "small"} model @param {string} out */
export const request = (model, out, more = {}) => ({ base: `r2:${model}/base/`, adapters: [{ source: `r2:${model}/adapter`, weight: 0.5 }], out, ...more });

/** Begin a job. @param {object} asked @returns {Promise<string>} */
export async function begin(asked, on = platform) {
  const { status, body, headers } = await on.ask("POST", "/jobs", asked);
  assert.equal(status, 202, JSON.stringify(body));
  assert.equal(headers.get("location"), `/jobs/${body.id}`);
  return body.id;
}

/** Everything is there, every bit of it right, and nothing else is left. @param {string} id @param {string} out @param {Record<string, string>} hashes */
export async function assertDone(id, out, hashes, on = platform) {
  const job = await on.ended(id);
  assert.equal(job.status, "done", JSON.stringify(job));
  assert.deepEqual(await on.hashes(out), hashes);
  assert.equal(job.bytes, job.total);
  await assertClean(id, on);
}

/** No receipts, no uploads. @param {string} id */
export async function assertClean(id, on = platform) {
  // The state says that the job has ended before everything is cleaned up.
  for (let tries = 0; !(await (await on.bucket.get(`${JOBS}/${id}/job.json`)).json()).cleaned; tries++) {
    assert.ok(tries < 100, "never cleaned up");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.deepEqual(await on.keys(`${JOBS}/${id}/`), [`${JOBS}/${id}/job.json`]);
  assert.deepEqual(openUploads(on.log), []);
}

/** What became visible, in order. @param {string} out */
export const appeared = (out, log = platform.log) =>
  log.filter(({ phase, op, key }) => phase === "after" && (op === "put" || op === "complete") && key.startsWith(`${out}/`)).map(({ key }) => key.slice(out.length + 1));

/** Parts that were uploaded, of files that have several. */
export const uploads = (log = platform.log) => log.filter(({ phase, op, key }) => phase === "after" && op === "uploadPart" && /\.safetensors$|tokenizer\.json$/.test(key)).length;

export const isPart = (/** @type {Op} */ { op, phase }) => op === "uploadPart" && phase === "before";
export const isReceipt = (/** @type {Op} */ { op, key }) => op === "put" && key.includes("/receipts/");

/** Wait until it is opened. */
export function gate() {
  /** @type {() => void} */
  let open = () => {};
  const passed = new Promise((resolve) => (open = () => resolve(undefined)));
  return { open: () => open(), passed };
}
