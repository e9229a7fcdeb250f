//! `--wait`: waits until what the options need is known.

use std::time::{Duration, Instant};

use super::{CommandError, watch};
use crate::cli::Options;
use crate::sources::api::{Settings, When};
use crate::sources::changes::Watches;
use crate::sources::gather::Origin;
use crate::system::logging;

/// The least time between two attempts that may query the API server. Up to a second is added, so that the pods of
/// a workload do not query it at the same time.
const PAUSE: Duration = Duration::from_secs(5);

/// The result of `attempt`. While something is not known, it is repeated for the time of `--wait`: after each change
/// of a volume, and from time to time with the API server. Of all attempts only the last one logs.
pub(super) fn until_known<T>(
    options: &Options,
    origin: &Origin,
    clock: fn() -> Instant,
    attempt: impl Fn(Settings) -> Result<T, CommandError>,
) -> Result<T, CommandError> {
    let (Some(limit), Some(surroundings)) = (options.wait, origin.surroundings()) else {
        return attempt(options.api());
    };
    let until = clock() + limit;
    let root = &surroundings.root;
    let places = watch::places(options, root).into_iter().map(|place| (root, place)).collect();
    // A volume that does not exist is not worth a warning: not every wait is for a volume.
    let mut watches = logging::hold(|| Watches::start(surroundings, places), |_| false)?;
    let mut due = clock();
    while clock() < until {
        let asks = clock() >= due;
        let when = if asks { options.api().when } else { When::Never };
        let settings = Settings { when, ..options.api() };
        let result = logging::hold(|| attempt(settings), |result| asks && !is_unknown(result));
        if !is_unknown(&result) {
            return if asks { result } else { attempt(options.api()) };
        }
        if asks {
            due = clock() + PAUSE + Duration::from_millis(fastrand::u64(..1000));
        }
        let next = due.min(until);
        while !watches.wait(Some(next.saturating_duration_since(clock()))) && clock() < next {}
    }
    attempt(options.api())
}

fn is_unknown<T>(result: &Result<T, CommandError>) -> bool {
    match result {
        Err(CommandError::Variables(_)) => true,
        Err(CommandError::Template(error)) => !error.is_of_usage(),
        _ => false,
    }
}
