//! Sends one GET request to the API server, as `kubectl get --raw` does.

use std::time::Instant;

use super::{CommandError, print};
use crate::cli::Options;
use crate::client::{Client, Identity, explain, shown_path};
use crate::facts::field::Field;
use crate::sources::api::Settings;
use crate::sources::{api, gather};
use crate::system::environment::Environment;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;

/// Sends the request, and prints the body of the response unchanged.
pub(super) fn run(
    options: &Options,
    environment: &Environment,
    clock: fn() -> Instant,
) -> Result<(), CommandError> {
    let root = Root::open(options.root())?;
    if !root.is_system() && options.api_url.is_none() {
        return Err(CommandError::NoServer);
    }
    let surroundings = Surroundings::new(root, environment, clock);
    let facts = gather::identity(&surroundings);
    let namespace = api::namespace(&facts);
    let path = match namespace {
        Some(namespace) => options.operand().replace("{namespace}", namespace),
        None if options.operand().contains("{namespace}") => return Err(CommandError::NoNamespace),
        None => options.operand().to_owned(),
    };
    let Surroundings { root, environment, clock, .. } = &surroundings;
    let Settings { url, timeout, .. } = options.api();
    let client = Client::new(root, environment, *clock, url, timeout);
    let answer = client.and_then(|mut client| client.get(&path));
    match answer {
        Ok(answer) => print::to_standard_output(&answer),
        Err(failure) => {
            let service_account = facts.text(Field::SERVICE_ACCOUNT);
            let who = Identity { namespace, service_account, stable_name: None };
            let (problem, advice) = explain(&failure, &path, who);
            log::error!("GET {}: {problem}", shown_path(&path));
            Err(CommandError::Advice(advice))
        }
    }
}
