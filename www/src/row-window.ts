import { make } from "./dom.js";

/** Beyond so many rows only those in sight are there: thousands make a page slow. */
const MOST = 300;
/** Rows above and below those in sight. */
const MARGIN = 20;

/** The rows of a table that scrolls. With many of them, empty room stands for those out of sight. */
export class RowWindow {
  readonly #room: HTMLElement;
  readonly #table: HTMLElement;
  readonly #body: HTMLElement;
  readonly #above: HTMLElement;
  readonly #below: HTMLElement;
  #count = 0;
  #row: (number: number) => HTMLElement = () => make("tr");
  #first = -1;

  constructor(room: HTMLElement, table: HTMLElement, body: HTMLElement, columns: number) {
    this.#room = room;
    this.#table = table;
    this.#body = body;
    const space = () => make("tr", { class: "space", "aria-hidden": "true" }, make("td", { colspan: columns }));
    this.#above = space();
    this.#below = space();
    room.addEventListener("scroll", () => this.#isVirtual && this.#update(), { passive: true });
  }

  show<T>(things: readonly T[], row: (thing: T) => HTMLElement): void {
    this.#count = things.length;
    this.#row = (number) => row(things[number]!);
    this.#first = -1;
    this.#room.classList.toggle("virtual", this.#isVirtual);
    this.#room.scrollTop = 0;
    if (this.#isVirtual) {
      // The headings are a row, too.
      this.#table.setAttribute("aria-rowcount", String(this.#count + 1));
      this.#update();
    } else {
      this.#table.removeAttribute("aria-rowcount");
      this.#body.replaceChildren(...things.map(row));
    }
  }

  get #isVirtual(): boolean {
    return this.#count > MOST;
  }

  #update(): void {
    const height = this.#height();
    const seen = Math.ceil((this.#room.clientHeight || 400) / height);
    const first = Math.max(0, Math.min(Math.floor(this.#room.scrollTop / height) - MARGIN, this.#count - seen - 2 * MARGIN));
    // A little scrolling changes nothing.
    if (this.#first >= 0 && Math.abs(first - this.#first) < MARGIN / 2 && first > 0 && first < this.#count - seen - 2 * MARGIN) return;
    if (first === this.#first) return;
    this.#first = first;
    const last = Math.min(this.#count, first + seen + 2 * MARGIN);
    const rows = Array.from({ length: last - first }, (_, offset) => {
      const row = this.#row(first + offset);
      row.setAttribute("aria-rowindex", String(first + offset + 2));
      return row;
    });
    (this.#above.firstElementChild as HTMLElement).style.height = `${first * height}px`;
    (this.#below.firstElementChild as HTMLElement).style.height = `${(this.#count - last) * height}px`;
    this.#body.replaceChildren(...(first > 0 ? [this.#above] : []), ...rows, ...(last < this.#count ? [this.#below] : []));
  }

  /** Of one row: the style sheet gives all the same. */
  #height(): number {
    const there = this.#body.querySelector<HTMLElement>("tr:not(.space)");
    if (there && there.offsetHeight > 0) return there.offsetHeight;
    this.#body.replaceChildren(this.#row(0));
    return this.#body.querySelector<HTMLElement>("tr")!.offsetHeight || 32;
  }
}
