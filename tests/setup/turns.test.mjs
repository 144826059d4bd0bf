// @ts-check
import assert from "node:assert/strict";
import { test } from "node:test";
import { outputInTurns } from "./turns.mjs";

test("the first to begin is seen at once, and every other when those before it have ended", () => {
  let printed = "";
  const turns = outputInTurns((text) => (printed += text));
  const [a, b, c] = ["A:", "B:", "C:"].map((title) => turns.begin(title));
  b.show("1");
  a.show("2");
  c.show("3");
  assert.equal(printed, "A:2");
  c.end();
  a.show("4");
  a.end();
  assert.equal(printed, "A:24B:1");
  b.show("5");
  assert.equal(printed, "A:24B:15");
  b.end();
  assert.equal(printed, "A:24B:15C:3");
  const d = turns.begin("D:");
  d.show("6");
  assert.equal(printed, "A:24B:15C:3D:6");
});
