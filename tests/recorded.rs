//! What the recipe of a base says of the adapters: those that are taken out must be in it, those that are merged should not be.
#![cfg(not(target_arch = "wasm32"))]

use std::path::{Path, PathBuf};

use crate::folders::Scratch;
use lorafold::findings::Finding;
use lorafold::{AdapterFolder, Merge, MergeBuilder, PlanOptions};

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sample").join(name)
}

fn storyteller() -> AdapterFolder {
    AdapterFolder::new(sample("storyteller-lora"))
}

fn terse() -> AdapterFolder {
    AdapterFolder::new(sample("terse-rslora"))
}

fn merge(base: &Path, adapters: Vec<AdapterFolder>) -> MergeBuilder {
    adapters.into_iter().fold(Merge::builder().base(base), MergeBuilder::adapter)
}

fn allowing() -> PlanOptions {
    let mut options = PlanOptions::default();
    options.allow_unmatched = true;
    options
}

fn written(builder: MergeBuilder, out: &Path) -> Vec<Finding> {
    let plan = builder.plan().unwrap();
    let findings = plan.plan().findings.clone();
    plan.run(out).unwrap();
    findings
}

fn message<'f>(findings: &'f [Finding], code: &str) -> Option<&'f str> {
    findings.iter().find(|finding| finding.code == code).map(|finding| finding.message.as_str())
}

#[test]
fn only_what_the_recipe_names_is_taken_out() {
    let scratch = Scratch::new("recorded-unmerge");
    let base = sample("tiny-llama");
    let [once, ties, back, out] = ["once", "ties", "back", "out"].map(|name| scratch.join(name));
    written(merge(&base, vec![storyteller()]), &once);
    written(merge(&base, vec![storyteller(), terse()]).method("ties").density(0.5), &ties);
    let unmerged = merge(&once, vec![storyteller()]).unmerge(&back).unwrap();
    assert_eq!(message(&unmerged.merged.plan.findings, "no-recipe"), None);
    for (model, adapters, says) in [
        (&once, vec![storyteller().weight(0.5)], "its recipe says weight 1, and not 0.5"),
        (&once, vec![storyteller(), storyteller()], "its recipe says that this adapter was taken out already"),
        (&once, vec![terse()], "its recipe does not name this adapter"),
        (&back, vec![storyteller()], "its recipe says that this adapter was taken out already"),
        (&ties, vec![storyteller(), terse()], "its recipe says that it was made by method ties"),
    ] {
        let error = merge(model, adapters.clone()).unmerge(&out).unwrap_err();
        assert_eq!(error.code(), "base-mismatch", "{error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(!out.exists(), "{says}");
        // Whoever knows better may.
        let plan = merge(model, adapters).options(allowing()).unmerge(scratch.join("allowed")).unwrap().merged.plan;
        assert!(message(&plan.findings, "recipe-mismatch").unwrap().contains(says), "{:?}", plan.findings);
        std::fs::remove_dir_all(scratch.join("allowed")).unwrap();
    }
    // Nothing is known of a model without a recipe.
    let plan = merge(&base, vec![storyteller()]).unmerge(&out).unwrap().merged.plan;
    let said = message(&plan.findings, "no-recipe").unwrap();
    assert_eq!(said, "tiny-llama has no recipe: nothing tells that this adapter is in it");
}

#[test]
fn one_of_several_merges_is_taken_out() {
    let scratch = Scratch::new("recorded-inner");
    let [first, second, third, back, rest] =
        ["first", "second", "third", "back", "rest"].map(|name| scratch.join(name));
    written(merge(&sample("tiny-llama"), vec![storyteller().weight(0.5)]), &first);
    written(merge(&first, vec![terse()]), &second);
    // Of the two weights that it has now each can be taken out.
    written(merge(&second, vec![storyteller()]), &third);
    merge(&third, vec![storyteller().weight(0.5)]).unmerge(&back).unwrap();
    let error = merge(&back, vec![storyteller().weight(0.5)]).unmerge(&rest).unwrap_err();
    assert!(error.to_string().contains("its recipe says weight 1, and not 0.5"), "{error}");
    merge(&back, vec![storyteller(), terse()]).unmerge(&rest).unwrap();
}

#[test]
fn an_adapter_that_is_in_the_base_already_is_told() {
    let scratch = Scratch::new("recorded-merge");
    let base = sample("tiny-llama");
    let [once, twice, back] = ["once", "twice", "back"].map(|name| scratch.join(name));
    let none = written(merge(&base, vec![storyteller()]), &once);
    assert_eq!((message(&none, "already-merged"), message(&none, "repeated-adapter")), (None, None));
    let again = merge(&once, vec![storyteller()]).plan().unwrap();
    let said = message(&again.plan().findings, "already-merged");
    assert_eq!(said, Some("the base's recipe says that this adapter is in it already, with weight 1"));
    assert_eq!(message(&merge(&once, vec![terse()]).plan().unwrap().plan().findings, "already-merged"), None);
    merge(&once, vec![storyteller()]).unmerge(&back).unwrap();
    assert_eq!(message(&merge(&back, vec![storyteller()]).plan().unwrap().plan().findings, "already-merged"), None);
    let both = written(merge(&base, vec![storyteller(), storyteller()]), &twice);
    assert!(message(&both, "repeated-adapter").is_some(), "{both:?}");
}
