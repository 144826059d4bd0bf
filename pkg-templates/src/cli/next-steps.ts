import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

/** What can be done with a merged model, in lines. */
export async function nextSteps(out: string): Promise<string[]> {
  const folder = resolve(out);
  const config = await readFile(join(folder, "config.json"), "utf8").then(JSON.parse, () => undefined).catch(() => undefined);
  return [...inPython(folder, config ?? {}), `lorafold inspect ${quoted(out)}`];
}

/** How transformers or diffusers loads a model, where its configuration says by which class. */
function inPython(folder: string, config: { [key in "architectures" | "auto_map" | "_class_name"]?: unknown }): string[] {
  const load = (library: string, name: string, more = "") =>
    `python3 -c 'from ${library} import ${name}; ${name}.from_pretrained(${JSON.stringify(folder)}${more})'`;
  const { architectures, auto_map: own, _class_name: part } = config;
  const isClass = (name: unknown): name is string => typeof name === "string" && /^[A-Za-z]\w*$/.test(name);
  // A class in a file of the model itself, which transformers runs only where that is allowed.
  const automatic = typeof own === "object" && own !== null ? Object.keys(own).find((name) => /^AutoModel/.test(name)) : undefined;
  if (folder.includes("'")) return [];
  if (isClass(automatic)) return [load("transformers", automatic, ", trust_remote_code=True")];
  const [architecture] = Array.isArray(architectures) ? (architectures as unknown[]) : [];
  if (isClass(architecture)) return [load("transformers", architecture)];
  return isClass(part) ? [load("diffusers", part)] : [];
}

/** A path as a word of a shell. */
const quoted = (path: string): string => (/^[\w./@:+,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`);
