//! Merges from folder to folder: any number of threads, cancelled, failed, and into folders that hold something already.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use crate::folders::{Scratch, files};
use crate::model::Model;
use lorafold::{AdapterFolder, Cancel, Error, Merge, MergeBuilder, PlanOptions};

/// A random model in a folder of its own, and where it may be merged to.
struct Case {
    scratch: Scratch,
    model: Model,
}

impl Case {
    fn new(name: &str, seed: u64) -> Case {
        let case = Case { scratch: Scratch::new(name), model: Model::random(seed) };
        case.model.write(&case.scratch.0);
        case
    }

    fn base(&self) -> PathBuf {
        self.scratch.join("base")
    }

    fn out(&self) -> PathBuf {
        self.scratch.join("out")
    }

    /// A merge of its base and all its adapters.
    fn merge(&self) -> MergeBuilder {
        let adapter = |(folder, options): &(lorafold::Listing, lorafold::AdapterOptions)| {
            AdapterFolder::new(self.scratch.join(&folder.name)).weight(options.weight.unwrap_or(1.0))
        };
        self.model.adapters.iter().map(adapter).fold(Merge::builder().base(self.base()), MergeBuilder::adapter)
    }

    /// What its merge gives in a folder that was empty.
    fn clean(&self) -> BTreeMap<String, Vec<u8>> {
        let out = self.scratch.join("clean");
        self.merge().plan().unwrap().run(&out).unwrap();
        files(&out)
    }
}

fn run(merge: MergeBuilder, out: &Path) -> Result<(), Error> {
    merge.plan()?.run(out).map(drop)
}

#[test]
fn threads_and_blocks_do_not_show() {
    for seed in 300..312 {
        let case = Case::new(&format!("threads-{seed}"), seed);
        let clean = case.clean();
        assert!(clean.contains_key("tokenizer.json"));
        for (threads, block_bytes) in [(3, 64), (2, 1), (4, 1000)] {
            let out = case.scratch.join(&format!("out-{threads}"));
            run(case.merge().threads(threads).block_bytes(block_bytes), &out).unwrap();
            assert!(files(&out) == clean, "seed {seed}");
        }
    }
}

#[test]
fn progress_is_reported_in_order_to_the_last_byte() {
    let case = Case::new("progress", 3);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let report = seen.clone();
    let merge = case.merge().threads(4).block_bytes(100).on_progress(move |progress| {
        report.lock().unwrap().push((progress.bytes, progress.total, progress.file.to_string()));
    });
    let merged = merge.plan().unwrap().run(case.out()).unwrap();
    let seen = seen.lock().unwrap();
    assert!(seen.len() > merged.plan.files.len());
    assert!(seen.is_sorted_by(|a, b| a.0 < b.0));
    let total = merged.plan.output_bytes();
    assert_eq!(seen.last().unwrap().0, total);
    assert!(seen.iter().all(|(_, all, file)| *all == total && merged.plan.files.iter().any(|f| f.name == *file)));
}

#[test]
fn the_report_has_statistics_and_names_where_they_are_asked_for() {
    let case = Case::new("report", 5);
    let adapter = AdapterFolder::new(case.scratch.join(&case.model.adapters[0].0.name)).name("style").alpha(3.0);
    let merge = Merge::builder().base(case.base()).adapter(adapter).statistics(true).memory_budget(16 << 20);
    let report = serde_json::to_string(&merge.plan().unwrap().run(case.out()).unwrap().report()).unwrap();
    assert!(report.contains("\"style\""), "{report}");
    assert!(report.contains("\"alpha\":3.0"), "{report}");
    assert!(report.contains("maxAbs") || report.contains("statistics"), "{report}");
}

#[test]
fn impossible_requests_are_refused() {
    let case = Case::new("requests", 5);
    for merge in [Merge::builder(), case.merge().memory_budget(1000), case.merge().dtype("int3")] {
        assert_eq!(merge.plan().err().unwrap().code(), "bad-option");
    }
    let error = Merge::builder().base(case.scratch.join("nowhere")).plan().err().unwrap();
    assert_eq!(error.code(), "fetch-failed");
    let mut options = PlanOptions::default();
    options.only = Some("nothing".into());
    assert_eq!(case.merge().options(options).plan().err().unwrap().code(), "bad-option");
}

#[test]
fn a_failed_merge_leaves_nothing() {
    let mut case = Case::new("nothing", 7);
    // The last bytes of the last adapter's factors become NaN.
    case.model.inputs.0.last_mut().unwrap().iter_mut().rev().take(8).for_each(|byte| *byte = 0xff);
    case.model.write(&case.scratch.0);
    let out = case.scratch.join("made/for/it");
    assert_eq!(run(case.merge(), &out).unwrap_err().code(), "non-finite");
    assert!(!case.scratch.join("made").exists());
    fs::create_dir_all(&out).unwrap();
    assert_eq!(run(case.merge(), &out).unwrap_err().code(), "non-finite");
    assert!(files(&out).is_empty());
}

#[test]
fn a_cancelled_merge_leaves_nothing() {
    let case = Case::new("cancelled", 9);
    let cancel = Cancel::new();
    let (after_some, merge) = (cancel.clone(), case.merge().cancel(cancel));
    let merge = merge.threads(2).block_bytes(100).on_progress(move |progress| {
        if progress.bytes * 2 > progress.total {
            after_some.cancel();
        }
    });
    assert_eq!(run(merge, &case.out()).unwrap_err().code(), "aborted");
    assert!(!case.out().exists());

    let cancel = Cancel::new();
    cancel.cancel();
    assert_eq!(case.merge().cancel(cancel).plan().err().unwrap().code(), "aborted");
}

#[test]
fn an_input_that_changes_meanwhile_is_an_error() {
    let case = Case::new("changed", 11);
    let weights = fs::read_dir(case.base()).unwrap().map(|entry| entry.unwrap().path());
    let weights: Vec<PathBuf> =
        weights.filter(|path| path.extension().is_some_and(|end| end == "safetensors")).collect();
    let path = weights[0].clone();
    let bytes = fs::read(&path).unwrap();
    let merge = case.merge().plan().unwrap();
    let later = fs::metadata(&path).unwrap().modified().unwrap() + std::time::Duration::from_secs(2);
    fs::write(&path, &bytes).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(later).unwrap();
    assert_eq!(merge.run(case.out()).unwrap_err().code(), "source-changed");
    assert!(!case.out().exists());

    let merge = case.merge().plan().unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert_eq!(merge.run(case.out()).unwrap_err().code(), "source-changed");
    assert!(!case.out().exists());
}

#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let case = Case::new("occupied", 12);
    let out = case.out();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let error = run(case.merge(), &out).unwrap_err();
    assert_eq!(error.code(), "bad-option");
    assert!(error.to_string().contains("force"), "{error}");
    assert_eq!(files(&out).len(), 1);
    // A folder that is a file, and one below it.
    for path in [out.join("notes.txt"), out.join("notes.txt/below")] {
        for force in [false, true] {
            assert_eq!(run(case.merge().force(force), &path).unwrap_err().code(), "bad-option");
        }
    }
    // What a merge that was killed has left is nothing.
    fs::remove_file(out.join("notes.txt")).unwrap();
    fs::write(out.join(".config.json.1-0.partial"), "{").unwrap();
    run(case.merge(), &out).unwrap();
}

/// A folder with a model of shards and their index, and files that are not a model's.
fn old_model(case: &Case) -> PathBuf {
    let out = case.out();
    fs::create_dir(&out).unwrap();
    let kept = ["notes.txt", "adapter_model.safetensors", "vae.safetensors"];
    let index = r#"{"metadata":{},"weight_map":{"a":"x-a.safetensors","b":"model-00001-of-00002.safetensors"}}"#;
    let stale = [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "x-a.safetensors",
        "config.json",
        "adapter_config.json",
    ];
    kept.iter().chain(&stale).for_each(|name| fs::write(out.join(name), *name).unwrap());
    fs::write(out.join("model.safetensors.index.json"), index).unwrap();
    out
}

#[test]
fn force_replaces_the_model_and_keeps_the_rest() {
    let case = Case::new("force", 13);
    let (clean, out) = (case.clean(), old_model(&case));
    run(case.merge().force(true), &out).unwrap();
    let mut found = files(&out);
    for kept in ["notes.txt", "adapter_model.safetensors", "vae.safetensors"] {
        assert_eq!(found.remove(kept).unwrap(), kept.as_bytes());
    }
    assert!(found == clean, "{:?}", found.keys());
}

#[test]
fn what_stands_in_the_way_leaves_the_old_model_whole() {
    let case = Case::new("in-the-way", 14);
    let out = old_model(&case);
    fs::create_dir(out.join("tokenizer.json")).unwrap();
    let before = files(&out);
    let error = run(case.merge().force(true), &out).unwrap_err();
    assert_eq!(error.code(), "bad-option");
    assert!(error.to_string().contains("tokenizer.json"), "{error}");
    assert!(files(&out) == before);

    // One that comes while the merge runs: what was renamed goes back.
    fs::remove_dir(out.join("tokenizer.json")).unwrap();
    let (before, path) = (files(&out), out.join("tokenizer.json"));
    let merge = case.merge().force(true).on_progress(move |progress| {
        if progress.bytes == progress.total {
            fs::create_dir_all(path.join("full")).unwrap();
        }
    });
    assert_eq!(run(merge, &out).unwrap_err().code(), "bad-option");
    fs::remove_dir_all(out.join("tokenizer.json")).unwrap();
    assert!(files(&out) == before);
}

#[cfg(unix)]
#[test]
fn companions_have_the_longest_of_names() {
    let case = Case::new("long-names", 16);
    let names = [format!("{}.json", "n".repeat(250)), format!("{}.json", "é".repeat(118)), "two\nlines.json".into()];
    names.iter().for_each(|name| fs::write(case.base().join(name), "{}").unwrap());
    let clean = case.clean();
    assert!(names.iter().all(|name| clean.contains_key(name)));
    let out = old_model(&case);
    names.iter().for_each(|name| fs::write(out.join(name), "old").unwrap());
    run(case.merge().force(true), &out).unwrap();
    let found = files(&out);
    assert!(clean.iter().all(|(name, bytes)| found.get(name) == Some(bytes)), "{:?}", found.keys());
}

#[cfg(unix)]
#[test]
fn a_write_that_fails_is_no_failed_read() {
    let case = Case::new("write", 15);
    // Nothing can be made below this, whoever runs the test.
    let error = run(case.merge(), Path::new("/proc/self/lorafold")).unwrap_err();
    assert_eq!(error.code(), "write-failed", "{error}");
}

#[test]
fn the_output_never_takes_the_place_of_an_input() {
    let case = Case::new("inputs", 8);
    let adapter = case.scratch.join(&case.model.adapters[0].0.name);
    let base = case.base();
    let before = files(&base);
    for out in [base.clone(), base.join("..").join("base"), adapter] {
        assert_eq!(run(case.merge().force(true), &out).unwrap_err().code(), "bad-option", "{}", out.display());
    }
    assert!(files(&base) == before);

    // A folder of links, as caches have them, into the one that is to be written.
    #[cfg(unix)]
    {
        let links = case.scratch.join("links");
        fs::create_dir(&links).unwrap();
        for name in before.keys() {
            std::os::unix::fs::symlink(base.join(name), links.join(name)).unwrap();
        }
        assert_eq!(run(case.merge().base(links).force(true), &base).unwrap_err().code(), "bad-option");
        assert!(files(&base) == before);
    }
}
