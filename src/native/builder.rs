//! What is asked of a merge of folders.

use std::path::{Path, PathBuf};

use super::cancel::Cancel;
use super::files::{Files, InputFile, block_on, list_folder};
use super::merge::{Merge, OnProgress, Progress};
use super::receipt::ReceiptMetadata;
use crate::engine::Budget;
use crate::error::{Error, Result};
use crate::inputs::Listing;
use crate::plan::{AdapterOptions, ModuleWeight, PlanOptions, plan};

/// An adapter's folder, or its `.safetensors` file, and what is asked of it. A path alone will do for one at weight 1.
#[derive(Debug, Clone)]
#[must_use]
pub struct AdapterFolder {
    path: PathBuf,
    name: Option<String>,
    options: AdapterOptions,
}

impl AdapterFolder {
    /// The adapter in this folder, at weight 1.
    pub fn new(path: impl Into<PathBuf>) -> AdapterFolder {
        AdapterFolder { path: path.into(), name: None, options: AdapterOptions::default() }
    }

    /// Factor on the adapter's whole delta.
    pub fn weight(mut self, weight: f64) -> AdapterFolder {
        self.options.weight = Some(weight);
        self
    }

    /// Share of the adapter's deltas that is kept, in place of the one of all adapters.
    pub fn density(mut self, density: f64) -> AdapterFolder {
        self.options.density = Some(density);
        self
    }

    /// Replaces `lora_alpha` of the adapter's configuration, patterns included.
    pub fn alpha(mut self, alpha: f64) -> AdapterFolder {
        self.options.alpha = Some(alpha);
        self
    }

    /// How the columns of `lora_B` are ordered where it has the factors of many experts: `rank` (default), as PEFT has them, or `expert`, as
    /// Unsloth wrote them before September 2026.
    pub fn expert_packing(mut self, packing: impl Into<String>) -> AdapterFolder {
        self.options.expert_packing = Some(packing.into());
        self
    }

    /// Which adapter is meant where the file or the folder has several: by the name in its keys, or of the folder inside that PEFT saved it to.
    pub fn adapter(mut self, name: impl Into<String>) -> AdapterFolder {
        self.options.adapter = Some(name.into());
        self
    }

    /// How often the delta of `out_proj` in an nn.MultiheadAttention is added: "twice" (default), as PEFT does, or "once".
    pub fn out_proj(mut self, times: impl Into<String>) -> AdapterFolder {
        self.options.out_proj = Some(times.into());
        self
    }

    /// The base is the one that was saved with the adapter, from which its initialisation has taken a part.
    pub fn residual_base(mut self, is: bool) -> AdapterFolder {
        self.options.residual_base = Some(is);
        self
    }

    /// A factor on its delta in some tensors, beside its weight; of several for a tensor the last counts.
    pub fn module_weight(mut self, weight: ModuleWeight) -> AdapterFolder {
        self.options.weights.push(weight);
        self
    }

    /// Factors on its delta in the blocks of an image model: numbers with commas between them, or the name of a list.
    pub fn block_weights(mut self, weights: impl Into<String>) -> AdapterFolder {
        self.options.block_weights = Some(weights.into());
        self
    }

    /// Merge only its deltas of tensors in whose name this regular expression matches, or another one that is given so.
    pub fn only(mut self, pattern: impl Into<String>) -> AdapterFolder {
        self.options.only.push(pattern.into());
        self
    }

    /// Leave out its deltas of tensors in whose name this regular expression matches.
    pub fn skip(mut self, pattern: impl Into<String>) -> AdapterFolder {
        self.options.skip.push(pattern.into());
        self
    }

    /// The files, and what is asked of them.
    pub(super) fn list(&self, files: &mut Vec<InputFile>) -> Result<(Listing, AdapterOptions)> {
        let mut options = self.options.clone();
        // PEFT saves every adapter that is not called "default" into a folder of its name.
        let inside = options.adapter.as_ref().map(|name| self.path.join(name)).filter(|path| path.is_dir());
        if inside.is_some() {
            options.adapter = None;
        }
        let mut folder = list_folder(inside.as_ref().unwrap_or(&self.path), files)?;
        if let Some(name) = self.name.as_ref().or(options.adapter.as_ref()) {
            folder.name.clone_from(name);
        }
        Ok((folder, options))
    }

    /// What errors and the report call it; the folder's name when not given.
    pub fn name(mut self, name: impl Into<String>) -> AdapterFolder {
        self.name = Some(name.into());
        self
    }
}

impl<P: AsRef<Path>> From<P> for AdapterFolder {
    fn from(path: P) -> AdapterFolder {
        AdapterFolder::new(path.as_ref())
    }
}

/// The base, the adapters with their options, and the files of all of them.
pub(super) type Listings = (Listing, Vec<(Listing, AdapterOptions)>, Vec<InputFile>);

/// A merge that is being described; see [`Merge::builder`].
#[derive(Default)]
#[must_use]
pub struct MergeBuilder {
    pub(super) base: Option<PathBuf>,
    adapters: Vec<AdapterFolder>,
    pub(super) plan: PlanOptions,
    pub(super) allow_nonfinite: bool,
    pub(super) statistics: bool,
    pub(super) force: bool,
    pub(super) threads: usize,
    memory_budget: Option<u64>,
    block_bytes: Option<u64>,
    pub(super) on_progress: Option<OnProgress>,
    pub(super) cancel: Cancel,
    pub(super) receipt: Option<ReceiptMetadata>,
}

impl MergeBuilder {
    /// The base model: its folder, or its one `.safetensors` file.
    pub fn base(mut self, path: impl Into<PathBuf>) -> MergeBuilder {
        self.base = Some(path.into());
        self
    }

    /// One more adapter: a path, or an [`AdapterFolder`] where its weight is not 1.
    pub fn adapter(mut self, adapter: impl Into<AdapterFolder>) -> MergeBuilder {
        self.adapters.push(adapter.into());
        self
    }

    /// What is merged, and to which type.
    pub fn options(mut self, options: PlanOptions) -> MergeBuilder {
        self.plan = options;
        self.plan.hash_base |= self.receipt.is_some();
        self
    }

    /// The type of floating-point tensors in the output: "keep" (default), "float32", "float16" or "bfloat16".
    pub fn dtype(mut self, dtype: impl Into<String>) -> MergeBuilder {
        self.plan.dtype = Some(dtype.into());
        self
    }

    /// How the deltas of several adapters combine; "linear" when not given. See [`PlanOptions::method`].
    pub fn method(mut self, method: impl Into<String>) -> MergeBuilder {
        self.plan.method = Some(method.into());
        self
    }

    /// Share of each delta that is kept.
    pub fn density(mut self, density: f64) -> MergeBuilder {
        self.plan.density = Some(density);
        self
    }

    /// Hash the base's weight files before the merge, so that the recipe has their hashes; it reads the base once more.
    pub fn hash_base(mut self, hash: bool) -> MergeBuilder {
        self.plan.hash_base = hash || self.receipt.is_some();
        self
    }

    /// Have the merge give a receipt ([`Merged::receipt`](super::Merged::receipt)). The base is hashed before and the output after the merge, each by a read of its
    /// own.
    pub fn receipt(mut self, metadata: ReceiptMetadata) -> MergeBuilder {
        self.receipt = Some(metadata);
        self.plan.hash_base = true;
        self
    }

    /// The SHA-256 that the base must have ([`Base::sha256`](crate::plan::Base::sha256)); another one is the error `base-mismatch`.
    pub fn expect_base(mut self, sha256: impl Into<String>) -> MergeBuilder {
        self.plan.expect_base = Some(sha256.into());
        self
    }

    /// Compare samples of what the adapters hold of their base with this base, for the report.
    pub fn evidence(mut self, gather: bool) -> MergeBuilder {
        self.plan.evidence = gather;
        self
    }

    /// How the sums of merged tensors are rounded: "nearest" (default) or "stochastic".
    pub fn rounding(mut self, rounding: impl Into<String>) -> MergeBuilder {
        self.plan.rounding = Some(rounding.into());
        self
    }

    /// What random numbers begin with; 0 when not given.
    pub fn seed(mut self, seed: u64) -> MergeBuilder {
        self.plan.seed = seed;
        self
    }

    /// Let finite values of the base leave the finite range, which is an error otherwise.
    pub fn allow_nonfinite(mut self, allow: bool) -> MergeBuilder {
        self.allow_nonfinite = allow;
        self
    }

    /// Gather statistics for the report. At low ranks they cost as much time as the merge itself.
    pub fn statistics(mut self, gather: bool) -> MergeBuilder {
        self.statistics = gather;
        self
    }

    /// Replace a model that is in the output folder.
    pub fn force(mut self, force: bool) -> MergeBuilder {
        self.force = force;
        self
    }

    /// Number of threads; as many as the machine runs at once when 0, the default.
    pub fn threads(mut self, threads: usize) -> MergeBuilder {
        self.threads = threads;
        self
    }

    /// Memory in bytes that each thread may use beside the factors of one tensor; 64 MiB when not given.
    pub fn memory_budget(mut self, bytes: u64) -> MergeBuilder {
        self.memory_budget = Some(bytes);
        self
    }

    /// Bytes of output in one block, in place of what the memory budget gives.
    #[doc(hidden)]
    pub fn block_bytes(mut self, bytes: u64) -> MergeBuilder {
        self.block_bytes = Some(bytes);
        self
    }

    /// Called whenever bytes of the output have been written, by one thread at a time.
    pub fn on_progress(mut self, call: impl Fn(Progress<'_>) + Send + Sync + 'static) -> MergeBuilder {
        self.on_progress = Some(Box::new(call));
        self
    }

    /// Stop the merge when somebody cancels the token.
    pub fn cancel(mut self, cancel: Cancel) -> MergeBuilder {
        self.cancel = cancel;
        self
    }

    /// List the folders, read headers and configurations, and plan the merge. No weight of the base is read yet.
    ///
    /// # Errors
    /// Those of [`plan`](crate::plan::plan()); `bad-option` without a base, or for a memory budget that is too small; `aborted`.
    pub fn plan(self) -> Result<Merge> {
        let budget = self.memory_budget.map_or(Ok(Budget::default()), Budget::new)?;
        let block = self.block_bytes.unwrap_or(budget.block_bytes());
        let (base, adapters, files) = self.listings()?;
        let planned = block_on(plan(&Files::new(&files, &self.cancel), &base, &adapters, &self.plan))?;
        Ok(Merge { plan: planned, files, block, request: self })
    }

    /// What is asked of each adapter.
    pub(super) fn adapter_options(&self) -> impl Iterator<Item = &AdapterOptions> {
        self.adapters.iter().map(|adapter| &adapter.options)
    }

    /// The same adapters for another base, to be compared with something.
    pub(super) fn of_another_base(&self, base: PathBuf) -> MergeBuilder {
        MergeBuilder {
            base: Some(base),
            adapters: self.adapters.clone(),
            plan: self.plan.clone(),
            threads: self.threads,
            cancel: self.cancel.clone(),
            ..MergeBuilder::default()
        }
    }

    /// The base, the adapters, and the files of all of them.
    pub(super) fn listings(&self) -> Result<Listings> {
        let base = self.base.as_ref().ok_or_else(|| Error::bad_option("base", "no base is given"))?;
        let mut files = Vec::new();
        let base = list_folder(base, &mut files)?;
        let mut adapters = Vec::with_capacity(self.adapters.len());
        for adapter in &self.adapters {
            adapters.push(adapter.list(&mut files)?);
        }
        Ok((base, adapters, files))
    }
}
