//! The members of a cluster: whether slotfs may use the etcd that they run.

use std::path::Path;
use std::time::{Duration, Instant};

use super::client::{Client, Failure};
use crate::error::{Error, Result};

/// How long the members may take to say what they are. One that says nothing is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A version of etcd: major, minor, patch.
type Version = (u32, u32, u32);

/// What is wrong with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Judgement {
    Good,
    /// It works, with weaknesses.
    Old,
    /// It may lose what it has acknowledged.
    Refused,
}

fn judge(version: Version) -> Judgement {
    match version {
        (3, 4, patch) if patch < 22 => Judgement::Refused,
        (3, 4, _) => Judgement::Old,
        // A commit can be lost when a member is killed.
        (3, 5, ..=5) => Judgement::Refused,
        (3, 5, patch) if patch < 28 => Judgement::Old,
        (3, 6, patch) if patch < 9 => Judgement::Old,
        (3, 5.., _) => Judgement::Good,
        (major, ..) if major > 3 => Judgement::Good,
        _ => Judgement::Refused,
    }
}

fn parsed(text: &str) -> Option<Version> {
    let mut numbers = text.split(['.', '-', '+']).map(|it| it.parse().ok());
    Some((numbers.next()??, numbers.next()??, numbers.next()??))
}

/// Refuses a cluster with a member that may lose commits.
///
/// # Errors
/// Names the member and its version.
pub(super) fn check(client: &Client, store: &Path) -> Result<()> {
    for (endpoint, version) in versions(client) {
        match version {
            Ok(version) => {
                let judged = parsed(&version).map_or(Judgement::Refused, judge);
                if judged == Judgement::Refused {
                    return Err(Error::failed(
                        store,
                        format!(
                            "its member {endpoint} runs etcd {version}, which can lose what was stored; upgrade it to 3.5.32, or to 3.6.12 or later"
                        ),
                    ));
                }
            }
            // Some versions tell an administrator alone. Whether enough members answer is found out by the first question.
            Err(why) => log::debug!("the version of {endpoint} is not known: {why:?}"),
        }
    }
    Ok(())
}

/// A warning for each member whose version has known weaknesses.
pub(super) fn warnings(client: &Client) -> Vec<String> {
    let mut warnings = Vec::new();
    for (endpoint, version) in versions(client) {
        let Ok(version) = version else { continue };
        if parsed(&version).map(judge) == Some(Judgement::Old) {
            warnings.push(format!(
                "{endpoint} runs etcd {version}: a member that was paused may serve old data, and roles do not keep stores apart; 3.5.32, or 3.6.12 and later, do better"
            ));
        }
    }
    warnings
}

fn versions(client: &Client) -> Vec<(String, std::result::Result<String, Failure>)> {
    let until = Instant::now() + PATIENCE;
    client.ask_all(until, |client| {
        Box::pin(async move {
            let status = client.maintenance_client().status().await?;
            Ok(status.version().to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lose_commits_are_refused() {
        for (version, judged) in [
            ("3.3.27", Judgement::Refused),
            ("3.4.21", Judgement::Refused),
            ("3.4.22", Judgement::Old),
            ("3.4.23", Judgement::Old),
            ("3.5.0", Judgement::Refused),
            ("3.5.0-rc.1", Judgement::Refused),
            ("3.5.1", Judgement::Refused),
            ("3.5.5", Judgement::Refused),
            ("3.5.6", Judgement::Old),
            ("3.5.28", Judgement::Good),
            ("3.6.8", Judgement::Old),
            ("3.6.9", Judgement::Good),
            ("3.7.0", Judgement::Good),
            ("4.0.0", Judgement::Good),
            ("2.3.8", Judgement::Refused),
        ] {
            assert_eq!(judge(parsed(version).unwrap()), judged, "{version}");
        }
        assert_eq!(parsed("nonsense"), None);
    }
}
