//! The hashes of a base: those that its source knows, and those that are computed where somebody wants them.

use sha2::{Digest, Sha256};

use super::adapter::sha256 as hash_of;
use super::open::{Base, Shard, hex};
use super::options::PlanOptions;
use crate::error::{Error, Result};
use crate::inputs::{FileInfo, Inputs, Listing, UNKNOWN_SIZE};

impl Base {
    /// The sha256 in hex that tells this base from another: of its weight file, or, where it has several, of one line for each in order of name,
    /// `HASH␣␣NAME␊`, as `sha256sum` prints them. Nothing where the hash of a file is not known.
    pub fn sha256(&self) -> Option<String> {
        if let [single] = self.shards.as_slice() {
            return single.sha256.clone();
        }
        // They are in order of name.
        let line = |Shard { name, sha256, .. }: &Shard| Some(format!("{}  {name}\n", sha256.as_ref()?));
        let lines: Option<String> = self.shards.iter().map(line).collect();
        Some(hex(&Sha256::digest(lines?)))
    }

    /// Hash each weight file whose source does not know its hash: a whole read of each, from beginning to end.
    ///
    /// # Errors
    /// Those of reading.
    pub async fn hash(&mut self, inputs: &impl Inputs, folder: &Listing) -> Result<()> {
        for Shard { input, name, header, sha256 } in &mut self.shards {
            let listed = folder.files.iter().find(|file| file.name == *name);
            if let (None, Some(file)) = (&sha256, listed) {
                // Of a file whose size nobody says, what its header says.
                let size = if file.size == UNKNOWN_SIZE { header.file_bytes } else { file.size };
                *sha256 = Some(hash_of(inputs, *input, &FileInfo { size, ..file.clone() }).await?);
            }
        }
        Ok(())
    }
}

/// Hash the base, and compare it with the one that is expected.
///
/// # Errors
/// `base-mismatch`; `bad-option` for what is no hash; those of reading.
pub(super) async fn check(
    inputs: &impl Inputs,
    folder: &Listing,
    base: &mut Base,
    options: &PlanOptions,
) -> Result<()> {
    let expected = options.expect_base.as_deref().map(expected).transpose()?;
    base.hash(inputs, folder).await?;
    let (Some(expected), found) = (expected, base.sha256().unwrap_or_default()) else { return Ok(()) };
    if expected == found {
        return Ok(());
    }
    let what = match base.shards.len() {
        1 => "its sha256".to_string(),
        count => format!("the sha256 of its {count} weight files"),
    };
    let reason = format!("{what} is {found}, and not {expected}");
    Err(Error::base_mismatch(base.name.clone(), reason)
        .found(found)
        .expected(expected)
        .fix("merge into the base with that hash"))
}

fn expected(text: &str) -> Result<String> {
    let hash = text.trim().to_ascii_lowercase();
    let hash = hash.strip_prefix("sha256:").unwrap_or(&hash);
    if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(hash.into());
    }
    Err(Error::bad_option("expectBase", "a SHA-256 has 64 hexadecimal digits")
        .found(text)
        .expected("64 hexadecimal digits"))
}
