import type { ErrorFacts } from "../errors.js";
import type { Flags } from "./flag.js";

/** Options of the API whose flags have another name. */
const NAMED: Readonly<Record<string, string>> = { output: "out", adapters: "adapter", hub: "token-env" };

/** What is given with an adapter's path: `A#NAME@weight:density=D`. */
const WITH_PATH = new Set(["source", "name", "adapter", "weight", "density"]);

/** The flag of these that an option of the API is called by: `maxShardSize`, `adapters[1].alpha`. */
export function flagOf(option: string, flags: Flags): string | undefined {
  const [, inside] = /^adapters\[\d+\](?:\.(\w+))?$/.exec(option) ?? [option, option];
  const ofAdapter = option.startsWith("adapters[");
  if (ofAdapter && (inside === undefined || WITH_PATH.has(inside))) return Object.hasOwn(flags, "adapter") ? "adapter" : undefined;
  const word = inside!.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const flag = ofAdapter && (word === "only" || word === "skip") ? `adapter-${word}` : Object.hasOwn(NAMED, word) ? NAMED[word]! : word;
  return Object.hasOwn(flags, flag) ? flag : undefined;
}

/** An error's words, which name options of the API, with the flags of the command in their place. */
export function inFlags(message: string, { field }: ErrorFacts, flags: Flags): string {
  const flag = (option: string, otherwise: string) => {
    const found = flagOf(option, flags);
    return found === undefined ? otherwise : `--${found}`;
  };
  const begun = field !== undefined && message.startsWith(`${field}: `) ? `${flag(field, field)}${message.slice(field.length)}` : message;
  return begun
    .replace(/\b(?:the )?option ([a-z]\w*)\b/gi, (all, option: string) => flag(option, all))
    .replace(/\bset force to replace\b/g, (all) => (flags.force ? "--force replaces" : all))
    .replace(/(?<!-)\bforce (?=replaces|removes)/g, (all) => (flags.force ? "--force " : all))
    .replace(/\bgive density, such as (\S+)/g, (all, value: string) => (flags.density ? `give --density ${value}` : all))
    .replace(/, or hub: \{ token \}|, the option hub: \{ token \} in JavaScript/g, "")
    // Only names of two words are surely no others. What follows is their value in JavaScript; in paths and quotes they are names of something else.
    .replace(/(?<![\w./\\"'-])([a-z]+(?:[A-Z][a-z]+)+)(?::? true\b)?(?![\w/\\"'-]|\.\w)/g, (all, option: string) => flag(option, all))
    // Some say both already.
    .replace(/(--[a-z-]+), \1\b/g, "$1");
}
