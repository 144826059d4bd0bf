import { asLorafoldError, LorafoldError, thrown } from "../errors.js";
import { inspectCommand } from "./inspect.js";
import { mergeCommand } from "./merge.js";
import { serveCommand } from "./serve.js";
import { uploadCommand } from "./upload.js";
import { asksForHelp, UsageError } from "./usage.js";
import { HELP } from "./help.js";
import { readFile } from "node:fs/promises";

/** Exit codes: 0 done, 1 failed, 2 usage, 130 aborted. */
export async function main(argv: string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) stream.on("error", outputFailed);
  const [first, ...rest] = argv;
  // What nobody caught is told as every other error is, also where it was thrown outside every promise.
  process.once("uncaughtException", (error) => process.exit(report(asLorafoldError(error), rest.includes("--json"))));
  // `lorafold merge --help` asks for the same.
  const command = asksForHelp(argv) ? "--help" : first;
  try {
    switch (command) {
      case "merge":
        return await mergeCommand(rest);
      case "inspect":
        return await inspectCommand(rest);
      case "serve":
        return await serveCommand(rest);
      case "upload":
        return await uploadCommand(rest);
      case "--version":
      case "-V": {
        const manifest = JSON.parse(await readFile(new URL("../package.json", import.meta.url), "utf8")) as { version: string };
        console.log(manifest.version);
        return 0;
      }
      case "--help":
      case "-h":
      case "help":
        console.log(HELP);
        return 0;
      case undefined:
        throw new UsageError("no command");
      default:
        throw new UsageError(`unknown command ${command}`);
    }
  } catch (error) {
    return report(error, rest.includes("--json"));
  }
}

/** The reader of our output may close it (`| head`). That is no failure, and no reason to stop a merge. */
function outputFailed(error: Error): void {
  if (thrown(error).code !== "EPIPE") process.once("exit", () => (process.exitCode ||= 1));
}

function report(error: unknown, json: boolean): number {
  const said = (code: string, { message, tensor, adapter, facts }: { message: string } & Partial<Pick<LorafoldError, "tensor" | "adapter" | "facts">>) => {
    if (json) console.log(JSON.stringify({ error: { code, message, tensor, adapter, facts } }, null, 2));
  };
  if (error instanceof UsageError) {
    said("bad-option", error);
    console.error(`lorafold: ${error.message}\n\n${HELP}`);
    return 2;
  }
  if (!(error instanceof LorafoldError)) {
    // A mistake of ours, of which the stack says where.
    said("internal", { message: thrown(error).message });
    console.error(error);
    return 1;
  }
  const { code, message } = error;
  said(code, error);
  console.error(`lorafold: error [${code}]: ${message}`);
  // Of a mistake of ours the stack says where.
  if (code === "internal" && error.detail !== undefined) console.error(error.detail);
  return code === "aborted" ? 130 : 1;
}
