import { LorafoldError, plan, type AdapterOptions, type PlanOptions, type Report } from "lorafold";

/** Where planning stands. */
export type PlanState =
  /** Something is missing; the text says what. */
  | { kind: "incomplete"; missing: string }
  /** Being made; `last` is the plan before it. */
  | { kind: "working"; last: Report | undefined }
  | { kind: "ready"; report: Report }
  | { kind: "failed"; error: unknown };

type Request = Omit<PlanOptions, "adapters" | "signal"> & { adapters: AdapterOptions[] };

/** How long typing must rest. */
const REST = 250;

/** Plans whenever the request changes; a request that is out of date is aborted. */
export class Planner {
  state: PlanState = { kind: "incomplete", missing: "" };
  readonly #onChange: (state: PlanState) => void;
  #request: Request | undefined;
  #last: Report | undefined;
  #running: AbortController | undefined;

  constructor(onChange: (state: PlanState) => void) {
    this.#onChange = onChange;
  }

  /** Plan this, or, given a text, say that this is missing. */
  ask(request: Request | string): void {
    if (typeof request === "string") {
      this.#stop();
      this.#last = undefined;
      this.#become({ kind: "incomplete", missing: request });
    } else if (!this.#request || !sameDecisions(this.#request, request)) {
      this.#stop();
      this.#request = request;
      void this.#run(request);
    }
  }

  /** Plan the same again. */
  retry(): void {
    const request = this.#request;
    if (!request) return;
    this.#stop();
    this.ask(request);
  }

  #stop(): void {
    this.#request = undefined;
    this.#running?.abort();
    this.#running = undefined;
  }

  async #run(request: Request): Promise<void> {
    const { signal } = (this.#running = new AbortController());
    this.#become({ kind: "working", last: this.#last });
    try {
      await new Promise((resolve) => setTimeout(resolve, REST));
      if (signal.aborted) return;
      const report = await plan({ ...request, signal });
      if (signal.aborted) return;
      this.#last = report;
      this.#become({ kind: "ready", report });
    } catch (error) {
      if (signal.aborted || (error instanceof LorafoldError && error.code === "aborted")) return;
      this.#become({ kind: "failed", error });
    }
  }

  #become(state: PlanState): void {
    this.state = state;
    this.#onChange(state);
  }
}

/**
 * Whether two requests lead to the same plan. Weights only count where they are zero: a slider that moves must not read
 * every header again.
 */
function sameDecisions(a: Request, b: Request): boolean {
  const { adapters: adaptersA, ...restA } = a;
  const { adapters: adaptersB, ...restB } = b;
  if (adaptersA.length !== adaptersB.length || !sameFields(restA, restB)) return false;
  return adaptersA.every((one, number) => {
    const other = adaptersB[number]!;
    return sameFields({ ...one, weight: one.weight === 0 }, { ...other, weight: other.weight === 0 });
  });
}

function sameFields(a: object, b: object): boolean {
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => Reflect.get(a, name) === Reflect.get(b, name));
}
