import type { AdapterDescription, Description, ModelDescription } from "../types.js";
import type { Paint } from "./colour.js";
import { counted, firstOf, rounded, size } from "./text.js";

/** A description, for people. `all`: with every tensor and module, which otherwise are counted by what they have in common. */
export function descriptionText(description: Description, all: boolean, paint: Paint): string {
  return (description.kind === "adapter" ? adapterLines(description, all, paint) : modelLines(description, all, paint)).join("\n");
}

function adapterLines({ name, type, r, alpha, rslora, baseModel, modules }: AdapterDescription, all: boolean, paint: Paint): string[] {
  const facts = [`${type} adapter`, r !== null && `r ${r}`, alpha !== null && `alpha ${rounded(alpha)}`, rslora && "rsLoRA", counted(modules.length, "module")];
  const lines = [`${paint("bold", name)}: ${facts.filter(Boolean).join(", ")}`];
  if (baseModel) lines.push(`  trained on ${baseModel}`);
  const rows = modules.map(({ module, parameter, method, rank, scale, inputs, outputs, dtype }) => {
    const facts = [`${inputs ?? "*"} → ${outputs ?? "*"}`, rank === null ? method : `rank ${rank}`, scale !== null && `scale ${rounded(scale)}`, dtype];
    return { name: parameter === "weight" ? module : `${module}.${parameter}`, facts: facts.filter(Boolean).join("  ") };
  });
  return [...lines, ...listed(rows, all, "modules")];
}

function modelLines({ name, kind, modelType, tied, parameters, dtypes, files, sha256, named, recipe, tensors }: ModelDescription, all: boolean, paint: Paint): string[] {
  const lines = [`${paint("bold", name)}: ${recipe?.method === "unmerge" ? "unmerged" : kind} model${modelType ? ` (${modelType})` : ""}, ${many(parameters)} parameters in ${counted(files.length, "file")}`];
  if (tied) lines.push("  embeddings are tied");
  if (named) lines.push(`  loaded from ${named} when it was saved`);
  if (sha256) lines.push(`  sha256 ${sha256}`);
  for (const [dtype, { tensors: count, bytes }] of Object.entries(dtypes)) lines.push(`  ${dtype}: ${counted(count, "tensor")}, ${size(bytes)}`);
  if (recipe) lines.push(`  recipe: ${recipeText(recipe)}`);
  const rows = tensors.map(({ name, dtype, shape, file }) => ({ name, facts: `${dtype} [${shape.join(", ")}]`, more: `  ${file}` }));
  return [...lines, ...listed(rows, all, "tensors")];
}

/** What a merged model says of its making. It may be of another version, and say anything. */
function recipeText({ adapters, method }: Record<string, unknown>): string {
  if (!Array.isArray(adapters)) return "of another version; --json shows it";
  const each = adapters.map((adapter: unknown) => {
    const { weight, origin, adapter: name } = (adapter ?? {}) as Record<string, unknown>;
    const from = [origin, name].filter((word) => typeof word === "string").join("#");
    return `${typeof weight === "number" ? rounded(weight) : "?"}${from && ` (${from})`}`;
  });
  const how = typeof method === "string" && method !== "linear" ? ` by ${method}` : "";
  return `${counted(adapters.length, "adapter")}${method === "unmerge" ? " taken out again" : how}, with weight ${each.join(", ")}; --json has all of it`;
}

interface Row {
  name: string;
  facts: string;
  /** What only the long list has. */
  more?: string;
}

function listed(rows: readonly Row[], all: boolean, things: string): string[] {
  if (all) return rows.map(({ name, facts, more = "" }) => `  ${name}  ${facts}${more}`);
  // Layers differ in their numbers.
  const kinds = new Map<string, { name: string; facts: string; count: number }>();
  for (const { name, facts } of rows) {
    const pattern = name.replace(/(?<![^.])\d+(?![^.])/g, "*");
    const known = kinds.get(`${pattern} ${facts}`);
    if (known) [known.count, known.name] = [known.count + 1, pattern];
    else kinds.set(`${pattern} ${facts}`, { name, facts, count: 1 });
  }
  const line = ({ name, facts, count }: { name: string; facts: string; count: number }) => `  ${name}  ${facts}${count === 1 ? "" : `  × ${count}`}`;
  return firstOf([...kinds.values()], line, (left) => `  … and ${left.reduce((sum, { count }) => sum + count, 0)} other ${things}: --tensors lists all`);
}

/** Numbers of parameters, for people. */
function many(count: number): string {
  for (const [unit, name] of [[1e12, "trillion"], [1e9, "billion"], [1e6, "million"]] as const) {
    if (count >= unit) return `${(count / unit).toPrecision(3)} ${name}`;
  }
  return String(count);
}
