import { readFile } from "node:fs/promises";
import { asLorafoldError, LorafoldError, thrown } from "../errors.js";
import { nearest } from "../nearest.js";
import { paintFor } from "./colour.js";
import { COMMANDS } from "./commands.js";
import type { Command } from "./flag.js";
import { commandHelp, overview } from "./help.js";
import { errorLine, isUsage, type SaidError, saidError } from "./said-error.js";
import { snippetFor } from "./snippets.js";
import { asksForHelp, UsageError } from "./usage.js";

type Run = (argv: string[]) => Promise<number> | number;

/** Each is loaded when it is asked for: reading the files of all of them takes as long as starting Node. */
const RUNS: Record<string, () => Promise<Run>> = {
  merge: async () => (await import("./merge.js")).mergeCommand,
  verify: async () => (await import("./verify.js")).verifyCommand,
  unmerge: async () => (await import("./unmerge.js")).unmergeCommand,
  combine: async () => (await import("./adapters.js")).combineCommand,
  extract: async () => (await import("./adapters.js")).extractCommand,
  serve: async () => (await import("./serve.js")).serveCommand,
  inspect: async () => (await import("./inspect.js")).inspectCommand,
  upload: async () => (await import("./upload.js")).uploadCommand,
  completions: async () => (await import("./completions.js")).completionsCommand,
};

/** Exit codes: 0 done, 1 failed, 2 usage, 130 aborted. */
export async function main(argv: string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", outputFailed);
  const [first, ...rest] = argv;
  const json = rest.includes("--json") || rest.includes("-j");
  const command = COMMANDS.find(({ name }) => name === first);
  // What nobody caught is told as every other error is, also where it was thrown outside every promise.
  process.once("uncaughtException", (error) => process.exit(report(asLorafoldError(error), json, command)));
  try {
    if (first === "help" || asksForHelp(argv)) return help(first === "help" ? rest[0] : command?.name);
    if (command) return await (await RUNS[command.name]!())(rest);
    if (first === "--version" || first === "-V") return await version();
    throw unknown(first);
  } catch (error) {
    return report(error, json, command);
  }
}

/** `lorafold --help`, `lorafold help merge`, `lorafold merge --help`. */
function help(name: string | undefined): number {
  const paint = paintFor(process.stdout);
  const command = COMMANDS.find((command) => command.name === name);
  if (!command && name !== undefined && !name.startsWith("-")) throw unknown(name);
  console.log(command ? commandHelp(command, paint) : overview(paint));
  return 0;
}

async function version(): Promise<number> {
  const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
  console.log(manifest.version);
  return 0;
}

function unknown(word: string | undefined): UsageError {
  if (word === undefined) return new UsageError("no command is given");
  const names = COMMANDS.map(({ name }) => name);
  if (word.startsWith("-")) return new UsageError(`${word} comes before the command`, `begin with one of ${names.join(", ")}`);
  const meant = nearest(word, names);
  return new UsageError(`there is no command ${word}`, meant === undefined ? `the commands are ${names.join(", ")}` : `did you mean ${meant}?`);
}

/** The reader of our output may close it (`| head`). That is no failure, and no reason to stop a merge. */
function outputFailed(error: Error): void {
  if (thrown(error).code !== "EPIPE") process.once("exit", () => (process.exitCode ||= 1));
}

function report(error: unknown, json: boolean, command: Command | undefined): number {
  const paint = paintFor(process.stderr);
  const said = (error: SaidError) => {
    if (json) console.log(JSON.stringify({ error }, null, 2));
  };
  if (error instanceof UsageError) {
    const { message, fix } = error;
    said({ code: "bad-option", message, ...(fix !== undefined && { facts: { fix } }) });
    const program = command ? `lorafold ${command.name}` : "lorafold";
    console.error([`${program}: ${paint("red", message)}`, ...(fix === undefined ? [] : [fix]), `see \`${program} --help\``].join("\n"));
    return 2;
  }
  if (!(error instanceof LorafoldError)) {
    // A mistake of ours, of which the stack says where.
    said({ code: "internal", message: thrown(error).message });
    console.error(error);
    return 1;
  }
  const { code } = error;
  const flags = command?.flags ?? {};
  said(saidError(error, flags));
  console.error(errorLine(error, flags, paint));
  const snippet = json ? undefined : snippetFor(code, error.facts);
  if (snippet !== undefined) console.error(`\nIn Python:\n\n${snippet.replace(/^/gm, "    ")}`);
  // Of a mistake of ours the stack says where.
  if (code === "internal" && error.detail !== undefined) console.error(error.detail);
  return code === "aborted" ? 130 : isUsage(error, flags) ? 2 : 1;
}
