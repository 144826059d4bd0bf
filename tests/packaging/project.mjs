// @ts-check
// Throw-away projects that have installed what `npm pack` makes, and what they must compute.
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sha256 } from "../js/scratch.mjs";

const execute = promisify(execFile);

export const root = fileURLToPath(new URL("../..", import.meta.url));
/** The folder of the models that the projects merge. */
export const sample = join(root, "tests", "fixtures", "sample");
/** That of a model and an adapter which need the second half of the WebAssembly. */
export const rare = join(root, "tests", "fixtures", "loha");
export const base = "tiny-llama";
export const adapters = [{ name: "storyteller-lora", weight: 0.8 }, { name: "terse-rslora", weight: -0.3 }];

/** npm itself, as whoever runs the tests has it. @param {string} cwd @param {string[]} args */
async function npm(cwd, ...args) {
  const own = process.env.npm_execpath;
  const [program, first] = own?.endsWith(".js") ? [process.execPath, [own]] : ["npm", []];
  return (await execute(program, [...first, ...args], { cwd })).stdout.trim();
}

/**
 * @typedef {object} Project
 * @property {string} folder
 * @property {string} tarball
 * @property {string} installed the package in its node_modules
 * @property {Record<string, string>} expected what its command line makes of the sample: sha256 by name
 * @property {Record<string, string>} expectedRare what it makes of `rare`
 * @property {(files: Record<string, string>) => string} write files of a new folder of the project; gives the folder
 * @property {(script: string, options?: { program?: string, args?: string[], env?: Record<string, string> }) => Promise<any>} run
 *   a script of the project, which prints JSON at the end
 * @property {() => void} remove
 */

/** Pack, install, and merge by the installed command line. @returns {Promise<Project>} */
export async function packedProject() {
  // Some tools compare paths, and temporary folders may be links.
  const scratch = realpathSync(mkdtempSync(join(tmpdir(), "lorafold-packed-")));
  const tarball = join(scratch, await npm(scratch, "pack", "--silent", join(root, "pkg")));
  const folder = join(scratch, "project");
  mkdirSync(folder);
  writeFileSync(join(folder, "package.json"), '{ "name": "consumer", "private": true, "type": "module" }\n');
  await npm(folder, "install", "--offline", "--silent", "--no-audit", "--no-fund", tarball);
  const installed = join(folder, "node_modules", "lorafold");
  cpSync(new URL("prove.js", import.meta.url), join(folder, "prove.js"));
  let folders = 0;
  return {
    folder, tarball, installed,
    expected: await byCommandLine(folder, join(sample, base), adapters.map(({ name, weight }) => `${join(sample, name)}@${weight}`), join(scratch, "expected")),
    expectedRare: await byCommandLine(folder, join(rare, "base"), [join(rare, "adapter")], join(scratch, "rare")),
    write(files) {
      const made = join(folder, `part-${folders++}`);
      for (const [name, text] of Object.entries(files)) {
        mkdirSync(dirname(join(made, name)), { recursive: true });
        writeFileSync(join(made, name), text);
      }
      return made;
    },
    async run(script, { program = process.execPath, args = [], env = {} } = {}) {
      const { stdout } = await execute(program, [...args, script], { cwd: folder, env: { ...process.env, ...env } });
      return JSON.parse(stdout.trim().split("\n").at(-1) ?? "");
    },
    remove: () => rmSync(scratch, { recursive: true, force: true }),
  };
}

/** @param {string} folder @param {string} base @param {string[]} adapters @param {string} out */
async function byCommandLine(folder, base, adapters, out) {
  const args = ["merge", "--base", base, ...adapters.flatMap((adapter) => ["--adapter", adapter]), "--out", out, "--quiet"];
  await execute(process.execPath, [join(folder, "node_modules", "lorafold", "cli.js"), ...args]);
  return Object.fromEntries(readdirSync(out).sort().map((name) => [name, sha256(readFileSync(join(out, name)))]));
}

/**
 * The file of the package that a subpath leads to under some conditions.
 * @param {Project} project @param {string} subpath @param {string[]} conditions
 * @returns {string}
 */
export function exported({ installed }, subpath, conditions) {
  let found = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")).exports[subpath];
  while (typeof found === "object") {
    const condition = Object.keys(found).find((name) => name === "default" || conditions.includes(name));
    if (condition === undefined) throw new Error(`${subpath} has nothing for ${conditions}`);
    found = found[condition];
  }
  if (typeof found !== "string") throw new Error(`the package has no ${subpath}`);
  return found.replace("./", "");
}
