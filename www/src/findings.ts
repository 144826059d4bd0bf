import type { Finding } from "lorafold";
import { make } from "./dom.js";
import { counted } from "./format.js";
import { inPageWords } from "./words.js";

/** Longer lists are folded. */
const SHOWN = 5;

const LEVELS = { warning: "Warning", info: "Note" } as const;

/** What the user should know short of an error; warnings first. */
export function findingsList(findings: readonly Finding[]): HTMLElement | undefined {
  if (findings.length === 0) return undefined;
  const sorted = [...findings].sort((a, b) => Number(a.level === "info") - Number(b.level === "info"));
  const list = (some: Finding[]) => make("ul", { class: "findings" }, ...some.map(item));
  const rest = sorted.slice(SHOWN);
  return make("div", { "data-testid": "findings" },
    list(sorted.slice(0, SHOWN)),
    rest.length > 0 && make("details", { class: "more" }, make("summary", {}, `${counted(rest.length, "more finding")}`), list(rest)),
  );
}

function item({ level, code, message, adapter }: Finding): HTMLElement {
  return make("li", { class: `finding finding-${level}`, "data-code": code },
    make("strong", { class: "finding-level" }, LEVELS[level]),
    make("span", {}, inPageWords(adapter !== undefined && !message.includes(adapter) ? `${adapter}: ${message}` : message)),
  );
}
