import { byId } from "./dom.js";

/** Shortest time between two announcements: screen readers should be able to finish. */
const PAUSE = 1000;

let latest = "";
let timer: number | undefined;

/** Say something to screen readers when they are idle; of several in a row only the last is said. */
export function announce(text: string): void {
  latest = text;
  if (timer !== undefined) return;
  byId("status").textContent = latest;
  timer = window.setTimeout(() => {
    timer = undefined;
    if (byId("status").textContent !== latest) announce(latest);
  }, PAUSE);
}
