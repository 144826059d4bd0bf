//! Several adapters in one file: PEFT's keys may have the adapter's name behind that of what was trained
//! (`….lora_A.NAME.weight`).

use super::dialect::AdapterFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::json::sorted;

/// What an adapter is called that nobody has named.
const DEFAULT: &str = "default";
/// Most names that an error lists.
const LISTED: usize = 20;

/// Which of the adapters called `names`, one for each key that has a name, is read: the wanted one, or the only one. Keys without a name
/// belong to all.
///
/// # Errors
/// `wrong-input` where there are several and none is chosen, `bad-option` where the chosen one is not there.
pub(crate) fn choose<'a>(files: &AdapterFiles, names: Vec<&'a str>) -> Result<Option<&'a str>> {
    let names = sorted(names);
    let chosen = match (files.wanted, names.as_slice()) {
        (None, &[only]) => Some(only),
        (None | Some(DEFAULT), []) => return Ok(None),
        (Some(wanted), names) => names.iter().copied().find(|name| *name == wanted),
        (None, _) => None,
    };
    if chosen.is_some() {
        return Ok(chosen);
    }
    let mut listed = names.iter().copied().take(LISTED).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED {
        listed += &format!(" and {} more", names.len() - LISTED);
    }
    if listed.is_empty() {
        listed = "one without a name".into();
    }
    let error = match files.wanted {
        Some(wanted) => Error::bad_option("adapter", format!("there is no adapter {wanted:?}, but {listed}")),
        None => Error::wrong_input(files.file, format!("there are several adapters: {listed}")),
    };
    Err(error.kind(ErrorKind::SeveralAdapters).adapter(files.adapter).found(listed).fix(CHOOSE))
}

/// What the user can do about several adapters.
pub(crate) const CHOOSE: &str =
    "choose one by its name: the option `adapter`, or on the command line #NAME behind the adapter";
