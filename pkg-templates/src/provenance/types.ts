import type { AdapterSettings, PlanSettings, Recipe } from "../schema.js";

export const STATEMENT = "https://in-toto.io/Statement/v1";
export const PROVENANCE = "https://slsa.dev/provenance/v1";
export const BUILDER = "https://github.com/lorafold/lorafold";
export const BUILD_TYPE = `${BUILDER}/blob/main/docs/provenance.md#merge`;

/** A file, by its name and its hash: a ResourceDescriptor of the in-toto attestation framework, version 1. */
export interface ResourceDescriptor {
  name: string;
  /** Where it can be had again, where that is known and no secret. */
  uri?: string;
  digest?: { sha256: string };
  annotations?: { role: "base" | "adapter"; adapter?: number };
}

/** What a merge was asked for, beside its base and its adapters: as the API takes it. */
export interface ReceiptParameters {
  /** The options that were given. */
  options: PlanSettings;
  /** Where the base can be had, where that is known and no secret. */
  base?: string;
  /** Each adapter, in its order: what was asked of it, and where it can be had. */
  adapters: (AdapterSettings & { source?: string })[];
  /** Whether values may leave the finite range. */
  allowNonfinite?: true;
  /** What the merged files record of their making. */
  recipe: Recipe;
}

/**
 * The receipt of a merge: an unsigned in-toto Statement (https://in-toto.io/Statement/v1) whose predicate is SLSA's provenance (https://slsa.dev/provenance/v1).
 * It contains no time unless the caller gives one, so that the same merge gives the same receipt.
 */
export interface Receipt {
  _type: typeof STATEMENT;
  /** The files of the output. */
  subject: (ResourceDescriptor & { digest: { sha256: string } })[];
  predicateType: typeof PROVENANCE;
  predicate: {
    buildDefinition: {
      buildType: typeof BUILD_TYPE;
      externalParameters: ReceiptParameters;
      /** The weight files of the base, the files of the adapters. */
      resolvedDependencies: ResourceDescriptor[];
    };
    runDetails: {
      builder: { id: typeof BUILDER; version: { lorafold: string } };
      metadata?: ReceiptMetadata;
    };
  };
}

/** What of a receipt only the caller knows. */
export interface ReceiptMetadata {
  /** What the caller calls this run. */
  invocationId?: string;
  /** When it began, as RFC 3339 writes it. */
  startedOn?: string;
  /** When it ended. */
  finishedOn?: string;
}
