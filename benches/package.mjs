// @ts-check
// The package that is measured, built first where its sources are newer.
//   LORAFOLD_BENCH_PKG   another build of it, to compare two
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { run } from "../tests/setup/run.mjs";
import { setup } from "../tests/setup/setup.mjs";
import { root } from "../tests/setup/tools.mjs";

export const packageFolder = process.env.LORAFOLD_BENCH_PKG ?? join(root, "pkg");

/** @param {string} folder */
function newest(folder) {
  const files = readdirSync(join(root, folder), { recursive: true, encoding: "utf8" });
  return Math.max(...files.map((name) => statSync(join(root, folder, name)).mtimeMs));
}

/** @param {{ browsers: boolean }} options */
export async function demandPackage({ browsers }) {
  await setup(browsers ? ["packages", "browsers"] : ["packages"]);
  if (process.env.LORAFOLD_BENCH_PKG) return;
  const built = join(packageFolder, "package.json");
  if (existsSync(built) && statSync(built).mtimeMs > Math.max(newest("src"), newest("pkg-templates/src"))) return;
  const { ok } = await run(process.execPath, ["pkg-templates/build.mjs"]);
  if (!ok) throw new Error("the package could not be built");
}
