import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Writes the service worker (`sw.js`), which keeps every file of the build under the hash of all of them. */
export function offline({ worker, publicFolder }: { worker: string; publicFolder: string }): Plugin {
  return {
    name: "lorafold-offline",
    apply: "build",
    generateBundle: {
      // When the page itself is written.
      order: "post",
      handler(_, bundle) {
        const made = Object.values(bundle).map((output) => ({ name: output.fileName, content: output.type === "chunk" ? output.code : output.source }));
        const copied = readdirSync(publicFolder).map((name) => ({ name, content: readFileSync(join(publicFolder, name)) }));
        const all = [...made, ...copied].filter(({ name }) => !name.endsWith(".map")).sort((a, b) => (a.name < b.name ? -1 : 1));
        const hash = createHash("sha256");
        for (const { name, content } of all) hash.update(name).update("\0").update(content).update("\0");
        // The page is asked for by its folder.
        const names = all.map(({ name }) => (name === "index.html" ? "" : name));
        const source = readFileSync(worker, "utf8").replace("__HASH__", hash.digest("hex").slice(0, 16)).replace("__FILES__", JSON.stringify(names));
        this.emitFile({ type: "asset", fileName: "sw.js", source });
      },
    },
  };
}
