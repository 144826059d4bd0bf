//! What tells one planned output from another without reading a weight.

use sha2::{Digest, Sha256};

use super::build::MergePlan;
use super::open::hex;
use crate::error::Result;

impl MergePlan {
    /// A sha256 in hex of everything that the plan knows about its output: names, sizes, headers, and the recipe with the hashes of the
    /// adapters. It is the same for the same inputs, wherever they are. It depends on the headers of the base, not on its weights.
    ///
    /// # Errors
    /// `limit-exceeded` where memory does not suffice for the header of a file.
    pub fn identity(&self) -> Result<String> {
        let mut hash = Sha256::new();
        for file in &self.files {
            for part in [file.name.as_bytes(), &file.size.to_le_bytes(), &self.planned_bytes(file, 0..file.planned())?]
            {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
        }
        Ok(hex(&hash.finalize()))
    }

    /// A strong entity tag (RFC 9110) for every output file. It is made of the [identity](Self::identity), the file's name, and the versions that
    /// the base's source gave its files. If it gave none, different weights with the same headers have the same tag.
    ///
    /// # Errors
    /// As [`identity`](Self::identity).
    pub fn etags(&self) -> Result<Vec<String>> {
        let mut common = Sha256::new_with_prefix(self.identity()?);
        for (name, version) in &self.base.versions {
            common.update(format!("{}:{name}{}:{version}", name.len(), version.len()));
        }
        let tag = |name: &str| format!("\"{}\"", &hex(&common.clone().chain_update(name).finalize())[..32]);
        Ok(self.files.iter().map(|file| tag(&file.name)).collect())
    }
}
