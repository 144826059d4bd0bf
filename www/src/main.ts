import { type ErrorFacts, LorafoldError, type VerifyOptions } from "lorafold";
import { AdapterList } from "./adapter-list.js";
import type { Offer } from "./advice.js";
import { type Watch, watchFiles } from "./base-watch.js";
import { tidyPrivateStorage } from "./browser-storage.js";
import { type Link, readLink, showLink } from "./deep-link.js";
import { about } from "./description.js";
import { byId } from "./dom.js";
import { acceptDrops, type Zone } from "./drop-target.js";
import { clearError, showError } from "./error-view.js";
import { formula } from "./formula.js";
import { hubOptions } from "./hub-access.js";
import { HubTokenField } from "./hub-token-field.js";
import { MergeRun } from "./merge-run.js";
import { METHOD_PARAMETERS, MethodChoice } from "./method-choice.js";
import type { MethodForm } from "./method-form.js";
import { ModelPicker } from "./model-picker.js";
import { keepOffline } from "./offline.js";
import { OptionsForm } from "./options-form.js";
import { OutputChoice } from "./output-choice.js";
import { type Picked, pickUrl } from "./picked.js";
import { showPlan, tones } from "./plan-view.js";
import { Planner, type PlanState } from "./planner.js";
import { unlessPressed } from "./press.js";
import { dropResult, markResultStale, showResult } from "./result-view.js";
import { links, problemUrl } from "./problem-report.js";
import { loadSample } from "./sample.js";
import { announce } from "./status.js";
import type { VerifyMode } from "./verify-mode.js";

const moves = { takeBase: (name: string) => takeBase(name), putRight: () => void putRight() };
const base = new ModelPicker(byId("base"), {
  prefix: "base", called: "base", invitation: "Drop the model’s folder here: its .safetensors file or files, with config.json and the rest beside them.",
}, moves, () => adapters.adapters.length === 0, inputsChanged);
const merged = new ModelPicker(byId("merged"), {
  prefix: "merged", called: "merged model", invitation: "Drop the folder of the model that is to be verified here, whoever merged it.",
}, { takeBase: moves.takeBase, putRight: adapterWasMerged }, () => true, inputsChanged);
const adapters = new AdapterList(byId("adapters"), byId("adapter-input"), moves, () => ({ adaptersOf: base.picked?.repository?.name }), inputsChanged);
const options = new OptionsForm(byId<HTMLFormElement>("options"), byId("options-note"), inputsChanged);
const method = new MethodChoice(inputsChanged);
/** Where the method is asked for, once there is a choice. */
let methodForm: MethodForm | undefined;
let mode: "merge" | "verify" = "merge";
/** The second mode, once it was entered. */
let verifying: VerifyMode | undefined;
const hubToken = new HubTokenField(tokenChanged);
const output = new OutputChoice(showReadiness);
const planner = new Planner(() => unlessPressed(() => planChanged(planner.state)));
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
  if (method.wrong) return method.wrong.says;
  const { statistics, allowNonfinite, ...planOptions } = chosen.options;
  const plan = { base: chosen.base.source, adapters: chosen.adapters, hub: hubOptions(), ...planOptions, ...method.options() };
  return { plan, merge: { ...plan, statistics, ...(allowNonfinite && { allowNonfinite }) } };
}

function inputsChanged(): void {
  showMethod();
  const asked = request();
  mergeWanted = false;
  planner.ask(typeof asked === "string" ? asked : asked.plan);
  clearError(byId("merge-error"));
  markResultStale();
  verifying?.forget();
  keepLink();
  showFormula();
  showReadiness();
}

function keepLink(): void {
  const chosen = [...method.parameters(), ...options.parameters()];
  showLink({ mode, base: base.picked, merged: merged.picked, adapters: adapters.adapters, options: chosen }, [...METHOD_PARAMETERS, ...options.names]);
}

/** How several adapters become one is asked as soon as there are several. */
function showMethod(): void {
  adapters.follow(method.method, method.density);
  const isAsked = adapters.adapters.length > 1 || method.name !== "linear";
  byId("method").hidden = !isAsked;
  if (methodForm) methodForm.show();
  else if (isAsked) void loadMethodForm();
}

async function loadMethodForm(): Promise<void> {
  const { MethodForm } = await import("./method-form.js");
  if (methodForm) return;
  methodForm = new MethodForm(method, { get text() { return options.seed; }, set: (text) => (options.seed = text) });
  byId("method").replaceChildren(methodForm.element);
}

/** Another token changes no result; it may make a plan that there was none of. */
function tokenChanged(): void {
  base.describeAgain();
  merged.describeAgain();
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
  methodForm?.blame(field, "plan-error");
  // An option that cannot be used says nothing against the base.
  const isDoubted = state.kind === "failed" && (state.error as Partial<LorafoldError>).code !== "bad-option";
  adapters.offerBase(!base.picked || isDoubted, base.picked?.repository?.name);
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
  byId("formula").replaceChildren(formula(adapters.adapters, report?.adapters ?? [], method.name));
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
  verifying?.refresh();
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
    return { swap: follow(() => void putRight(error)), token: () => hubToken.ask(), intersect: follow(() => options.intersect()) }[offer.act];
  };
  const models = [base.picked, mode === "verify" ? merged.picked : undefined].filter((picked) => picked !== undefined);
  const inputs = [...models, ...adapters.adapters.map(({ picked }) => picked)];
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
      await showResult({ ...ending, name, ...output.destination, watch, onSaving, askToken: () => hubToken.ask(), keepMore, toneOf: tones(adapters.adapters) }).catch((error: unknown) =>
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

/** While a merge runs, or a verification, what it was asked cannot be changed. */
function setBusy(busy: boolean): void {
  byId<HTMLFieldSetElement>("inputs").disabled = busy;
  byId<HTMLFieldSetElement>("output").disabled = busy;
  for (const id of ["try-sample", "mode-merge", "mode-verify"]) byId<HTMLButtonElement>(id).disabled = busy;
  document.body.classList.toggle("merging", busy);
  showReadiness();
}

async function trySample(): Promise<void> {
  try {
    const sample = await loadSample();
    if (isTooLate("The sample")) return;
    adapters.clear();
    base.set(sample.base);
    for (const { picked, weight } of sample.adapters) adapters.add(picked, { weight });
  } catch (error) {
    complain(byId("plan-error"), error, () => void trySample());
  }
}

/** Choose what the page's own address names. */
function followLink(link: Link): void {
  options.follow(link.parameters);
  method.follow(link.parameters);
  const chosen = link.adapters.map(({ address, ...asked }) => ({ picked: pickUrl(address), asked }));
  for (const { picked, asked } of chosen) if (typeof picked !== "string") adapters.add(picked, asked);
  const models = [{ picker: base, address: link.base }, { picker: merged, address: link.merged }].map(({ picker, address }) => ({ picker, picked: address === undefined ? undefined : pickUrl(address) }));
  for (const { picker, picked } of models) if (typeof picked === "object") picker.set(picked);
  // Said last: choosing takes complaints away.
  const complaints = chosen.map(({ picked }) => picked).filter((picked) => typeof picked === "string");
  if (complaints.length > 0) adapters.complain(complaints.join(" "));
  for (const { picker, picked } of models) if (typeof picked === "string") picker.complain(picked);
  void enter(link.mode);
}

/** Merge, or verify what was merged. */
async function enter(wanted: "merge" | "verify"): Promise<void> {
  mode = wanted;
  document.body.dataset["mode"] = mode;
  for (const name of ["merge", "verify"] as const) byId(`mode-${name}`).setAttribute("aria-pressed", String(name === mode));
  keepLink();
  if (mode === "merge" || verifying) return;
  const { VerifyMode } = await import("./verify-mode.js");
  verifying ??= new VerifyMode(byId("verify-body"), { asked: verified, complain, setBusy });
}

/** What is verified, or what is missing, in words. */
function verified(): VerifyOptions | string {
  const asked = request();
  if (typeof asked === "string") return asked;
  if (!merged.picked) return "Choose the merged model.";
  if (adapters.missingWeight) return adapters.missingWeight;
  const { kind } = planner.state;
  if (kind !== "ready") return kind === "failed" ? "What it should be cannot be told: see the error there." : "What it should be is being worked out.";
  return { ...asked.plan, merged: merged.picked.source };
}

/** What was chosen as the merged model is an adapter. */
function adapterWasMerged(): void {
  const picked = merged.picked;
  if (!picked || isTooLate("The change")) return;
  merged.set(undefined);
  adapters.add(picked);
}

/** What arrives in the middle of a merge does not replace what is being merged. */
function isTooLate(what: string): boolean {
  const isBusy = run.running || (verifying?.running ?? false);
  if (isBusy) adapters.complain(`${what} arrived in the middle of ${run.running ? "a merge" : "a verification"} and was not taken.`);
  return isBusy;
}

/** What is dropped on a section is for it; elsewhere, and of several on a model's, what looks like an adapter is one. */
function dropped(zone: Zone, things: (Picked | string)[]): void {
  if (isTooLate("What was dropped")) return;
  const picked = things.filter((thing) => typeof thing !== "string");
  const isAdapter = (one: Picked) => zone === "adapters" || ((zone === "page" || picked.length > 1) && one.looksLikeAdapter);
  for (const one of picked.filter(isAdapter)) adapters.add(one);
  const [first, ...more] = picked.filter((one) => !isAdapter(one));
  // Beside the sections: the base comes first.
  const place = zone === "page" ? (mode === "verify" && base.picked && !merged.picked ? "merged" : "base") : zone;
  const picker = place === "merged" ? merged : base;
  if (first) picker.set(first);
  // Said where it was dropped; nothing is left out without a word.
  const complainThere = zone === "adapters" || (zone === "page" && picker.picked) ? adapters : picker;
  const ofModel = more.map(({ name }) => `There is one ${picker === merged ? "merged model" : "base"}: “${name}” was not taken.`);
  const ofThings = things.filter((thing) => typeof thing === "string");
  const said = new Map<{ complain: (text: string) => void }, string[]>([[picker, ofModel]]);
  said.set(complainThere, [...(said.get(complainThere) ?? []), ...ofThings]);
  for (const [place, complaints] of said) if (complaints.length > 0) place.complain(complaints.join(" "));
}

mergeButton.addEventListener("click", mergePressed);
byId("try-sample").addEventListener("click", () => void trySample());
window.addEventListener("beforeunload", (event) => {
  if (saving) event.preventDefault();
});
for (const name of ["merge", "verify"] as const) byId(`mode-${name}`).addEventListener("click", () => void enter(name));
acceptDrops(() => !run.running && !verifying?.running, dropped);
for (const [name, address] of Object.entries(links)) byId<HTMLAnchorElement>(`link-${name}`).href = address;
byId("version").textContent = `Version ${import.meta.env.LORAFOLD_VERSION}`;
// Its link is made when it is followed: what went wrong last is told.
byId("link-problem").addEventListener("click", (event) => ((event.currentTarget as HTMLAnchorElement).href = problemUrl(lastError)));
byId<HTMLAnchorElement>("link-problem").href = problemUrl();
void keepOffline(() => (byId("offline").hidden = false));
followLink(readLink(location.search));
inputsChanged();
void tidyPrivateStorage();
if (new URLSearchParams(location.search).has("sample")) void trySample();
