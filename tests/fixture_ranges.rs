//! Any range of any fixture's output, in blocks of any size, is that range of the whole, which is what the merge to a folder writes.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeMap;

use crate::folders::cases::Case;
use crate::folders::{self, Scratch, files};
use crate::model::{Memory, Model, Random, add_folder, check_ranges, read_file, with};
use lorafold::plan::{AdapterOptions, PlanOptions};
use lorafold::{AdapterFolder, Merge};

#[test]
fn any_range_of_any_fixture_is_that_of_the_file() {
    let scratch = Scratch::new("fixture-ranges");
    let mut random = Random(11);
    let mut cases = 0;
    for Case { name, base, adapters: folders, .. } in folders::cases::cases() {
        let mut inputs = Memory::default();
        let listing = add_folder(&mut inputs, "base", files(&base));
        let mut merge = Merge::builder().base(&base);
        let mut adapters = Vec::new();
        for (path, weight) in folders {
            merge = merge.adapter(AdapterFolder::new(&path).weight(weight));
            let options = with(|options: &mut AdapterOptions| options.weight = Some(weight));
            let called = path.file_name().unwrap().to_string_lossy().into_owned();
            adapters.push((add_folder(&mut inputs, &called, files(&path)), options));
        }
        let model = Model { inputs, base: listing, adapters };
        let plan = model.plan(&PlanOptions::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let out = scratch.0.join(&name);
        merge.plan().and_then(|merge| merge.run(&out)).unwrap_or_else(|error| panic!("{name}: {error}"));
        let written: BTreeMap<String, Vec<u8>> = files(&out);
        for (number, file) in plan.files.iter().enumerate() {
            let whole = read_file(&plan, &model.inputs, number, 1 << 20).unwrap();
            assert!(whole == written[&file.name], "{name}: {} differs", file.name);
            check_ranges(&plan, &model.inputs, number, &whole, 60, &mut random, &format!("{name}/{}", file.name));
        }
        cases += 1;
    }
    assert!(cases >= 30, "only {cases} fixtures were found");
}
