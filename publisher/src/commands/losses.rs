//! What of the logs a result lacks decides about the exit code of the commands that read logs.

use crate::commands::outcome::Outcome;
use crate::incident::model::Gap;

/// Not all is well where events were in the logs and are not in the result.
pub(crate) fn outcome(gaps: &[Gap]) -> Outcome {
    if gaps.iter().any(Gap::is_loss) { Outcome::Findings } else { Outcome::Done }
}
