import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";
import type { SampleManifest } from "./src/sample.js";

/** What the sample is made of: folders of `source`, and the weights it starts with. */
interface SampleParts {
  source: string;
  base: string;
  adapters: { name: string; weight: number }[];
}

/** Serves the sample's files under sample/, with a manifest that lists them. */
export function sample({ source, base, adapters }: SampleParts): Plugin {
  const listed = (name: string) => ({ name, files: readdirSync(join(source, name)).sort() });
  const manifest = (): SampleManifest => ({
    base: listed(base),
    adapters: adapters.map(({ name, weight }) => ({ ...listed(name), weight })),
  });

  return {
    name: "lorafold-sample",
    configureServer(server) {
      server.middlewares.use("/sample", (request, response, next) => {
        const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
        if (path === "/manifest.json") return void response.setHeader("content-type", "application/json").end(JSON.stringify(manifest()));
        const file = join(source, path);
        if (!file.startsWith(source) || !statSync(file, { throwIfNoEntry: false })?.isFile()) return next();
        response.setHeader("content-type", file.endsWith(".json") ? "application/json" : "application/octet-stream");
        createReadStream(file).pipe(response);
      });
    },
    generateBundle() {
      const made = manifest();
      for (const { name, files } of [made.base, ...made.adapters]) {
        for (const file of files) this.emitFile({ type: "asset", fileName: `sample/${name}/${file}`, source: readFileSync(join(source, name, file)) });
      }
      this.emitFile({ type: "asset", fileName: "sample/manifest.json", source: JSON.stringify(made) });
    },
  };
}
