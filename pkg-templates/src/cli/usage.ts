import { parseArgs, type ParseArgsConfig } from "node:util";

/** Something wrong with the words of a command. */
export class UsageError extends Error {}

/** `parseArgs`, whose errors are ours; what is given twice, and may not be, is one more. */
export function parse<T extends ParseArgsConfig>(config: T): ReturnType<typeof parseArgs<T>> {
  let parsed: ReturnType<typeof parseArgs<T>>;
  try {
    parsed = parseArgs(config);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const given = new Set<string>();
  for (const token of parseArgs({ ...config, tokens: true }).tokens ?? []) {
    if (token.kind !== "option" || token.value === undefined || config.options?.[token.name]?.multiple) continue;
    if (given.has(token.name)) throw new UsageError(`--${token.name} is given twice`);
    given.add(token.name);
  }
  return parsed;
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
