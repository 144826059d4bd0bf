import type { PlanOptions } from "lorafold";

export type MethodName = NonNullable<PlanOptions["method"]>;

/** An option that some of the methods have. */
export type MethodOption = "density" | "majoritySign" | "gamma" | "epsilon" | "normalize" | "flavor" | "seed";

/** A way in which the changes of several adapters become one. */
export interface Method {
  readonly label: string;
  /** What it does, in one sentence. */
  readonly says: string;
  readonly options: readonly MethodOption[];
  /** The share of each change that is kept where nobody says another; none where each adapter cannot have its own. */
  readonly density?: number;
  /** It takes its weights from the changes themselves. */
  readonly weightless?: true;
}

const LARGEST = 0.2;
const RANDOM = 0.5;

/** Every method by its name in the package, in the groups in which they are offered. */
export const METHODS: Readonly<Record<MethodName, Method>> = {
  linear: { label: "Weighted sum", says: "Every adapter’s change is multiplied by its weight, and all are added up.", options: [] },
  magnitude_prune: {
    label: "Largest values", density: LARGEST, options: ["density", "normalize"],
    says: "Only the largest values of each change are kept; these are added up by their weights.",
  },
  ties: {
    label: "TIES", density: LARGEST, options: ["density", "majoritySign", "normalize", "flavor"],
    says: "Only the largest values of each change are kept; where adapters disagree on a sign one is elected, and the mean is taken of those that have it.",
  },
  breadcrumbs: {
    label: "Breadcrumbs", density: 0.9, options: ["density", "gamma", "normalize"],
    says: "Small values and a few of the very largest are dropped; the rest is added up by weight.",
  },
  breadcrumbs_ties: {
    label: "Breadcrumbs with signs elected", density: 0.9, options: ["density", "gamma", "majoritySign", "normalize"],
    says: "Small values and a few of the very largest are dropped; where adapters disagree on a sign one is elected, and those that have it are added up.",
  },
  dare_linear: {
    label: "DARE", density: RANDOM, options: ["density", "seed", "normalize", "flavor"],
    says: "Random values are dropped and the others made larger to make up for it; then all are added up by their weights.",
  },
  dare_ties: {
    label: "DARE with signs elected", density: RANDOM, options: ["density", "seed", "majoritySign", "normalize", "flavor"],
    says: "Random values are dropped and the others made larger; where adapters disagree on a sign one is elected, and the mean is taken of those that have it.",
  },
  della_linear: {
    label: "DELLA", density: RANDOM, options: ["density", "epsilon", "seed", "normalize"],
    says: "Random values are dropped, small ones more often than large ones, and the others made larger; then all are added up by their weights.",
  },
  della: {
    label: "DELLA with signs elected", density: RANDOM, options: ["density", "epsilon", "seed", "majoritySign", "normalize"],
    says: "Random values are dropped, small ones more often than large ones; where adapters disagree on a sign one is elected, and the mean is taken of those that have it.",
  },
  sce: {
    label: "SCE", weightless: true, options: ["density"],
    says: "The values in which the adapters differ most are taken, signs are elected, and each adapter weighs as much as it changes there.",
  },
  model_stock: {
    label: "Model Stock", weightless: true, options: [],
    says: "The mean of all changes is taken, and drawn back to the base the more, the less they point the same way.",
  },
  karcher: { label: "Karcher mean", weightless: true, options: [], says: "The mean of the directions of all changes is taken on the sphere, at the mean of their lengths." },
  slerp: { label: "SLERP, of two", options: [], says: "The result lies on the arc from the first adapter’s change to the second’s, as near to each as its weight says." },
  nuslerp: { label: "NuSLERP, of two", options: [], says: "Like SLERP, but it also works where the two changes point nearly the same way." },
};

/** How methods are offered: by what becomes of each change. */
export const GROUPS: readonly { label: string; names: readonly MethodName[] }[] = [
  { label: "Everything is kept", names: ["linear"] },
  { label: "The largest values are kept", names: ["magnitude_prune", "ties", "breadcrumbs", "breadcrumbs_ties"] },
  { label: "Random values are kept", names: ["dare_linear", "dare_ties", "della_linear", "della"] },
  { label: "Weights come from the changes", names: ["sce", "model_stock", "karcher"] },
  { label: "Between two", names: ["slerp", "nuslerp"] },
];

export function isMethod(name: string): name is MethodName {
  return Object.hasOwn(METHODS, name);
}
