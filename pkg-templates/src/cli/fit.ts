import { LorafoldError } from "../errors.js";
import { plan } from "../node.js";
import type { AdapterReport, Evidence, HubOptions } from "../types.js";
import type { Paint } from "./colour.js";
import { INSPECT_FLAGS } from "./commands.js";
import { type SaidError, saidError } from "./said-error.js";
import { baseText, counted } from "./text.js";

/** Whether an adapter fits a model: what a plan of the two says. */
export type Fit = { base: string; adapter: string } & (Pick<AdapterReport, "baseModel" | "namedBase" | "modules" | "matched"> & { evidence: Evidence[] } | { error: SaidError });

/** Plan the merge of an adapter into a model. What does not fit is part of the answer. */
export async function fit(base: string, source: string, hub: { hub?: HubOptions }): Promise<Fit> {
  try {
    const { base: model, adapters, evidence } = await plan({ base, adapters: [source], evidence: true, ...hub });
    const { name, baseModel, namedBase, modules, matched } = adapters[0]!;
    return { base: model.name, adapter: name, baseModel, namedBase, modules, matched, evidence };
  } catch (error) {
    if (!(error instanceof LorafoldError)) throw error;
    return { base, adapter: source, error: saidError(error, INSPECT_FLAGS) };
  }
}

/** The same for people, in a line. */
export function fitText(found: Fit, paint: Paint): string {
  const what = `${paint("bold", found.adapter)} on ${paint("bold", found.base)}`;
  if ("error" in found) return `${what}: ${paint("red", "does not fit")}: ${found.error.message}`;
  const trained = baseText(found);
  const first = `${what}: ${paint("green", "fits")}, ${found.matched} of ${counted(found.modules, "module")}${trained && `; ${trained}`}`;
  return [first, ...found.evidence.map(({ says, verdict }) => `  ${verdict === "other" ? paint("red", says) : says}`)].join("\n");
}
