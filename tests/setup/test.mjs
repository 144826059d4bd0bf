// @ts-check
// `npm test`: sets up, builds, runs every stage, and ends with one line that totals the tests.
//   --only native,js   only these groups (build runs too where a later stage needs the package)
//   --no-setup         everything is installed already
//   --ci               as on a build machine, where nothing is compiled twice: sets CI and CARGO_INCREMENTAL for what is started
//   --list             only names the stages
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { add, none, totalLine } from "./counts.mjs";
import { run } from "./run.mjs";
import { schedule } from "./schedule.mjs";
import { giveUp, setup, SetupError } from "./setup.mjs";
import { allStages } from "./stages.mjs";
import { outputInTurns } from "./turns.mjs";

/** @typedef {{ stage: import("./stages.mjs").Stage, ok: boolean, seconds: number, counts: import("./counts.mjs").Counts }} Result */

/** As many stages as there are processors: with one more, tests of browsers wait too long for what they look for. More than three would want more memory. */
const PLACES = Math.max(1, Math.min(availableParallelism(), 3));

/** @param {string} title */
const headingLine = (title) => `\n=== ${title} ${"=".repeat(Math.max(3, 90 - title.length))}\n`;
/** @param {string} title */
const heading = (title) => process.stdout.write(headingLine(title));

/** @param {import("./stages.mjs").Stage} stage @param {(text: string) => void} show
 * @returns {Promise<Result>} */
async function runStage(stage, show) {
  const started = Date.now();
  let ok = false;
  let counts = none();
  try {
    const { program, args, env } = stage.command();
    const result = await run(program, args, { env, show });
    ok = result.ok;
    counts = stage.count(result.output);
  } catch (error) {
    show(`${error instanceof Error ? error.stack : error}\n`);
  }
  // Code that doesn't compile and a lint that fails count no test, and must not end in "0 failed".
  if (!ok && counts.failed === 0) counts = add(counts, { ...none(), failed: 1 });
  return { stage, ok: ok && counts.failed === 0, seconds: (Date.now() - started) / 1000, counts };
}

/** @param {string | undefined} only
 * @returns {import("./stages.mjs").Stage[]} */
function chosenStages(only) {
  const stages = allStages();
  if (only === undefined) return stages;
  const groups = new Set(stages.map((stage) => stage.group));
  const wanted = new Set(only.split(",").map((word) => word.trim()).filter(Boolean));
  for (const word of wanted) {
    if (!groups.has(word)) throw new SetupError(`no stage is called ${word}; there are ${[...groups].join(", ")}`);
  }
  const chosen = stages.filter((stage) => wanted.has(stage.group));
  const before = new Set(chosen.flatMap(({ after = [] }) => after));
  return stages.filter((stage) => chosen.includes(stage) || (stage.essential && before.has(stage.name)));
}

function readOptions() {
  try {
    return parseArgs({
      options: {
        only: { type: "string" },
        ci: { type: "boolean", default: false },
        list: { type: "boolean", default: false },
        "no-setup": { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    throw new SetupError(/** @type {Error} */ (error).message);
  }
}

async function main() {
  const options = readOptions();
  // Nobody changes a line and compiles again there, which is what incremental compilation writes its files for.
  if (options.ci) Object.assign(process.env, { CI: "true", CARGO_INCREMENTAL: "0" });
  const stages = chosenStages(options.only);
  if (options.list) return stages.forEach((stage) => console.log(`${stage.group.padEnd(14)}${stage.name}`));

  if (!options["no-setup"]) {
    heading("set up");
    await setup(stages.flatMap((stage) => stage.needs ?? []));
  }
  const began = Date.now();
  const turns = outputInTurns((text) => process.stdout.write(text));
  const ended = await schedule(stages, PLACES, async (stage) => {
    const { show, end } = turns.begin(headingLine(stage.name));
    const result = await runStage(stage, show);
    if (stage.essential && !result.ok) show(`\n${stage.name} failed, and others need it: nothing more is begun.\n`);
    end();
    return result;
  });
  const results = stages.flatMap((stage) => ended.get(stage) ?? []);

  heading("summary");
  for (const { stage, ok, seconds, counts } of results) {
    const tests = stage.count === none && ok ? "" : totalLine(counts);
    console.log(`${ok ? "ok    " : "FAILED"} ${stage.name.padEnd(40)} ${seconds.toFixed(0).padStart(4)} s  ${tests}`);
  }
  const total = results.map((result) => result.counts).reduce(add, none());
  console.log(`${"".padEnd(6)} ${"all, some side by side".padEnd(40)} ${((Date.now() - began) / 1000).toFixed(0).padStart(4)} s`);
  const ran = total.passed + total.failed > 0 || results.every((result) => result.stage.count === none);
  if (!ran) console.error("\nNo test ran.");
  console.log(`\n${totalLine(total)}`);
  process.exitCode = ran && results.every((result) => result.ok) ? 0 : 1;
}

await main().catch(giveUp);
