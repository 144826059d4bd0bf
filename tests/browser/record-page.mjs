// @ts-check
// `node tests/browser/record-page.mjs` makes docs/page.webp: how a base and two adapters are dropped on the page, merged with a method, and verified by eye. Needs a built
// package (`npm run build`) and Chromium. Not part of the tests.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../setup/tools.mjs";
import { AnimatedWebp } from "./animated-webp.mjs";
import { launch } from "./harness.mjs";
import { at, planned, servePage } from "./page-use.mjs";

const SIZE = { width: 1120, height: 720 };
const sample = join(root, "tests", "fixtures", "sample");

/** Steps of a movement, and how long each is shown, in milliseconds. */
const STEPS = 5;
const STEP = 70;

const scratch = await mkdtemp(join(tmpdir(), "lorafold-record-"));
const site = await servePage(scratch);

const browser = await launch("chromium");
try {
  const tab = await browser.open({ serviceWorkers: "block", viewport: SIZE, reducedMotion: "reduce" });
  const { page } = tab;
  const film = new AnimatedWebp(SIZE, await (await browser.open()).page);
  await page.goto(site.origin);
  await page.evaluate(drawPointer);

  let place = { x: 560, y: 640 };
  /** @param {number} milliseconds */
  const show = async (milliseconds) => film.add(await page.screenshot(), milliseconds);
  /** Move the pointer, with what it carries. @param {{ x: number, y: number }} to @param {(at: { x: number, y: number }) => Promise<unknown>} [each] */
  const move = async (to, each) => {
    const from = place;
    for (let step = 1; step <= STEPS; step++) {
      // Slower towards the end.
      const part = 1 - (1 - step / STEPS) ** 2;
      place = { x: Math.round(from.x + part * (to.x - from.x)), y: Math.round(from.y + part * (to.y - from.y)) };
      await page.evaluate(({ x, y }) => Reflect.get(window, "movePointer")(x, y), place);
      if (each) await each(place);
      else await page.mouse.move(place.x, place.y);
      await show(STEP);
    }
  };
  /** @param {string} selector @param {{ x?: number, y?: number }} [part] where in it, from 0 to 1 */
  const middleOf = async (selector, { x = 0.5, y = 0.5 } = {}) => {
    const box = await page.locator(selector).first().boundingBox();
    if (!box) throw new Error(`${selector} is not to be seen`);
    return { x: Math.round(box.x + x * box.width), y: Math.round(box.y + y * box.height) };
  };
  const session = await page.context().newCDPSession(page);
  /** Drag a folder of the sample from the lower edge to a section. @param {string} name @param {string} zone */
  const drop = async (name, zone) => {
    const event = (/** @type {"dragEnter" | "dragOver" | "drop"} */ type) => (/** @type {{ x: number, y: number }} */ at) =>
      session.send("Input.dispatchDragEvent", { type, ...at, data: { items: [], files: [join(sample, name)], dragOperationsMask: 1 } });
    await move({ x: 700, y: 690 });
    await page.evaluate((name) => Reflect.get(window, "carry")(name), name);
    await event("dragEnter")(place);
    await move(await middleOf(`[data-zone=${zone}]`, { y: 0.4 }), event("dragOver"));
    await event("drop")(place);
    await page.evaluate(() => Reflect.get(window, "carry")(""));
    await page.waitForFunction(() => /** @type {HTMLElement} */ (document.querySelector("#drop-veil")).hidden);
  };
  const click = async (/** @type {string} */ selector) => {
    await move(await middleOf(selector));
    await show(250);
    await page.click(selector);
  };

  await show(900);
  await drop("tiny-llama", "base");
  await page.waitForSelector(`${at("base-chosen")} ${at("about")} p`);
  await show(900);
  await drop("storyteller-lora", "adapters");
  await planned(tab);
  await show(1300);
  await drop("terse-rslora", "adapters");
  await planned(tab);
  await show(1000);
  // To the method, which is below.
  await page.locator(at("method")).scrollIntoViewIfNeeded();
  await page.evaluate(() => scrollTo({ top: scrollY + 220 }));
  await show(600);
  await move(await middleOf(at("method")));
  await page.selectOption(at("method"), "ties");
  await planned(tab);
  await show(1400);
  await page.evaluate(() => scrollTo({ top: 0 }));
  await show(500);
  await click(at("merge"));
  await page.waitForSelector(at("result"));
  await page.mouse.move(0, 0);
  await show(1500);
  await page.locator(at("report")).evaluate((report) => report.scrollIntoView({ block: "start" }));
  await show(2200);
  const chart = `${at("fates")} [role=gridcell] >> nth=1`;
  await move(await middleOf(chart));
  await page.hover(chart);
  await show(3500);

  const file = join(root, "docs", "page.webp");
  const bytes = film.bytes();
  await writeFile(file, bytes);
  console.log(`${file}: ${film.frames} frames, ${Math.round(bytes.length / 1000)} kB`);
} finally {
  await browser.close();
  await site.close();
  await rm(scratch, { recursive: true, force: true });
}

/** An arrow that is moved with the mouse, which screenshots do not show, and a folder beside it. The page's policy allows no styles in attributes, but lets scripts set them. */
function drawPointer() {
  const SVG = "http://www.w3.org/2000/svg";
  const overlay = document.createElement("div");
  Object.assign(overlay.style, { position: "fixed", zIndex: "99", left: "0", top: "0", pointerEvents: "none", display: "flex", gap: "4px", alignItems: "start" });
  const arrow = document.createElementNS(SVG, "svg");
  for (const [name, value] of Object.entries({ width: "22", height: "26", viewBox: "0 0 22 26" })) arrow.setAttribute(name, value);
  const path = document.createElementNS(SVG, "path");
  for (const [name, value] of Object.entries({ d: "M2 2v18l5-4 3 8 4-2-3-7h6z", fill: "#111", stroke: "#fff", "stroke-width": "1.5" })) path.setAttribute(name, value);
  arrow.append(path);
  const folder = document.createElement("span");
  Object.assign(folder.style, { padding: "4px 10px", marginTop: "18px", borderRadius: "6px", background: "#f2c14e", color: "#222", font: "600 14px system-ui", boxShadow: "0 2px 6px #0005", visibility: "hidden" });
  overlay.append(arrow, folder);
  document.body.append(overlay);
  Object.assign(window, {
    movePointer: (/** @type {number} */ x, /** @type {number} */ y) => (overlay.style.transform = `translate(${x}px, ${y}px)`),
    carry: (/** @type {string} */ name) => {
      folder.textContent = name;
      folder.style.visibility = name ? "visible" : "hidden";
    },
  });
  Reflect.get(window, "movePointer")(560, 640);
}
