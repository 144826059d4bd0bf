import type { TensorVerdict, Verdict, VerifyOptions, VerifyReport } from "lorafold";
import { make } from "./dom.js";
import { findingsList } from "./findings.js";
import { count, counted, digits, percent } from "./format.js";
import { layerMap, type Shown } from "./layer-map.js";
import { fact } from "./plan-view.js";
import { type Column, nameColumn, tableOf } from "./sorted-table.js";
import { insteadSentences, isVerified, reason, sentence, VERDICTS, whatToDo, worst } from "./verdict-words.js";

const ALL = Object.keys(VERDICTS) as Verdict[];

/** Whether a merged model is what it should be: in a sentence, by layers, and by tensors. */
export function verdictView(report: VerifyReport, method: VerifyOptions["method"]): HTMLElement {
  const { verdict, counts, tensors, findings } = report;
  const instead = insteadSentences(report);
  const kind = isVerified(verdict) ? "good" : verdict === "undecidable" ? "open" : "bad";
  const todos = whatToDo(report);
  return make("div", { class: "report verdict", "data-testid": "verdict", "data-verdict": verdict },
    make("p", { class: `verdict-sentence verdict-${kind}`, "data-testid": "verdict-sentence" }, sentence(report, method)),
    instead.length > 0 && make("ul", { class: "verdict-instead", "data-testid": "verdict-instead" }, ...instead.map((one) => make("li", {}, one))),
    todos.length > 0 && make("div", { class: "verdict-todo", "data-testid": "verdict-todo" }, make("h3", {}, "What to do"), ...todos.map((todo) => make("p", {}, todo))),
    make("dl", { class: "facts" }, ...ALL.filter((name) => counts[name] > 0).map((name) => fact(name === "different" ? "Something else" : capital(VERDICTS[name]), counted(counts[name], "tensor")))),
    findingsList(findings),
    layerMap(tensors, shownVerdicts(tensors)),
    tableOf(() => ({ label: "Tensors of the merged model", tensors, columns: columns(tensors), kinds: { label: "Verdict", values: VERDICTS, of: ({ verdict }) => verdict } }), tensors.length),
  );
}

const capital = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

/** Tensors that adapters change, and all others of which something is wrong. */
function shownVerdicts(tensors: readonly TensorVerdict[]): Shown<TensorVerdict> {
  const there = ALL.filter((name) => tensors.some(({ verdict }) => verdict === name));
  return {
    title: "The verdict on each layer",
    counts: ({ merged, verdict }) => merged || !isVerified(verdict),
    cell: (some) => {
      const verdict = worst(some.map(({ verdict }) => verdict));
      const why = [...new Set(some.filter((one) => one.verdict === verdict).map(reason).filter(Boolean))];
      return { filling: [make("span", { class: `map-fill verdict-fill-${verdict}` })], says: [VERDICTS[verdict], ...why].join(": ") };
    },
    scale: make("ul", { class: "map-legend" }, ...there.map((name) => make("li", {}, make("span", { class: `map-swatch verdict-fill-${name}`, "aria-hidden": "true" }), VERDICTS[name]))),
  };
}

function columns(tensors: readonly TensorVerdict[]): Column<TensorVerdict>[] {
  const text = (heading: string, value: (tensor: TensorVerdict) => string, more = ""): Column<TensorVerdict> => ({ heading, cell: (tensor) => make("td", { class: `added ${more}`.trim(), title: value(tensor) }, value(tensor)), key: value });
  const number = (heading: string, value: (tensor: TensorVerdict) => number | undefined, said: (value: number) => string): Column<TensorVerdict> | false =>
    tensors.some((tensor) => value(tensor) !== undefined) && {
      heading,
      cell: (tensor) => {
        const known = value(tensor);
        return make("td", { class: "number" }, known === undefined ? "" : said(known));
      },
      key: (tensor) => value(tensor) ?? -1,
    };
  const all: (Column<TensorVerdict> | false)[] = [
    nameColumn(),
    text("Verdict", ({ verdict }) => VERDICTS[verdict]),
    ...(tensors.some((tensor) => reason(tensor) !== "") ? [text("Why", reason, "why")] : []),
    number("Bits equal", ({ equal, elements, verdict }) => (verdict === "missing" ? undefined : elements > 0 ? equal / elements : 1), percent),
    number("Values off", ({ outside }) => outside, count),
    number("Times the change", ({ estimate }) => estimate, (value) => digits(value, 3)),
  ];
  return all.filter((column) => column !== false);
}
