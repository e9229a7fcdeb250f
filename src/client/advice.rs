//! Advice on failed requests.

use super::failure::{Failure, Step};
use super::rbac::{Account, Request};
use super::tls;
use super::url::shown_path;
use crate::system::logging::one_line;

/// The known facts about the sender of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) service_account: Option<&'a str>,
    /// The pod's name, if it stays the same after a restart, as in a StatefulSet.
    pub(crate) stable_name: Option<&'a str>,
}

/// The messages about a failure.
#[derive(Debug)]
pub(crate) struct Explanation {
    /// What happened, in one line.
    pub(crate) problem: String,
    /// What to do about it, in one line. It may be a command, which users paste into a shell. So it
    /// contains no newline and no special character that comes from outside.
    pub(crate) advice: String,
}

/// Explains the `failure` of a GET of `path`.
///
/// The advice on a 403 is `kubectl create role … && kubectl create rolebinding …`. The problem also says
/// what else this role would allow.
pub(crate) fn explain(failure: &Failure, path: &str, who: Identity) -> Explanation {
    match failure {
        Failure::Forbidden { message, through_proxy } => {
            forbidden(failure, message, *through_proxy, path, who)
        }
        _ => Explanation { problem: failure.to_string(), advice: advice(failure).to_owned() },
    }
}

fn advice(failure: &Failure) -> &'static str {
    match failure {
        Failure::NoEndpoint(_) => {
            "outside a cluster, name the API server with --api-url https://HOST:PORT, or run kubectl proxy \
             and use --api-url http://127.0.0.1:8001"
        }
        Failure::NoToken { .. } | Failure::EmptyToken { .. } => {
            "set automountServiceAccountToken: true in the pod's spec or its ServiceAccount, \
             or do without the API: --api never"
        }
        Failure::NoCa { .. } | Failure::EmptyCa { .. } => {
            "mount the whole volume of the service account: it brings ca.crt beside the token \
             (from the ConfigMap kube-root-ca.crt)"
        }
        Failure::NoClient(_) | Failure::NoThread(_) => {
            "raise the container's limits: a request needs two threads and a few file descriptors"
        }
        Failure::Timeout { step, .. } => advice_on_timeout(*step),
        Failure::Dns { .. } | Failure::NoAddress { .. } => {
            "check the name, /etc/resolv.conf and the cluster's DNS, or leave out --api-url: \
             the pod's variables have the API server's address"
        }
        Failure::Connection { .. } | Failure::Truncated { .. } => {
            "check that the API server is up, and that a NetworkPolicy lets the pod reach it"
        }
        Failure::Certificate { problem, .. } => tls::certificate_remedy(problem),
        Failure::NotLoopback { .. } => "use https://, or a loopback address such as http://127.0.0.1:8001",
        _ => advice_on_answer(failure),
    }
}

fn advice_on_timeout(step: Step) -> &'static str {
    match step {
        Step::Dns => "check that the cluster's DNS answers, or leave out --api-url to do without DNS",
        Step::Connect => "check that a NetworkPolicy lets the pod reach the API server, or raise --timeout",
        Step::Response => "the API server is slow, or the network drops its answer; raise --timeout",
    }
}

fn advice_on_answer(failure: &Failure) -> &'static str {
    match failure {
        Failure::Status { status: 401, .. } => {
            "the token has expired or is for another audience: mount the default service account token"
        }
        Failure::Status { status: 404, .. } => {
            "check the namespace and the name, and that the object is in this cluster"
        }
        Failure::Status { status: 408 | 429 | 500..=599, .. } => {
            "the API server is overloaded or failing; try again, or raise --timeout"
        }
        Failure::Redirect { .. } => "use the API server's own address with --api-url",
        Failure::WrongUid { .. } => {
            "another object replaced this one under the same name, or POD_NAME and POD_NAMESPACE name another pod"
        }
        Failure::WrongObject { .. } | Failure::InvalidObject { .. } => {
            "check that the API server answers at this address, not a proxy or a login page"
        }
        _ => "check that the API server answers at this address",
    }
}

/// Explains a 403: the commands that grant the request, and what else they allow.
fn forbidden(
    failure: &Failure,
    message: &str,
    through_proxy: bool,
    path: &str,
    who: Identity,
) -> Explanation {
    let request = Request::get(path);
    let mut problem = failure.to_string();
    if through_proxy {
        problem += "; kubectl proxy uses its own account, not the account of this pod";
    }
    let user = quoted_after(message, "User ");
    let own = || Some(Account { namespace: who.namespace?, name: who.service_account? });
    let account = match user {
        Some(user) => Account::of_user(user),
        // If the proxy itself refused the request, the message names no user.
        None if through_proxy => None,
        None => own(),
    };
    let grant = account.and_then(|account| request.grant(account, who.stable_name));
    if let Some(advice) = grant {
        problem.extend(request.reads_every_pod(who.stable_name).map(|word| format!("; note that {word}")));
        return Explanation { problem, advice };
    }
    let advice = match account {
        Some(_) => format!("let the service account get {}", one_line(shown_path(path))),
        None => advice_on_user(user, through_proxy, &one_line(shown_path(path))),
    };
    Explanation { problem, advice }
}

/// The advice on a 403 that names no service account.
fn advice_on_user(user: Option<&str>, through_proxy: bool, path: &str) -> String {
    match user {
        Some(user) => format!(
            "{} is not a service account: use the token of a service account, or let this user get {path}",
            one_line(user)
        ),
        None if through_proxy => {
            format!(
                "let the account of kubectl proxy get {path}, and check --accept-hosts and --reject-paths"
            )
        }
        None => format!("let this pod's service account get {path}"),
    }
}

/// The text in double quotes after `word`.
fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("{word}\""))?;
    rest.split_once('"').map(|(quoted, _)| quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(message: &str, path: &str, who: Identity, through_proxy: bool) -> Explanation {
        explain(&Failure::Forbidden { message: message.to_owned(), through_proxy }, path, who)
    }

    const POD: &str = "/api/v1/namespaces/shop/pods/web-0";
    const WHO: Identity =
        Identity { namespace: Some("shop"), service_account: Some("web"), stable_name: None };

    #[test]
    fn the_servers_word_on_who_was_refused_counts() {
        let message = "it is forbidden: User \"system:serviceaccount:tools:proxy\" cannot get it";
        let explanation = forbidden(message, POD, WHO, false);
        assert!(explanation.advice.ends_with(" --serviceaccount=tools:proxy"), "{explanation:?}");
        assert!(explanation.problem.contains("read every pod spec in the namespace shop"));
        let explanation = forbidden("Forbidden", POD, WHO, false);
        assert!(explanation.advice.ends_with(" --serviceaccount=shop:web"), "{explanation:?}");
    }

    #[test]
    fn a_stable_name_needs_no_warning() {
        let who = Identity { stable_name: Some("web-0"), ..WHO };
        let explanation = forbidden("Forbidden", POD, who, false);
        assert!(explanation.advice.contains(" --resource-name=web-0 "), "{explanation:?}");
        assert!(!explanation.problem.contains("every pod"), "{explanation:?}");
    }

    #[test]
    fn nobody_is_advised_to_bind_a_role_to_an_unknown_account() {
        let explanation = forbidden("Forbidden", POD, WHO, true);
        assert!(!explanation.advice.contains("create"), "{explanation:?}");
        let explanation = forbidden("Forbidden", POD, Identity::default(), false);
        assert_eq!(explanation.advice, format!("let this pod's service account get {POD}"));
    }
}
