import { LorafoldError } from "../errors.js";
import { inspect } from "../node.js";
import { asPath } from "../node/source.js";
import { address } from "../sources/address.js";
import type { Description } from "../types.js";
import { paintFor } from "./colour.js";
import { INSPECT_FLAGS } from "./commands.js";
import { descriptionText } from "./description.js";
import { fit, type Fit, fitText } from "./fit.js";
import { hubOptions } from "./plan-flags.js";
import { errorLine, type SaidError, saidError } from "./said-error.js";
import { parse, UsageError } from "./usage.js";

/** What became of one path. Of an adapter, also whether it fits each model among the paths. */
type Found = (Description & { fits?: Fit[] }) | { path: string; error: SaidError };

/** `lorafold inspect`: what fails for one path is said, and the others are described all the same. */
export async function inspectCommand(argv: string[]): Promise<number> {
  const { values, words: paths } = parse(argv, INSPECT_FLAGS, true);
  if (paths.length === 0) throw new UsageError("no path is given", "give folders, files or URLs");
  const hub = hubOptions(values["token-env"]);
  const found: Found[] = [];
  let [printed, failed] = [0, false];
  const adapters: { path: string; description: Found }[] = [];
  const models: typeof adapters = [];
  for (const path of paths) {
    try {
      const description = await inspect(path, { ...hub, ...(values.hash && { hash: true }) });
      found.push(description);
      (description.kind === "adapter" ? adapters : models).push({ path, description });
      // An adapter's files are hashed by every merge; `--expect-base` takes those of models.
      if (values.hash && description.kind === "adapter" && !values.json) console.error(`${path}: --hash is of models, and this is an adapter`);
      if (!values.json) console.log(`${printed++ === 0 ? "" : "\n"}${descriptionText(description, values.tensors ?? false, paintFor(process.stdout))}`);
    } catch (error) {
      if (!(error instanceof LorafoldError)) throw error;
      failed = true;
      // Not as it was given, which may hold a password.
      found.push({ path: asPath(path) === undefined ? address(path) : path, error: saidError(error, INSPECT_FLAGS) });
      console.error(errorLine(error, INSPECT_FLAGS, paintFor(process.stderr)));
    }
  }
  for (const adapter of models.length > 0 ? adapters : []) {
    const fits: Fit[] = [];
    for (const model of models) fits.push(await fit(model.path, adapter.path, hub));
    Object.assign(adapter.description, { fits });
    if (!values.json) console.log(["", ...fits.map((one) => fitText(one, paintFor(process.stdout)))].join("\n"));
  }
  if (values.json) console.log(JSON.stringify(found, null, 2));
  return failed ? 1 : 0;
}
