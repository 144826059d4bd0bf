import type { Command, Flags } from "./flag.js";

/** How several adapters combine. */
const METHODS = ["linear", "magnitude_prune", "ties", "dare_linear", "dare_ties", "breadcrumbs", "breadcrumbs_ties", "della_linear", "della", "sce", "model_stock", "slerp", "nuslerp", "karcher"] as const;

/** The flags that say what is merged, whatever is done with it. */
export const PLAN_FLAGS = {
  base: { type: "string", short: "b", value: "B", completes: "path", says: "the base model" },
  adapter: { type: "string", short: "a", multiple: true, value: "A[@weight]", completes: "path", says: "an adapter, or a whole model fine-tuned from B, and a factor on its delta (1 by default); may be repeated; A#NAME is one of several in A, A@weight:density=D keeps the share D of its deltas" },
  alpha: { type: "string", multiple: true, value: "N", says: "the alpha of the adapter before it, in place of the one in its configuration" },
  weights: { type: "string", multiple: true, value: "REGEX=W", says: "a factor on the delta of the adapter before it in tensors whose name matches REGEX somewhere, beside its weight; layers:0-7=W of layers, blocks:IN04-MID=W of blocks of a UNet; of several that match the last counts" },
  "block-weights": { type: "string", multiple: true, value: "LIST", says: "factors on the delta of the adapter before it in the blocks of an image model: 17 or 26 numbers (SD 1.5), 12 or 20 (SDXL), 58 or 61 (Flux), with commas, or the name of a list such as INALL, MIDD, OUTALL, FLUX-DBL-FRONT7" },
  "adapter-only": { type: "string", multiple: true, value: "REGEX", says: "merge of the adapter before it only what changes tensors whose name matches REGEX somewhere; may be repeated" },
  "adapter-skip": { type: "string", multiple: true, value: "REGEX", says: "leave out of the adapter before it what changes tensors whose name matches REGEX somewhere; may be repeated" },
  method: { type: "string", short: "m", value: "M", choices: METHODS, says: "how the deltas of several adapters combine: linear (default), the exact weighted sum; magnitude_prune and ties keep the largest values of each, dare_linear and dare_ties random ones; ties and dare_ties add up those whose sign is elected; the others are mergekit's" },
  density: { type: "string", value: "D", says: "share of each delta that is kept, above 0 and up to 1" },
  "majority-sign": { type: "string", value: "S", choices: ["total", "frequency"], says: "how ties elects a sign: total (default) by the sum of the deltas, frequency by how many are positive or negative" },
  gamma: { type: "string", value: "G", says: "share of the largest values that breadcrumbs drops (0.01 by default)" },
  epsilon: { type: "string", value: "E", says: "in della, how far below the density the probability of a row's smallest value is, and how far above it that of the largest (0.15 by default)" },
  normalize: { type: "string", value: "Y", choices: ["yes", "no"], says: "whether the sum is divided (by default as the method does it): methods that elect signs divide by the number of deltas that agree, the others by the sum of the weights" },
  flavor: { type: "string", value: "F", choices: ["peft", "mergekit"], says: "whose definition of the method is meant where they differ: peft (default) or mergekit" },
  dtype: { type: "string", short: "t", value: "T", choices: ["keep", "float32", "float16", "bfloat16"], says: "keep (default), float32 (or f32), float16 (f16), bfloat16 (bf16)" },
  rounding: { type: "string", value: "R", choices: ["nearest", "stochastic"], says: "how merged tensors are rounded: nearest (default), to even, or stochastic, up or down by chance, so that bfloat16 keeps small deltas on average" },
  seed: { type: "string", value: "N", says: "the seed of the random numbers, a whole number (0 by default): the same seed gives the same bytes everywhere" },
  tied: { type: "string", value: "T", choices: ["auto", "share", "untie"], says: "an output layer that is tied to the embedding: auto (default) does what the training did, share changes the one tensor that they are, untie gives the output layer a tensor of its own" },
  "out-proj": { type: "string", value: "N", choices: ["twice", "once"], says: "add the delta of out_proj in nn.MultiheadAttention twice (default), as PEFT does, or once" },
  "expert-packing": { type: "string", value: "P", choices: ["rank", "expert"], says: "how adapters order the columns of lora_B of many experts: rank (default), as PEFT does, or expert, as Unsloth did before September 2026" },
  "residual-base": { type: "boolean", says: "the base is the one that the adapters' initialisation (PiSSA, OLoRA, …) has changed, saved with them" },
  "max-shard-size": { type: "string", value: "S", says: "new shards of at most S, such as 5GB; by default the base's shards are kept" },
  only: { type: "string", value: "REGEX", says: "merge only tensors whose name matches REGEX somewhere" },
  skip: { type: "string", value: "REGEX", says: "do not merge tensors whose name matches REGEX somewhere" },
  "token-env": { type: "string", value: "VAR", says: "the environment variable with the hub's token, in place of HF_TOKEN" },
  tokenizer: { type: "string", value: "T", choices: ["auto", "base", "adapter"], says: "whose tokenizer, chat template and generation settings the output has: auto (default) takes the adapter's where it brings embeddings, else the base's" },
  vocabulary: { type: "string", value: "V", choices: ["exact", "intersect"], says: "of a whole model given as an adapter, with more or fewer tokens than the base: exact (default) is an error, intersect merges the rows that both have" },
  "allow-unmatched": { type: "boolean", says: "adapter keys that match nothing become findings" },
  "allow-unmerged": { type: "boolean", says: "trained weights beside an adapter that are not merged become findings" },
  "hash-base": { type: "boolean", says: "hash the base's weight files where their source knows no hash, so that the recipe has every one; reads the base once more" },
  "expect-base": { type: "string", value: "SHA256", says: "stop before anything is written where the base has another SHA-256 (inspect --hash prints it)" },
  "allow-nonfinite": { type: "boolean", says: "values may become infinite or NaN in the output's type" },
} as const satisfies Flags;

const JSON_FLAG = { type: "boolean", short: "j" } as const;
const QUIET_FLAG = { type: "boolean", short: "q" } as const;

/** The flags of `lorafold merge`. */
export const MERGE_FLAGS = {
  ...PLAN_FLAGS,
  out: { type: "string", short: "o", value: "DIR", completes: "folder", says: "where the merged model goes" },
  force: { type: "boolean", short: "f", says: "replace the model in DIR; an adapter_config.json in it goes, too, because tools would add its adapter" },
  "dry-run": { type: "boolean", short: "n", says: "show the plan, read no weights, write nothing" },
  report: { type: "string", short: "r", value: "FILE", completes: "path", says: "write the report, with statistics of every tensor, to FILE" },
  receipt: { type: "string", value: "FILE", completes: "path", says: "write a receipt to FILE: an in-toto statement with the hashes of all inputs and outputs, from which the merge can be repeated" },
  workers: { type: "string", short: "w", value: "N", says: "worker threads; 0 computes in the main one" },
  "memory-budget": { type: "string", value: "S", says: "memory of each worker beside the adapters' factors (64MiB by default)" },
  part: { type: "string", value: "I/N", says: "merge only the I-th of N parts of the output: run all of them, on any machines that share DIR …" },
  finish: { type: "boolean", says: "… and then this, with --out: checks every part and completes the model" },
  json: { ...JSON_FLAG, says: "print one JSON document on stdout: the report, or the plan with --dry-run" },
  quiet: { ...QUIET_FLAG, says: "no progress" },
} as const satisfies Flags;

const { dtype: _dtype, rounding: _rounding, "max-shard-size": _size, tokenizer: _tokenizer, "allow-nonfinite": _nonfinite, ...EXPECTED_FLAGS } = PLAN_FLAGS;

/** The flags of `lorafold verify`. */
export const VERIFY_FLAGS = {
  ...EXPECTED_FLAGS,
  merged: { type: "string", value: "M", completes: "path", says: "the merged model, whoever made it" },
  receipt: { type: "string", value: "FILE", completes: "path", says: "repeat the merge of this receipt, and compare the hashes; --base and --adapter then say where they are now" },
  workers: MERGE_FLAGS.workers,
  json: { ...JSON_FLAG, says: "print one JSON document: the verdict on the model and on every tensor" },
} as const satisfies Flags;

const { base: _base, ...UNMERGED_FLAGS } = EXPECTED_FLAGS;

/** The flags of `lorafold unmerge`. */
export const UNMERGE_FLAGS = {
  ...UNMERGED_FLAGS,
  merged: { ...VERIFY_FLAGS.merged, says: "the merged model" },
  out: { ...MERGE_FLAGS.out, says: "where the model without the adapters goes" },
  force: { type: "boolean", short: "f", says: "replace the model in DIR" },
  workers: MERGE_FLAGS.workers,
  json: { ...JSON_FLAG, says: "print one JSON document: the report, and which tensors cannot be restored exactly" },
} as const satisfies Flags;

/** The flags of both commands that make adapters. */
const MAKE_FLAGS = {
  out: { type: "string", short: "o", value: "DIR", completes: "folder", says: "where the adapter goes" },
  rank: { type: "string", short: "r", value: "R", says: "singular values that are kept of each module, at most" },
  energy: { type: "string", short: "e", value: "E", says: "keep the fewest that have this share of the sum of squares, such as 0.95" },
  seed: { type: "string", value: "N", says: "another random start, and other random numbers; 0 by default" },
  dtype: { type: "string", short: "t", value: "T", choices: ["float32", "float64", "float16", "bfloat16"], says: "the type of the factors: float32 (default), float64, float16, bfloat16" },
  force: { type: "boolean", short: "f", says: "replace the adapter in DIR" },
  workers: { type: "string", short: "w", value: "N", says: "worker threads; 0 computes in the main one" },
  "token-env": PLAN_FLAGS["token-env"],
  json: { ...JSON_FLAG, says: "print one JSON document on stdout: the report" },
  quiet: { ...QUIET_FLAG, says: "no progress" },
} as const satisfies Flags;

const COMBINATIONS = ["svd", "cat", "linear", "ties", "ties_svd", "dare_linear", "dare_ties", "dare_linear_svd", "dare_ties_svd", "magnitude_prune", "magnitude_prune_svd"] as const;

/** The flags of `lorafold combine`. */
export const COMBINE_FLAGS = {
  adapter: PLAN_FLAGS.adapter,
  base: { ...PLAN_FLAGS.base, says: "the base, of which only headers are read: for methods whose files do not tell the shapes of layers (VeRA, RandLoRA, MiSS; LoHa, LoKr and AdaLoRA of convolutions)" },
  alpha: PLAN_FLAGS.alpha,
  method: { type: "string", short: "m", value: "M", choices: COMBINATIONS, says: "svd (default) keeps the largest singular values of the weighted sum; cat is exact, its rank the sum of all; the others are those of PEFT's add_weighted_adapter: linear, ties, dare_linear, dare_ties, magnitude_prune on the matrices A and B, and with _svd on the deltas" },
  density: { type: "string", value: "D", says: "the share of values that ties, dare_… and magnitude_prune keep" },
  "majority-sign": { type: "string", value: "S", choices: ["total", "frequency"], says: "how ties elects a sign: total (default), that of the sum, or frequency, that of the majority" },
  ...MAKE_FLAGS,
} as const satisfies Flags;

/** The flags of `lorafold extract`. */
export const EXTRACT_FLAGS = {
  base: PLAN_FLAGS.base,
  tuned: { type: "string", value: "M", completes: "path", says: "the model that was trained from the base" },
  others: { type: "string", value: "O", choices: ["save", "refuse", "drop"], says: "what differs and has no factors (norms, biases, embeddings): save (default) brings it along as a whole, refuse is an error, drop leaves it out" },
  only: { type: "string", value: "REGEX", says: "take only tensors whose name matches REGEX somewhere" },
  skip: { type: "string", value: "REGEX", says: "leave out tensors whose name matches REGEX somewhere" },
  ...MAKE_FLAGS,
} as const satisfies Flags;

/** The flags of `lorafold serve`. */
export const SERVE_FLAGS = {
  ...PLAN_FLAGS,
  port: { type: "string", short: "p", value: "P", says: "8417 by default; 0 takes a free one" },
  json: { ...JSON_FLAG, says: "print one JSON document when it listens: url, files, findings" },
  quiet: { ...QUIET_FLAG, says: "print nothing" },
} as const satisfies Flags;

/** The flags of `lorafold inspect`. */
export const INSPECT_FLAGS = {
  tensors: { type: "boolean", short: "t", says: "list every tensor and module; without it alike ones are counted" },
  hash: { type: "boolean", says: "hash the weight files of models, as --expect-base takes it; reads all of them" },
  "token-env": PLAN_FLAGS["token-env"],
  json: { ...JSON_FLAG, says: "print one JSON document, an array: for each path a description, or { path, error }" },
} as const satisfies Flags;

/** The flags of `lorafold upload`. */
export const UPLOAD_FLAGS = {
  public: { type: "boolean", says: "make a new repository public; without it, private" },
  message: { type: "string", short: "m", value: "M", says: "what the commit is called" },
  "token-env": { ...PLAN_FLAGS["token-env"], says: "the environment variable with the hub's token, in place of HF_TOKEN; it must be one that may write" },
  json: { ...JSON_FLAG, says: "print one JSON document: commit, url, created" },
  quiet: { ...QUIET_FLAG, says: "no progress" },
} as const satisfies Flags;

/** The shells that there are completions for. */
export const SHELLS = ["bash", "zsh", "fish"] as const;

const SOURCES = "B, A and PATH are a folder, a .safetensors or .bin file, or a URL: https://…, or hf://org/name@revision (with a weight hf://org/name@revision@0.5), hf://org/name/folder, or the address of a model's page on the hub.";
const HUB = "HF_TOKEN, or the token that the hub's own command line has saved at a login, opens private and gated models of the hub, and is sent to it alone. HF_ENDPOINT names a mirror.";

/** Every command. */
export const COMMANDS: readonly Command[] = [
  {
    name: "merge",
    purpose: "fold adapters into a base model",
    usage: ["merge --base B --adapter A[#NAME][@weight] [--adapter …] --out DIR [options]", "merge --out DIR --finish"],
    flags: MERGE_FLAGS,
    examples: [
      ["Merge one adapter", "merge -b base -a adapter -o merged"],
      ["Two adapters with weights, in float32", "merge -b base -a style@0.8 -a detail@-0.3 -o merged --dtype f32"],
      ["Only the largest fifth of each delta, where most agree on the sign", "merge -b base -a style@0.8 -a detail -o merged --method ties --density 0.2"],
      ["From the hub, first only the plan", "merge -b hf://org/model -a hf://org/lora@main@0.5 --dry-run"],
      ["One adapter at half its weight in the first eight layers", "merge -b base -a style --weights layers:0-7=0.5 -o merged"],
      ["Half the way to a fine-tuned model", "merge -b base -a tuned@0.5 -o merged"],
      ["An adapter without a configuration", "merge -b base -a lora.safetensors --alpha 16 -o merged"],
      ["On two machines that share a folder", "merge -b base -a adapter -o shared --part 1/2"],
    ],
    notes: [SOURCES, HUB],
  },
  {
    name: "verify",
    purpose: "check whether a merged model, whoever made it, is exactly this base with these adapters, and if not, what it is instead",
    usage: ["verify --base B --adapter A[@weight] [--adapter …] --merged M [options]", "verify --receipt FILE [--merged M] [options]"],
    flags: VERIFY_FLAGS,
    examples: [
      ["A merge by any tool, in any type, sharded anyhow", "verify -b base -a adapter --merged merged"],
      ["As JSON, with a verdict on every tensor", "verify -b base -a style@0.8 --merged hf://org/merged --json"],
      ["Repeat the merge of a receipt", "verify --receipt merged.intoto.json --merged merged"],
    ],
    notes: ["Exit status 0 means that every tensor is the exact merge, or what the roundings of another tool make of it; 1 that something differs, is missing, or cannot be decided.", SOURCES, HUB],
  },
  {
    name: "unmerge",
    purpose: "take adapters out of a merged model again",
    usage: ["unmerge --merged M --adapter A[@weight] [--adapter …] --out DIR [options]"],
    flags: UNMERGE_FLAGS,
    examples: [["The base again, except for bits that rounding has lost", "unmerge --merged merged -a adapter@0.8 -o base-again"]],
    notes: [SOURCES, HUB],
  },
  {
    name: "combine",
    purpose: "make one adapter of several, or another rank of one; most need no base",
    usage: ["combine --adapter A[#NAME][@weight] [--adapter …] --out DIR [options]"],
    flags: COMBINE_FLAGS,
    examples: [
      ["The best of rank 16", "combine -a style@0.7 -a detail -r 16 -o both"],
      ["Exact, of any ranks", "combine -a style@0.7 -a detail -m cat -o both"],
      ["A smaller one", "combine -a style --energy 0.95 -o style-small"],
      ["As LoRA, exactly", "combine -a loha -b base -m cat -o lora"],
    ],
    notes: [SOURCES, HUB],
  },
  {
    name: "extract",
    purpose: "make an adapter of a fine-tuned model and its base",
    usage: ["extract --base B --tuned M --out DIR [options]"],
    flags: EXTRACT_FLAGS,
    examples: [["Rank 32", "extract -b base --tuned tuned -r 32 -o adapter"], ["As many as it takes, up to 128", "extract -b base --tuned tuned -e 0.9 -r 128 -o adapter"]],
    notes: [SOURCES.replace("B, A and PATH", "B and M"), HUB],
  },
  {
    name: "serve",
    purpose: "serve the merged model over HTTP, with ranges, on this machine alone; every byte is computed when it is asked for",
    usage: ["serve --base B --adapter A[@weight] [--adapter …] [--port P] [options]"],
    flags: SERVE_FLAGS,
    examples: [["On port 8417, until Ctrl-C", "serve -b base -a adapter"], ["On a free port, as JSON", "serve -b base -a adapter -p 0 --json"]],
    notes: [SOURCES, HUB],
  },
  {
    name: "inspect",
    purpose: "describe bases, adapters and merged models",
    usage: ["inspect PATH… [options]"],
    words: { name: "PATH" },
    flags: INSPECT_FLAGS,
    examples: [["What fits together", "inspect base adapter"], ["Every tensor of a model on the hub", "inspect hf://org/model --tensors"]],
    notes: [SOURCES, HUB],
  },
  {
    name: "upload",
    purpose: "upload a merged model to the hub, as one commit",
    usage: ["upload DIR hf://org/name[@branch] [options]"],
    words: { name: "DIR" },
    flags: UPLOAD_FLAGS,
    examples: [["To a repository of yours, created if it does not exist", "upload merged hf://you/merged"], ["For everybody", "upload merged hf://you/merged --public"]],
    notes: [HUB],
  },
  {
    name: "completions",
    purpose: "print a shell completion script",
    usage: [`completions ${SHELLS.join("|")}`],
    words: { name: "SHELL", choices: SHELLS },
    flags: {},
    examples: [
      ["bash, in ~/.bashrc", "completions bash > ~/.local/share/bash-completion/completions/lorafold"],
      ["zsh, in a folder of $fpath", "completions zsh > ~/.zfunc/_lorafold"],
      ["fish", "completions fish > ~/.config/fish/completions/lorafold.fish"],
    ],
  },
];
