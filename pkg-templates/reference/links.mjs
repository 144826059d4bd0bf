// @ts-check
// The links of the documentation as it was built: each leads to a file of the site and, after a #, to an element of it.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

/** The links below a folder that lead nowhere. @param {string} folder */
export function brokenLinks(folder) {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".html")).map((name) => join(folder, name));
  const texts = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));
  const anchors = new Map([...texts].map(([file, text]) => [file, new Set([...text.matchAll(/\sid="([^"]+)"/g)].map(([, id]) => id))]));
  /** @type {string[]} */
  const broken = [];
  for (const [file, text] of texts) {
    for (const [, address = ""] of text.matchAll(/\s(?:href|src)="([^"]*)"/g)) {
      if (/^(https?:|data:|mailto:)/.test(address)) continue;
      const [path = "", anchor = ""] = address.split("#").map(decodeURIComponent);
      const to = path === "" ? file : join(dirname(file), path);
      const found = existsSync(to) && (anchor === "" || anchors.get(to) === undefined || anchors.get(to)?.has(anchor));
      if (!found) broken.push(`${relative(folder, file)}: ${address}`);
    }
  }
  return [...new Set(broken)];
}
