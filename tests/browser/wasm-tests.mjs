// @ts-check
// A cargo test runner that runs wasm-bindgen tests in a real browser, in a dedicated worker, where lorafold itself runs.
// cargo starts it once for each test binary, with the .wasm file and the words after `--`:
//   LORAFOLD_TEST_BROWSER=firefox CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="node tests/browser/wasm-tests.mjs" \
//     cargo test --target wasm32-unknown-unknown --lib --tests
// wasm-bindgen's own runner would want a WebDriver program for each browser, and Debian has none for Firefox. So it only
// builds and serves the tests here, and the harness opens the page; the mechanism is one for both browsers.
import { spawn } from "node:child_process";
import { bindgenPath } from "../setup/bindgen.mjs";
import { browserNames, launch } from "./harness.mjs";

const limit = Number(process.env.WASM_BINDGEN_TEST_TIMEOUT ?? 120) * 1000;

function chosenBrowser() {
  const chosen = process.env.LORAFOLD_TEST_BROWSER ?? "chromium";
  const name = browserNames.find((known) => known === chosen);
  if (!name) throw new Error(`LORAFOLD_TEST_BROWSER is ${chosen}; it can be ${browserNames.join(" or ")}`);
  return name;
}

/** Starts wasm-bindgen's runner as a server. It prints its address, or ends at once when there is nothing to run. */
function startServer() {
  const child = spawn(bindgenPath("runner"), process.argv.slice(2), {
    env: { ...process.env, NO_HEADLESS: "1", WASM_BINDGEN_TEST_ADDRESS: "127.0.0.1:0", WASM_BINDGEN_USE_DEDICATED_WORKER: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  /** @type {Promise<{ address: string } | { code: number, printed: string }>} */
  const started = new Promise((resolve, reject) => {
    child.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text;
      const address = /available at (http:\/\/\S+)/.exec(printed)?.[1];
      if (address) resolve({ address });
    });
    child.on("error", reject);
    child.on("close", (code) => resolve({ code: code ?? 1, printed }));
  });
  return { child, started };
}

/** @param {string} address
 * @returns {Promise<boolean>} whether every test passed */
async function runInBrowser(address) {
  const browser = await launch(chosenBrowser());
  try {
    const { page, problems, messages } = await browser.open();
    await page.goto(address);
    const finished = await page
      .waitForFunction(() => /^test result: /m.test(document.getElementById("output")?.textContent ?? ""), undefined, {
        timeout: limit, polling: 100,
      })
      .then(() => true, () => false);
    const output = (await page.textContent("#output")) ?? "";
    console.log(`${output.trimEnd()}\n(${browser.name} ${browser.version})\n`);
    // A failed test is explained in that output; only a run that broke off is in the console alone.
    if (!finished) console.error([`no result within ${limit / 1000} s`, ...problems, ...messages].join("\n"));
    return finished && /^test result: ok\./m.test(output);
  } finally {
    await browser.close();
  }
}

const { child, started } = startServer();
try {
  const server = await started;
  if ("address" in server) {
    process.exitCode = (await runInBrowser(server.address)) ? 0 : 1;
  } else {
    console.log(server.printed.trimEnd());
    process.exitCode = server.code;
  }
} finally {
  // The server would run for ever.
  child.kill();
}
