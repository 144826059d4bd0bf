import type { AdapterDescription, Description, ModelDescription, Report } from "../types.js";

/** Bytes for people. */
export function size(bytes: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (bytes >= 1000 && unit < units.length - 1) {
    bytes /= 1000;
    unit++;
  }
  return `${unit === 0 ? bytes.toFixed(0) : bytes.toPrecision(3)} ${units[unit]}`;
}

/** A plan, for people. */
export function planText(report: Report): string {
  const lines = [`base ${report.base.name}: ${report.base.tensors} tensors, ${report.merged} to merge`];
  for (const adapter of report.adapters) {
    lines.push(`adapter ${adapter.name} × ${adapter.weight}: ${adapter.matched} of ${adapter.modules} modules`);
    for (const { scale, why, tensors } of adapter.scales) lines.push(`  scale ${scale} (${why}) on ${tensors} tensors`);
  }
  lines.push(`output ${size(report.outputBytes)} in ${report.files.length} files`);
  for (const file of report.files) lines.push(`  ${file.name}  ${size(file.size)}`);
  for (const { level, code, message } of report.findings) lines.push(`${level} [${code}]: ${message}`);
  return lines.join("\n");
}

/** A finished merge, for people. `kept`: the least share of a delta that survived rounding, where that is known. */
export function resultText(report: Report, out: string, kept: number | undefined): string {
  const lines = [`merged ${report.merged} tensors of ${report.base.tensors} into ${out} (${size(report.outputBytes)})`];
  if (kept !== undefined) lines.push(`signal kept after rounding: ${kept.toPrecision(4)} in the worst tensor`);
  for (const { level, code, message } of report.findings) lines.push(`${level} [${code}]: ${message}`);
  return lines.join("\n");
}

/** A description, for people. */
export function descriptionText(description: Description): string {
  return description.kind === "adapter" ? adapterText(description) : modelText(description);
}

function adapterText({ name, type, r, alpha, rslora, baseModel, modules }: AdapterDescription): string {
  const facts = [`${type} adapter`, r !== null && `r ${r}`, alpha !== null && `alpha ${alpha}`, rslora && "rsLoRA", `${modules.length} modules`];
  const lines = [`${name}: ${facts.filter(Boolean).join(", ")}`];
  if (baseModel) lines.push(`  made for ${baseModel}`);
  for (const { module, parameter, method, rank, scale, inputs, outputs, dtype } of modules) {
    const name = parameter === "weight" ? module : `${module}.${parameter}`;
    const sides = `${inputs ?? "*"} → ${outputs ?? "*"}`;
    const facts = [name, sides, rank === null ? method : `rank ${rank}  scale ${scale}`, dtype];
    lines.push(`  ${facts.filter(Boolean).join("  ")}`);
  }
  return lines.join("\n");
}

function modelText({ name, kind, modelType, tied, parameters, dtypes, files, recipe, tensors }: ModelDescription): string {
  const lines = [`${name}: ${kind} model${modelType ? ` (${modelType})` : ""}, ${parameters} parameters in ${files.length} files`];
  if (tied) lines.push("  embeddings are tied");
  for (const [dtype, { tensors: count, bytes }] of Object.entries(dtypes)) lines.push(`  ${dtype}: ${count} tensors, ${size(bytes)}`);
  if (recipe) lines.push(`  recipe: ${JSON.stringify(recipe)}`);
  for (const tensor of tensors) lines.push(`  ${tensor.name}  ${tensor.dtype} [${tensor.shape.join(", ")}]  ${tensor.file}`);
  return lines.join("\n");
}
