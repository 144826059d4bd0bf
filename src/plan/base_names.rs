//! What a base is called: by the hub, by its own config.json, and by the adapters that were trained on it.

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
