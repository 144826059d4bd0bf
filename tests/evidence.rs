//! What the numbers of an adapter say of its base.
#![cfg(not(target_arch = "wasm32"))]

use std::path::Path;

use lorafold::Merge;
use lorafold::plan::{EvidenceKind, EvidenceVerdict};

/// Adapters that PEFT has trained (tests/fixtures/maker/evidence.py), on the base of their training, one that was fine-tuned from it, and another one.
#[test]
fn trained_adapters_know_their_base() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/evidence");
    for (base, verdict, code) in [
        ("base", EvidenceVerdict::Same, "base-confirmed"),
        ("near", EvidenceVerdict::Same, "base-confirmed"),
        ("other", EvidenceVerdict::Other, "base-contradicted"),
    ] {
        for (adapter, kind) in [("dora", EvidenceKind::Magnitudes), ("head", EvidenceKind::Copies)] {
            let merge = Merge::builder().base(folder.join(base)).adapter(folder.join(adapter)).evidence(true);
            let merge = merge.plan().unwrap();
            let [found] = merge.plan().evidence.as_slice() else { panic!("{:?}", merge.plan().evidence) };
            assert_eq!((found.kind, found.verdict), (kind, verdict), "{adapter} on {base}: {found:?}");
            let finding = merge.plan().findings.iter().find(|finding| finding.code == code);
            assert_eq!(finding.map(|finding| &finding.message), Some(&found.says));
            if base == "base" && adapter == "head" {
                assert!(found.says.ends_with("all equal: this is the base"), "{}", found.says);
            }
        }
    }
}
