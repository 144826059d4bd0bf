import type { ErrorCode, ErrorFacts } from "../errors.js";

const WITH_PEFT = `from peft import AutoPeftModel
model = AutoPeftModel.from_pretrained("ADAPTER", dtype="auto").merge_and_unload()
model.save_pretrained("merged")`;

const DEQUANTISED = `from transformers import AutoModelForCausalLM
model = AutoModelForCausalLM.from_pretrained("BASE", device_map="auto").dequantize()
model.save_pretrained("base-dequantised")`;

/** Some lines of Python that do what lorafold refuses, where there are such: for what a merge from files cannot read, PEFT has the model. */
export function snippetFor(code: ErrorCode, { kind, field, adapter }: ErrorFacts): string | undefined {
  if (kind === "quantised-base") return DEQUANTISED;
  if (code === "unsupported" && kind === "not-implemented" && adapter !== undefined && field !== undefined) return WITH_PEFT;
  return undefined;
}
