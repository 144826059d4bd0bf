import { aborted } from "./errors.js";

/** In Node, let the process end while this timer is still set. Elsewhere timers are numbers. */
export function unref(timer: unknown): void {
  if (typeof timer === "object") (timer as { unref(): void }).unref();
}

/** Take {@link unref} back. */
export function ref(timer: unknown): void {
  if (typeof timer === "object") (timer as { ref(): void }).ref();
}

/** @throws {LorafoldError} `aborted` as soon as `signal` says so. */
export function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(aborted(signal?.reason));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}
