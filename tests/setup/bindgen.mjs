// @ts-check
// wasm-bindgen for this checkout: small programs of ours on its libraries, of the version that Cargo.lock has for the crate, too.
// cargo compiles them where they are missing or another version's; where nothing changed that takes a third of a second.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { root } from "./tools.mjs";

/** @typedef {"bindgen" | "split" | "runner"} BindgenProgram what makes the package's JavaScript, what halves the module, and what runs the wasm tests */

/** @param {BindgenProgram} name */
export function bindgenPath(name) {
  const target = process.env.CARGO_TARGET_DIR ?? join(root, "target");
  return join(target, "tools", process.platform === "win32" ? `${name}.exe` : name);
}

/** What cargo is called with. @param {BindgenProgram} name */
export function bindgenCommand(name) {
  const features = name === "runner" ? ["--features", "runner"] : [];
  return {
    program: "cargo",
    args: ["build", "--profile", "tools", "--package", "lorafold-bindgen", "--bin", name, ...features],
    // A job's own flags (-D warnings, target features) are about our code, not about the tool's.
    env: { RUSTFLAGS: "", CARGO_TERM_PROGRESS_WHEN: "never" },
  };
}

/** Has cargo make a program that is not there yet. @param {BindgenProgram} name @returns {Promise<string>} its path */
export function bindgenBuilt(name) {
  const { program, args, env } = bindgenCommand(name);
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args, "--quiet"], { cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env } });
    child.on("error", reject);
    child.on("close", (code) => (code === 0 ? resolve(bindgenPath(name)) : reject(new Error(`cargo could not build ${name} (${code})`))));
  });
}
