import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig, type Plugin } from "vite";
import { offline } from "./offline-plugin.js";
import { sample } from "./sample-plugin.js";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

const manifest = JSON.parse(readFileSync(path("../pkg-templates/package.json"), "utf8")) as { version: string; repository: { url: string } };

/** The development server puts styles into the page itself, and tells it of changes through a socket, which the page's own policy forbids. */
const inlineStylesInDevelopment: Plugin = {
  name: "lorafold-development-policy",
  apply: "serve",
  transformIndexHtml: (html, { server }) => (server ? html.replace("default-src 'self';", "$& style-src 'self' 'unsafe-inline';").replace("connect-src", "$& ws:") : html),
};

export default defineConfig({
  root: path("."),
  // The page may be served from any folder of a site.
  base: "./",
  build: { target: "es2022", outDir: path("dist"), emptyOutDir: true, assetsInlineLimit: 0, modulePreload: { polyfill: false } },
  worker: { format: "es" },
  // The package as it will be published, built by `npm run build`.
  resolve: { alias: [{ find: /^lorafold$/, replacement: path("../pkg/browser.js") }, { find: /^lorafold\/hub$/, replacement: path("../pkg/hub.js") }] },
  define: {
    // For a page that uses a mirror of the hub: as for the command line.
    "import.meta.env.HF_ENDPOINT": JSON.stringify(process.env["HF_ENDPOINT"]?.replace(/\/+$/, "") ?? ""),
    "import.meta.env.LORAFOLD_VERSION": JSON.stringify(manifest.version),
    "import.meta.env.LORAFOLD_REPOSITORY": JSON.stringify(manifest.repository.url.replace(/^git\+|\.git$/g, "")),
  },
  optimizeDeps: { exclude: ["lorafold"] },
  server: { fs: { allow: [path("..")] } },
  plugins: [
    sample({
      source: path("../tests/fixtures/sample"),
      base: "tiny-llama",
      adapters: [{ name: "storyteller-lora", weight: 1 }, { name: "terse-rslora", weight: -0.5 }],
    }),
    offline({ worker: path("./service-worker.js"), publicFolder: path("./public") }),
    inlineStylesInDevelopment,
  ],
});
