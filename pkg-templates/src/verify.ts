import type { Context } from "./context.js";
import { asLorafoldError, optionError, throwIfAborted, unlessAborted } from "./errors.js";
import { Verification } from "./lorafold.js";
import { checkWorkOptions } from "./merge.js";
import { type Names, PLAN_OPTIONS } from "./options.js";
import { checkPlanOptions, listAll, listed } from "./prepare.js";
import type { CheckJob } from "./schema.js";
import { bind } from "./sources/bind.js";
import { hashed } from "./sources/hashed.js";
import type { AdapterOptions, VerifyOptions, VerifyReport } from "./types.js";
import { WorkerPool } from "./workers/worker-pool.js";

const VERIFY_OPTIONS: Names<VerifyOptions> = { ...PLAN_OPTIONS, merged: true, workers: true, onProgress: true };

/** See {@link Api.verify}. */
export async function verify(context: Context, options: VerifyOptions): Promise<VerifyReport> {
  try {
    const adapters = checkPlanOptions("verify", options, VERIFY_OPTIONS);
    if ((options.merged ?? undefined) === undefined) throw optionError("merged", "not given");
    if (options.onProgress !== undefined && typeof options.onProgress !== "function") throw optionError("onProgress", "not a function");
    checkWorkOptions(options);
    return await unlessAborted(run(context, adapters, options), options.signal);
  } catch (error) {
    throw asLorafoldError(error);
  }
}

async function run(context: Context, adapters: AdapterOptions[], options: VerifyOptions): Promise<VerifyReport> {
  const { platform, engine } = context;
  const { signal, onProgress } = options;
  const { request, inputs, beside } = await listAll(context, adapters, options, [options.merged]);
  const bound = inputs.map((input) => bind(input, platform.bindInput));
  let verification: Verification;
  try {
    verification = await Verification.open({ plan: request, merged: listed(beside[0]!) }, bound.map(hashed), signal);
  } finally {
    for (const input of bound) input.close?.();
  }
  // The first bytes of files were kept for the plan alone.
  const read = inputs.map(({ head: _, ...input }) => input);
  const pool = new WorkerPool(platform, await engine(), verification, read, options.workers, true);
  try {
    const total = verification.tensors();
    for (let jobs = verification.jobs(); jobs.length > 0; jobs = verification.jobs()) {
      const work = pool.runAll<CheckJob>([jobs.values()], async ({ check, job, first, count }, runJob) => {
        const { facts } = await runJob({ kind: "check", program: check, first, count, reads: [] });
        verification.add(check, job, facts!);
      });
      await unlessAborted(work, signal);
      await onProgress?.({ tensors: verification.judged(), total });
    }
    pool.stop(undefined);
    await platform.checkInputs?.(read);
    throwIfAborted(signal);
    return verification.report();
  } catch (error) {
    pool.stop(error);
    throw error;
  } finally {
    verification.free();
  }
}
