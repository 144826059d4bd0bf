// Generated from the types of the crate by `npm run schema`: do not edit. A test of the crate fails while the two differ.

/**
 * What an adapter is.
 */
export type AdapterDescription = {
  /**
   * Distinguishes it from a model.
   */
  kind: "adapter",
  /**
   * Name of its folder.
   */
  name: string,
  /**
   * The `peft_type` of its configuration.
   */
  type: string,
  /**
   * Which tool's spelling it has.
   */
  convention: "peft",
  /**
   * Rank unless a pattern says otherwise, if it has one.
   */
  r: number | null,
  /**
   * Alpha unless a pattern says otherwise, if it has one.
   */
  alpha: number | null,
  /**
   * Whether its scale is α/√r instead of α/r.
   */
  rslora: boolean,
  /**
   * The base that its configuration names.
   */
  baseModel: string | null,
  /**
   * Its files.
   */
  files: Array<FileDigest>,
  /**
   * The modules that it changes.
   */
  modules: Array<ModuleDescription>,
};

/**
 * One adapter in a report.
 */
export type AdapterReport = {
  /**
   * What errors and reports call it.
   */
  name: string,
  /**
   * Factor on its whole delta.
   */
  weight: number,
  /**
   * The `peft_type` of its configuration.
   */
  type: string,
  /**
   * Whether its scale is α/√r instead of α/r.
   */
  rslora: boolean,
  /**
   * The base that its configuration names.
   */
  baseModel: string | null,
  /**
   * Whether the base is that one, by its names.
   */
  namedBase: "unknown" | "same" | "quantised" | "mirror" | "other",
  /**
   * Number of modules that it has tensors for.
   */
  modules: number,
  /**
   * Number of its modules that are merged.
   */
  matched: number,
  /**
   * The tensors that it would change, and does not: `only`, `skip` or a factor of 0 leaves them out.
   */
  leftOut?: Array<string>,
  /**
   * Each scale that it has.
   */
  scales: Array<ScaleReport>,
};

/**
 * One adapter of a request.
 */
export type AdapterRequest = {
  /**
   * Its files.
   */
  folder: ListedFolder,
  /**
   * Its own options.
   */
  options: AdapterSettings,
};

/**
 * What is asked of one adapter.
 */
export type AdapterSettings = {
  /**
   * Factor on the whole delta, any finite number; `1` by default.
   * @default 1
   */
  weight?: number,
  /**
   * Share of its deltas that is kept, in place of the one of all adapters.
   */
  density?: number,
  /**
   * Replaces the `lora_alpha` of its configuration, patterns included.
   */
  alpha?: number,
  /**
   * How the columns of `lora_B` are ordered where it has the factors of many experts: `rank` (default), for each position of the rank those of
   * all experts, as PEFT has them, or `expert`, for each expert those of its rank, as Unsloth wrote them before September 2026.
   * @default "rank"
   */
  expertPacking?: "rank" | "expert",
  /**
   * The base is the one that was saved with the adapter, from which its initialisation (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) has taken a part; `false` by default.
   * @default false
   */
  residualBase?: boolean,
  /**
   * How often the delta of `out_proj` in an nn.MultiheadAttention is added: `twice` (default) as PEFT does in the training and in its merge, or `once`.
   * @default "twice"
   */
  outProj?: "twice" | "once",
  /**
   * Which adapter is meant, by its name, where a file or a folder has several.
   */
  adapter?: string,
  /**
   * Factors on its delta in some tensors, beside `weight`: of several entries for a tensor the last counts. They may be negative; 0 leaves out.
   */
  weights?: Array<ModuleWeight>,
  /**
   * Factors on its delta in the blocks of an image model, as sd-scripts, sd-webui-lora-block-weight and ComfyUI-Inspire-Pack have them: 17 or 26 numbers
   * (SD 1.5), 12 or 20 (SDXL), 58 or 61 (Flux), with commas between them, or the name of a list: `NONE`, `ALL`, `INS`, `IND`, `INALL`, `MIDD`, `OUTD`, `OUTS`,
   * `OUTALL`, `FLUXALL`, `FLUX-ALL`, `FLUX-DBL-FRONT7`, …
   */
  blockWeights?: string,
  /**
   * Merge only its deltas of tensors in whose name one of these regular expressions matches somewhere.
   */
  only?: Array<string>,
  /**
   * Leave out its deltas of tensors in whose name one of these regular expressions matches somewhere.
   */
  skip?: Array<string>,
};

/**
 * The base in a report.
 */
export type BaseReport = {
  /**
   * Name of its folder.
   */
  name: string,
  /**
   * Number of tensors of the output: the base's, and an output layer that was tied and gets a tensor of its own.
   */
  tensors: number,
};

/**
 * A job of a check: elements, or bytes, of a tensor that are looked at.
 */
export type CheckJob = {
  /**
   * The check.
   */
  check: number,
  /**
   * Number of the job in it.
   */
  job: number,
  /**
   * First element.
   */
  first: number,
  /**
   * Number of elements.
   */
  count: number,
};

/**
 * What is asked of adapters that become one.
 */
export type CombineSettings = {
  /**
   * How the adapters become one, as PEFT's `add_weighted_adapter` calls it: `svd` (default) keeps the largest singular values of the exact
   * weighted sum, `cat` has the factors one beside the other and is exact. `linear`, `ties`, `dare_linear`, `dare_ties` and
   * `magnitude_prune` work on the matrices A and B by themselves, those that end in `_svd` on the deltas.
   * @default "svd"
   */
  method?: "svd" | "cat" | "linear" | "ties" | "ties_svd" | "dare_linear" | "dare_ties" | "dare_linear_svd" | "dare_ties_svd" | "magnitude_prune" | "magnitude_prune_svd",
  /**
   * Singular values that are kept at most; by default as many as the largest rank of the adapters. For `svd` and the methods that end in it.
   */
  rank?: number,
  /**
   * The fewest singular values are kept that have this share of the sum of squares of all of them.
   */
  energy?: number,
  /**
   * The share of values that `ties`, `dare_…` and `magnitude_prune` keep of each tensor: from 0 to 1.
   */
  density?: number,
  /**
   * How `ties` elects the sign of a value: `total` (default), that of the sum, or `frequency`, that of the majority.
   * @default "total"
   */
  majoritySign?: "total" | "frequency",
  /**
   * Decides the random numbers of `dare_…`, and where the search for singular values begins; 0 by default.
   */
  seed?: number,
  /**
   * The type of the factors: `float32` (default; `float64` where an adapter has that), `float16`, `bfloat16`.
   */
  dtype?: "float32" | "float64" | "float16" | "bfloat16",
};

/**
 * What a method did to the values of one adapter's delta in a tensor: numbers of elements.
 */
export type DeltaReport = {
  /**
   * The adapter's name.
   */
  adapter: string,
  /**
   * Values of its delta that are not zero.
   */
  values: number,
  /**
   * Those of them that were kept.
   */
  kept: number,
  /**
   * Those of the kept ones whose sign is the elected one, which were added: all, where no signs are elected.
   */
  elected: number,
};

/**
 * What a folder is.
 */
export type Description = ModelDescription | AdapterDescription;

/**
 * The tensors of one element type.
 */
export type DtypeTotal = {
  /**
   * Number of tensors.
   */
  tensors: number,
  /**
   * Their bytes.
   */
  bytes: number,
};

/**
 * The stable codes: part of the API, the same in Rust, JavaScript and on the command line. None is ever renamed; new ones may come.
 */
export type ErrorCode = "bad-header" | "truncated" | "bad-config" | "wrong-input" | "unmatched-key" | "shape-mismatch" | "missing-pair" | "unsupported" | "non-finite" | "source-changed" | "base-mismatch" | "fetch-failed" | "no-range-support" | "write-failed" | "out-of-space" | "aborted" | "limit-exceeded" | "bad-option" | "internal";

/**
 * What an error knows besides its sentence. A field is there only if it is known.
 */
export type ErrorFacts = {
  /**
   * What happened, more precisely than the code.
   */
  kind?: ErrorKind,
  /**
   * The file, or its URL.
   */
  file?: string,
  /**
   * The adapter's name.
   */
  adapter?: string,
  /**
   * The tensor, or the adapter's key.
   */
  tensor?: string,
  /**
   * The option or the field of a configuration.
   */
  field?: string,
  /**
   * The element's index in row-major order.
   */
  element?: number,
  /**
   * What was found.
   */
  found?: string,
  /**
   * What was expected instead.
   */
  expected?: string,
  /**
   * What the user can do about it.
   */
  fix?: string,
};

/**
 * What happened, finer than the code: what a page or a script may branch on. Most errors need none beyond their code.
 */
export type ErrorKind = "adapter-as-base" | "base-as-adapter" | "no-weights" | "several-models" | "several-adapters" | "missing-shard" | "pickle" | "other-format" | "web-page" | "lfs-pointer" | "quantised-base" | "tied-head" | "ambiguous-part" | "other-shape" | "not-implemented" | "unknown-field" | "no-config" | "unmatched-pattern" | "not-found" | "access-denied" | "gated-repository" | "no-repository" | "no-revision" | "rate-limited" | "output-not-empty" | "output-is-input" | "no-memory";

/**
 * How far what an adapter holds of its base is from the base: of each sampled value or row the relative deviation.
 */
export type Evidence = {
  /**
   * The adapter.
   */
  adapter: string,
  /**
   * What was compared.
   */
  kind: "magnitudes" | "copies",
  /**
   * How many weights the samples are of.
   */
  weights: number,
  /**
   * How many values were compared: of magnitudes, or of elements.
   */
  samples: number,
  /**
   * The median of the relative deviations; 0 where all are equal.
   */
  median: number,
  /**
   * The largest of them.
   */
  largest: number,
  /**
   * The median of the relative deviations of the base's values from others of the same weight: how well they can be told apart.
   */
  spread: number,
  /**
   * The share of the values that are nearer to the base's own than to another one: half of them, by chance.
   */
  closer: number,
  /**
   * What that means.
   */
  verdict: "same" | "other" | "unclear",
  /**
   * The same in a sentence.
   */
  says: string,
};

/**
 * An adapter that a merged model should contain.
 */
export type ExpectedAdapter = {
  /**
   * Its name.
   */
  name: string,
  /**
   * Factor on its whole delta.
   */
  weight: number,
};

/**
 * What is asked of a fine-tuned model that becomes an adapter.
 */
export type ExtractSettings = {
  /**
   * Singular values that are kept of each weight at most; 16 by default, and all it takes where an energy is given.
   */
  rank?: number,
  /**
   * The fewest singular values are kept that have this share of the sum of squares of all of them.
   */
  energy?: number,
  /**
   * What becomes of what LoRA has no factors for (norms, biases, embeddings) where it differs: `save` (default) brings it along as a whole,
   * `refuse` is an error, `drop` leaves it out.
   * @default "save"
   */
  others?: "save" | "refuse" | "drop",
  /**
   * Take only weights in whose name this regular expression matches somewhere.
   */
  only?: string,
  /**
   * Leave out tensors in whose name this regular expression matches somewhere.
   */
  skip?: string,
  /**
   * Decides where the search for singular values begins; 0 by default.
   */
  seed?: number,
  /**
   * The type of the factors: `float32` (default), `float16`, `bfloat16`, `float64`.
   * @default "float32"
   */
  dtype?: "float32" | "float64" | "float16" | "bfloat16",
};

/**
 * A job that gathers what a program must know of its whole weight.
 */
export type FactJob = {
  /**
   * First element that it goes through.
   */
  first: number,
  /**
   * Number of elements.
   */
  count: number,
  /**
   * The bytes of inputs that it needs, as far as they are not operands of the program.
   */
  reads: Array<Span>,
};

/**
 * The factors of a module.
 */
export type FactorsModule = {
  /**
   * Its path.
   */
  module: string,
  /**
   * Rank of the factors.
   */
  rank: number,
  /**
   * The Frobenius norm of the delta that they are made from.
   */
  norm: number,
  /**
   * The share of that delta's sum of squares which the factors keep: 1 where they are exact.
   */
  energy: number,
  /**
   * How far the result is from the exact weighted sum of the adapters: the Frobenius norm of the difference over that of the sum. What
   * methods on the matrices A and B add by cross terms (A of one adapter times B of another) shows here.
   */
  deviation?: number,
};

/**
 * A tensor that LoRA has no factors for.
 */
export type FactorsOther = {
  /**
   * Its name.
   */
  tensor: string,
  /**
   * The Frobenius norm of its delta, where it has one.
   */
  norm?: number,
  /**
   * Whether the adapter brings it along as a whole.
   */
  saved: boolean,
};

/**
 * What `combine` or `extract` made.
 */
export type FactorsReport = {
  /**
   * How: a method of `combine`, or `extract`.
   */
  method: string,
  /**
   * The type of the factors.
   */
  dtype: string,
  /**
   * The rank that modules have where nothing else is said of them.
   */
  rank: number,
  /**
   * The modules with factors, in the order of their paths.
   */
  modules: Array<FactorsModule>,
  /**
   * What is brought along as a whole, or was left out.
   */
  others: Array<FactorsOther>,
  /**
   * What the user should know.
   */
  findings: Array<Finding>,
};

/**
 * An adapter to be made: of adapters, where `combine` is there, or of a base and a fine-tuned model, where `extract` is. The files of all folders
 * are the inputs, one folder after another: adapters in their order; or base, then model.
 */
export type FactorsRequest = {
  /**
   * The adapters.
   */
  adapters?: Array<AdapterRequest>,
  /**
   * How they become one.
   */
  combine?: CombineSettings,
  /**
   * The base and the model; where adapters are combined, their base, if it is given.
   */
  models?: Array<ListedFolder>,
  /**
   * How their difference becomes an adapter.
   */
  extract?: ExtractSettings,
};

/**
 * A file and its hash.
 */
export type FileDigest = {
  /**
   * Name inside its folder.
   */
  name: string,
  /**
   * The sha256 of its bytes in hex.
   */
  sha256: string,
};

/**
 * A file and its size.
 */
export type FileSize = {
  /**
   * Name inside its folder.
   */
  name: string,
  /**
   * Size in bytes.
   */
  size: number,
};

/**
 * Something the user should know, short of an error.
 */
export type Finding = {
  /**
   * How much it matters.
   */
  level: "info" | "warning",
  /**
   * Stable code, such as `prefix-rewritten`.
   */
  code: string,
  /**
   * One sentence.
   */
  message: string,
  /**
   * The adapter concerned.
   */
  adapter?: string,
  /**
   * The tensor or key concerned.
   */
  tensor?: string,
};

/**
 * What a tensor is instead of the merge.
 */
export type Instead = {
  /**
   * `not-applied`, `twice`, `sign-flipped`, `scale-alpha-over-r`, `scale-alpha-over-sqrt-r`, `scale-alpha`, `scale-one`, `scale-twice`,
   * `weight-ignored`, `weight-twice`, `other-weight`, `transposed`, `halves-swapped`, `halves-interleaved`, `no-magnitude`, `linear` (the weighted
   * sum), `other-density`, `other-mask` (other random numbers), `not-the-base` (of a tensor that no adapter changes), `other-shape`, `other-type`,
   * `not-finite`.
   */
  what: string,
  /**
   * The adapter concerned, where it is one of several.
   */
  adapter?: string,
  /**
   * The least and the most that the factor on the expected delta can be, of `other-weight`; that the share of the adapter's delta can be which was kept, of
   * `other-density`.
   */
  factor?: [number, number],
};

/**
 * What tensors are instead, and how many.
 */
export type InsteadCount = {
  /**
   * As in `Instead`; `other-base` where tensors differ that no adapter changes, `unexplained` where nothing that is known explains all elements.
   */
  what: string,
  /**
   * The adapter concerned, where it is one of several.
   */
  adapter?: string,
  /**
   * Number of tensors.
   */
  tensors: number,
};

/**
 * One file that can be read at any position.
 */
export type ListedFile = {
  /**
   * Name inside its folder.
   */
  name: string,
  /**
   * Size in bytes; `UNKNOWN_SIZE` if its server does not say.
   */
  size?: number,
  /**
   * What its source calls this version of it (such as an ETag), if it does.
   */
  version?: string,
  /**
   * The sha256 of its bytes in hex, if its source knows it.
   */
  sha256?: string,
};

/**
 * The files of one base or adapter, and their place among all inputs.
 */
export type ListedFolder = {
  /**
   * What errors and reports call it.
   */
  name: string,
  /**
   * The files, in the order of the inputs.
   */
  files: Array<ListedFile>,
  /**
   * Names of folders inside it. They are not read; the names are for the report.
   */
  folders?: Array<string>,
  /**
   * Where it can be found again, for the recipe: `hf://org/name@commit`. Nothing for private places, such as a path of this machine.
   */
  origin?: string,
};

/**
 * What a base or a merged model is.
 */
export type ModelDescription = {
  /**
   * Whether it carries a recipe.
   */
  kind: "base" | "merged",
  /**
   * Name of its folder.
   */
  name: string,
  /**
   * The `model_type` of its configuration.
   */
  modelType: string | null,
  /**
   * The `tie_word_embeddings` of its configuration.
   */
  tied: boolean | null,
  /**
   * Number of elements of all tensors.
   */
  parameters: number,
  /**
   * The element types of its tensors, by their safetensors names.
   */
  dtypes: { [key in string]: DtypeTotal },
  /**
   * Its weight files.
   */
  files: Array<WeightFile>,
  /**
   * The sha256 in hex that tells it from others, where it is known or was asked for; what `expectBase` takes. See `Base::sha256`(crate::plan::Base::sha256).
   */
  sha256: string | null,
  /**
   * What its config.json says that it was loaded from (`_name_or_path`).
   */
  named: string | null,
  /**
   * The metadata of its weight files, in their order, without the recipe.
   */
  metadata: Record<string, string>,
  /**
   * The recipe of a merged model, as its files have it.
   */
  recipe: Record<string, unknown> | null,
  /**
   * Its tensors.
   */
  tensors: Array<TensorDescription>,
};

/**
 * A module that an adapter changes.
 */
export type ModuleDescription = {
  /**
   * Path of the module in the model.
   */
  module: string,
  /**
   * The module's parameter: `weight`, `bias`.
   */
  parameter: string,
  /**
   * The method.
   */
  method: string,
  /**
   * Rank r, if it has a scale.
   */
  rank: number | null,
  /**
   * Alpha after patterns, if it has a scale.
   */
  alpha: number | null,
  /**
   * α/r or α/√r, if it has a scale.
   */
  scale: number | null,
  /**
   * Width of the module's input, if the adapter tells it.
   */
  inputs: number | null,
  /**
   * Width of the module's output, if the adapter tells it.
   */
  outputs: number | null,
  /**
   * Element type of its first factor, by its safetensors name.
   */
  dtype: string | null,
};

/**
 * A factor on an adapter's delta in some of its tensors, beside the factor on all of it. What is given of `match`, `layers` and `blocks`, one at
 * least, says which: those of which all holds. Of several entries that say so the last counts.
 */
export type ModuleWeight = {
  /**
   * A regular expression, Python's, that matches somewhere in the tensor's name in the base.
   */
  match?: string,
  /**
   * Layers, counted from 0: `0-7`, `8-`, `-3`, `5`, with commas between them. A tensor's layer is the first number in its name.
   */
  layers?: string,
  /**
   * Blocks of an image model: `IN00` to `IN11`, `MID`, `OUT00` to `OUT11` of Stable Diffusion's UNet; `D00`, … (`double_blocks`, SD3's `joint_blocks`,
   * also called `J00`, …) and `S00`, … (`single_blocks`) of Flux and SD3; `BASE` for all else; `IN`, `OUT`, `D`, `S` for a side; with `-` between the first and
   * the last of several, and commas.
   */
  blocks?: string,
  /**
   * The factor.
   */
  weight: number,
};

/**
 * A run of output bytes, and where it comes from.
 */
export type Piece = { kind: "plan",
  /**
   * First byte in the output file.
   */
  at: number,
  /**
   * Number of bytes.
   */
  bytes: number,
} | { kind: "copy",
  /**
   * First byte in the output file.
   */
  at: number,
  /**
   * Number of bytes.
   */
  bytes: number,
  /**
   * Number of the input.
   */
  input: number,
  /**
   * First byte in the input.
   */
  start: number,
} | { kind: "compute",
  /**
   * First byte in the output file.
   */
  at: number,
  /**
   * Number of bytes.
   */
  bytes: number,
  /**
   * Number of the tensor in the plan, and of its program.
   */
  program: number,
  /**
   * First element that is computed.
   */
  first: number,
  /**
   * Number of elements that are computed; their bytes enclose the piece's.
   */
  count: number,
  /**
   * Computed bytes that are before the piece.
   */
  skip: number,
  /**
   * Elements that are best computed at a time, where nothing else asks for more: they stay in the processor's cache from the read to the write.
   */
  step: number,
  /**
   * The source's bytes of these elements. The first span is the one that a `Run` streams.
   */
  reads: Array<Span>,
};

/**
 * What is to be planned. The files of all folders are the inputs, one folder after another.
 */
export type PlanRequest = {
  /**
   * The base.
   */
  base: ListedFolder,
  /**
   * The adapters, in their order.
   */
  adapters: Array<AdapterRequest>,
  /**
   * Options of the merge.
   */
  options: PlanSettings,
};

/**
 * What is asked of a merge.
 */
export type PlanSettings = {
  /**
   * Element type of the floating-point tensors of the output; `keep` (default) keeps every tensor's own.
   * @default "keep"
   */
  dtype?: "keep" | "float32" | "float16" | "bfloat16",
  /**
   * How the deltas of several adapters combine: `linear` (default), the exact weighted sum; `magnitude_prune` and `ties` keep the largest values
   * of each delta, `dare_linear` and `dare_ties` random ones; `ties` and `dare_ties` add up only those whose sign is elected. The others are
   * mergekit's; docs/combining.md describes all of them.
   * @default "linear"
   */
  method?: "linear" | "magnitude_prune" | "ties" | "dare_linear" | "dare_ties" | "breadcrumbs" | "breadcrumbs_ties" | "della_linear" | "della" | "sce" | "model_stock" | "slerp" | "nuslerp" | "karcher",
  /**
   * Share of each delta that is kept, above 0 and up to 1: needed by every method that prunes, unless each adapter has its own.
   */
  density?: number,
  /**
   * How a sign is elected: `total` (default) by the sum of the deltas, `frequency` by how many are positive or negative.
   * @default "total"
   */
  majoritySign?: "total" | "frequency",
  /**
   * Share of the largest values that `breadcrumbs` drops; `0.01` by default.
   * @default 0.01
   */
  gamma?: number,
  /**
   * How far the probability to be kept is from the density for the smallest and the largest value of a row, in `della`; `0.15` by default.
   * @default 0.15
   */
  epsilon?: number,
  /**
   * Whether the sum is divided: by how many deltas agree on the sign (`mergekit`: by the sum of their weights), or where no sign is elected by
   * the sum of all weights. By default `ties` and `dare_ties` do (`mergekit`: `ties` alone).
   */
  normalize?: boolean,
  /**
   * Whose definition of the method is meant where the two differ: `peft` (default), or `mergekit`, which elects signs by weight times delta,
   * divides by the sum of weights, and scales random values so that the sum of magnitudes stays. Of `slerp` and `karcher`: `mergekit` blends
   * whole weights in place of deltas.
   * @default "peft"
   */
  flavor?: "peft" | "mergekit",
  /**
   * How the sums of merged tensors are rounded to the output's type: `nearest` (default), to even, or `stochastic`, up or down by chance, the
   * likelier the nearer, so that deltas smaller than the type's steps are kept on average.
   * @default "nearest"
   */
  rounding?: "nearest" | "stochastic",
  /**
   * What random numbers begin with: the same give the same bytes everywhere. A whole number, `0` by default.
   * @default 0
   */
  seed?: number,
  /**
   * What becomes of an output layer that is tied to the embedding: `auto` (default) does what the training did, `share` changes the one tensor
   * that they are, `untie` gives the output layer a tensor of its own.
   * @default "auto"
   */
  tied?: "auto" | "share" | "untie",
  /**
   * Merge only tensors in whose name this regular expression matches somewhere.
   */
  only?: string,
  /**
   * Do not merge tensors in whose name this regular expression matches somewhere.
   */
  skip?: string,
  /**
   * Largest size of an output shard in bytes; by default the base's shards are kept.
   */
  maxShardSize?: number,
  /**
   * Adapter keys and patterns that match nothing become findings instead of errors; `false` by default.
   * @default false
   */
  allowUnmatched?: boolean,
  /**
   * Trained weights in an adapter's folder that are no part of the adapter, and are not merged, become findings instead of errors.
   */
  allowUnmerged?: boolean,
  /**
   * Whose tokenizer, chat template, generation and processor configuration the output has: `auto` (default) takes the adapter's where it brings
   * embeddings, else the base's; `base`; `adapter`, which takes the first adapter's that has one.
   * @default "auto"
   */
  tokenizer?: "auto" | "base" | "adapter",
  /**
   * Hash the weight files of the base, and of whole models among the adapters, whose source knows no hash, before the merge, so that the recipe has every
   * one; `false` by default: it reads them once more.
   * @default false
   */
  hashBase?: boolean,
  /**
   * The SHA-256 in hex that the base must have: of its weight file, or of the lines `sha256sum` prints for its several ones in order of name. Another
   * base is the error `base-mismatch`, before anything is written.
   */
  expectBase?: string,
  /**
   * Compare what adapters hold of their base with this base, from samples of a few weights, and put the numbers into the report; `false` by default.
   * @default false
   */
  evidence?: boolean,
  /**
   * What becomes of an embedding and an output layer of which a fine-tuned model, given as an adapter, has another number of rows than the base:
   * `exact` (default) is an error, `intersect` merges the rows that both have, and leaves the rest as the base's.
   * @default "exact"
   */
  vocabulary?: "exact" | "intersect",
  /**
   * The base is a merged model, from which the adapters are taken out again; `false` by default.
   * @default false
   */
  unmerge?: boolean,
};

/**
 * What a merged model was made of, and how.
 */
export type Recipe = {
  /**
   * Version of lorafold.
   */
  lorafold: string,
  /**
   * How the deltas were combined.
   */
  method: string,
  /**
   * Share of each delta that was kept, where that was said of all adapters.
   */
  density?: number,
  /**
   * Share of the largest values that was dropped, where that was said.
   */
  gamma?: number,
  /**
   * How far probabilities were from the density, where that was said.
   */
  epsilon?: number,
  /**
   * How signs were elected, where they were.
   */
  majoritySign?: string,
  /**
   * How they were made.
   */
  random?: string,
  /**
   * Whether the sum was divided, where that was said.
   */
  normalize?: boolean,
  /**
   * Whose definition of the method it was, where it was not PEFT's.
   */
  flavor?: string,
  /**
   * Element type that was asked for, or `keep`.
   */
  dtype: string,
  /**
   * How sums were rounded.
   */
  rounding: string,
  /**
   * What the random numbers begin with, where there are some.
   */
  seed?: number,
  /**
   * The base.
   */
  base: RecipeBase,
  /**
   * The adapters, in their order.
   */
  adapters: Array<RecipeAdapter>,
  /**
   * What became of a tied output layer, where that was asked for.
   */
  tied?: string,
  /**
   * Whose tokenizer stands beside the weights, where that was asked for.
   */
  tokenizer?: string,
  /**
   * Pattern of the names of the tensors that were merged.
   */
  only?: string,
  /**
   * Pattern of the names of the tensors that were not.
   */
  skip?: string,
  /**
   * `intersect` where of vocabularies of two sizes the rows that both have were merged.
   */
  vocabulary?: string,
};

/**
 * An adapter in a recipe.
 */
export type RecipeAdapter = {
  /**
   * Where it can be had again, where a hub has it: `hf://org/name@commit`.
   */
  origin?: string,
  /**
   * Its files.
   */
  files: Array<FileDigest>,
  /**
   * The whole fine-tuned model that it is, of which the difference to the base was merged.
   */
  model?: RecipeBase,
  /**
   * Which one of the adapters in them it is, where that was asked for.
   */
  adapter?: string,
  /**
   * Whether the base is the one that its initialisation has changed, where that was said.
   */
  residual?: boolean,
  /**
   * How the columns of `lora_B` are ordered where it has the factors of many experts, where that was said.
   */
  expertPacking?: string,
  /**
   * Factor on its whole delta.
   */
  weight: number,
  /**
   * Share of its deltas that was kept, where that was said of this adapter.
   */
  density?: number,
  /**
   * Factors on its delta in some tensors, beside that.
   */
  weights?: Array<ModuleWeight>,
  /**
   * Factors on its delta in the blocks of a UNet.
   */
  blockWeights?: string,
  /**
   * Patterns of the names of its tensors that were merged.
   */
  only?: Array<string>,
  /**
   * Patterns of the names of its tensors that were not.
   */
  skip?: Array<string>,
  /**
   * Whether its scale is α/√r instead of α/r.
   */
  rslora: boolean,
  /**
   * Each scale that it has.
   */
  scales: Array<RecipeScale>,
};

/**
 * The base in a recipe.
 */
export type RecipeBase = {
  /**
   * Where it can be had again, where a hub has it: `hf://org/name@commit`.
   */
  origin?: string,
  /**
   * Its weight files.
   */
  files: Array<RecipeFile>,
  /**
   * Its own recipe, as it stands in its files, where it is a merged model.
   */
  recipe?: Record<string, unknown>,
};

/**
 * A weight file of the base in a recipe.
 */
export type RecipeFile = {
  /**
   * Name inside its folder.
   */
  name: string,
  /**
   * Size in bytes.
   */
  size: number,
  /**
   * The sha256 of its bytes in hex, where its source knows it.
   */
  sha256?: string,
};

/**
 * A scale of an adapter.
 */
export type RecipeScale = {
  /**
   * Rank r.
   */
  rank: number,
  /**
   * Alpha after patterns and override.
   */
  alpha: number,
  /**
   * α/r or α/√r.
   */
  scale: number,
};

/**
 * What was decided, and, after a merge, what it did.
 */
export type Report = {
  /**
   * Version of lorafold.
   */
  lorafold: string,
  /**
   * The base.
   */
  base: BaseReport,
  /**
   * The adapters, in the order in which they were given.
   */
  adapters: Array<AdapterReport>,
  /**
   * Number of tensors that adapters change.
   */
  merged: number,
  /**
   * The output files.
   */
  files: Array<FileSize>,
  /**
   * Bytes of all output files.
   */
  outputBytes: number,
  /**
   * Every tensor of the output.
   */
  tensors: Array<TensorReport>,
  /**
   * What of the deltas rounding kept, after a merge.
   */
  signal?: TotalSignal,
  /**
   * What the user should know.
   */
  findings: Array<Finding>,
  /**
   * What speaks for or against the base, where that was asked for.
   */
  evidence: Array<Evidence>,
  /**
   * What the merged files record of their making.
   */
  recipe: Recipe,
};

/**
 * A run of output bytes for which one read of an input is enough. Its pieces take their bytes from it one after another, and skip what is
 * between them.
 */
export type Run = {
  /**
   * The byte after its last one, in the output file.
   */
  end: number,
  /**
   * What is read, or nothing if the plan holds the bytes.
   */
  source: RunSource | null,
};

/**
 * The bytes `start..end` of an input.
 */
export type RunSource = {
  /**
   * Number of the input.
   */
  input: number,
  /**
   * First byte.
   */
  start: number,
  /**
   * The byte after the last.
   */
  end: number,
};

/**
 * A scale of an adapter, and where it comes from.
 */
export type ScaleReport = {
  /**
   * Rank r.
   */
  rank: number,
  /**
   * Alpha after patterns and override.
   */
  alpha: number,
  /**
   * α/r or α/√r.
   */
  scale: number,
  /**
   * The rule with its numbers, such as `alpha/r = 16/8`.
   */
  why: string,
  /**
   * Number of updates that have it.
   */
  tensors: number,
};

/**
 * What of a delta rounding keeps. Rounded to six digits; `null` where it is not known: nothing was added, or a result is not finite.
 */
export type Signal = {
  /**
   * ⟨stored change, ΔW⟩/‖ΔW‖²: 1 where all of it is kept.
   */
  kept: number | null,
  /**
   * The true share is within this of `kept`, in 95 of 100 cases; 0 where every element was looked at.
   */
  margin: number | null,
  /**
   * Share of the elements that were looked at.
   */
  sampled: number | null,
};

/**
 * Some bytes of `adapter_model.safetensors`.
 */
export type Slot = { kind: "values",
  /**
   * The part.
   */
  part: number,
  /**
   * 0 or 1.
   */
  side: number,
  /**
   * How many bytes.
   */
  bytes: number,
} | { kind: "copy" } & Span;

/**
 * The bytes `start .. start + bytes` of an input.
 */
export type Span = {
  /**
   * Number of the input.
   */
  input: number,
  /**
   * First byte.
   */
  start: number,
  /**
   * Number of bytes.
   */
  bytes: number,
};

/**
 * A tensor of a model.
 */
export type TensorDescription = {
  /**
   * Name.
   */
  name: string,
  /**
   * Element type, by its safetensors name.
   */
  dtype: string,
  /**
   * Shape as stored.
   */
  shape: Array<number>,
  /**
   * Size in bytes.
   */
  bytes: number,
  /**
   * The file that holds it.
   */
  file: string,
};

/**
 * One tensor in a report.
 */
export type TensorReport = {
  /**
   * Name.
   */
  name: string,
  /**
   * What is done to it.
   */
  action: "copy" | "convert" | "merge" | "replace",
  /**
   * Shape as stored.
   */
  shape: Array<number>,
  /**
   * Element type of what is read, by its safetensors name: of the base's tensor, or of the weight that an adapter brings in its place.
   */
  dtype: string,
  /**
   * Element type in the output.
   */
  outputDtype: string,
  /**
   * Whether the base stores (in, out), as GPT-2's Conv1D does.
   */
  transposed?: boolean,
  /**
   * What each adapter adds.
   */
  adapters?: Array<UpdateReport>,
  /**
   * What the method did to the values of each adapter's delta, where it prunes or elects signs, and statistics were asked for.
   */
  deltas?: Array<DeltaReport>,
  /**
   * What of its delta rounding kept, after a merge.
   */
  signal?: Signal,
  /**
   * What the merge did to its numbers, where that was asked for.
   */
  statistics?: TensorStatistics,
};

/**
 * What a merge did to the numbers of one tensor. W is the base, ΔW the delta; ‖·‖ is the Frobenius norm. Rounded to six digits. A value
 * is `null` where it is not known: a quotient by zero, a sum that overflowed, a result that is not finite.
 */
export type TensorStatistics = {
  /**
   * ‖ΔW‖
   */
  deltaNorm: number | null,
  /**
   * ‖W‖
   */
  baseNorm: number | null,
  /**
   * ‖ΔW‖/‖W‖
   */
  relativeNorm: number | null,
  /**
   * The largest |ΔW|.
   */
  maxDelta: number | null,
  /**
   * Share of elements whose stored bits changed.
   */
  changed: number | null,
  /**
   * Share of ‖ΔW‖² that survives rounding: ⟨stored change, ΔW⟩/‖ΔW‖².
   */
  signalKept: number | null,
};

/**
 * The verdict on one tensor.
 */
export type TensorVerdict = {
  /**
   * Its name.
   */
  name: string,
  /**
   * What was found out.
   */
  verdict: "bits" | "rounding" | "undecidable" | "different" | "missing",
  /**
   * Whether an adapter changes it.
   */
  merged: boolean,
  /**
   * How it was computed where its bits are not those of the exact merge: `sum-order` (f32 in another order), `base-cast` (the base rounded
   * first), `delta-in-f16`, `delta-in-bf16` (the delta rounded first), `computed-in-f16`, `computed-in-bf16`, `one-by-one` (rounded after each
   * adapter), `cast` (a copy by way of another type).
   */
  rounding?: string,
  /**
   * What it is instead. Where several explain every element, all of them.
   */
  instead?: Array<Instead>,
  /**
   * Number of elements.
   */
  elements: number,
  /**
   * Elements whose bits are those of the exact merge.
   */
  equal: number,
  /**
   * Elements in which a merge by a method may have kept other values, or elected another sign, because ours is so near a limit: there every such value is
   * taken for right.
   */
  either?: number,
  /**
   * Elements that no rounding explains.
   */
  outside?: number,
  /**
   * ⟨M − W, ΔW⟩/‖ΔW‖²: about which multiple of the delta the tensor has. Rounding makes it smaller where deltas are small.
   */
  estimate?: number,
  /**
   * ‖M − W − ΔW‖/‖W‖: what the expected merge leaves unexplained, rounding included.
   */
  residual?: number,
};

/**
 * What of all deltas rounding keeps.
 */
export type TotalSignal = {
  /**
   * The share over all merged tensors, each with its part of ‖ΔW‖².
   */
  kept: number | null,
  /**
   * As that of a `Signal`.
   */
  margin: number | null,
  /**
   * Share of the elements of merged tensors that were looked at.
   */
  sampled: number | null,
  /**
   * The tensor whose delta keeps least.
   */
  least?: string,
  /**
   * The share that is kept there.
   */
  leastKept?: number,
};

/**
 * What one adapter does to a tensor.
 */
export type UpdateReport = {
  /**
   * The adapter's name.
   */
  adapter: string,
  /**
   * The method.
   */
  method: string,
  /**
   * Rank r, where the method has a scale.
   */
  rank?: number,
  /**
   * Alpha after patterns and override, where the method has a scale.
   */
  alpha?: number,
  /**
   * α/r or α/√r, where the method has a scale.
   */
  scale?: number,
  /**
   * Factor on the adapter's whole delta.
   */
  weight: number,
};

/**
 * What was found out.
 */
export type Verdict = "bits" | "rounding" | "undecidable" | "different" | "missing";

/**
 * How many tensors got which verdict.
 */
export type VerdictCounts = {
  /**
   * Equal bits.
   */
  bits: number,
  /**
   * Equal up to roundings.
   */
  rounding: number,
  /**
   * Below what the type can show.
   */
  undecidable: number,
  /**
   * Something else.
   */
  different: number,
  /**
   * Not there.
   */
  missing: number,
};

/**
 * Whether a merged model contains exactly what it should, tensor by tensor, and what it is where it does not.
 */
export type VerifyReport = {
  /**
   * Version of lorafold.
   */
  lorafold: string,
  /**
   * The verdict on the whole model.
   */
  verdict: Verdict,
  /**
   * Name of the base's folder.
   */
  base: string,
  /**
   * Name of the merged model's folder.
   */
  merged: string,
  /**
   * The adapters that it should contain.
   */
  adapters: Array<ExpectedAdapter>,
  /**
   * How many tensors got which verdict.
   */
  counts: VerdictCounts,
  /**
   * What the merged model has instead, what is most frequent first; nothing where it is verified.
   */
  instead: Array<InsteadCount>,
  /**
   * Every tensor that it should have.
   */
  tensors: Array<TensorVerdict>,
  /**
   * The weight files that were compared.
   */
  files: Array<FileSize>,
  /**
   * What the user should know.
   */
  findings: Array<Finding>,
};

/**
 * What is to be verified. The files of all folders are the inputs: the base's, the adapters', the merged model's.
 */
export type VerifyRequest = {
  /**
   * The merge that is expected.
   */
  plan: PlanRequest,
  /**
   * The merged model.
   */
  merged: ListedFolder,
};

/**
 * A weight file.
 */
export type WeightFile = {
  /**
   * Name inside its folder.
   */
  name: string,
  /**
   * Number of tensors.
   */
  tensors: number,
  /**
   * The sha256 of its bytes in hex, where it is known or was asked for.
   */
  sha256: string | null,
};
