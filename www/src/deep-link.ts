import type { Adapter } from "./adapter-list.js";
import type { Picked } from "./picked.js";

/** What a link to the page asks for. */
export interface Link {
  base: string | undefined;
  adapters: { address: string; weight: number }[];
}

/** Browsers let a page change its own address only so often. */
const REST = 400;

/** What looks like a weight behind the last @: dates, versions of digits and hashes are revisions. */
const WEIGHT = /^[+-]?(\d{1,3}(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i;

/** Read `?base=…&adapter=…@0.8`, with as many adapters as there are. */
export function readLink(search: string): Link {
  const parameters = new URLSearchParams(search);
  return { base: parameters.get("base") || undefined, adapters: parameters.getAll("adapter").filter(Boolean).map(weighted) };
}

function weighted(text: string): Link["adapters"][number] {
  const at = text.lastIndexOf("@");
  const behind = text.slice(at + 1);
  if (at <= 0 || !WEIGHT.test(behind)) return { address: text, weight: 1 };
  return { address: text.slice(0, at), weight: Number(behind) };
}

/** The query of a link to the same inputs, with what stands in the present one for others. What has no address is not in it. */
export function writeLink(search: string, base: Picked | undefined, adapters: readonly Pick<Adapter, "picked" | "weight">[]): string {
  const parameters = new URLSearchParams(search);
  parameters.delete("base");
  parameters.delete("adapter");
  const ours = [
    ...(base?.address ? [`base=${readable(base.address)}`] : []),
    ...adapters.flatMap(({ picked, weight = 1 }) => (picked.address ? [`adapter=${readable(withWeight(picked.address, weight))}`] : [])),
  ];
  if (ours.length > 0) parameters.delete("sample");
  const query = [...ours, ...[...parameters].map(([name, value]) => (value ? `${encodeURIComponent(name)}=${encodeURIComponent(value)}` : encodeURIComponent(name)))].join("&");
  return query && `?${query}`;
}

/** A weight of 1 is not written, unless the address ends in what would be read as one. */
function withWeight(address: string, weight: number): string {
  return weight === 1 && !WEIGHT.test(address.slice(address.lastIndexOf("@") + 1)) ? address : `${address}@${weight}`;
}

/** Only what would mean something else in a query is encoded. The hub's scheme goes without saying before `org/name`. */
function readable(address: string): string {
  return encodeURIComponent(address.replace(/^hf:\/\/(?=[^/]+\/[^/]+$)/, "")).replace(/%(2F|3A|40)/g, decodeURIComponent);
}

let timer: number | undefined;

/** Keep the page's own address up to date, so that it can be passed on. */
export function showLink(base: Picked | undefined, adapters: readonly Adapter[]): void {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => {
    const query = writeLink(location.search, base, adapters);
    if (query !== location.search) history.replaceState(history.state, "", `${location.pathname}${query}${location.hash}`);
  }, REST);
}
