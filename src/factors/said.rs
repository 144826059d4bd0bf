//! What the configurations of the adapters say that that of the new one repeats.

use serde_json::Value;

use super::folder::Fields;
use crate::container::limits;
use crate::error::{Error, Result};
use crate::findings::Finding;
use crate::inputs::{Inputs, Listing, read_whole};
use crate::json::entries;
use crate::order::sort;
use crate::plan::Adapter;

/// What the configuration of an adapter says that the new one repeats.
pub(super) async fn said(inputs: &impl Inputs, folder: &Listing, adapter: &Adapter) -> Result<Fields> {
    let summary = &adapter.summary;
    let mut fields =
        Fields { base_name: summary.base_name.clone(), fan_in_fan_out: summary.fan_in_fan_out, ..Fields::default() };
    let Some(at) = folder.files.iter().position(|file| file.name == "adapter_config.json") else { return Ok(fields) };
    let json = read_whole(inputs, folder, at, limits::CONFIG_BYTES).await?;
    let entries = entries(&json).map_err(|reason| Error::bad_config("adapter_config.json", reason.to_string()))?;
    let texts = |value: &Value| -> Option<Vec<String>> {
        value.as_array()?.iter().map(|text| text.as_str().map(Into::into)).collect()
    };
    let mut chooses = false;
    for (name, value) in &entries {
        match name.as_str() {
            "task_type" => fields.task_type = value.as_str().map(Into::into),
            "target_modules" => fields.targets = texts(value),
            "target_parameters" => fields.parameters = texts(value).unwrap_or_default(),
            "peft_version" => fields.peft_version = value.as_str().map(Into::into),
            "modules_to_save" => fields.modules_to_save = texts(value).unwrap_or_default(),
            "bias" => fields.bias = value.as_str().filter(|bias| *bias != "none").map(Into::into),
            "layers_to_transform" | "exclude_modules" => chooses |= !value.is_null(),
            _ => {}
        }
    }
    if chooses {
        fields.targets = None;
    }
    Ok(fields)
}

/// What the new configuration says.
pub(super) fn together(all: Vec<Fields>, findings: &mut Vec<Finding>) -> Fields {
    let mut together = Fields::default();
    let mut targets = Some(Vec::new());
    for fields in all {
        match (&together.base_name, fields.base_name) {
            (Some(one), Some(other)) if *one != other => {
                let message = format!("the adapters name different bases: {one} and {other}");
                findings.push(Finding::warning("other-base", None, message));
            }
            (None, Some(name)) => together.base_name = Some(name),
            _ => {}
        }
        together.task_type = together.task_type.or(fields.task_type);
        together.bias = together.bias.or(fields.bias);
        together.fan_in_fan_out |= fields.fan_in_fan_out;
        together.modules_to_save.extend(fields.modules_to_save);
        // Which version trained factors of bare parameters says which way round square ones are.
        if !fields.parameters.is_empty() {
            together.peft_version = together.peft_version.or(fields.peft_version);
        }
        together.parameters.extend(fields.parameters);
        targets = targets.zip(fields.targets).map(|(mut all, more)| {
            all.extend(more);
            all
        });
    }
    together.modules_to_save = distinct(together.modules_to_save);
    together.parameters = distinct(together.parameters);
    // Without any, as in a file without a configuration, the modules' own paths.
    together.targets = targets.map(distinct).filter(|targets| !targets.is_empty());
    together
}

/// Names in order, each once.
fn distinct(mut names: Vec<String>) -> Vec<String> {
    sort(&mut names);
    names.dedup();
    names
}
