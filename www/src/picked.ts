import type { SourceLike } from "lorafold";
import { bytes, counted } from "./format.js";

/** A base or an adapter as the user chose it. */
export interface Picked {
  name: string;
  source: SourceLike;
  /** What it is, in a few words. */
  detail: string;
  /** Judged by its file names. */
  looksLikeAdapter: boolean;
}

/** A folder's files, or some files, as one thing. `undefined` when there are none. */
export function pickFiles(files: readonly File[]): Picked | undefined {
  const visible = files.filter((file) => !file.name.startsWith("."));
  const direct = visible.filter(isDirectlyInside);
  const first = direct[0];
  if (!first) return undefined;
  const names = direct.map((file) => file.name);
  const folder = first.webkitRelativePath.split("/")[0];
  const weights = names.filter((name) => name.endsWith(".safetensors"));
  const size = direct.reduce((sum, file) => sum + file.size, 0);
  return {
    name: folder || (weights.length === 1 ? weights[0]!.replace(/\.safetensors$/, "") : `${weights.length || names.length} files`),
    // Those in sub-folders too: the plan says that they are not copied.
    source: visible,
    detail: `${counted(direct.length, "file")}, ${bytes(size)}`,
    looksLikeAdapter: names.some((name) => name === "adapter_config.json" || name.startsWith("adapter_model")),
  };
}

/** Of a picked folder the browser gives every file below it; models have theirs at the top. */
function isDirectlyInside(file: File): boolean {
  return file.webkitRelativePath.split("/").length <= 2;
}

/** What an address points to; `undefined` when it is none. A repository's name alone means the hub's. */
export function pickUrl(text: string): Picked | undefined {
  const trimmed = text.trim();
  const url = /^[\w.-]+\/[\w.-]+(@[\w./-]+)?$/.test(trimmed) ? `hf://${trimmed}` : trimmed;
  if (!/^(https?|hf):\/\/./.test(url)) return undefined;
  const path = url.replace(/[?#].*$/, "").replace(/\/+$/, "");
  const last = path.split("/").at(-1)!;
  return {
    name: last.replace(/\.safetensors$/, ""),
    source: url,
    detail: url,
    looksLikeAdapter: /adapter|lora/i.test(last),
  };
}
