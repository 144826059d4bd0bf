//! A plan as bytes, as it crosses from a worker of a browser to the page: what comes back is the same plan.
#![cfg(not(target_arch = "wasm32"))]

use crate::model::{Model, block_on};
use lorafold::plan::{MergePlan, PlanOptions, plan};

/// Everything of a plan but what was only needed to make it.
fn whole(mut plan: MergePlan) -> String {
    plan.base.others.clear();
    for adapter in &mut plan.adapters {
        adapter.updates.clear();
        adapter.findings.clear();
        adapter.mismatches.clear();
        adapter.targets = Default::default();
    }
    format!("{plan:?}")
}

#[test]
fn a_plan_comes_back_as_it_was() {
    for seed in 0..40 {
        let Model { inputs, base, adapters } = Model::random(seed);
        let mut options = PlanOptions::default();
        options.dtype = (seed % 3 == 1).then(|| "float32".into());
        options.max_shard_size = (seed % 4 == 2).then_some(2000);
        options.skip = (seed % 5 == 3).then(|| "layers.9".into());
        let plan = block_on(plan(&inputs, &base, &adapters, &options)).unwrap();
        let back = MergePlan::from_bytes(&plan.to_bytes()).unwrap();
        assert_eq!(back.etags().unwrap(), plan.etags().unwrap());
        assert_eq!(back.report(&Default::default()), plan.report(&Default::default()));
        assert_eq!(whole(back), whole(plan), "seed {seed}");
    }
}

#[test]
fn bytes_that_are_no_plan_are_an_error() {
    let Model { inputs, base, adapters } = Model::random(7);
    let bytes = block_on(plan(&inputs, &base, &adapters, &PlanOptions::default())).unwrap().to_bytes();
    for wrong in [&[][..], &bytes[..bytes.len() / 2]] {
        assert_eq!(MergePlan::from_bytes(wrong).unwrap_err().code(), "internal");
    }
}
