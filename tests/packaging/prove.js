// Part of every throw-away project: merges, and says by hashes what came out. Only what all platforms have.

/** The sample as sources: `where` gives the source of a folder. */
export const models = (where) => ({
  base: where("tiny-llama"),
  adapters: [{ source: where("storyteller-lora"), weight: 0.8 }, { source: where("terse-rslora"), weight: -0.3 }],
});

/** sha256 by file name. */
export async function hashes({ files }) {
  const sums = {};
  for (const { name, blob } of [...files].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const hash = await crypto.subtle.digest("SHA-256", await (await blob()).arrayBuffer());
    sums[name] = Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  return sums;
}

/** What a page does: merge into memory and into the private file system, by workers; the test reads the console. */
export async function provePage({ merge, LorafoldError }, { outputs = ["blob", "opfs"], workers = 2, more = {} } = {}) {
  let started = 0;
  const Native = globalThis.Worker;
  globalThis.Worker = class extends Native {
    constructor(...args) {
      super(...args);
      started += 1;
    }
  };
  const origin = new URLSearchParams(location.search).get("sample");
  const options = models((name) => `${origin}/sample/${name}/`);
  const result = { sums: [] };
  try {
    for (const output of outputs) result.sums.push(await hashes(await merge({ ...options, output, workers })));
    result.started = started;
    result.rare = await hashes(await merge({ base: `${origin}/rare/base/`, adapters: [`${origin}/rare/adapter/`] }));
    result.code = await merge({ ...options, only: "(" }).catch((error) => error instanceof LorafoldError && error.code);
  } catch (error) {
    result.error = `${error.code}: ${error.stack}`;
  }
  console.info(`result ${JSON.stringify({ ...result, ...more })}`);
}
