import type { TensorReport } from "lorafold";
import { freshId, make } from "./dom.js";
import { count, counted, digits, exactly, percentIfKnown, shape } from "./format.js";

/** More rows make a page slow, and nobody reads them. */
const MOST_ROWS = 300;

const ACTIONS = { merge: "merged", convert: "converted", copy: "copied", replace: "replaced" } as const;

/**
 * Every tensor in a table that can be filtered; filled only once it is opened. What is `planned` is shown without weights: they still change,
 * and no new plan is made for that.
 */
export function tensorTable(tensors: readonly TensorReport[], stage: "planned" | "merged"): HTMLElement {
  const details = make("details", { class: "more" }, make("summary", {}, `All ${counted(tensors.length, "tensor")}`));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(filteredTable(tensors, stage === "merged")));
  return details;
}

function filteredTable(tensors: readonly TensorReport[], withWeights: boolean): HTMLElement {
  const withStatistics = tensors.some((tensor) => tensor.statistics);
  const headings = ["Tensor", "What happens", ...(withStatistics ? ["Changed by", "Kept"] : []), "Shape", "Type", "Added"];
  const body = make("tbody");
  const shownCount = make("p", { class: "hint", role: "status" });
  const filter = make("input", {
    type: "search", class: "code", id: freshId("filter"), placeholder: "q_proj", "data-testid": "tensor-filter", autocomplete: "off", spellcheck: "false",
  });
  const action = make("select", { "aria-label": "What happens to the tensor" }, make("option", { value: "" }, "all"),
    ...Object.entries(ACTIONS).map(([value, label]) => make("option", { value }, label)));

  const fill = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = tensors.filter((tensor) => tensor.name.toLowerCase().includes(wanted) && (!action.value || tensor.action === action.value));
    body.replaceChildren(...found.slice(0, MOST_ROWS).map((tensor) => row(tensor, withStatistics, withWeights)));
    shownCount.textContent =
      found.length > MOST_ROWS ? `The first ${MOST_ROWS} of ${count(found.length)}; filter to see others` : counted(found.length, "tensor");
  };
  filter.addEventListener("input", fill);
  action.addEventListener("input", fill);
  fill();

  const head = make("tr", {}, ...headings.map((heading) => make("th", { scope: "col" }, heading)));
  return make("div", { class: "tensors" },
    make("div", { class: "tensors-filter" }, make("label", { for: filter.id }, "Name contains"), filter, action, shownCount),
    // Scrolls by itself where it is wider or longer than its room, so it must be reachable by keyboard.
    make("div", { class: "scroll", role: "region", "aria-label": "Tensors", tabindex: 0 },
      make("table", {}, make("thead", {}, head), body)),
  );
}

function row(tensor: TensorReport, withStatistics: boolean, withWeights: boolean): HTMLElement {
  const { name, action, dtype, outputDtype, adapters = [], statistics } = tensor;
  const added = adapters.map(({ adapter, method, weight, scale, rank }) => {
    const scaled = scale === undefined ? `${adapter} (${method})` : `${digits(scale)} × ${adapter} (r ${rank})`;
    return `${withWeights ? `${exactly(weight)} × ` : ""}${scaled}`;
  });
  // Nothing for what is not merged.
  const figure = (share: number | null | undefined) => make("td", { class: "number" }, share === undefined ? "" : percentIfKnown(share));
  return make("tr", { class: `row-${action}` },
    make("th", { scope: "row", class: "code" }, name),
    make("td", {}, ACTIONS[action] + (tensor.transposed ? ", transposed" : "")),
    withStatistics && figure(statistics?.relativeNorm),
    withStatistics && figure(statistics?.signalKept),
    make("td", { class: "number" }, shape(tensor.shape)),
    make("td", { class: "code" }, dtype === outputDtype ? dtype : `${dtype} → ${outputDtype}`),
    make("td", { class: "added" }, added.join("; ")),
  );
}
