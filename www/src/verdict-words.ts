import type { Instead, TensorVerdict, Verdict, VerifyOptions, VerifyReport } from "lorafold";
import { counted, digits } from "./format.js";
import { METHODS } from "./methods.js";

/** What is said of a tensor, in a few words. */
export const VERDICTS: Readonly<Record<Verdict, string>> = {
  bits: "equal in every bit",
  rounding: "equal up to rounding",
  undecidable: "cannot be told",
  different: "something else",
  missing: "missing",
};

/** What a tensor is instead, behind the name of the adapter or of nothing; and what to do about it. */
const INSTEAD: Readonly<Record<string, { is: string; todo: string }>> = {
  "not-applied": { is: "was not applied: the base’s own values are there", todo: "Merge again, and see that the program finds the adapter’s tensors in this base." },
  twice: { is: "was applied twice", todo: "Merge again into the base itself: what was merged into had the adapter in it already, or it was applied again." },
  "sign-flipped": { is: "was subtracted where it should be added, or the other way round", todo: "Merge again with the other sign; if this one was wanted, give the weight with a minus here." },
  "scale-alpha-over-r": { is: "was scaled by alpha/r, although its configuration asks for alpha/√r", todo: "The program does not know rsLoRA. Merge again with one that does." },
  "scale-alpha-over-sqrt-r": { is: "was scaled by alpha/√r, although its configuration asks for alpha/r", todo: "Merge again with the scale that the configuration asks for." },
  "scale-alpha": { is: "was scaled by alpha, without being divided by the rank", todo: "Merge again with a program that divides alpha by the rank." },
  "scale-one": { is: "was not scaled at all", todo: "The program does not read lora_alpha. Merge again with one that does." },
  "scale-twice": { is: "was scaled twice", todo: "The factors were probably saved with the scale in them. Merge again from the adapter as it was trained." },
  "weight-ignored": { is: "was applied at weight 1", todo: "Merge again with the weight; if 1 was wanted, set it to 1 here." },
  "weight-twice": { is: "was multiplied by its weight twice", todo: "Merge again with a program that multiplies once." },
  "other-weight": { is: "was applied with another weight", todo: "If that weight was wanted, set it here, and verify again; else merge again." },
  transposed: { is: "was applied with rows and columns exchanged", todo: "The program does not know how this base stores its weights. Merge again with one that does." },
  "halves-swapped": { is: "was applied with the halves (gate and up) exchanged", todo: "Merge again with a program that knows how this base packs its experts." },
  "halves-interleaved": { is: "was applied with gate and up alternating where they should stand in halves, or the other way round", todo: "Merge again with a program that knows how this base packs its experts." },
  linear: { is: "the weighted sum of the changes, not what the method makes of them", todo: "Merge again by the method; if the sum was wanted, choose “Weighted sum” here." },
  "other-density": { is: "was pruned to another share", todo: "Merge again with the share; if that one was wanted, set it here, and verify again." },
  "other-mask": { is: "was pruned to other random values, as many as it should be", todo: "Another program, or another seed, keeps other random values. If it was merged here, set the seed that was used." },
  "no-magnitude": { is: "was applied as LoRA, without DoRA’s magnitudes", todo: "Merge again with a program that knows DoRA." },
  "not-the-base": { is: "not the base’s values, although no adapter changes them", todo: "Choose the base that it was made from." },
  "other-base": { is: "not the base’s values, although no adapter changes them: it was made from another base", todo: "Choose the base that it was made from, and verify again." },
  "other-shape": { is: "of another shape", todo: "Choose the base that it was made from: this one is of another size, or its vocabulary was resized." },
  "other-type": { is: "of another kind of number type", todo: "A quantised model cannot be verified: take the one from before." },
  "not-finite": { is: "infinite or not a number where that should not be, or the other way round", todo: "Merge again in a wider number type, such as float32." },
  missing: { is: "missing", todo: "Choose all of the merged model’s files, or its folder." },
  unexplained: { is: "something that none of the usual mistakes explains", todo: "See whether the right adapters are chosen, with the weights and the method that were used." },
};

/** Where an adapter is the subject of what is said, when none is named. */
const OF_ADAPTER = /^was /;

export const isVerified = (verdict: Verdict): boolean => verdict === "bits" || verdict === "rounding";

/** The verdict on the whole, in one sentence. */
export function sentence({ verdict, merged, base, adapters, tensors }: VerifyReport, method: VerifyOptions["method"] = "linear"): string {
  const by = method === "linear" ? "" : ` by “${METHODS[method].label}”`;
  const expected = `${base} ${adapters.map(({ name, weight }) => `${weight < 0 ? "−" : "+"} ${digits(Math.abs(weight))} × ${name}`).join(" ")}${by}`;
  switch (verdict) {
    case "bits":
      return `Yes: ${merged} is ${expected}, in every bit.`;
    case "rounding":
      return `Yes: ${merged} is ${expected}, up to rounding.`;
    case "undecidable":
      return undecided(tensors, merged, expected);
    case "missing":
    case "different":
      return `No: ${merged} is not ${expected}.`;
  }
}

/** Why nothing can be said of the whole. */
function undecided(tensors: readonly TensorVerdict[], merged: string, expected: string): string {
  const what = whatElse(tensors);
  if (what.has("other-mask")) return `It cannot be told: ${merged} may be ${expected}. It keeps other random values of the changes, as many as it should.`;
  if (what.size === 0 || what.has("not-applied")) return `It cannot be told: the changes of ${expected} are smaller than the steps of the number type of ${merged}.`;
  return `It cannot be told: ${merged} may be ${expected}, and may be something else.`;
}

/** What the tensors may be as well that nothing can be said of. */
function whatElse(tensors: readonly TensorVerdict[]): Set<string> {
  return new Set(tensors.filter(({ verdict }) => verdict === "undecidable").flatMap(({ instead = [] }) => instead.map(({ what }) => what)));
}

/** What it is instead, and in how many tensors, what is most frequent first. Where several things explain a tensor, all of them. */
export function insteadSentences({ tensors, instead }: VerifyReport): string[] {
  const isOther = instead.some(({ what }) => what === "other-base");
  const counts = new Map<string, number>();
  for (const tensor of tensors) {
    if (tensor.verdict !== "different" && tensor.verdict !== "missing") continue;
    const all = tensor.verdict === "missing" ? [{ what: "missing" }] : tensor.instead?.length ? tensor.instead : [{ what: "unexplained" }];
    // Of one tensor nobody can say that the whole base is another one.
    const named = all.map((one) => (isOther && one.what === "not-the-base" ? { what: "other-base" } : one));
    const [first, ...others] = [...new Set(named.map(insteadText))];
    const text = [first, ...others.map((other) => other.replace(/^what is added /, ""))].join(", or ");
    counts.set(text, (counts.get(text) ?? 0) + 1);
  }
  return [...counts].sort((a, b) => b[1] - a[1]).map(([text, count]) => `${counted(count, "tensor")}: ${text}.`);
}

function insteadText({ what, adapter }: Pick<Instead, "what" | "adapter">): string {
  const is = INSTEAD[what]?.is ?? what;
  if (adapter !== undefined) return `${adapter} ${is}`;
  return OF_ADAPTER.test(is) ? `what is added ${is}` : is;
}

/** What to do about all of it, each once. */
export function whatToDo({ verdict, instead, tensors }: VerifyReport): string[] {
  if (isVerified(verdict)) return [];
  if (verdict === "undecidable" && whatElse(tensors).has("other-mask")) return [INSTEAD["other-mask"]!.todo];
  if (verdict === "undecidable") return ["Nothing speaks against it, and nothing for it. A merge in float32, or one that rounds by chance, can be verified."];
  return [...new Set(instead.map(({ what }) => INSTEAD[what]?.todo).filter((todo) => todo !== undefined))];
}

/** How tools round, in words. */
const ROUNDINGS: Readonly<Record<string, string>> = {
  "sum-order": "added up in another order",
  "base-cast": "the base rounded first",
  "delta-in-f16": "the change rounded to float16 first",
  "delta-in-bf16": "the change rounded to bfloat16 first",
  "computed-in-f16": "computed in float16",
  "computed-in-bf16": "computed in bfloat16",
  "one-by-one": "rounded after each adapter",
  cast: "by way of another number type",
};

/** Why a tensor has its verdict; nothing where there is nothing to say. */
export function reason({ verdict, rounding, instead = [], outside, elements }: TensorVerdict): string {
  if (verdict === "missing") return "";
  if (rounding !== undefined) return ROUNDINGS[rounding] ?? rounding;
  const named = instead.map((one) => {
    const { factor, what } = one;
    return `${insteadText(one)}${factor ? ` (${what === "other-density" ? "" : "times "}${digits(factor[0], 3)} to ${digits(factor[1], 3)})` : ""}`;
  });
  if (verdict === "undecidable") return named.length > 0 ? `it may be, or: ${named.join("; or ")}` : "below the steps of the number type";
  return named.join("; or ") || (outside === undefined ? "" : `${counted(outside, "value")} of ${digits(elements)} differ`);
}

/** The worst of several: what is more serious counts. */
export function worst(verdicts: readonly Verdict[]): Verdict {
  const order: Verdict[] = ["missing", "different", "undecidable", "rounding", "bits"];
  return order.find((verdict) => verdicts.includes(verdict)) ?? "bits";
}
