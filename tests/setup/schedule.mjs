// @ts-check
// Which stages of `npm test` run side by side. Much of a browser's or a server's test is waiting, in which another one computes.

/**
 * @typedef {object} Step
 * @property {string} name
 * @property {string} [lane] never two of one lane at once: cargo's would wait for each other's lock, and the second would hold a place
 * @property {string[]} [after] names of steps that must have ended; those that are not among the steps are not waited for
 * @property {boolean} [essential] where it fails, no other begins
 */

/**
 * Runs every step, at most `places` at once: always the first in the list that may begin.
 * @template {Step} S
 * @template {{ ok: boolean }} R
 * @param {S[]} steps
 * @param {number} places
 * @param {(step: S) => Promise<R>} run
 * @returns {Promise<Map<S, R>>} what came of those that ran
 */
export async function schedule(steps, places, run) {
  const waiting = [...steps];
  /** @type {Map<S, Promise<void>>} */
  const running = new Map();
  /** @type {Map<S, R>} */
  const ended = new Map();
  const names = new Set(steps.map(({ name }) => name));
  let stopped = false;

  /** @param {S} step */
  const mayBegin = ({ lane, after = [] }) =>
    (lane === undefined || ![...running.keys()].some((other) => other.lane === lane)) &&
    after.every((name) => !names.has(name) || [...ended.keys()].some((other) => other.name === name));

  /** @param {S} step */
  async function begin(step) {
    const result = await run(step);
    running.delete(step);
    ended.set(step, result);
    if (step.essential && !result.ok) stopped = true;
  }

  for (;;) {
    const next = stopped || running.size >= places ? -1 : waiting.findIndex(mayBegin);
    if (next >= 0) {
      const [step] = waiting.splice(next, 1);
      running.set(step, begin(step));
    } else if (running.size > 0) {
      await Promise.race(running.values());
    } else if (waiting.length > 0 && !stopped) {
      throw new Error(`steps that wait for each other: ${waiting.map(({ name }) => name).join(", ")}`);
    } else {
      return ended;
    }
  }
}
