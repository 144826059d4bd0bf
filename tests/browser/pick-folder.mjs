// @ts-check
// Picks a folder for <input webkitdirectory> in a browser whose driver can only pick files (WebDriver BiDi's input.setFiles).
import { readdir } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";

/**
 * The page gets real, disk-backed Files through a file input of our own; each is told its path in the folder, and they
 * are put into the page's input, as a person's choice of the folder would have done.
 * @param {import("playwright-core").Page} page
 * @param {string} selector
 * @param {string} folder
 */
export async function pickFolder(page, selector, folder) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)).sort();
  const paths = files.map((file) => [basename(folder), ...relative(folder, file).split(sep)].join("/"));

  const target = await page.waitForSelector(selector, { state: "attached" });
  const carrier = await page.evaluateHandle(() => {
    const input = document.createElement("input");
    input.type = "file";
    input.multiple = true;
    input.hidden = true;
    document.body.append(input);
    return input;
  });
  await carrier.setInputFiles(files);
  await page.evaluate(([target, carrier, paths]) => {
    const into = /** @type {HTMLInputElement} */ (target);
    const chosen = [.../** @type {FileList} */ (carrier.files)];
    if (chosen.length !== paths.length) throw new Error(`${chosen.length} files arrived of ${paths.length}`);
    const transfer = new DataTransfer();
    chosen.forEach((file, index) => {
      if (!paths[index].endsWith(file.name)) throw new Error(`${file.name} arrived in the place of ${paths[index]}`);
      Object.defineProperty(file, "webkitRelativePath", { value: paths[index] });
      transfer.items.add(file);
    });
    into.files = transfer.files;
    carrier.remove();
    into.dispatchEvent(new Event("input", { bubbles: true }));
    into.dispatchEvent(new Event("change", { bubbles: true }));
  }, /** @type {const} */ ([target, carrier, paths]));
}
