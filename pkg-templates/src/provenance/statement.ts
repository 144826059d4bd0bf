import { PLAN_SETTINGS } from "../options.js";
import { adapterSettings } from "../prepare.js";
import type { PlanSettings, Report } from "../schema.js";
import { address } from "../sources/address.js";
import { isOnHub } from "../sources/on-hub.js";
import type { AdapterOptions, MergeOptions, SourceLike } from "../types.js";
import { BUILD_TYPE, BUILDER, PROVENANCE, type Receipt, type ReceiptMetadata, type ResourceDescriptor, STATEMENT } from "./types.js";

/** The receipt of a merge. `subject`: the files of the output with their hashes; `endpoint`: where the hub is. */
export function statementOf({ recipe, lorafold }: Pick<Report, "recipe" | "lorafold">, subject: Receipt["subject"], merge: MergeOptions, metadata: ReceiptMetadata, endpoint: string): Receipt {
  const { base } = merge;
  const given = merge.adapters.map((adapter): AdapterOptions => (isOptions(adapter) ? adapter : { source: adapter }));
  const origins = recipe.adapters.map(({ origin }, number) => origin ?? uriOf(given[number]!.source, endpoint));
  const baseOrigin = recipe.base.origin ?? uriOf(base, endpoint);
  const file = (role: "base" | "adapter", origin: string | undefined, name: string, sha256: string | undefined, adapter?: number): ResourceDescriptor => ({
    name,
    ...(origin !== undefined && { uri: fileIn(origin, name) }),
    ...(sha256 !== undefined && { digest: { sha256 } }),
    annotations: { role, ...(adapter !== undefined && { adapter }) },
  });
  return {
    _type: STATEMENT,
    subject,
    predicateType: PROVENANCE,
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: {
          options: picked<PlanSettings>(merge, PLAN_SETTINGS),
          ...(baseOrigin !== undefined && { base: baseOrigin }),
          adapters: given.map((adapter, number) => ({ ...adapterSettings(adapter), ...(origins[number] !== undefined && { source: origins[number] }) })),
          ...(merge.allowNonfinite && { allowNonfinite: true }),
          recipe,
        },
        resolvedDependencies: [
          ...recipe.base.files.map(({ name, sha256 }) => file("base", baseOrigin, name, sha256)),
          // A whole model in the place of an adapter has its own list, as a base has.
          ...recipe.adapters.flatMap(({ files, model }, number) => [...files, ...(model?.files ?? [])].map(({ name, sha256 }) => file("adapter", origins[number], name, sha256, number))),
        ],
      },
      runDetails: { builder: { id: BUILDER, version: { lorafold } }, ...(Object.keys(metadata).length > 0 && { metadata }) },
    },
  };
}

const isOptions = (adapter: SourceLike | AdapterOptions): adapter is AdapterOptions => typeof adapter === "object" && "source" in adapter;

/** Where a source can be had again: its address, without what may be a secret. Of a path, files or functions, nothing: they are this machine's business. */
function uriOf(source: SourceLike, endpoint: string): string | undefined {
  const url = source instanceof URL ? source.href : typeof source === "string" ? source : typeof source === "object" && "url" in source ? String(source.url) : undefined;
  // A repository without a commit may be another one tomorrow: its files' hashes say which it was.
  if (url === undefined) return undefined;
  return /^https?:\/\//i.test(url) || (/^hf:\/\//i.test(url) && isOnHub(url, endpoint)) ? address(url) : undefined;
}

/** The address of a file in a folder, or of the one file that the address names. */
function fileIn(origin: string, name: string): string {
  const escaped = encodeURIComponent(name);
  const [, path, revision = ""] = /^(hf:\/\/[^@]*)(@.*)?$/i.exec(origin) ?? [];
  if (path !== undefined) return `${path}/${escaped}${revision}`;
  return origin.endsWith(`/${escaped}`) ? origin : `${origin.replace(/\/[^/]+\.(safetensors|bin|json)$/, "").replace(/\/$/, "")}/${escaped}`;
}

function picked<T extends object>(given: object, names: Readonly<Record<keyof T, true>>): T {
  const values = Object.keys(names).map((name): [string, unknown] => [name, Reflect.get(given, name)]);
  return Object.fromEntries(values.filter(([, value]) => value !== undefined)) as T;
}
