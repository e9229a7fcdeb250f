//! One GET of the API server, as `kubectl get --raw`, from a pod that has no kubectl.

use std::time::Instant;

use super::{CommandError, print};
use crate::cli::Get;
use crate::client::{Client, Explanation, Identity, explain, shown_path};
use crate::facts::field::Field;
use crate::sources::gather;
use crate::system::environment::Environment;
use crate::system::root::Root;
use crate::system::surroundings::Surroundings;

/// Gets and prints the body as it came.
pub(super) fn run(get: &Get, environment: &Environment, clock: fn() -> Instant) -> Result<(), CommandError> {
    let root = Root::open(&get.root)?;
    if !root.is_system() && get.api_url.is_none() {
        let why = "under --root the network is used only with --api-url: it names the API server to ask";
        return Err(CommandError::Other(why.to_owned()));
    }
    let surroundings = Surroundings::new(root, environment, Vec::new(), None, clock);
    let facts = gather::identity(&surroundings);
    let namespace = facts.text(&Field::POD_NAMESPACE);
    let path = match namespace {
        Some(namespace) => get.path.replace("{namespace}", namespace),
        None if get.path.contains("{namespace}") => {
            let why = "{namespace}: the pod's namespace is not known; write it out, or set POD_NAMESPACE";
            return Err(CommandError::Other(why.to_owned()));
        }
        None => get.path.clone(),
    };
    let Surroundings { root, environment, clock, .. } = &surroundings;
    let client = Client::new(root, environment, *clock, get.api_url.clone(), get.timeout);
    let answer = client.and_then(|mut client| client.get(&path));
    match answer {
        Ok(answer) => print::to_standard_output(&answer.body),
        Err(failure) => {
            let service_account = facts.text(&Field::SERVICE_ACCOUNT);
            let who = Identity { namespace, service_account, stable_name: None };
            let Explanation { problem, advice } = explain(&failure, &path, who);
            log::error!("GET {}: {problem}", shown_path(&path));
            Err(CommandError::Advice(advice))
        }
    }
}
