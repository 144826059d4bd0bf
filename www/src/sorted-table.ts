import { freshId, make } from "./dom.js";
import { counted } from "./format.js";
import type { Named } from "./layer-rows.js";
import { RowWindow } from "./row-window.js";

/** A column of a table of tensors. */
export interface Column<T> {
  heading: string;
  cell(tensor: T): HTMLElement;
  /** What rows are sorted by: numbers, or text. */
  key(tensor: T): number | string;
}

/** A table of tensors that can be searched and sorted. */
export interface TableOf<T> {
  /** What it is, for screen readers. */
  label: string;
  tensors: readonly T[];
  columns: readonly Column<T>[];
  /** What there is to choose from beside the name, each with its label: what `of` says of a tensor. */
  kinds: { label: string; values: Readonly<Record<string, string>>; of(tensor: T): string };
}

/** All tensors in a table, filled only once it is opened. */
export function tableOf<T extends Named>(table: () => TableOf<T>, count: number): HTMLElement {
  const details = make("details", { class: "more" }, make("summary", {}, `All ${counted(count, "tensor")}`));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(filled(table())));
  return details;
}

function filled<T extends Named>({ label, tensors, columns, kinds }: TableOf<T>): HTMLElement {
  const shownCount = make("p", { class: "hint", role: "status" });
  const filter = make("input", {
    type: "search", class: "code", id: freshId("filter"), placeholder: "q_proj", "data-testid": "tensor-filter", autocomplete: "off", spellcheck: "false",
  });
  const kind = make("select", { "aria-label": kinds.label }, make("option", { value: "" }, "all"),
    ...Object.entries(kinds.values).map(([value, text]) => make("option", { value }, text)));
  const body = make("tbody");
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((column) => heading(column)))), body);
  // Scrolls by itself where it is wider or longer than its room, so it must be reachable by keyboard.
  const room = make("div", { class: "scroll", role: "region", "aria-label": label, tabindex: 0 }, table);
  const rows = new RowWindow(room, table, body, columns.length);
  let sorted: { column: Column<T>; down: boolean } | undefined;

  function heading(column: Column<T>): HTMLElement {
    const press = make("button", { type: "button" }, column.heading);
    const cell = make("th", { scope: "col" }, press);
    press.addEventListener("click", () => {
      // Of numbers the largest are looked for first.
      const first = tensors.some((tensor) => typeof column.key(tensor) === "number");
      sorted = { column, down: sorted?.column === column ? !sorted.down : first };
      for (const other of table.querySelectorAll("th[aria-sort]")) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", sorted.down ? "descending" : "ascending");
      fill();
    });
    return cell;
  }

  function fill(): void {
    const wanted = filter.value.trim().toLowerCase();
    const found = tensors.filter((tensor) => tensor.name.toLowerCase().includes(wanted) && (!kind.value || kinds.of(tensor) === kind.value));
    rows.show(sorted ? inOrder(found, sorted.column, sorted.down) : found, (tensor) => make("tr", { class: `row-${kinds.of(tensor)}` }, ...columns.map(({ cell }) => cell(tensor))));
    shownCount.textContent = counted(found.length, "tensor");
  }
  filter.addEventListener("input", fill);
  kind.addEventListener("input", fill);
  fill();
  return make("div", { class: "tensors" },
    make("div", { class: "tensors-filter" }, make("label", { for: filter.id }, "Name contains"), filter, kind, shownCount), room);
}

const byText = new Intl.Collator("en", { numeric: true });

/** Sorted by a column; layer 10 comes after layer 9. */
function inOrder<T>(tensors: readonly T[], { key }: Column<T>, down: boolean): T[] {
  const keyed = tensors.map((tensor) => ({ tensor, key: key(tensor) }));
  const compare = (a: number | string, b: number | string) => (typeof a === "number" && typeof b === "number" ? a - b : byText.compare(String(a), String(b)));
  return keyed.sort((a, b) => (down ? compare(b.key, a.key) : compare(a.key, b.key))).map(({ tensor }) => tensor);
}

/** The column of names, which break behind their dots, where they must. */
export function nameColumn<T extends Named>(): Column<T> {
  const breakable = (name: string) => name.split(/(?<=\.)/).flatMap((part, number) => (number > 0 ? [make("wbr"), part] : [part]));
  return { heading: "Tensor", cell: ({ name }) => make("th", { scope: "row", class: "code", title: name }, ...breakable(name)), key: ({ name }) => name };
}
