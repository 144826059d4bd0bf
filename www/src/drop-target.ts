import { byId } from "./dom.js";
import { droppedFiles } from "./dropped-files.js";
import type { Picked } from "./picked.js";

/** Where something may be dropped: the base's section, the adapters', the merged model's, or the rest of the page. */
export type Zone = "base" | "adapters" | "merged" | "page";

/** Take drops anywhere on the page. `enabled` is asked at every drag. */
export function acceptDrops(enabled: () => boolean, onDrop: (zone: Zone, things: (Picked | string)[]) => void): void {
  const veil = byId("drop-veil");
  const zones = [...document.querySelectorAll<HTMLElement>("[data-zone]")];
  let leaving: number | undefined;

  const highlight = (target: EventTarget | null) => {
    const over = zoneOf(target);
    for (const zone of zones) zone.classList.toggle("drop-over", zone === over);
  };
  const end = () => {
    window.clearTimeout(leaving);
    veil.hidden = true;
    highlight(null);
  };

  document.addEventListener("dragover", (event) => {
    if (!isOurs(event)) return;
    // Without this the browser would open what is dropped, in place of the page.
    event.preventDefault();
    event.dataTransfer!.dropEffect = enabled() ? "copy" : "none";
    if (!enabled()) return;
    veil.hidden = false;
    highlight(event.target);
    // The end of a drag outside the window is told to nobody.
    window.clearTimeout(leaving);
    leaving = window.setTimeout(end, 400);
  });
  document.addEventListener("drop", (event) => {
    if (!isOurs(event)) return;
    event.preventDefault();
    const zone = (zoneOf(event.target)?.dataset["zone"] ?? "page") as Zone;
    end();
    if (!enabled()) return;
    void droppedFiles(event.dataTransfer!).then((things) => onDrop(zone, things));
  });
}

function zoneOf(target: EventTarget | null): HTMLElement | null {
  return target instanceof Element ? target.closest<HTMLElement>("[data-zone]") : null;
}

/** Files are, and links are where they are not dropped into a text field. */
function isOurs({ dataTransfer, target }: DragEvent): boolean {
  if (!dataTransfer) return false;
  if (dataTransfer.types.includes("Files")) return true;
  return dataTransfer.types.includes("text/uri-list") && !(target instanceof HTMLInputElement);
}
