import { parseArgs } from "node:util";
import { nearest } from "../nearest.js";
import { COMMANDS } from "./commands.js";
import type { Flag, Flags, Values } from "./flag.js";

/** Something wrong with the words of a command. */
export class UsageError extends Error {
  /** What to do about it, where that is known. */
  readonly fix: string | undefined;

  constructor(message: string, fix?: string) {
    super(message);
    this.fix = fix;
  }
}

/** One flag as it was given, in its place among the others. */
export interface Given {
  name: string;
  value: string;
}

/** The words of a command, understood. */
export interface Parsed<F extends Flags> {
  values: Values<F>;
  /** Flags with a value, in their order. */
  given: Given[];
  /** What is no flag. */
  words: string[];
}

/**
 * Take the words of a command apart.
 *
 * @throws {UsageError} for flags that it has not, values that are missing or too many, and words where it takes none.
 */
export function parse<F extends Flags>(argv: string[], flags: F, takesWords = false): Parsed<F> {
  const options = Object.fromEntries(Object.entries<Flag>(flags).map(([name, { type, short }]) => [name, { type, ...(short !== undefined && { short }) }]));
  const { tokens } = parseArgs({ args: argv, options, strict: false, allowPositionals: true, tokens: true });
  const values: Record<string, string | boolean | string[]> = {};
  const given: Given[] = [];
  const words: string[] = [];
  let last: string | undefined;
  for (const token of tokens) {
    if (token.kind === "option-terminator") continue;
    if (token.kind === "positional") {
      if (!takesWords) throw new UsageError(`${token.value} belongs to no flag`, last !== undefined && flags[last]?.multiple ? `give it as --${last} ${token.value}` : flags.adapter ? `did you mean --adapter ${token.value}?` : undefined);
      words.push(token.value);
      continue;
    }
    const { name, rawName } = token;
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (!flag) throw unknownFlag(rawName, name, flags);
    if (!flag.multiple && Object.hasOwn(values, name)) throw new UsageError(`--${name} is given twice`);
    last = name;
    if (flag.type === "boolean") {
      if (token.value !== undefined) throw new UsageError(`--${name} takes no value`);
      values[name] = true;
      continue;
    }
    const value = valueOf(rawName, token.value, token.inlineValue ?? false);
    checkChoice(name, flag, value);
    given.push({ name, value });
    if (flag.multiple) values[name] = [...((values[name] as string[] | undefined) ?? []), value];
    else values[name] = value;
  }
  return { values: values as Values<F>, given, words };
}

/** The value of a flag. What begins with a dash is one only where it is a number, or joined to the flag by `=`. */
function valueOf(rawName: string, value: string | undefined, joined: boolean): string {
  const isLetter = !rawName.startsWith("--");
  if (value === undefined || (value === "" && !joined)) throw new UsageError(`${rawName} needs a value`);
  if (!joined && /^-./.test(value) && !/^-\.?\d/.test(value)) throw new UsageError(`${rawName} needs a value, and ${value} comes instead`, isLetter ? undefined : `a value that begins with a dash is given as ${rawName}=${value}`);
  // `-b=base`, which others read so, too.
  return isLetter && joined && value.startsWith("=") ? value.slice(1) : value;
}

/** Short names of values, which completions leave out. */
const SHORT: Readonly<Record<string, readonly string[]>> = { float32: ["f32"], float64: ["f64"], float16: ["f16"], bfloat16: ["bf16"] };

/** @throws {UsageError} for a value that is none of those which the flag has. */
function checkChoice(name: string, { choices }: Flag, value: string): void {
  if (!choices) return;
  const all = choices.flatMap((choice) => [choice, ...(SHORT[choice] ?? [])]);
  if (all.includes(value)) return;
  const meant = nearest(value, all);
  throw new UsageError(`--${name}: there is no ${value}`, meant === undefined ? `the values are ${all.join(", ")}` : `did you mean ${meant}?`);
}

function unknownFlag(rawName: string, name: string, flags: Flags): UsageError {
  const message = `there is no flag ${rawName}`;
  const meant = name.length > 1 ? nearest(name, Object.keys(flags)) : undefined;
  if (meant !== undefined) return new UsageError(message, `did you mean --${meant}?`);
  const owners = COMMANDS.filter((command) => Object.hasOwn(command.flags, name)).map((command) => command.name);
  return new UsageError(message, owners.length === 0 ? undefined : `it is one of lorafold ${owners.join(", ")}`);
}

/** Whether the help is asked for, beside whatever else. Behind `--` are names. */
export function asksForHelp(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).some((word) => word === "--help" || word === "-h");
}

/** A number, or a usage error that names the flag. */
export function number(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw new UsageError(`--${flag}: ${text} is not a number`);
  return value;
}

const UNITS: Record<string, number> = { "": 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12, KI: 2 ** 10, MI: 2 ** 20, GI: 2 ** 30, TI: 2 ** 40 };

/** A size such as 5GB, 500MB, 2GiB or a number of bytes. */
export function bytes(flag: string, text: string): number {
  const [, digits, unit] = /^([0-9.]+)\s*([KMGT]?I?)B?$/i.exec(text.trim()) ?? [];
  const scale = UNITS[(unit ?? "").toUpperCase()];
  if (digits === undefined || scale === undefined) throw new UsageError(`--${flag}: ${text} is not a size such as 5GB`);
  return Math.floor(number(flag, digits) * scale);
}
