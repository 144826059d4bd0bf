// @ts-check
// Where `--report` may write, and what it must not replace.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { link, mkdir, readdir, readFile, rm, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { lorafold } from "./command.mjs";
import { scratch, snapshot, writeFolder } from "./scratch.mjs";
import { tinyModel } from "./tiny-model.mjs";

/** @param {import("node:test").TestContext} t */
async function tiny(t) {
  const folder = await scratch(t);
  const { base, adapter } = tinyModel();
  const paths = { folder, base: await writeFolder(join(folder, "base"), base), adapter: await writeFolder(join(folder, "adapter"), adapter), out: join(folder, "out") };
  return { ...paths, words: ["merge", "--base", paths.base, "--adapter", paths.adapter, "--out", paths.out, "--json"] };
}

/** @typedef {{ folder: string, base: string, adapter: string, out: string }} Paths */

describe("--report", { concurrency: 2 }, () => {
  /** @type {[string, RegExp, (paths: Paths) => Promise<string> | string][]} */
  const refused = [
    ["a file of the base", /reads/, ({ base }) => join(base, "tokenizer.json")],
    ["a file of the adapter", /reads/, ({ adapter }) => join(adapter, "adapter_config.json")],
    ["a link to one", /reads/, async ({ base, folder }) => {
      await symlink(join(base, "config.json"), join(folder, "link"));
      return join(folder, "link");
    }],
    ["another name of one", /reads/, async ({ base, folder }) => {
      await link(join(base, "config.json"), join(folder, "name"));
      return join(folder, "name");
    }],
    ["a file of the merged model", /merged model/, ({ out }) => join(out, "model.safetensors")],
    ["one in a folder that is there", /merged model/, async ({ out }) => {
      await mkdir(out);
      return join(out, "config.json");
    }],
    ["a folder", /folder/, ({ base }) => base],
    ["the output folder", /a folder that the merge makes/, ({ out }) => out],
    ["a link to a file of the merged model", /merged model/, async ({ folder, out }) => {
      await symlink(join(out, "model.safetensors"), join(folder, "link"));
      await symlink("link", join(folder, "link to it"));
      return join(folder, "link to it");
    }],
    ["a link into a folder that is not there", /no such folder/, async ({ folder }) => {
      await symlink(join(folder, "nowhere", "report.json"), join(folder, "link"));
      return join(folder, "link");
    }],
    ["a link to itself", /too many links/, async ({ folder }) => {
      await symlink("link", join(folder, "link"));
      return join(folder, "link");
    }],
  ];
  for (const [name, why, place] of refused) {
    test(`${name} is refused before anything is done`, async (t) => {
      const { words, ...paths } = await tiny(t);
      const report = await place(paths);
      const before = await snapshot(paths.folder);
      for (const more of [[], ["--force"], ["--dry-run"]]) {
        const { code, stdout } = await lorafold([...words, "--report", report, ...more]);
        assert.equal(code, 1, stdout);
        const { error } = JSON.parse(stdout);
        assert.equal(error.code, "bad-option");
        // A dry run makes no folder that the report could be in.
        assert.match(error.message, more[0] === "--dry-run" && name.endsWith("a file of the merged model") ? /report: / : why);
        assert.deepEqual(await snapshot(paths.folder), before);
      }
    });
  }

  test("goes into the output folder, even one that is made only now, and over an older report", async (t) => {
    const { words, out } = await tiny(t);
    for (const more of [[], ["--force"]]) {
      const { code, stdout, stderr } = await lorafold([...words, "--report", join(out, "report.json"), ...more]);
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(await readFile(join(out, "report.json"), "utf8")), JSON.parse(stdout));
    }
    await rm(out, { recursive: true });
    const relative = await lorafold([...words.slice(0, -2), basename(out), "--report", join(basename(out), "report.json")], { cwd: join(out, "..") });
    assert.equal(relative.code, 0, relative.stderr);
  });

  test("goes where a link leads, which stays one", async (t) => {
    const { words, folder } = await tiny(t);
    await writeFolder(join(folder, "reports"), {});
    await symlink(join("reports", "report.json"), join(folder, "link"));
    for (const old of [undefined, "old"]) {
      if (old) await writeFolder(join(folder, "reports"), { "report.json": old });
      const { code, stdout, stderr } = await lorafold([...words, "--force", "--report", join(folder, "link")]);
      assert.equal(code, 0, stderr);
      assert.deepEqual(JSON.parse(await readFile(join(folder, "reports", "report.json"), "utf8")), JSON.parse(stdout));
      assert.deepEqual(await readdir(join(folder, "reports")), ["report.json"]);
    }
  });

  test("goes to devices", { skip: !existsSync("/dev/full") && "this system has no full device" }, async (t) => {
    const { words } = await tiny(t);
    assert.equal((await lorafold([...words, "--report", "/dev/null"])).code, 0);
    const { stdout } = await lorafold([...words.slice(0, -1), "--force", "--dry-run", "--report", "/dev/stdout"]);
    assert.equal(JSON.parse(stdout.slice(0, stdout.indexOf("\n}\n") + 3)).merged, 2);
    const full = await lorafold([...words, "--force", "--report", "/dev/full"]);
    assert.equal(JSON.parse(full.stdout).error.code, "out-of-space");
  });
});
