import type { TensorReport } from "lorafold";
import { freshId, make } from "./dom.js";
import { counted } from "./format.js";
import { RowWindow } from "./row-window.js";
import { ACTIONS, type Column, tensorColumns } from "./tensor-columns.js";

/** Every tensor in a table that can be searched and sorted; filled only once it is opened. What is `planned` is shown without weights. */
export function tensorTable(tensors: readonly TensorReport[], stage: "planned" | "merged"): HTMLElement {
  const details = make("details", { class: "more" }, make("summary", {}, `All ${counted(tensors.length, "tensor")}`));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(filledTable(tensors, stage)));
  return details;
}

function filledTable(tensors: readonly TensorReport[], stage: "planned" | "merged"): HTMLElement {
  const columns = tensorColumns(tensors, stage === "merged");
  const shownCount = make("p", { class: "hint", role: "status" });
  const filter = make("input", {
    type: "search", class: "code", id: freshId("filter"), placeholder: "q_proj", "data-testid": "tensor-filter", autocomplete: "off", spellcheck: "false",
  });
  const action = make("select", { "aria-label": "What happens to the tensor" }, make("option", { value: "" }, "all"),
    ...Object.entries(ACTIONS).map(([value, label]) => make("option", { value }, label)));
  const body = make("tbody");
  const table = make("table", {}, make("thead", {}, make("tr", {}, ...columns.map((column) => heading(column)))), body);
  // Scrolls by itself where it is wider or longer than its room, so it must be reachable by keyboard.
  const room = make("div", { class: "scroll", role: "region", "aria-label": stage === "planned" ? "Tensors of the plan" : "Tensors of the result", tabindex: 0 }, table);
  const rows = new RowWindow(room, table, body, columns.length);
  let sorted: { column: Column; down: boolean } | undefined;

  function heading(column: Column): HTMLElement {
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
    const found = tensors.filter((tensor) => tensor.name.toLowerCase().includes(wanted) && (!action.value || tensor.action === action.value));
    rows.show(sorted ? inOrder(found, sorted.column, sorted.down) : found, (tensor) => make("tr", { class: `row-${tensor.action}` }, ...columns.map(({ cell }) => cell(tensor))));
    shownCount.textContent = counted(found.length, "tensor");
  }
  filter.addEventListener("input", fill);
  action.addEventListener("input", fill);
  fill();
  return make("div", { class: "tensors" },
    make("div", { class: "tensors-filter" }, make("label", { for: filter.id }, "Name contains"), filter, action, shownCount), room);
}

const byText = new Intl.Collator("en", { numeric: true });

/** Sorted by a column; layer 10 comes after layer 9. */
function inOrder(tensors: readonly TensorReport[], { key }: Column, down: boolean): TensorReport[] {
  const keyed = tensors.map((tensor) => ({ tensor, key: key(tensor) }));
  const compare = (a: number | string, b: number | string) => (typeof a === "number" && typeof b === "number" ? a - b : byText.compare(String(a), String(b)));
  return keyed.sort((a, b) => (down ? compare(b.key, a.key) : compare(a.key, b.key))).map(({ tensor }) => tensor);
}
