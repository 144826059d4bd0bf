//! Several adapters in one file: in PEFT's keys the adapter's name may follow the name of the factor
//! (`….lora_A.NAME.weight`).

use super::dialect::AdapterFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::json::sorted;

/// The name of an adapter to which nobody gave a name.
const DEFAULT: &str = "default";
/// Most names that an error lists.
const LISTED: usize = 20;

/// Which adapter is read: the wanted one, or the only one. `names` are the adapters' names, one for each key that has a name. Keys without a
/// name belong to all adapters.
///
/// # Errors
/// `wrong-input` if there are several and none is chosen, `bad-option` if the chosen one is not there.
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
    "choose one by its name: the option `adapter`, or on the command line #NAME after the adapter";
