import { inspect, type Description } from "lorafold";
import type { Repository } from "lorafold/hub";
import { counted, digits } from "./format.js";
import { hubFile, hubOptions } from "./hub-access.js";
import type { Picked } from "./picked.js";

/** What an input is, told from its headers and configuration. */
export interface About {
  kind: "adapter" | "base";
  /** In a few words. */
  text: string;
  /** The base that an adapter names. */
  baseModel?: string;
}

/** What was found out already; inputs do not change. */
const known = new WeakMap<Picked, Promise<About>>();

/** What an input is. */
export function about(picked: Picked, role: "base" | "adapter"): Promise<About> {
  let found = known.get(picked);
  if (!found) {
    found = describe(picked, role);
    known.set(picked, found);
    // It may be there another time, or for whoever has a token.
    found.catch(() => known.delete(picked));
  }
  return found;
}

/** Of an adapter elsewhere only the configuration is asked for: the plan reads its weights as a whole, and once is enough. */
async function describe({ source, repository }: Picked, role: "base" | "adapter"): Promise<About> {
  const config = role === "adapter" && typeof source === "string" ? await remoteConfig(source, repository).catch(() => undefined) : undefined;
  return config ? ofConfig(config) : ofDescription(await inspect(source, { hub: hubOptions() }));
}

function ofDescription(found: Description): About {
  if (found.kind !== "adapter") {
    const types = Object.keys(found.dtypes).join(", ");
    const words = [`${large(found.parameters)} parameters`, types, found.modelType, found.kind === "merged" && "merged by lorafold"];
    return { kind: "base", text: words.filter(Boolean).join("\u00a0· ") };
  }
  const { type, r, alpha, rslora, baseModel, modules } = found;
  return adapter({ type, r, alpha, rslora, baseModel, modules: modules.length });
}

/** The adapter_config.json of an adapter's folder; `undefined` where there is none. */
async function remoteConfig(source: string, repository: Repository | undefined): Promise<Record<string, unknown> | undefined> {
  const { token } = hubOptions();
  const folder = source.replace(/\/[^/]*\.(safetensors|bin)$/, "").replace(/\/?$/, "/");
  const url = repository ? hubFile({ ...repository, file: "adapter_config.json" }) : new URL("adapter_config.json", folder).href;
  const response = await fetch(url, { headers: repository && typeof token === "string" ? { authorization: `Bearer ${token}` } : {} });
  return response.ok ? ((await response.json()) as Record<string, unknown>) : undefined;
}

function ofConfig(config: Record<string, unknown>): About {
  const number = (value: unknown) => (typeof value === "number" ? value : null);
  const text = (value: unknown) => (typeof value === "string" && value !== "" ? value : null);
  return adapter({
    type: text(config["peft_type"]) ?? "LORA", r: number(config["r"]), alpha: number(config["lora_alpha"]),
    rslora: config["use_rslora"] === true, baseModel: text(config["base_model_name_or_path"]), modules: undefined,
  });
}

interface AdapterFacts {
  type: string;
  r: number | null;
  alpha: number | null;
  rslora: boolean;
  baseModel: string | null;
  modules: number | undefined;
}

function adapter({ type, r, alpha, rslora, baseModel, modules }: AdapterFacts): About {
  const words = [
    type === "LORA" ? (rslora ? "rsLoRA" : "LoRA") : type,
    r !== null && `rank ${digits(r)}`,
    alpha !== null && `alpha ${digits(alpha)}`,
    modules !== undefined && counted(modules, "module"),
    baseModel !== null && `trained on ${baseModel}`,
  ];
  return { kind: "adapter", text: words.filter(Boolean).join("\u00a0· "), ...(baseModel !== null && { baseModel }) };
}

const UNITS = ["", " thousand", " million", " billion", " trillion"];

/** 1234567890 → "1.23 billion". */
function large(value: number): string {
  let unit = 0;
  let scaled = value;
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000;
    unit++;
  }
  return `${digits(scaled, 3)}${UNITS[unit]}`;
}
