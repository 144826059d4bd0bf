import { fileError, wrongValue } from "../errors.js";
import type { AbortSignal } from "../globals.js";
import { asHub, type HubAccess } from "../sources/hub.js";
import { NETWORK } from "../sources/network.js";
import { parseRepository } from "../sources/repository.js";
import { readAll } from "../sources/request.js";
import type { HubOptions } from "../types.js";

/** What is looked for on the hub. */
export interface SearchOptions {
  /** Words of the name. */
  query?: string;
  /** Only adapters that were trained on this base: `org/name`, or any address of it. */
  adaptersOf?: string;
  /** The most models that are found; 20 by default, 100 at most. */
  limit?: number;
  /** Which hub, and as whom. */
  hub?: HubOptions;
  /** Stops the search. */
  signal?: AbortSignal;
}

/** A model that the hub has. */
export interface FoundModel {
  /** `org/name` */
  name: string;
  /** In the last 30 days. */
  downloads: number;
  likes: number;
  /** Whether terms must be accepted before its files can be read. */
  gated: boolean;
  /** Whether only its owner sees it. */
  private: boolean;
  /** What the hub says it is for, such as `text-generation`. */
  task?: string;
  /** The library that it was made with, such as `peft`. */
  library?: string;
}

/** See {@link HubApi.searchModels}. */
export async function searchModels({ query = "", adaptersOf, limit = 20, signal }: SearchOptions, access: HubAccess): Promise<FoundModel[]> {
  if (!(Number.isInteger(limit) && limit >= 1 && limit <= 100)) throw wrongValue("limit", limit, "a number from 1 to 100");
  const search = new URLSearchParams({ sort: "downloads", limit: String(limit) });
  if (query.trim() !== "") search.set("search", query.trim());
  if (adaptersOf !== undefined) {
    const base = parseRepository(adaptersOf, access.endpoint);
    if (!base) throw wrongValue("adaptersOf", adaptersOf, "a model of the hub, such as org/name");
    search.set("filter", `base_model:adapter:${base.name}`);
  }
  for (const field of ["downloads", "likes", "gated", "private", "pipeline_tag", "library_name"]) search.append("expand", field);
  const url = `${access.endpoint}/api/models`;
  const options = await asHub("the search", { network: NETWORK, ...(signal && { signal }) }, access);
  const found = await readAll(`${url}?${search}`, (response) => response.json() as Promise<unknown>, options);
  if (!Array.isArray(found)) throw fileError("fetch-failed", url, "the hub's answer to a search is not a list");
  return found.flatMap(model);
}

/** A model as the hub tells of it, as far as it is one. */
function model(told: unknown): FoundModel[] {
  if (typeof told !== "object" || told === null) return [];
  const { id, downloads, likes, gated, private: hidden, pipeline_tag: task, library_name: library } = told as Record<string, unknown>;
  if (typeof id !== "string" || !id.includes("/")) return [];
  const count = (value: unknown) => (typeof value === "number" ? value : 0);
  return [{
    name: id, downloads: count(downloads), likes: count(likes), gated: gated !== undefined && gated !== false, private: hidden === true,
    ...(typeof task === "string" && { task }), ...(typeof library === "string" && { library }),
  }];
}
