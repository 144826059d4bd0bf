// @ts-check
// One site: README.md, the pages of docs/ and the API reference.
import { Converter } from "typedoc";
import { headingOf, headings, pages, titleOf } from "./pages.mjs";

/** Names pages by their headings, and puts them under those of the navigation. @param {import("typedoc").Application} app */
function namePages(app) {
  const files = pages();
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, document) => {
    const file = files.find((path) => path.endsWith(`/${document.name}.md`));
    if (file === undefined) return;
    document.name = titleOf(file);
    document.frontmatter["group"] = headingOf(file);
  });
}

/** @type {Partial<import("typedoc").TypeDocOptions> & { plugin: unknown[] }} */
export default {
  name: "lorafold",
  plugin: [namePages],
  entryPoints: ["../src/browser.ts", "../src/node.ts", "../src/edge.ts", "../src/slim.ts", "../src/hub.ts"],
  tsconfig: "../tsconfig.json",
  readme: "../../README.md",
  projectDocuments: pages(),
  groupOrder: [...headings, "*"],
  out: "out",
  disableSources: true,
  includeHierarchySummary: false,
  navigation: { includeGroups: true },
  intentionallyNotExported: [
    "KnownBlob", "KnownDirectory", "KnownFile", "KnownFileList", "KnownResponse", "KnownURL", "KnownWasm", "KnownWritable",
  ],
  highlightLanguages: ["bash", "console", "css", "html", "javascript", "json", "jsonc", "rust", "tsx", "typescript"],
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, rewrittenLink: true, notDocumented: true, unusedMergeModuleWith: true },
  requiredToBeDocumented: ["Module", "Enum", "Variable", "Function", "Class", "Interface", "TypeAlias"],
};
