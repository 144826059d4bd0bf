// @ts-check
// Programs that npm packages carry. Their own commands are scripts that Node starts, and install scripts may be off: so the program itself.
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);
const suffix = process.platform === "win32" ? ".exe" : "";

/** The first of these files of installed packages. @param {string} what @param {[string, string][]} places */
function program(what, places) {
  for (const [name, file] of places) {
    try {
      const path = join(dirname(require.resolve(`${name}/package.json`)), file);
      if (existsSync(path)) return path;
    } catch {
      // Not for this system.
    }
  }
  throw new Error(`no npm package of ${what} is installed for ${process.platform} ${process.arch}: run \`npm ci\``);
}

/** How Deno runs a script that may read, fetch and look at the system. */
export function deno() {
  const libc = process.platform === "linux" ? "-glibc" : "";
  const path = program("Deno", [[`@deno/${process.platform}-${process.arch}${libc}`, `deno${suffix}`]]);
  // Not what the machine has cached of Deno's own, and nothing from elsewhere.
  return { program: path, args: ["run", "--quiet", "--no-remote", "--node-modules-dir=manual", "--allow-read", "--allow-net", "--allow-sys"] };
}

/** How Bun runs a script. Its install script moves the program from one package to the other. */
export function bun() {
  const path = program("Bun", [[`@oven/bun-${process.platform}-${process.arch}`, `bin/bun${suffix}`], ["bun", "bin/bun.exe"]]);
  return { program: path, args: ["--no-install"] };
}

/** esbuild's command line. */
export function esbuild() {
  const file = process.platform === "win32" ? "esbuild.exe" : "bin/esbuild";
  return program("esbuild", [[`@esbuild/${process.platform}-${process.arch}`, file]]);
}

/** workerd. */
export function workerd() {
  const arch = process.arch === "x64" ? "64" : process.arch;
  return program("workerd", [[`@cloudflare/workerd-${process.platform === "win32" ? "windows" : process.platform}-${arch}`, `bin/workerd${suffix}`]]);
}
