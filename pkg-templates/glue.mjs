// @ts-check
// What is changed in the JavaScript that wasm-bindgen generates: every call into the WebAssembly goes through src/calls.ts, and what is left
// of an instance that was replaced does no harm.

/** What is replaced, by what, and how often it stands there (0: at least once). @type {[RegExp, string, number][]} */
const EDITS = [
  [/\bwasm = (instance|wasmInstance)\.exports;/g, "wasm = guarded($1.exports);", 2],
  [/throw new Error\('Invalid stale object from previous Wasm instance'\);/g, "throw stale();", 0],
  // A source that answers when nobody needs it any more. Nobody could catch what this throws.
  [/throw new Error\('Cannot invoke closure from previous WASM instance'\);/g, "return;", 1],
  // The second half of the module is loaded when it is called.
  [/"\.\/lorafold_bg\.js": import0,/g, '"./lorafold_bg.js": import0,\n        rest: rest(import0),', 1],
  // In another instance's memory it is the place of something else.
  [/(const ptr = this\.__destroy_into_raw\(\);)/g, "$1\n        if (ptr === 0 || this.__wbg_inst !== __wbg_instance_id) return;", 0],
];

/** The glue with every edit made. @param {string} glue */
export function edited(glue) {
  for (const [pattern, replacement, count] of EDITS) {
    const found = glue.match(pattern)?.length ?? 0;
    if (found === 0 || (count > 0 && found !== count)) throw new Error(`wasm-bindgen's JavaScript has ${found} of ${pattern}: it is another version's`);
    glue = glue.replace(pattern, replacement);
  }
  return `import { guarded, rest, stale } from "./calls.js";\n${glue}`;
}
