import { inspect } from "../node.js";
import type { Description } from "../types.js";
import { hubOptions } from "./plan-flags.js";
import { descriptionText } from "./text.js";
import { parse, UsageError } from "./usage.js";

/** `lorafold inspect` */
export async function inspectCommand(argv: string[]): Promise<number> {
  const { values, positionals } = parse({ args: argv, options: { json: { type: "boolean" }, "token-env": { type: "string" } }, allowPositionals: true });
  if (positionals.length === 0) throw new UsageError("inspect: no path");
  const descriptions: Description[] = [];
  for (const path of positionals) descriptions.push(await inspect(path, hubOptions(values["token-env"])));
  console.log(values.json ? JSON.stringify(descriptions, null, 2) : descriptions.map(descriptionText).join("\n\n"));
  return 0;
}
