// @ts-check
// Tokens of the hub: where they come from, to whom they are sent, and what the hub's refusals mean.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { inspect, merge, plan } from "../../pkg/node.js";
import { fakeHub } from "../fake-hub.mjs";
import { lorafold } from "./command.mjs";
import { scratch, writeFolder } from "./scratch.mjs";
import { correct, scriptedServer } from "./scripted-server.mjs";
import { asFiles, tinyModel } from "./tiny-model.mjs";

const { base, adapter } = tinyModel();
const TOKEN = "hf_SECRETsecret0123456789";
const STRANGER = "hf_STRANGERstranger012345";
const SECRET = /SECRET|STRANGER|Bearer|X-Amz-Signature/i;

/** @type {Awaited<ReturnType<typeof fakeHub>>} */
let hub;
before(async () => {
  hub = await fakeHub();
  hub.accounts.set(TOKEN, { user: "org", accepted: ["org/gated"] });
  hub.accounts.set(STRANGER, { user: "stranger" });
  hub.push("org/public", base);
  hub.push("org/gated", base, { gated: true });
  hub.push("org/private", base, { private: true });
  hub.push("org/lora", adapter, { private: true });
});
after(() => hub.close());

/** Options of a merge by the API. @param {string} name @param {string | false} token */
const asking = (name, token) => ({ base: `hf://org/${name}`, adapters: [asFiles(adapter)], hub: { endpoint: hub.url, token } });

/** What an error says, wherever it is looked at. @param {any} error */
const said = (error) => JSON.stringify([error.message, error.facts, error.stack, String(error.cause), String(error.detail)]);

/** @type {[name: string, token: string | false, kind: string, says: RegExp][]} */
const REFUSALS = [
  ["gated", false, "gated-repository", /org\/gated is gated.*accept.*HF_TOKEN.*--token-env/],
  ["gated", STRANGER, "gated-repository", /org\/gated is gated.*with the account that the token is of/],
  ["private", false, "no-repository", /no repository org\/private, or it is private.*HF_TOKEN/],
  ["private", STRANGER, "no-repository", /no repository org\/private, or the token's account may not see it/],
  ["none", TOKEN, "no-repository", /no repository org\/none/],
  ["public@v9", false, "no-revision", /no such branch, tag or commit/],
  ["public/no/folder", false, "not-found", /no such file or folder/],
  ["public", "hf_SECRETexpired", "access-denied", /does not take the token.*revoked/],
];

describe("a refusal says what it means, and no token", () => {
  for (const [name, token, kind, says] of REFUSALS) {
    test(`${name} ${token === false ? "without a token" : `with ${token}`}`, async () => {
      await assert.rejects(plan(asking(name, token)), (/** @type {any} */ error) => {
        assert.equal(error.code, "fetch-failed");
        assert.equal(error.facts.kind, kind);
        assert.match(error.message, says);
        assert.doesNotMatch(said(error), SECRET);
        return true;
      });
    });
  }

  test("what no token can be", async () => {
    for (const token of ["hf_SECRET\nx", "hf_SECRET x", "", "hf_SECRET\u00e9"]) {
      await assert.rejects(plan(asking("public", token)), (/** @type {any} */ error) => error.code === "bad-option" && /token/.test(error.message) && !SECRET.test(said(error)));
    }
    for (const options of [7, null, "hf_x", { token: 7 }, { endpoint: "nowhere" }, { endpoint: "https://user:SECRET@host" }]) {
      await assert.rejects(plan({ ...asking("public", false), hub: /** @type {any} */ (options) }), (/** @type {any} */ error) => error.code === "bad-option" && !SECRET.test(said(error)));
    }
    const url = { url: "hf://org/public", headers: { authorization: "Bearer SECRET\nx" } };
    await assert.rejects(plan({ ...asking("public", false), base: url }), (/** @type {any} */ error) => error.code === "bad-option" && !SECRET.test(said(error)));
  });
});

describe("a token is sent to the hub, and to nobody else", () => {
  test("given as an option, or as a header", async () => {
    const given = [
      { base: "hf://org/private", adapters: ["hf://org/lora"], hub: { endpoint: hub.url, token: TOKEN } },
      { base: { url: "hf://org/private", headers: { Authorization: `Bearer ${TOKEN}` } }, adapters: [asFiles(adapter)], hub: { endpoint: hub.url } },
      { base: "hf://org/gated", adapters: ["hf://org/lora"], hub: { endpoint: hub.url, token: TOKEN } },
    ];
    for (const options of given) {
      hub.asked.length = 0;
      const { report, files } = await merge(options);
      assert.ok(hub.asked.some(({ host }) => host === "hub") && hub.asked.some(({ host }) => host === "storage"));
      for (const { host, authorization } of hub.asked) assert.equal(authorization, host === "hub" ? `Bearer ${TOKEN}` : undefined, host);
      assert.doesNotMatch(JSON.stringify(report), SECRET);
      for (const file of files) assert.doesNotMatch(Buffer.from(await (await file.blob()).arrayBuffer()).toString("latin1"), SECRET);
    }
    const described = await inspect("hf://org/private", { hub: { endpoint: hub.url, token: TOKEN } });
    assert.equal(described.kind, "base");
  });

  test("not where a page of the listing is said to be elsewhere", async (t) => {
    const elsewhere = await scriptedServer({}, (asked) => (assert.equal(asked.headers.authorization, undefined), { status: 200, body: Buffer.from("[]") }));
    t.after(elsewhere.close);
    hub.trouble("hub", /\/tree\//, { json: [], headers: { Link: `<${elsewhere.url}tree?cursor=1>; rel="next"` } });
    await plan(asking("private", TOKEN));
    assert.deepEqual(elsewhere.counts, {});
  });

  test("no header of a caller goes along to another origin", async (t) => {
    /** @type {import("node:http").IncomingHttpHeaders[]} */
    const received = [];
    const files = Object.fromEntries(Object.entries(base).map(([name, bytes]) => [name, bytes]));
    const other = await scriptedServer(files, (asked) => (received.push(asked.headers), correct(asked)));
    const first = await scriptedServer({}, ({ name, headers }) => {
      assert.equal(headers["x-api-key"], "SECRET");
      return { status: 302, headers: { Location: other.url + name } };
    });
    t.after(first.close);
    t.after(other.close);
    await merge({ base: { url: first.url, headers: { "X-Api-Key": "SECRET", Authorization: "Basic SECRET" } }, adapters: [asFiles(adapter)] });
    assert.ok(received.length > 3);
    for (const headers of received) assert.doesNotMatch(JSON.stringify(headers), SECRET);
  });
});

describe("the command line", () => {
  /** @param {string[]} more @param {Record<string, string>} env @param {import("node:test").TestContext} t */
  async function command(more, env, t) {
    const folder = await scratch(t);
    const lora = await writeFolder(join(folder, "lora"), adapter);
    const { HF_TOKEN: _, HF_ENDPOINT: __, HUGGING_FACE_HUB_TOKEN: ___, HF_TOKEN_PATH: ____, ...clean } = process.env;
    return lorafold(["merge", "--base", "hf://org/private", "--adapter", lora, "--dry-run", ...more], { env: { ...clean, HF_HOME: folder, HF_ENDPOINT: `${hub.url}/`, ...env } });
  }

  test("takes HF_TOKEN, the variable that --token-env names, and the file of a login", async (t) => {
    assert.equal((await command([], { HF_TOKEN: ` ${TOKEN}\n` }, t)).code, 0);
    assert.equal((await command(["--token-env", "MINE"], { MINE: TOKEN, HF_TOKEN: STRANGER }, t)).code, 0);
    const home = await writeFolder(await scratch(t), { token: `${TOKEN}\n` });
    assert.equal((await command([], { HF_HOME: home }, t)).code, 0);
    assert.equal((await command([], { HF_TOKEN_PATH: join(home, "token") }, t)).code, 0);
    const { code, stderr, stdout } = await command(["--json"], { HF_HOME: home, HF_HUB_DISABLE_IMPLICIT_TOKEN: "1" }, t);
    assert.equal(code, 1);
    assert.match(stderr, /or it is private/);
    assert.equal(JSON.parse(stdout).error.facts.kind, "no-repository");
  });

  test("says what is wrong with them", async (t) => {
    const unset = await command(["--token-env", "NOWHERE"], {}, t);
    assert.deepEqual([unset.code, /NOWHERE/.test(unset.stderr)], [2, true]);
    const wrong = await command([], { HF_ENDPOINT: "SECRET" }, t);
    assert.deepEqual([wrong.code, /HF_ENDPOINT/.test(wrong.stderr), SECRET.test(wrong.stderr)], [1, true, false]);
    const refused = await command([], { HF_TOKEN: STRANGER }, t);
    assert.deepEqual([refused.code, SECRET.test(refused.stderr + refused.stdout)], [1, false]);
  });

  test("a page of the hub without https:// is no path, unless it is there", async (t) => {
    const { code, stderr } = await lorafold(["inspect", "hf.co/org/nothing"], { env: { ...process.env, HF_ENDPOINT: hub.url } });
    assert.equal(code, 1);
    assert.match(stderr, /no repository org\/nothing/);
    const folder = await scratch(t);
    await writeFolder(join(folder, "hf.co"), {});
    await writeFolder(join(folder, "hf.co", "org"), {});
    await writeFolder(join(folder, "hf.co", "org", "name"), base);
    assert.equal((await lorafold(["inspect", "hf.co/org/name"], { cwd: folder })).code, 0);
  });
});
