// @ts-check
// What a page loads of a bundle.

/** @typedef {{ type: string, fileName: string, isEntry?: boolean, imports?: string[], code?: string }} Output a file of a bundle */

/**
 * The code that is loaded with the entry: its own, and that of the chunks that it imports. What it imports when it is needed is not.
 * @param {readonly Output[]} output
 */
export function loadedCode(output) {
  const chunks = new Map(output.filter(({ type }) => type === "chunk").map((chunk) => [chunk.fileName, chunk]));
  const loaded = new Set([...chunks.values()].filter(({ isEntry }) => isEntry));
  for (const { imports = [] } of loaded) for (const name of imports) loaded.add(/** @type {Output} */ (chunks.get(name)));
  return [...loaded].map(({ code = "" }) => code).join("\n");
}
