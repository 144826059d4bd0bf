import { openMerged } from "../node.js";
import { listen } from "../node/listen.js";
import { SERVE_FLAGS } from "./commands.js";
import { planOptions } from "./plan-flags.js";
import { size } from "./text.js";
import { number, parse, UsageError } from "./usage.js";

/** Where the model is served when nothing is said. */
const PORT = 8417;

/** `lorafold serve`: until it is interrupted. */
export async function serveCommand(argv: string[]): Promise<number> {
  const parsed = parse(argv, SERVE_FLAGS);
  const { values } = parsed;
  const port = values.port === undefined ? PORT : number("port", values.port);
  if (!(Number.isInteger(port) && port >= 0 && port < 65536)) throw new UsageError(`--port: ${values.port} is not a port`);
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    const model = await openMerged({ ...planOptions(parsed), signal: stop.signal });
    const server = await listen(model, port);
    const { files } = model;
    if (values.json) console.log(JSON.stringify({ url: server.url, files, findings: model.report.findings }, null, 2));
    else if (!values.quiet) console.log([`serving ${server.url} (Ctrl-C ends it)`, ...files.map((file) => `  ${file.name}  ${size(file.size)}`)].join("\n"));
    await new Promise<void>((resolve) => stop.signal.addEventListener("abort", () => resolve(), { once: true }));
    await server.close();
    model.close();
    return 0;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}
