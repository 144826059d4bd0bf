import { LorafoldError, merge, type MergeOptions, type MergeResult } from "lorafold";
import { byId } from "./dom.js";
import { ProgressView } from "./progress-view.js";
import { announce } from "./status.js";

/** How a run ended. */
export type Ending = { kind: "done"; result: MergeResult; seconds: number } | { kind: "cancelled" } | { kind: "failed"; error: unknown };

/** One merge at a time, with its progress and the button that cancels it. */
export class MergeRun {
  #running: AbortController | undefined;

  constructor() {
    byId("cancel").addEventListener("click", () => this.#running?.abort());
    window.addEventListener("beforeunload", (event) => {
      if (this.#running) event.preventDefault();
    });
  }

  get running(): boolean {
    return this.#running !== undefined;
  }

  /** Merge what `prepare` gives; the run begins with that. */
  async run(prepare: () => Promise<MergeOptions>): Promise<Ending> {
    const { signal } = (this.#running = new AbortController());
    const view = new ProgressView();
    byId("cancel").focus();
    announce("Merging");
    try {
      const result = await merge({ ...(await prepare()), signal, onProgress: (progress) => view.show(progress) });
      return { kind: "done", result, seconds: view.elapsed };
    } catch (error) {
      const stopped = signal.aborted && error instanceof LorafoldError && error.code === "aborted";
      return stopped ? { kind: "cancelled" } : { kind: "failed", error };
    } finally {
      this.#running = undefined;
      view.end();
    }
  }
}
