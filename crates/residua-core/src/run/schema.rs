//! Which forms of a run's files this version understands.

use std::path::Path;

use serde::Deserialize;

use super::RunError;

/// The form of `events.jsonl`, named in its first line.
pub(super) const EVENTS: &str = "residua.events/1";

/// The form of `metrics.json`.
pub(super) const METRICS: &str = "residua.run-metrics/1";

/// What can be read of an object of which nothing else is known.
#[derive(Deserialize)]
struct Named {
    schema: String,
}

/// Refuses an object that says it has a later form than `understood`. Whatever else is wrong with
/// it is for others to say, which is why a newer object need not be readable otherwise.
pub(super) fn refuse_newer(
    object: &[u8],
    understood: &'static str,
    path: &Path,
) -> Result<(), RunError> {
    match serde_json::from_slice::<Named>(object) {
        Ok(Named { schema }) => refuse_newer_schema(&schema, understood, path),
        Err(_) => Ok(()),
    }
}

/// Refuses a file that says it has a later form than `understood`, such as `residua.config/2` where that
/// is `residua.config/1`. To be asked before the rest of the file is read, which has other keys then.
///
/// # Errors
/// [`RunError::Newer`]
pub fn refuse_newer_schema(
    found: &str,
    understood: &'static str,
    path: &Path,
) -> Result<(), RunError> {
    if !is_newer(found, understood) {
        return Ok(());
    }
    Err(RunError::Newer {
        path: path.to_owned(),
        found: found.to_owned(),
        understood,
    })
}

/// Whether both are the same kind of file, and `found` has the greater number.
fn is_newer(found: &str, understood: &str) -> bool {
    let parts = |schema: &str| {
        let (kind, number) = schema.rsplit_once('/')?;
        Some((kind.to_owned(), number.parse::<u64>().ok()?))
    };
    match (parts(found), parts(understood)) {
        (Some((kind, found)), Some((expected, understood))) => {
            kind == expected && found > understood
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_number_of_the_same_kind_is_newer() {
        assert!(is_newer("residua.events/2", EVENTS));
        assert!(is_newer("residua.events/10", "residua.events/9"));
        assert!(!is_newer(EVENTS, EVENTS));
        assert!(!is_newer("residua.events/0", EVENTS));
        assert!(!is_newer("others.events/2", EVENTS));
        assert!(!is_newer("residua.events", EVENTS));
        assert!(!is_newer("", EVENTS));
    }
}
