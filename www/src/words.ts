/**
 * What messages of the package say of its options, in the page's own words. Names of options are stable, and nobody sees them on the page: here they are
 * boxes and fields, which have texts of their own.
 */
export const WORDS: readonly [RegExp, string][] = [
  [/,? or allow [^,;]*\((?:--)?allow-?[a-z]+\)/gi, ""],
  [/,? or allow it: [^;]*\ballow[A-Z]\w*(: true)?/g, ""],
  [/with the option residualBase/g, "with “The base was saved with this adapter” ticked under the adapter’s settings"],
  [/outProj: "once" adds it once/g, "“once” under the adapter’s settings adds it once"],
  [/unless expertPacking is "expert"/g, "unless you choose “for each expert” under the adapter’s settings"],
  [/the option `adapter`, or on the command line #NAME after the adapter/g, "under the adapter’s settings"],
  [/\(tokenizer "adapter" takes those\)/g, "(“Tokenizer” under Options takes those)"],
  [/: HF_TOKEN or --token-env on the command line, the option hub: \{ token \} in JavaScript/g, ", under “Access to the hub”"],
  [/give one by HF_TOKEN, --token-env, or hub: \{ token \}/g, "give one under “Access to the hub”"],
  [/a token is given by HF_TOKEN, --token-env or the option hub/g, "a token is given under “Access to the hub”"],
  [/force replaces the model in it/g, "“Replace files that are there already” replaces the model in it"],
  [/give the header authorization/g, "download the files, and choose them here"],
  [/a wider dtype/g, "a wider number type"],
  [/\(vocabulary: "intersect", --vocabulary intersect\)/g, "(“Different vocabulary sizes” under Options)"],
  [/with method linear\b/g, "with the method “Weighted sum”"],
  [/leave the tensor out by skip\b/g, "leave the tensor out by “Skip tensors that match” under Options"],
  [/give a smaller epsilon, or a density nearer to 0\.5/g, "give a smaller spread of the chances, or a share nearer to 0.5"],
  [/\bdensity (\S+) ± (\S+) is not within 0 and 1/g, "the share kept, $1 ± $2, is not within 0 and 1"],
  [/or take karcher\b/g, "or take the method “Karcher mean”"],
];

/** What options are called on the page, where a sentence is about one. */
const LABELS: Readonly<Record<string, string>> = {
  method: "Method", density: "Share kept", majoritySign: "Signs are elected", gamma: "Share of outliers dropped", epsilon: "Spread of the chances (epsilon)", normalize: "The sum is divided",
  flavor: "Variant of the method (flavor)", seed: "Seed", dtype: "Number type", rounding: "Rounding", maxShardSize: "Largest file", only: "Only tensors that match", skip: "Skip tensors that match",
  tokenizer: "Tokenizer", tied: "Tied output layer", vocabulary: "Different vocabulary sizes", weight: "Weight", weights: "Weights by module", blockWeights: "Weights of an image model’s blocks",
  alpha: "Use this lora_alpha instead", adapter: "Which adapter, if its files hold several",
};

/** A message as the page says it. */
export function inPageWords(text: string): string {
  const said = WORDS.reduce((said, [theirs, ours]) => said.replace(theirs, ours), text);
  return said.replace(/(^|[:;] )option (\w+): /g, (whole, before: string, name: string) => (Object.hasOwn(LABELS, name) ? `${before}“${LABELS[name]}”: ` : whole));
}

/** The option that a fix offers, by its name in the package. */
export function optionNamed(fix = ""): "allowUnmatched" | "allowUnmerged" | "allowNonfinite" | undefined {
  return /\b(allowUnmatched|allowUnmerged|allowNonfinite)\b/.exec(fix)?.[0] as ReturnType<typeof optionNamed>;
}
