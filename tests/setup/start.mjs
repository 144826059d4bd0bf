// @ts-check
// `npm start`: sets up, builds the package and the page, and serves the page. `npm start -- --port 8080` for another port.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { run } from "./run.mjs";
import { giveUp, setup, SetupError } from "./setup.mjs";
import { root } from "./tools.mjs";

function readPort() {
  let text;
  try {
    text = parseArgs({ options: { port: { type: "string", default: "4173" } } }).values.port;
  } catch (error) {
    throw new SetupError(/** @type {Error} */ (error).message);
  }
  const port = Number(text);
  if (!Number.isInteger(port) || port < 0 || port > 65535) throw new SetupError(`--port ${text} is no port number`);
  return port;
}

async function main() {
  const port = readPort();
  await setup();

  console.log("\nbuilding the package (pkg/)");
  const built = await run(process.execPath, ["pkg-templates/build.mjs"]);
  if (!built.ok) throw new SetupError("The package could not be built; what went wrong stands above.");

  console.log("\nbuilding the page (www/dist/)");
  // Only now: on a fresh machine it isn't installed before setup has run.
  const vite = await import("vite");
  const config = { root: join(root, "www") };
  await vite.build(config);
  const server = await vite.preview({ ...config, preview: { port, host: "127.0.0.1" } });
  console.log(`\nlorafold is at ${server.resolvedUrls?.local[0]} (Ctrl-C ends it)`);
}

await main().catch(giveUp);
