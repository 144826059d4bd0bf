import { verify } from "../node.js";
import type { InsteadCount, TensorVerdict, VerifyReport } from "../types.js";
import { type Paint, paintFor } from "./colour.js";
import { VERIFY_FLAGS } from "./commands.js";
import { hubOptions, planOptions } from "./plan-flags.js";
import { counted, findingLines, firstOf, rounded } from "./text.js";
import { number, parse, UsageError } from "./usage.js";

/** `lorafold verify` */
export async function verifyCommand(argv: string[]): Promise<number> {
  const parsed = parse(argv, VERIFY_FLAGS);
  const { base, adapter, merged, workers: threads, json, receipt } = parsed.values;
  const workers = threads === undefined ? {} : { workers: number("workers", threads) };
  if (receipt !== undefined) {
    const { verifyReceipt } = await import("./verify-receipt.js");
    const where = { ...(base !== undefined && { base }), ...(adapter && { adapter }), ...(merged !== undefined && { merged }) };
    return verifyReceipt({ receipt, ...where, ...workers, ...hubOptions(parsed.values["token-env"]), json: json ?? false });
  }
  const { allowNonfinite: _, ...expected } = planOptions(parsed);
  if (merged === undefined) throw new UsageError("--merged is missing", "give the merged model as --merged PATH");
  const stop = new AbortController();
  const interrupt = () => stop.abort();
  process.on("SIGINT", interrupt).on("SIGTERM", interrupt);
  try {
    const report = await verify({ ...expected, merged, ...workers, signal: stop.signal });
    console.log(json ? JSON.stringify(report, null, 2) : verdictText(report, expected.method, paintFor(process.stdout)));
    return report.verdict === "bits" || report.verdict === "rounding" ? 0 : 1;
  } finally {
    process.off("SIGINT", interrupt).off("SIGTERM", interrupt);
  }
}

/** What the words of the report mean. */
const MEANS: Record<string, string> = {
  "not-applied": "the base's own: not applied",
  twice: "applied twice",
  "sign-flipped": "applied with the other sign",
  "scale-alpha-over-r": "scaled by alpha/r",
  "scale-alpha-over-sqrt-r": "scaled by alpha/√r",
  "scale-alpha": "scaled by alpha alone",
  "scale-one": "not scaled at all",
  "scale-twice": "scaled twice",
  "weight-ignored": "applied at weight 1",
  "weight-twice": "multiplied with the weight twice",
  "other-weight": "applied with another weight",
  transposed: "the delta is transposed",
  "halves-swapped": "the halves (gate and up) are swapped",
  "halves-interleaved": "gate and up alternate where they should stand in halves, or the other way round",
  linear: "the weighted sum of the deltas, and not what the method makes of them",
  "other-density": "another share of its delta was kept",
  "other-mask": "other random values were kept, so many as should be: another tool's random numbers, which cannot be repeated, or another seed",
  "no-magnitude": "DoRA without its magnitudes",
  "not-the-base": "not the base's, although no adapter changes it",
  "other-base": "not the base's, although no adapter changes them: another base",
  "other-shape": "of another shape",
  "other-type": "of another kind of element type",
  "not-finite": "not finite where it should be, or the other way round",
  missing: "missing",
  unexplained: "something else",
};

function verdictText(report: VerifyReport, method: string | undefined, paint: Paint): string {
  const { verdict, counts, instead, tensors, merged, base, adapters, findings } = report;
  const of = `${base}${adapters.map(({ name, weight }) => ` + ${rounded(weight)} × ${name}`).join("")}${method === undefined || method === "linear" ? "" : ` by ${method}`}`;
  const good = verdict === "bits" || verdict === "rounding";
  const says = { bits: `is ${of}, in every bit`, rounding: `is ${of}, up to rounding`, undecidable: undecided(tensors), different: `is not ${of}`, missing: "" }[verdict];
  const lines = [`${paint(good ? "green" : "red", good ? "verified" : verdict)}: ${paint("bold", merged)} ${says}`];
  const parts = (["bits", "rounding", "undecidable", "different", "missing"] as const).filter((name) => counts[name] > 0);
  const word = { bits: "equal in every bit", rounding: "equal up to rounding", undecidable: "undecidable", different: "different", missing: "missing" };
  lines.push(`${counted(tensors.length, "tensor")}: ${parts.map((name) => `${counts[name]} ${word[name]}`).join(", ")}`);
  const ways = new Set(tensors.flatMap(({ rounding }) => rounding ?? []));
  if (ways.size > 0) lines.push(`roundings that explain the rest: ${[...ways].join(", ")}`);
  const either = tensors.reduce((sum, tensor) => sum + (tensor.either ?? 0), 0);
  if (either > 0) lines.push(`${counted(either, "element")} so near a threshold or a vote that another tool may have decided otherwise: there both are taken for right`);
  lines.push(...instead.map((one) => `${counted(one.tensors, "tensor")}: ${meaning(one)}`));
  const wrong = tensors.filter(({ verdict }) => verdict === "different" || verdict === "missing");
  lines.push(...firstOf(wrong, (tensor) => `  ${tensorText(tensor)}`, (left) => `  … and ${left.length} more: --json has all`));
  return [...lines, ...findingLines(findings, paint, adapters.length)].join("\n");
}

/** Why nothing can be said. */
function undecided(tensors: readonly TensorVerdict[]): string {
  const what = new Set(tensors.filter(({ verdict }) => verdict === "undecidable").flatMap(({ instead = [] }) => instead.map((one) => one.what)));
  if (what.has("other-mask")) return "may be that: it keeps other random values of the deltas, as many as it should";
  if (what.has("not-applied")) return "cannot be told from the base: the deltas are below what its element types show";
  return `may be that, and may be something else: ${[...what].map((one) => MEANS[one] ?? one).join(", ")}`;
}

const meaning = ({ what, adapter }: Pick<InsteadCount, "what" | "adapter">): string => `${adapter === undefined ? "" : `${adapter}: `}${MEANS[what] ?? what}`;

function tensorText({ name, verdict, instead = [], estimate, outside, elements }: TensorVerdict): string {
  if (verdict === "missing") return `${name}: missing`;
  const what = instead.map((one) => `${meaning(one)}${one.factor ? ` (${one.what === "other-density" ? "" : "× "}${rounded(one.factor[0])} to ${rounded(one.factor[1])})` : ""}`).join(instead.every((one) => one.what === "other-density") ? ", and " : ", or ");
  const about = estimate === undefined ? "" : `; about ${rounded(estimate)} times the delta`;
  return `${name}: ${what || `${outside ?? 0} of ${counted(elements, "element")} differ${about}`}`;
}
