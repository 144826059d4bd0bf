import type { AdapterReport, Finding, Report } from "../types.js";
import type { Paint } from "./colour.js";

/** Bytes for people. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit++;
  }
  return `${unit === 0 ? bytes.toFixed(0) : bytes.toPrecision(3)} ${units[unit]}`;
}

/** A number for people: four digits of it. */
export const rounded = (value: number): string => String(Number(value.toPrecision(4)));

/** A duration for people. */
export function duration(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? rounded(Number(seconds.toFixed(2))) : seconds.toFixed(0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** `1 file`, `2 files`. */
export const counted = (count: number, thing: string): string => `${count} ${thing}${count === 1 ? "" : "s"}`;

/** Lines that are shown of a list, whose others are counted. */
const SHOWN = 12;

/** A list for one screen. `rest` says what becomes of the others. */
export function firstOf<T>(items: readonly T[], line: (item: T) => string, rest: (left: readonly T[]) => string): string[] {
  // One line more is no longer than saying that there is one.
  const shown = items.length <= SHOWN + 1 ? items : items.slice(0, SHOWN);
  const left = items.slice(shown.length);
  return [...shown.map(line), ...(left.length > 0 ? [rest(left)] : [])];
}

/** What the user should know, with what matters most at the end. */
export function findingLines(findings: readonly Finding[], paint: Paint, adapters = 0): string[] {
  const ordered = [...findings.filter(({ level }) => level !== "warning"), ...findings.filter(({ level }) => level === "warning")];
  // Of one adapter all findings are; of several it must be clear whose one is.
  const several = new Set(findings.flatMap(({ adapter }) => adapter ?? [])).size > 1 || adapters > 1;
  return ordered.map(({ level, code, message, adapter }) => `${level === "warning" ? paint("yellow", level) : level} [${code}]: ${several && adapter !== undefined && !message.includes(adapter) ? `adapter ${adapter}: ` : ""}${message}`);
}

/** Which base an adapter was trained on, and whether it is this one. */
export function baseText({ baseModel, namedBase }: Pick<AdapterReport, "baseModel" | "namedBase">): string {
  if (!baseModel) return "";
  const verdict = { same: "this base", quantised: "a quantised copy of this base, or the other way round", mirror: "a copy of this base, by its name", other: "another base than this", unknown: "" }[namedBase];
  return `trained on ${baseModel}${verdict && `: ${verdict}`}`;
}

/** A plan, for people. */
export function planText({ base, merged, adapters, outputBytes, files, findings }: Report, paint: Paint): string {
  const lines = [`base ${paint("bold", base.name)}: ${counted(base.tensors, "tensor")}, ${merged} to merge`];
  for (const adapter of adapters) {
    lines.push(`adapter ${paint("bold", adapter.name)} × ${rounded(adapter.weight)}: ${adapter.matched} of ${counted(adapter.modules, "module")}`);
    if (baseText(adapter)) lines.push(`  ${baseText(adapter)}`);
    for (const { scale, why, tensors } of adapter.scales) lines.push(`  scale ${rounded(scale)} (${why}) on ${counted(tensors, "tensor")}`);
  }
  lines.push(`output ${size(outputBytes)} in ${counted(files.length, "file")}`);
  lines.push(...firstOf(files, (file) => `  ${file.name}  ${size(file.size)}`, (left) => `  … and ${left.length} more`));
  return [...lines, ...findingLines(findings, paint, adapters.length)].join("\n");
}

/** A share in per cent: to a tenth, and no nearer to all or nothing than it is. */
const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

/** What rounding kept, for people. */
function signalText({ kept, margin, sampled, leastKept }: NonNullable<Report["signal"]>): string {
  if (kept === null) return "how much of the change rounding kept is unknown";
  const bound = margin === null ? ["estimated"] : margin > 0 ? [`± ${percent(margin)}, from ${percent(sampled ?? 1)} of the elements`] : [];
  const worst = leastKept === undefined ? [] : [`worst tensor: ${percent(leastKept)}`];
  const more = [...bound, ...worst].join("; ");
  return `rounding kept ${percent(kept)} of the change${more && ` (${more})`}`;
}

/** What a merge did, beside its report. */
export interface Done {
  out: string;
  seconds: number;
  /** What can be done now, in lines. */
  next: readonly string[];
}

/** A finished merge, for people. */
export function resultText({ merged, base, adapters, outputBytes, signal, findings }: Report, { out, seconds, next }: Done, paint: Paint): string {
  const speed = `${size(outputBytes)} in ${duration(seconds)}, ${size(outputBytes / Math.max(seconds, 1e-3))}/s`;
  const lines = [`${paint("green", "merged")} ${counted(merged, "tensor")} of ${base.tensors} into ${paint("bold", out)} (${speed})`];
  for (const adapter of adapters) if (baseText(adapter)) lines.push(`adapter ${adapter.name}: ${baseText(adapter)}`);
  if (signal) lines.push(signalText(signal));
  lines.push(...findingLines(findings, paint, adapters.length));
  lines.push(...next.map((step, number) => `${number === 0 ? "next: " : "      "}${step}`));
  return lines.join("\n");
}
