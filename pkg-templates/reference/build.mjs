// @ts-check
// Makes the documentation: one site of README.md, docs/ and the package's API reference in out/, and the crate's reference in target/doc.
// Any warning is an error.
import { spawnSync } from "node:child_process";
import { existsSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brokenLinks } from "./links.mjs";
import { giveUp, npmPackagesInstalled, packageFolders } from "../../tests/setup/setup.mjs";

const here = dirname(fileURLToPath(import.meta.url));

/** @param {string} program @param {string[]} args @param {NodeJS.ProcessEnv} [env] */
function run(program, args, env = {}) {
  console.log(`docs: ${[program, ...args].join(" ").replaceAll(dirname(dirname(here)), ".")}`);
  const { status, error } = spawnSync(program, args, { cwd: here, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env } });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? 1);
}

/** @param {string} what is not there yet @param {string} script makes it @returns {never} */
function missing(what, script) {
  console.error(`docs: ${what} not there yet: run \`npm run ${script}\` first`);
  process.exit(1);
}

await npmPackagesInstalled(packageFolders.reference).catch(giveUp);
const typedoc = dirname(createRequire(import.meta.url).resolve("typedoc/package.json"));
if (!existsSync(join(here, "..", "generated", "lorafold.d.ts"))) missing("the types of the WebAssembly are", "build");
const site = join(here, "out");
rmSync(site, { recursive: true, force: true });
run(process.execPath, [join(typedoc, "bin", "typedoc")]);
const broken = brokenLinks(site);
if (broken.length > 0) {
  console.error(`docs: links that lead nowhere:\n  ${broken.join("\n  ")}`);
  process.exit(1);
}
// What exists only on wasm32 has comments, too.
for (const target of [[], ["--target", "wasm32-unknown-unknown"]]) {
  run("cargo", ["doc", "--no-deps", "--lib", ...target], { RUSTDOCFLAGS: "-D warnings" });
}
