import type { Adapter } from "./adapter-list.js";
import { moduleWeightLine, parseModuleWeight } from "./module-weights.js";
import { parseNumber } from "./number-field.js";
import type { Picked } from "./picked.js";

/** An adapter of a link, with what is asked of it. */
export interface LinkedAdapter extends Partial<Pick<Adapter, "weight" | "alpha" | "density" | "settings">> {
  address: string;
}

/** What a link to the page asks for. */
export interface Link {
  mode: "merge" | "verify";
  base: string | undefined;
  merged: string | undefined;
  adapters: LinkedAdapter[];
  /** All there is: the options are those of the forms. */
  parameters: URLSearchParams;
}

/** What is shown, for a link to it. */
export interface Shown {
  mode: "merge" | "verify";
  base: Picked | undefined;
  merged: Picked | undefined;
  adapters: readonly Adapter[];
  /** The parameters of the options, by the names that they have in the package. */
  options: [string, string][];
}

/** Browsers let a page change its own address only so often. */
const REST = 400;

/** What looks like a weight behind the last @: dates, versions of digits and hashes are revisions. */
const WEIGHT = /^[+-]?(\d{1,3}(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** What is said of the adapter before it, as on the command line. */
const OF_ADAPTER: Readonly<Record<string, (adapter: LinkedAdapter, text: string) => void>> = {
  alpha(adapter, text) {
    const alpha = parseNumber(text);
    if (alpha !== undefined) adapter.alpha = alpha;
  },
  weights(adapter, text) {
    const weight = parseModuleWeight(text);
    if (weight) adapter.settings = { ...adapter.settings, weights: [...(adapter.settings?.weights ?? []), weight] };
  },
  "block-weights": (adapter, text) => (adapter.settings = { ...adapter.settings, blockWeights: text }),
  "adapter-only": (adapter, text) => (adapter.settings = { ...adapter.settings, only: [...(adapter.settings?.only ?? []), text] }),
  "adapter-skip": (adapter, text) => (adapter.settings = { ...adapter.settings, skip: [...(adapter.settings?.skip ?? []), text] }),
  "adapter-name": (adapter, text) => (adapter.settings = { ...adapter.settings, adapter: text }),
  "residual-base": (adapter, text) => (adapter.settings = { ...adapter.settings, ...(text === "yes" && { residualBase: true }) }),
  "out-proj": (adapter, text) => (adapter.settings = { ...adapter.settings, ...(text === "once" && { outProj: text }) }),
  "expert-packing": (adapter, text) => (adapter.settings = { ...adapter.settings, ...(text === "expert" && { expertPacking: text }) }),
};

/** Read `?base=…&adapter=…@0.8:density=0.3&weights=…&method=…`, with as many adapters as there are. */
export function readLink(search: string): Link {
  const parameters = new URLSearchParams(search);
  const adapters: LinkedAdapter[] = [];
  for (const [name, text] of parameters) {
    const last = adapters.at(-1);
    if (name === "adapter" && text) adapters.push(linkedAdapter(text));
    else if (last && text && Object.hasOwn(OF_ADAPTER, name)) OF_ADAPTER[name]!(last, text);
  }
  const mode = parameters.get("mode") === "verify" ? "verify" : "merge";
  return { mode, base: parameters.get("base") || undefined, merged: parameters.get("merged") || undefined, adapters, parameters };
}

function linkedAdapter(text: string): LinkedAdapter {
  const [, weighted = text, share = ""] = /^(.+):density=(.*)$/.exec(text) ?? [];
  const density = parseNumber(share);
  const at = weighted.lastIndexOf("@");
  const behind = weighted.slice(at + 1);
  const isWeight = at > 0 && WEIGHT.test(behind);
  return { address: isWeight ? weighted.slice(0, at) : weighted, weight: isWeight ? Number(behind) : 1, ...(density !== undefined && { density }) };
}

/** The query of a link to the same, with what stands in the present one for others. What has no address is not in it. `known` are the names of all options. */
export function writeLink(search: string, { mode, base, merged, adapters, options }: Shown, known: readonly string[]): string {
  const parameters = new URLSearchParams(search);
  for (const name of ["mode", "base", "merged", "adapter", ...Object.keys(OF_ADAPTER), ...known]) parameters.delete(name);
  const ours = [
    ...(mode === "verify" ? ["mode=verify"] : []),
    ...(base?.address ? [`base=${readable(base.address)}`] : []),
    ...adapters.flatMap(adapterParameters),
    ...(mode === "verify" && merged?.address ? [`merged=${readable(merged.address)}`] : []),
  ];
  if (ours.length > (mode === "verify" ? 1 : 0)) parameters.delete("sample");
  const rest = [...options, ...parameters].map(([name, value]) => (value ? `${encodeURIComponent(name)}=${encodeURIComponent(value)}` : encodeURIComponent(name)));
  const query = [...ours, ...rest].join("&");
  return query && `?${query}`;
}

/** An adapter, and what is asked of it behind it. */
function adapterParameters({ picked, weight = 1, density, alpha, settings }: Adapter): string[] {
  if (!picked.address) return [];
  const share = typeof density === "number" ? `:density=${density}` : "";
  const { weights = [], blockWeights, only = [], skip = [], adapter, residualBase, outProj, expertPacking } = settings;
  const said: [string, string | undefined][] = [
    ["alpha", typeof alpha === "number" ? String(alpha) : undefined],
    ...weights.map((one): [string, string] => ["weights", moduleWeightLine(one)]),
    ["block-weights", blockWeights],
    ...[only].flat().map((one): [string, string] => ["adapter-only", one]),
    ...[skip].flat().map((one): [string, string] => ["adapter-skip", one]),
    ["adapter-name", adapter],
    ["residual-base", residualBase ? "yes" : undefined],
    ["out-proj", outProj],
    ["expert-packing", expertPacking],
  ];
  const behind = said.flatMap(([name, text]) => (text === undefined ? [] : [`${name}=${encodeURIComponent(text).replace(/%(2C|3A)/g, decodeURIComponent)}`]));
  return [`adapter=${readable(withWeight(picked.address, weight, share !== ""))}${share}`, ...behind];
}

/** A weight of 1 is not written, unless the address ends in what would be read as one. */
function withWeight(address: string, weight: number, always: boolean): string {
  return weight === 1 && !always && !WEIGHT.test(address.slice(address.lastIndexOf("@") + 1)) ? address : `${address}@${weight}`;
}

/** Only what would mean something else in a query is encoded. The hub's scheme goes without saying before `org/name`. */
function readable(address: string): string {
  return encodeURIComponent(address.replace(/^hf:\/\/(?=[^/]+\/[^/]+$)/, "")).replace(/%(2F|3A|40)/g, decodeURIComponent);
}

let timer: number | undefined;

/** Keep the page's own address up to date, so that it can be passed on. */
export function showLink(shown: Shown, known: readonly string[]): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => {
    const query = writeLink(location.search, shown, known);
    if (query !== location.search) history.replaceState(history.state, "", `${location.pathname}${query}${location.hash}`);
  }, REST);
}
