import { checkSignal, throwIfAborted } from "../errors.js";
import { checkWorkOptions } from "../merge.js";
import { checkNumber } from "../prepare.js";
import type { CombineOptions, MakeOptions } from "../types.js";

/** Refuse options of `combine` and `extract` that are of another type: the crate would not name the option. */
export function checkMaking(options: Pick<CombineOptions, keyof MakeOptions | "rank" | "seed" | "energy"> & { density?: number }): void {
  checkSignal(options.signal);
  throwIfAborted(options.signal);
  checkNumber("rank", options.rank, (rank) => Number.isSafeInteger(rank) && rank >= 0, "a whole number");
  checkNumber("seed", options.seed, (seed) => Number.isSafeInteger(seed) && seed >= 0, "a whole number");
  checkNumber("energy", options.energy, Number.isFinite, "a finite number");
  checkNumber("density", options.density, Number.isFinite, "a finite number");
  checkWorkOptions(options.workers === undefined ? {} : { workers: options.workers });
}
