//! What a base is called: by the hub, by its own config.json, and by the adapters that were trained on it.

use serde::Serialize;

use super::open::Base;
use crate::findings::Finding;
use crate::model::config_json::Config;
use crate::wire::wire_enum;

/// A model of a hub: `org/name`, and the commit where it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Repository {
    /// `org/name`
    pub(super) id: String,
    pub(super) commit: Option<String>,
}

impl Repository {
    /// The repository of an origin as recipes have it: `hf://org/name@commit`, `hf://org/name/folder@commit`.
    pub(super) fn of_origin(origin: &str) -> Option<Repository> {
        let address = origin.strip_prefix("hf://")?;
        let (path, commit) = address.rsplit_once('@').map_or((address, None), |(path, commit)| (path, Some(commit)));
        let mut parts = path.split('/');
        let id = format!("{}/{}", parts.next()?, parts.next()?);
        is_repository(&id).then_some(Repository { id, commit: commit.map(Into::into) })
    }
}

/// Whether a name has the form of a repository's, `org/name`, and not that of a path.
pub(super) fn is_repository(name: &str) -> bool {
    let is_part = |part: &str| {
        part.starts_with(|char: char| char.is_ascii_alphanumeric() || char == '_')
            && part.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.'))
    };
    name.split_once('/').is_some_and(|(owner, name)| is_part(owner) && is_part(name))
}

/// Whether a base is the one that an adapter names, as far as names tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NamedBase {
    /// The adapter names none, or nothing says what the base is called.
    #[default]
    Unknown,
    /// It is.
    Same,
    /// One of the two is a quantised copy of the other.
    Quantised,
    /// It has the same name, and another owner: a copy, most likely.
    Mirror,
    /// It is called something else.
    Other,
}

wire_enum!(NamedBase { Unknown, Same, Quantised, Mirror, Other });

/// What a model is called, without what names of files and tools add.
#[derive(Debug, PartialEq)]
struct Called {
    /// Nothing where it is the name of a folder.
    owner: Option<String>,
    name: String,
    /// Whether the name says that it is quantised.
    quantised: bool,
}

/// What ends the names of quantised copies.
const QUANTISED: [&str; 25] = [
    "-bnb-4bit",
    "-bnb-8bit",
    "-bnb",
    "-4bit",
    "-8bit",
    "-6bit",
    "-int4",
    "-int8",
    "-gptq",
    "-gptq-int4",
    "-gptq-int8",
    "-awq",
    "-awq-int4",
    "-fp8",
    "-fp8-dynamic",
    "-w8a8",
    "-w4a16",
    "-hqq",
    "-exl2",
    "-aqlm",
    "-eetq",
    "-autoround",
    "-nf4",
    "-gguf",
    "-mlx",
];
/// What ends the names of copies with the same weights.
const SAME_WEIGHTS: [&str; 7] = ["-hf", "-bf16", "-fp16", "-float16", "-sharded", "-safetensors", "-unsloth"];
/// What folders of models are called, whichever model it is.
const ANY: [&str; 9] = ["base", "model", "models", "merged", "output", "out", "snapshot", "checkpoint", "main"];

impl Called {
    /// Read a name of the hub, the address of a page, or a path (of which the last part counts, or the repository of the hub's cache in it).
    fn of(text: &str) -> Option<Called> {
        let text = text.trim().replace('\\', "/");
        let text = text.strip_prefix("hf://").unwrap_or(&text).trim_end_matches('/').to_ascii_lowercase();
        let text = text
            .split_once("://")
            .map_or(text.as_str(), |(_, page)| page.split_once('/').map_or(page, |(_, path)| path));
        let cached =
            text.split('/').find_map(|part| part.strip_prefix("models--")).map(|name| name.replacen("--", "/", 1));
        let text = cached.as_deref().unwrap_or(text);
        let (owner, mut name) = match text.split_once('/') {
            Some((owner, name)) if is_repository(text) => (Some(owner.to_string()), name),
            _ => (None, text.rsplit('/').next().unwrap_or_default()),
        };
        if owner.is_none()
            && (ANY.contains(&name) || name.is_empty() || name.starts_with('.') || name.starts_with("checkpoint-"))
        {
            return None;
        }
        let mut quantised = false;
        loop {
            let cut =
                |ends: &[&str]| ends.iter().find_map(|end| name.strip_suffix(end)).filter(|rest| !rest.is_empty());
            match (cut(&QUANTISED), cut(&SAME_WEIGHTS)) {
                (Some(rest), _) => (name, quantised) = (rest, true),
                (None, Some(rest)) => name = rest,
                (None, None) => break,
            }
        }
        // As the hub has called the same models before and after.
        let name = name.strip_prefix("meta-").unwrap_or(name).into();
        Some(Called { owner, name, quantised })
    }
}

impl NamedBase {
    /// Whether the base called `actual` is the one that an adapter calls `named`. Names of folders are evidence for, and none against.
    fn compare(named: &str, actual: &str) -> NamedBase {
        let (Some(named), Some(actual)) = (Called::of(named), Called::of(actual)) else { return NamedBase::Unknown };
        let both = named.owner.as_ref().zip(actual.owner.as_ref());
        match both {
            _ if named.name == actual.name && named.quantised != actual.quantised => NamedBase::Quantised,
            Some((one, other)) if named.name == actual.name && one != other => NamedBase::Mirror,
            _ if named.name == actual.name => NamedBase::Same,
            Some(_) => NamedBase::Other,
            None => NamedBase::Unknown,
        }
    }
}

/// What tells of a base what it is called.
#[derive(Debug, Clone, Default)]
pub(super) struct BaseNames {
    /// Of the hub that it comes from.
    hub: Option<Repository>,
    /// `_name_or_path` of its config.json: where it was loaded from when it was saved.
    own: Option<String>,
    /// Its folder's.
    folder: String,
}

impl BaseNames {
    pub(super) fn of(base: &Base) -> BaseNames {
        let config = base.config.as_deref().and_then(|json| Config::parse(json).ok());
        let own = config.and_then(|config| Some(config.get("_name_or_path")?.as_str()?.to_string()));
        let listed = || is_repository(&base.name).then(|| Repository { id: base.name.clone(), commit: None });
        let hub = base.origin.as_deref().and_then(Repository::of_origin).or_else(listed);
        BaseNames { hub, own: own.filter(|name| !name.is_empty()), folder: base.name.clone() }
    }

    /// What it is called, and by what.
    fn said(&self) -> String {
        match (&self.hub, &self.own) {
            (Some(hub), _) => hub.id.clone(),
            (None, Some(own)) => format!("{own} by its config.json"),
            (None, None) => self.folder.clone(),
        }
    }

    /// Whether it is the base that an adapter names.
    pub(super) fn is_named(&self, named: &str) -> NamedBase {
        let compare = |actual: &str| NamedBase::compare(named, actual);
        let own = self.own.as_deref().map(compare).unwrap_or_default();
        match self.hub.as_ref().map(|hub| compare(&hub.id)) {
            // A copy under another name, or a model that was trained on from it.
            Some(NamedBase::Other) if own != NamedBase::Other && own != NamedBase::Unknown => NamedBase::Mirror,
            Some(by_hub) => by_hub,
            None => match compare(&self.folder) {
                NamedBase::Unknown | NamedBase::Other => own,
                by_folder => by_folder,
            },
        }
    }

    /// Whether there is anything that the user should know of an adapter that names a base in a revision.
    pub(super) fn has_findings(&self, is: NamedBase, revision: Option<&str>) -> bool {
        !matches!(is, NamedBase::Unknown | NamedBase::Same) || revision.is_some()
    }

    /// What the user should know of an adapter that names the base `named` in the revision `revision`. Few do: in the WebAssembly it is in the second half.
    #[inline(never)]
    pub(super) fn findings(&self, adapter: &str, named: Option<&str>, revision: Option<&str>) -> Vec<Finding> {
        let Some(named) = named else { return Vec::new() };
        let this = self.said();
        let mut findings = Vec::new();
        match self.is_named(named) {
            NamedBase::Unknown | NamedBase::Same => {}
            NamedBase::Quantised => {
                let message = format!(
                    "it was trained on {named}, and this base is {this}: a quantised copy and the weights it was made of differ a little"
                );
                findings.push(Finding::info("quantised-twin", adapter, message));
            }
            NamedBase::Mirror => {
                let message = format!("it was trained on {named}, and this base is {this}: a copy of it, by the names");
                findings.push(Finding::info("base-mirror", adapter, message));
            }
            NamedBase::Other => {
                let message = format!(
                    "it was trained on {named}, and this base is {this}: merged into another model's weights it may do anything"
                );
                findings.push(Finding::warning("other-base", Some(adapter), message));
            }
        }
        let commit = self.hub.as_ref().and_then(|hub| hub.commit.as_deref());
        let is_commit = |text: &&str| text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if let (Some(wanted), Some(commit)) = (revision.filter(is_commit), commit)
            && !wanted.eq_ignore_ascii_case(commit)
        {
            let message = format!("it was trained on {named} at commit {wanted}, and this base is at {commit}");
            findings.push(Finding::warning("other-revision", Some(adapter), message));
        }
        findings
    }

    /// What to do about an adapter that does not fit, where its configuration names a base.
    #[inline(never)]
    pub(super) fn fix(&self, named: &str) -> String {
        match self.is_named(named) {
            NamedBase::Same => format!("it was trained on {named}, which this base seems to be: check its revision"),
            _ => format!("it was trained on {named}, and this base is {}", self.said()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_model() {
        for (named, actual, expected) in [
            ("meta-llama/Llama-3.1-8B", "meta-llama/llama-3.1-8b", NamedBase::Same),
            ("meta-llama/Llama-3.1-8B", "meta-llama/Meta-Llama-3.1-8B", NamedBase::Same),
            ("meta-llama/Llama-2-7b", "meta-llama/Llama-2-7b-hf", NamedBase::Same),
            ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-8B-Instruct", NamedBase::Other),
            ("mistralai/Mistral-7B-v0.1", "mistralai/Mistral-7B-v0.2", NamedBase::Other),
            ("unsloth/Meta-Llama-3.1-8B", "meta-llama/Llama-3.1-8B", NamedBase::Mirror),
            ("unsloth/Meta-Llama-3.1-8B-unsloth-bnb-4bit", "meta-llama/Llama-3.1-8B", NamedBase::Quantised),
            ("TheBloke/Llama-2-7B-GPTQ", "meta-llama/Llama-2-7b-hf", NamedBase::Quantised),
            ("Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4", "Qwen/Qwen2.5-7B-Instruct", NamedBase::Quantised),
            ("Qwen/Qwen2.5-7B-Instruct-AWQ", "Qwen/Qwen2.5-7B", NamedBase::Other),
            ("https://huggingface.co/org/name", "org/name", NamedBase::Same),
            ("/home/me/.cache/hub/models--org--a--b/snapshots/0123", "org/a--b", NamedBase::Same),
            ("C:\\models\\Llama-3.1-8B\\", "meta-llama/Llama-3.1-8B", NamedBase::Same),
            ("./Llama-3.1-8B", "Llama-3.1-8B", NamedBase::Same),
            ("org/name", "my-copy", NamedBase::Unknown),
            ("/data/base", "base", NamedBase::Unknown),
            ("", "org/name", NamedBase::Unknown),
            ("gpt2", "openai-community/gpt2", NamedBase::Same),
        ] {
            assert_eq!(NamedBase::compare(named, actual), expected, "{named} and {actual}");
        }
    }

    #[test]
    fn origins_name_repositories() {
        let of = |origin| Repository::of_origin(origin).map(|found| (found.id, found.commit));
        assert_eq!(of("hf://org/name@abc"), Some(("org/name".into(), Some("abc".into()))));
        assert_eq!(of("hf://org/name/a%20folder@abc"), Some(("org/name".into(), Some("abc".into()))));
        assert_eq!(of("hf://org/name"), Some(("org/name".into(), None)));
        assert_eq!(of("hf://name"), None);
        assert!(!["a/b/c", "/a", "../b", "./b", "~/b", "a", "a/"].iter().any(|name| is_repository(name)));
    }
}
