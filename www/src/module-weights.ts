import type { ModuleWeight } from "lorafold";
import { parseNumber } from "./number-field.js";

/** `mlp=0.5`, `layers:0-7=0`, `blocks:MID=0.5`: as on the command line. `undefined` where it is none of these. */
export function parseModuleWeight(line: string): ModuleWeight | undefined {
  const at = line.lastIndexOf("=");
  const [what, weight] = [line.slice(0, Math.max(at, 0)).trim(), parseNumber(line.slice(at + 1))];
  if (what === "" || weight === undefined) return undefined;
  const [, kind, of] = /^(layers|blocks):(.*)$/s.exec(what) ?? [];
  return { ...(kind === undefined ? { match: what } : { [kind]: of!.trim() }), weight };
}

/** The same as a line. */
export function moduleWeightLine({ match, layers, blocks, weight }: ModuleWeight): string {
  const what = match ?? (layers === undefined ? `blocks:${blocks}` : `layers:${layers}`);
  return `${what}=${weight}`;
}

/** One to a line; the line that is none, where there is one. */
export function parseModuleWeights(text: string): ModuleWeight[] | { wrong: string } {
  const weights: ModuleWeight[] = [];
  for (const line of text.split("\n").filter((line) => line.trim() !== "")) {
    const weight = parseModuleWeight(line);
    if (!weight) return { wrong: line.trim() };
    weights.push(weight);
  }
  return weights;
}
