import type { Context } from "./context.js";
import { inspect } from "./inspect.js";
import { part } from "./errors.js";
import { merge } from "./merge.js";
import { plan } from "./plan.js";
import type {
  CombineOptions, Description, ExtractOptions, FactorsResult, InspectOptions, MergeOptions, MergeResult, MergedModel, OpenOptions, PlanOptions, RepeatOptions, RepeatResult, Report, SourceLike, UnmergeOptions, UnmergeResult, VerifyOptions, VerifyReport,
} from "./types.js";

/** The functions that every entry point exports, each bound to its own context. */
export interface Api {
  /**
   * Adapters as one adapter in PEFT's format, by the methods of its `add_weighted_adapter`; one alone is resized. Most adapters need no
   * base; VeRA, RandLoRA and MiSS do (`base`), because their files do not say the shape of a layer.
   *
   * @example
   * ```ts
   * import { combine } from "lorafold";
   *
   * const { files, report } = await combine({ adapters: [{ source: "adapters/style", weight: 0.7 }, "adapters/detail"], method: "cat" });
   * console.log(files.map(({ name, size }) => `${name}: ${size}`), report.rank);
   * ```
   *
   * @throws {LorafoldError} for everything that can go wrong; then nothing is left in the output.
   */
  combine(options: CombineOptions): Promise<FactorsResult>;
  /**
   * The difference of a fine-tuned model and its base as an adapter in PEFT's format.
   *
   * @example
   * ```ts
   * import { extract } from "lorafold";
   *
   * const { report } = await extract({ base: "models/base", tuned: "models/tuned", rank: 16, output: "adapters/tuned" });
   * console.log(report.modules.map(({ module, energy }) => `${module}: ${(100 * energy).toFixed(1)} %`));
   * ```
   *
   * @throws {LorafoldError} for everything that can go wrong; then nothing is left in the output.
   */
  extract(options: ExtractOptions): Promise<FactorsResult>;
  /**
   * What a base, an adapter or a merged model is: dtypes, shapes, scales, recipe.
   *
   * @example
   * ```ts
   * import { inspect } from "lorafold";
   *
   * const found = await inspect("adapters/style");
   * if (found.kind === "adapter") console.log(found.r, found.alpha, found.modules.length);
   * ```
   *
   * @throws {LorafoldError} when it is none of these, or broken.
   */
  inspect(source: SourceLike, options?: InspectOptions): Promise<Description>;
  /**
   * Fold the adapters into the base.
   *
   * @example
   * ```ts
   * import { merge } from "lorafold";
   *
   * const { files, report } = await merge({ base: "models/base", adapters: ["adapters/style"] });
   * for (const file of files) console.log(file.name, (await file.blob()).size);
   * console.log(report.merged);
   * ```
   *
   * @throws {LorafoldError} for everything that can go wrong; then nothing is left in the output.
   */
  merge(options: MergeOptions): Promise<MergeResult>;
  /**
   * Opens the merged model without writing it: each byte is computed when it is read.
   *
   * @example
   * ```ts
   * import { openMerged } from "lorafold";
   *
   * const model = await openMerged({ base: "models/base", adapters: ["adapters/style"] });
   * const header = await model.read("model.safetensors", 0, 8);
   * console.log(header.length);
   * model.close();
   * ```
   *
   * @throws {LorafoldError} for everything that `plan` throws, and `no-range-support` where the base can only be read in one pass.
   */
  openMerged(options: OpenOptions): Promise<MergedModel>;
  /**
   * Repeat a merge from its receipt (`merge` with `receipt: true`), and compare what it gives. Nothing is written.
   *
   * @example
   * ```ts
   * import { merge, repeat } from "lorafold";
   *
   * const { receipt } = await merge({ base: "models/base", adapters: ["adapters/style"], output: "merged", receipt: true });
   * const { same } = await repeat(receipt, { base: "models/base", adapters: ["adapters/style"], merged: "merged" });
   * console.log(same);
   * ```
   *
   * @throws {LorafoldError} `bad-config` for what is no receipt, and everything that `merge` throws.
   */
  repeat(receipt: unknown, options?: RepeatOptions): Promise<RepeatResult>;
  /**
   * What `merge` would do, from headers and configurations alone: no weights are read and nothing is written. It may be given all that `merge` is given.
   *
   * @example
   * ```ts
   * import { plan } from "lorafold";
   *
   * const { merged, findings } = await plan({ base: "models/base", adapters: ["adapters/style"] });
   * console.log(merged, findings.map(({ message }) => message));
   * ```
   *
   * @throws {LorafoldError} for everything that can be seen to go wrong.
   */
  plan(options: PlanOptions | MergeOptions): Promise<Report>;
  /**
   * Take adapters out of a merged model again.
   *
   * @example
   * ```ts
   * import { unmerge } from "lorafold";
   *
   * const { inexact } = await unmerge({ merged: "models/merged", adapters: ["adapters/style"], output: "models/base-again" });
   * console.log(inexact?.length);
   * ```
   *
   * @throws {LorafoldError} as `merge`; `unsupported` for adapters whose merge cannot be taken back.
   */
  unmerge(options: UnmergeOptions): Promise<UnmergeResult>;
  /**
   * Whether a merged model, whoever made it, contains exactly this base and these adapters, tensor by tensor: equal bits, equal up to the roundings of
   * other tools, or something else, and then what.
   *
   * @example
   * ```ts
   * import { verify } from "lorafold";
   *
   * const { verdict, instead } = await verify({ base: "models/base", adapters: ["adapters/style"], merged: "models/merged" });
   * if (verdict === "different") console.log(instead.map(({ what, tensors }) => `${what}: ${tensors} tensors`));
   * ```
   *
   * @throws {LorafoldError} for everything that `plan` throws, and where a model cannot be read.
   */
  verify(options: VerifyOptions): Promise<VerifyReport>;
}

/** The API on the context that `context` gives at the time of each call; what it throws rejects the call. */
export function createApi(context: () => Context): Api {
  const seldom = () => part(import("./seldom.js"));
  // The context is that of the call, whatever is set up while the code is loaded.
  return {
    async combine(options) {
      const current = context();
      return (await seldom()).combine(current, options);
    },
    async extract(options) {
      const current = context();
      return (await seldom()).extract(current, options);
    },
    inspect: async (source, options) => inspect(context(), source, options),
    merge: async (options) => merge(context(), options),
    async openMerged(options) {
      const current = context();
      // Loaded when it is needed: most pages merge, and open nothing.
      const { openMerged } = await part(import("./merged/model.js"));
      return openMerged(current, options);
    },
    plan: async (options) => plan(context(), options),
    async repeat(receipt, options) {
      const current = context();
      return (await seldom()).repeat(current, receipt, options);
    },
    async unmerge(options) {
      const current = context();
      return (await seldom()).unmerge(current, options);
    },
    async verify(options) {
      const current = context();
      return (await seldom()).verify(current, options);
    },
  };
}
