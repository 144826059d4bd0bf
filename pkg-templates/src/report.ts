import type { Context } from "./context.js";
import { isAlive } from "./calls.js";
import { LorafoldError } from "./errors.js";
import type { Plan } from "./lorafold.js";
import type { Report, TensorReport } from "./types.js";

/** Tensors that the WebAssembly describes at a time. */
const STEP = 1000;

/** The plans of the reports whose tensors nobody has read yet. */
const unread = new WeakMap<Report, () => Plan>();

/**
 * The report of a plan. Its tensors are described when they are read for the first time: of a large model they take more memory than the plan.
 *
 * @param plan gives the plan, or throws where it is not there any more
 * @param done is called when the report needs the plan no longer
 */
export function reportOf(plan: () => Plan, done?: () => void): Report {
  const report: Report = plan().summary();
  const settle = (tensors: TensorReport[]): TensorReport[] => {
    Object.defineProperty(report, "tensors", { value: tensors, configurable: true, enumerable: true, writable: true });
    if (unread.delete(report)) done?.();
    return tensors;
  };
  unread.set(report, plan);
  return Object.defineProperty(report, "tensors", {
    configurable: true,
    enumerable: true,
    get: () => settle([...eachTensor(report)]),
    set: settle,
  });
}

/** The report of a plan that nobody else needs: the plan is freed when the tensors have been read, or with the report. */
export async function lastReportOf({ engine, platform }: Context, plan: Plan): Promise<Report> {
  const { memory } = await engine();
  const there = () => {
    if (isAlive(memory)) return plan;
    throw new LorafoldError("source-changed", "the tensors of this report were lost when lorafold's WebAssembly failed: plan or merge again");
  };
  const report = reportOf(there, () => plan.free());
  // Where memory is limited the plan does not wait for a reader.
  if (platform.memoryBytes !== undefined) void report.tensors;
  return report;
}

/** The tensors of a report one by one. They are not kept where nobody has read them all. */
function* eachTensor(report: Report): Generator<TensorReport> {
  const plan = unread.get(report);
  if (!plan) return yield* report.tensors;
  for (let start = 0; start < report.base.tensors; start += STEP) yield* plan().tensorReports(start, start + STEP);
}

/** `JSON.stringify(report, null, 2)`, in parts. */
export function* reportText(report: Report): Generator<string> {
  let before = "{\n  ";
  for (const key of Object.keys(report) as (keyof Report)[]) {
    yield `${before}${JSON.stringify(key)}: `;
    if (key === "tensors") yield* listText(eachTensor(report));
    else yield indented(report[key], "  ");
    before = ",\n  ";
  }
  yield "\n}";
}

function* listText(tensors: Iterable<TensorReport>): Generator<string> {
  let before = "[\n    ";
  for (const tensor of tensors) {
    yield before + indented(tensor, "    ");
    before = ",\n    ";
  }
  yield before.startsWith("[") ? "[]" : "\n  ]";
}

/** A value behind so much white space. Line feeds inside texts are escaped. */
const indented = (value: unknown, margin: string): string => JSON.stringify(value, null, 2).replaceAll("\n", `\n${margin}`);
