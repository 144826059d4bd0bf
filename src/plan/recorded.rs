//! What the recipe of a base says of the adapters that are in it already: whether those that are taken out are in it, and whether those that are
//! merged are in it already.

use serde_json::Value;

use super::build::MergePlan;
use super::options::PlanOptions;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::json::number;

/// An adapter that a recipe names.
struct Recorded<'r> {
    /// What the recipe says of it.
    said: &'r Value,
    /// How it was merged.
    method: &'r str,
    /// The weight with which it is in the model: 0 where it was taken out again.
    left: f64,
}

/// What of an adapter must be the same, beside its weight, if it is to be taken out.
const SETTINGS: [&str; 4] = ["weights", "blockWeights", "only", "skip"];

/// Compare the adapters with those of the base's recipe, and with each other.
///
/// # Errors
/// `base-mismatch` where adapters are taken out of a model whose recipe says that they are not in it, or not so; with `allowUnmatched` it is a
/// finding.
// A function of its own, so that it is in the second half of the module.
#[inline(never)]
pub(super) fn check(plan: &mut MergePlan, options: &PlanOptions) -> Result<()> {
    let asked: Vec<Value> = plan.recipe.adapters.iter().flat_map(serde_json::to_value).collect();
    let recipe = plan.recipe.base.recipe.as_ref();
    let mut recorded = recipe.map(recorded).unwrap_or_default();
    let mut findings = Vec::new();
    if recipe.is_none() && options.unmerge {
        let these = if asked.len() == 1 { "this adapter is" } else { "these adapters are" };
        let message = format!("{} has no recipe: nothing tells that {these} in it", plan.base.name);
        findings.push(Finding::warning("no-recipe", None, message));
    }
    for (place, (adapter, one)) in plan.adapters.iter().zip(&asked).enumerate() {
        if adapter.weight == 0.0 {
            continue;
        }
        let mut find = |code: &'static str, message: String| {
            findings.push(Finding::warning(code, Some(&adapter.name), message));
        };
        if !options.unmerge {
            if let Some(Recorded { left, method, .. }) =
                recorded.iter().find(|other| other.left != 0.0 && is_same(other.said, one))
            {
                let by = if *method == "linear" { String::new() } else { format!(", by method {method}") };
                let weight = number(*left);
                find(
                    "already-merged",
                    format!("the base's recipe says that this adapter is in it already, with weight {weight}{by}"),
                );
            }
            let is_twice =
                |other: &&Value| is_same(other, one) && ["only", "skip"].iter().all(|key| other[*key] == one[*key]);
            if asked.iter().take(place).any(|other| is_twice(&other)) {
                find("repeated-adapter", "this adapter is given more than once: each time its delta is added".into());
            }
        } else if recipe.is_some()
            && let Some(reason) = contradiction(&mut recorded, one, -adapter.weight)
        {
            if options.allow_unmatched {
                find("recipe-mismatch", format!("{}: {reason}", plan.base.name));
                continue;
            }
            return Err(Error::base_mismatch(plan.base.name.clone(), reason).adapter(adapter.name.clone()).fix(
                "take out what its recipe names, with the same weights, or allow it: --allow-unmatched, allowUnmatched: true",
            ));
        }
    }
    plan.findings.append(&mut findings);
    Ok(())
}

/// Why a recipe says that an adapter cannot be taken out with this weight. Where it can, it is no longer among those that are `recorded`.
fn contradiction(recorded: &mut [Recorded], asked: &Value, weight: f64) -> Option<String> {
    // Of a whole model, which may have no hash, nothing can be said.
    if hashes(asked).is_empty() || recorded.iter().any(|one| hashes(one.said).is_empty()) {
        return None;
    }
    let mut same: Vec<&mut Recorded> = recorded.iter_mut().filter(|one| is_same(one.said, asked)).collect();
    if same.is_empty() {
        return Some("its recipe does not name this adapter".into());
    }
    same.retain(|one| one.left != 0.0);
    let found = same.iter().position(|one| one.method == "linear" && one.left == weight).unwrap_or(0);
    let Some(one) = same.get_mut(found) else {
        return Some("its recipe says that this adapter was taken out already".into());
    };
    if one.method != "linear" {
        return Some(format!("its recipe says that it was made by method {}, which cannot be taken back", one.method));
    }
    if one.left != weight {
        return Some(format!("its recipe says weight {}, and not {}", number(one.left), number(weight)));
    }
    one.left = 0.0;
    let other = SETTINGS.iter().find(|key| one.said[**key] != asked[**key])?;
    let said = |value: &Value| if value.is_null() { "nothing".into() } else { value.to_string() };
    Some(format!("its recipe says {} for {other}, and not {}", said(&one.said[*other]), said(&asked[*other])))
}

/// The adapters of a recipe, and of those of the bases inside it, from the first merge to the last.
fn recorded(recipe: &Value) -> Vec<Recorded<'_>> {
    let mut recipes = vec![recipe];
    while let Some(inner) = recipes.last().and_then(|outer| outer.get("base")?.get("recipe")) {
        recipes.push(inner);
    }
    let mut found: Vec<Recorded> = Vec::new();
    for recipe in recipes.into_iter().rev() {
        let method = recipe["method"].as_str().unwrap_or("linear");
        for said in recipe["adapters"].as_array().into_iter().flatten() {
            let weight = said["weight"].as_f64().unwrap_or(1.0);
            if method != "unmerge" {
                found.push(Recorded { said, method, left: weight });
                continue;
            }
            // The weights of what was taken out are negative.
            let is_it = |one: &Recorded| one.left != 0.0 && is_same(one.said, said);
            let exact = found.iter().position(|one| is_it(one) && one.left == -weight);
            if let Some(at) = exact.or_else(|| found.iter().position(is_it)) {
                found[at].left += weight;
            }
        }
    }
    found
}

/// Whether two adapters of recipes have the same weights.
fn is_same(one: &Value, other: &Value) -> bool {
    let (own, name, other_name) = (hashes(one), &one["adapter"], &other["adapter"]);
    !own.is_empty() && own == hashes(other) && (name.is_null() || other_name.is_null() || name == other_name)
}

/// The hashes of an adapter's weight files. None where one of them is not known.
fn hashes(adapter: &Value) -> Vec<&str> {
    let files = adapter["files"].as_array().filter(|files| !files.is_empty());
    let files = files.or_else(|| adapter["model"]["files"].as_array()).into_iter().flatten();
    let weights = files.filter(|file| file["name"].as_str().is_some_and(|name| !name.ends_with(".json")));
    weights.map(|file| file["sha256"].as_str()).collect::<Option<_>>().unwrap_or_default()
}
