import { type ErrorFacts, LorafoldError } from "lorafold";
import { AdapterList } from "./adapter-list.js";
import type { Offer } from "./advice.js";
import { BasePicker } from "./base-picker.js";
import { type Watch, watchFiles } from "./base-watch.js";
import { tidyPrivateStorage } from "./browser-storage.js";
import { readLink, showLink } from "./deep-link.js";
import { about } from "./description.js";
import { byId } from "./dom.js";
import { acceptDrops, type Zone } from "./drop-target.js";
import { clearError, showError } from "./error-view.js";
import { formula } from "./formula.js";
import { hubOptions } from "./hub-access.js";
import { HubTokenField } from "./hub-token-field.js";
import { MergeRun } from "./merge-run.js";
import { keepOffline } from "./offline.js";
import { OptionsForm } from "./options-form.js";
import { OutputChoice } from "./output-choice.js";
import { type Picked, pickUrl } from "./picked.js";
import { showPlan } from "./plan-view.js";
import { Planner, type PlanState } from "./planner.js";
import { dropResult, markResultStale, showResult } from "./result-view.js";
import { links, problemUrl } from "./problem-report.js";
import { loadSample } from "./sample.js";
import { announce } from "./status.js";

const moves = { takeBase: (name: string) => takeBase(name), putRight: () => void putRight() };
const base = new BasePicker(byId("base"), moves, () => adapters.adapters.length === 0, inputsChanged);
const adapters = new AdapterList(byId("adapters"), byId("adapter-input"), moves, () => ({ adaptersOf: base.picked?.repository?.name }), inputsChanged);
const options = new OptionsForm(byId<HTMLFormElement>("options"), byId("options-note"), inputsChanged);
const hubToken = new HubTokenField(tokenChanged);
const output = new OutputChoice(showReadiness);
const planner = new Planner(planChanged);
const run = new MergeRun();
const mergeButton = byId<HTMLButtonElement>("merge");
/** Merge was pressed while the plan was being made: the click that leaves a field begins a new one. */
let mergeWanted = false;
/** A result is being copied into a folder, which the next merge would take away. */
let saving = false;

/** For whoever reports a problem. */
let lastError: unknown;

const NOTHING_CHOSEN = "Choose a base model and an adapter, or try the sample. What would be merged appears here before anything is.";

/** What plan and merge are asked, or what is still missing, in words. */
function request() {
  const chosen = { base: base.picked, adapters: adapters.options(), options: options.options() };
  if (!chosen.base && adapters.adapters.length === 0) return NOTHING_CHOSEN;
  if (!chosen.base) return "Choose a base model.";
  if (typeof chosen.adapters === "string") return chosen.adapters;
  if (typeof chosen.options === "string") return chosen.options;
  const { statistics, allowNonfinite, ...planOptions } = chosen.options;
  const plan = { base: chosen.base.source, adapters: chosen.adapters, hub: hubOptions(), ...planOptions };
  return { plan, merge: { ...plan, statistics, ...(allowNonfinite && { allowNonfinite }) } };
}

function inputsChanged(): void {
  const asked = request();
  mergeWanted = false;
  planner.ask(typeof asked === "string" ? asked : asked.plan);
  clearError(byId("merge-error"));
  markResultStale();
  showLink(base.picked, adapters.adapters);
  showFormula();
  showReadiness();
}

/** Another token changes no result; it may make a plan that there was none of. */
function tokenChanged(): void {
  base.describeAgain();
  adapters.describeAgain();
  if (planner.state.kind !== "ready") inputsChanged();
}

function planChanged(state: PlanState): void {
  const region = byId("plan-error");
  if (state.kind === "failed") {
    complain(region, state.error, () => planner.retry());
  } else {
    clearError(region);
  }
  const { adapter, field } = (state.kind === "failed" && (state.error as Partial<LorafoldError>).facts) || {};
  adapters.blame(adapter);
  options.blame(field);
  adapters.offerBase(!base.picked || state.kind === "failed", base.picked?.repository?.name);
  showPlan(state, adapters.adapters);
  if (state.kind === "ready") announce(`Plan: ${state.report.merged} of ${state.report.base.tensors} tensors will be merged`);
  showFormula();
  const follow = mergeWanted && state.kind !== "working";
  if (follow) mergeWanted = false;
  showReadiness();
  if (follow && state.kind === "ready") void startMerge();
  // The button that had the focus cannot be pressed now.
  else if (follow) byId("plan-heading").focus();
}

function showFormula(): void {
  const { state } = planner;
  const report = state.kind === "ready" ? state.report : state.kind === "working" ? state.last : undefined;
  byId("formula").replaceChildren(formula(adapters.adapters, report?.adapters ?? []));
}

/** The merge button can be pressed when there is a plan, or will be, and a place for the output; else it is said why not. */
function showReadiness(): void {
  const destination = output.options();
  const missing =
    adapters.missingWeight ??
    (typeof destination === "string" ? destination : undefined) ??
    (saving ? "The last result is being saved to a folder: merge again when that is done." : undefined);
  const { kind } = planner.state;
  const obstacle = {
    incomplete: "There is no plan yet.",
    working: missing,
    failed: "The plan shows an error: see there.",
    ready: missing,
  }[kind];
  const waiting = mergeWanted ? "The merge begins when the plan is made." : "The plan is being made.";
  mergeButton.disabled = run.running || obstacle !== undefined;
  byId("merge-hint").textContent = run.running ? "" : (obstacle ?? (kind === "working" ? waiting : ""));
}

/** Show an error, with the ways out of it. */
function complain(region: HTMLElement, error: unknown, retry: () => void): void {
  lastError = error;
  // The button that had the focus goes with the error.
  const follow = (remedy: () => void) => () => {
    byId("plan-heading").focus();
    remedy();
  };
  const take = (offer: Offer) => {
    if ("option" in offer) return options.isTicked(offer.option) ? undefined : follow(() => options.tick(offer.option));
    return { swap: follow(() => void putRight(error)), token: () => hubToken.ask() }[offer.act];
  };
  const inputs = [...(base.picked ? [base.picked] : []), ...adapters.adapters.map(({ picked }) => picked)];
  showError(region, error, inputs, { take, retry: follow(retry) });
}

/** Choose the base that an adapter names. */
function takeBase(name: string): void {
  const picked = pickUrl(name);
  if (typeof picked !== "string" && !isTooLate("The base")) base.set(picked);
}

/** Put the base under the adapters where it is one, and an adapter that is a base in the base's place. `error`: what says so, where it is not known. */
async function putRight(error?: unknown): Promise<void> {
  const { kind, adapter: blamed } = (error instanceof LorafoldError ? error.facts : {}) as ErrorFacts;
  const chosen = base.picked;
  const is = async (picked: Picked, role: "base" | "adapter") => (await about(picked, role).catch(() => undefined))?.kind;
  const wrong = chosen && (kind === "adapter-as-base" || (await is(chosen, "base")) === "adapter") ? chosen : undefined;
  const bases = [];
  // A whole model may be added to a base; without one it is most likely that base.
  const isWanted = !chosen || wrong || kind === "base-as-adapter";
  for (const one of isWanted ? adapters.adapters : []) if ((kind === "base-as-adapter" && one.name === blamed) || (await is(one.picked, "adapter")) === "base") bases.push(one);
  if (isTooLate("The change")) return;
  const [first] = bases;
  if (first) adapters.remove(first);
  if (wrong) adapters.add(wrong);
  if (first || wrong) base.set(first?.picked);
}

/** Merge, or do so as soon as there is a plan. */
function mergePressed(): void {
  mergeWanted = planner.state.kind === "working";
  if (!mergeWanted) return void startMerge();
  showReadiness();
  announce(byId("merge-hint").textContent);
}

async function startMerge(): Promise<void> {
  const asked = request();
  const destination = output.options();
  const baseFiles = base.picked?.files ?? [];
  const name = [base.picked?.name ?? "model", ...adapters.adapters.map((adapter) => adapter.name)].join("-");
  if (typeof asked === "string" || typeof destination === "string" || adapters.missingWeight || run.running || saving) return;
  clearError(byId("merge-error"));
  dropResult();
  let watch: Watch | undefined;
  const merging = run.run(async () => {
    if (destination.output === "opfs") await tidyPrivateStorage();
    if (destination.output === "blob" && baseFiles.length > 0) watch = await watchFiles(baseFiles);
    return { ...asked.merge, ...destination };
  });
  setBusy(true);
  const ending = await merging;
  setBusy(false);
  switch (ending.kind) {
    case "done":
      await showResult({ ...ending, name, ...output.destination, watch, onSaving, askToken: () => hubToken.ask(), keepMore }).catch((error: unknown) =>
        complain(byId("merge-error"), error, () => void startMerge()));
      break;
    case "cancelled":
      byId("merge-hint").textContent = "Cancelled. Nothing was kept.";
      announce("Cancelled");
      mergeButton.focus();
      break;
    case "failed":
      complain(byId("merge-error"), ending.error, () => void startMerge());
      mergeButton.focus();
  }
}

/** Merge the same once more, so that more of the change is kept. */
function keepMore(by: "float32" | "stochastic"): void {
  options.keepMore(by);
  mergePressed();
}

function onSaving(begun: boolean): void {
  saving = begun;
  showReadiness();
}

/** While a merge runs, what it was asked cannot be changed. */
function setBusy(busy: boolean): void {
  byId<HTMLFieldSetElement>("inputs").disabled = busy;
  byId<HTMLFieldSetElement>("output").disabled = busy;
  byId<HTMLButtonElement>("try-sample").disabled = busy;
  document.body.classList.toggle("merging", busy);
  showReadiness();
}

async function trySample(): Promise<void> {
  try {
    const sample = await loadSample();
    if (isTooLate("The sample")) return;
    adapters.clear();
    base.set(sample.base);
    for (const { picked, weight } of sample.adapters) adapters.add(picked, weight);
  } catch (error) {
    complain(byId("plan-error"), error, () => void trySample());
  }
}

/** Choose what the page's own address names. */
function followLink(): void {
  const link = readLink(location.search);
  const chosen = link.adapters.map(({ address, weight }) => ({ picked: pickUrl(address), weight }));
  for (const { picked, weight } of chosen) if (typeof picked !== "string") adapters.add(picked, weight);
  const picked = link.base === undefined ? undefined : pickUrl(link.base);
  if (typeof picked === "object") base.set(picked);
  // Said last: choosing takes complaints away.
  const complaints = chosen.map(({ picked }) => picked).filter((picked) => typeof picked === "string");
  if (complaints.length > 0) adapters.complain(complaints.join(" "));
  if (typeof picked === "string") base.complain(picked);
}

/** What arrives in the middle of a merge does not replace what is being merged. */
function isTooLate(what: string): boolean {
  if (run.running) adapters.complain(`${what} arrived in the middle of a merge and was not taken.`);
  return run.running;
}

/** What is dropped on a section is for it; elsewhere, and of several on the base's, what looks like an adapter is one. */
function dropped(zone: Zone, things: (Picked | string)[]): void {
  if (isTooLate("What was dropped")) return;
  const picked = things.filter((thing) => typeof thing !== "string");
  const isAdapter = (one: Picked) => zone === "adapters" || ((zone === "page" || picked.length > 1) && one.looksLikeAdapter);
  for (const one of picked.filter(isAdapter)) adapters.add(one);
  const [first, ...more] = picked.filter((one) => !isAdapter(one));
  if (first) base.set(first);
  // Said where it was dropped; nothing is left out without a word.
  const place = zone === "base" || (zone === "page" && !base.picked) ? "base" : "adapters";
  const complaints = { base: more.map(({ name }) => `There is one base: “${name}” was not taken.`), adapters: [] as string[] };
  complaints[place].push(...things.filter((thing) => typeof thing === "string"));
  if (complaints.base.length > 0) base.complain(complaints.base.join(" "));
  if (complaints.adapters.length > 0) adapters.complain(complaints.adapters.join(" "));
}

mergeButton.addEventListener("click", mergePressed);
byId("try-sample").addEventListener("click", () => void trySample());
window.addEventListener("beforeunload", (event) => {
  if (saving) event.preventDefault();
});
acceptDrops(() => !run.running, dropped);
for (const [name, address] of Object.entries(links)) byId<HTMLAnchorElement>(`link-${name}`).href = address;
byId("version").textContent = `Version ${import.meta.env.LORAFOLD_VERSION}`;
// Its link is made when it is followed: what went wrong last is told.
byId("link-problem").addEventListener("click", (event) => ((event.currentTarget as HTMLAnchorElement).href = problemUrl(lastError)));
byId<HTMLAnchorElement>("link-problem").href = problemUrl();
void keepOffline(() => (byId("offline").hidden = false));
followLink();
inputsChanged();
void tidyPrivateStorage();
if (new URLSearchParams(location.search).has("sample")) void trySample();
