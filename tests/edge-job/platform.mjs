// @ts-check
// workerd with R2 and Queues around the template, and what can go wrong with them.
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { Log, LogLevel, Miniflare, Response } from "miniflare";
import { bundle } from "../edge/isolate.mjs";
import { sha256 } from "../js/scratch.mjs";
import { wranglerConfig } from "./template.mjs";

/**
 * @typedef {object} Op something that the worker does, or is about to do
 * @property {"before" | "half" | "after"} phase
 * @property {string} op
 * @property {string} key
 * @property {number} [part]
 * @property {string} [uploadId]
 * @property {boolean} [finish]
 * @property {any[]} [tasks]
 */

/** What is to become of it: "" (nothing), "fail", and for some "cut", "half", "twice", "lose". @typedef {(op: Op) => string | Promise<string>} Faults */

export const TOKEN = "a secret";

/** @type {ReturnType<typeof bundle> | undefined} */
let bundled;

/**
 * @typedef {Awaited<ReturnType<typeof startPlatform>>} Platform
 * @param {{ folder: string, vars?: Record<string, string>, maxRetries?: number, inspectorPort?: number }} options `folder` is where the bucket lies
 */
export async function startPlatform({ folder, vars = {}, maxRetries, inspectorPort }) {
  const config = wranglerConfig();
  /** @type {Op[]} */
  const log = [];
  const state = { faults: /** @type {Faults} */ (() => "") };
  const consumers = config.queues.consumers.map((/** @type {any} */ queue) => [queue.queue, {
    maxBatchSize: queue.max_batch_size, maxBatchTimeout: queue.max_batch_timeout ?? 0, maxRetries: maxRetries ?? queue.max_retries,
    deadLetterQueue: queue.dead_letter_queue,
  }]);
  const mf = new Miniflare({
    modules: await (bundled ??= bundle(fileURLToPath(new URL("faulty-worker.ts", import.meta.url)))),
    compatibilityDate: config.compatibility_date,
    bindings: { ...config.vars, PART_MIB: "5", RETRY_SECONDS: "0", ACCESS_TOKEN: TOKEN, ...vars },
    r2Buckets: { [config.r2_buckets[0].binding]: config.r2_buckets[0].bucket_name },
    r2Persist: folder,
    queueProducers: { [config.queues.producers[0].binding]: config.queues.producers[0].queue },
    queueConsumers: Object.fromEntries(consumers),
    serviceBindings: {
      FAULTS: async (/** @type {import("miniflare").Request} */ request) => {
        const op = /** @type {Op} */ (await request.json());
        log.push(op);
        return new Response(await state.faults(op));
      },
    },
    cf: false,
    ...(inspectorPort !== undefined && { inspectorPort }),
    log: new Log(LogLevel.NONE),
    handleRuntimeStdio: (/** @type {import("node:stream").Readable} */ out, /** @type {import("node:stream").Readable} */ error) => [out, error].forEach((stream) => stream.resume()),
  });
  await mf.ready;
  /** @type {any} */
  const bucket = await mf.getR2Bucket("BUCKET");

  /** @param {string} method @param {string} path @param {unknown} [body] @param {string} [token] */
  const ask = async (method, path, body, token = TOKEN) => {
    const response = await mf.dispatchFetch(`http://job${path}`, {
      method, headers: { authorization: `Bearer ${token}` }, ...(body !== undefined && { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: response.status, headers: response.headers, body: /** @type {any} */ (await response.json()) };
  };

  return {
    mf, bucket, log, ask,
    /** @param {Faults} faults */
    set(faults) {
      state.faults = faults;
    },
    /** Keys below a prefix. @param {string} prefix @returns {Promise<string[]>} */
    async keys(prefix) {
      const { objects, truncated } = await bucket.list({ prefix });
      assert.equal(truncated, false);
      return objects.map((/** @type {any} */ object) => object.key);
    },
    /** @param {string} prefix @returns {Promise<Record<string, string>>} */
    async hashes(prefix) {
      /** @type {Record<string, string>} */
      const found = {};
      for (const key of await this.keys(`${prefix}/`)) found[key.slice(prefix.length + 1)] = sha256(new Uint8Array(await (await bucket.get(key)).arrayBuffer()));
      return Object.fromEntries(Object.entries(found).sort());
    },
    /** Wait until the job is something else than running. @param {string} id @param {string[]} [until] */
    async ended(id, until = ["done", "failed", "stalled"]) {
      for (const begun = Date.now(); ; ) {
        const { status, body } = await ask("GET", `/jobs/${id}`);
        if (status === 200 && until.includes(body.status)) return body;
        // Only to say so instead of waiting for ever.
        if (Date.now() - begun > 120_000) throw new Error(`the job does not come to an end: ${JSON.stringify(body)}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    /** Give messages to consumers that run all at once. @param {object[]} tasks */
    async deliver(tasks) {
      const worker = /** @type {any} */ (await mf.getWorker());
      const outcomes = tasks.map((body, number) => worker.queue("merge-job", [{ id: `own-${number}`, timestamp: new Date(), attempts: 1, body }]));
      return Promise.all(outcomes);
    },
    stop: () => mf.dispose(),
  };
}

/** Uploads that were begun and neither completed nor aborted. @param {Op[]} log */
export function openUploads(log) {
  const open = new Set();
  for (const { phase, op, uploadId } of log) {
    if (op === "created") open.add(uploadId);
    else if (phase === "after" && (op === "complete" || op === "abort")) open.delete(uploadId);
  }
  return [...open];
}
