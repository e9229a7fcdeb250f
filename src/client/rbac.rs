//! 403: the `kubectl create` commands that allow a refused request.

use crate::kubernetes::names::{is_label, is_subdomain};
use crate::system::logging::one_line;

/// The known facts about the sender of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) service_account: Option<&'a str>,
    /// The pod's name, if it stays the same after a restart, as in a StatefulSet.
    pub(crate) stable_name: Option<&'a str>,
}

/// Explains the 403 for a GET of `path`, which the server refused with `message`: the commands that allow
/// the request, and what else they allow.
pub(super) fn explain(
    mut problem: String,
    message: &str,
    through_proxy: bool,
    path: &str,
    who: Identity,
) -> (String, String) {
    if through_proxy {
        problem += "; kubectl proxy uses its own account, not the account of this pod";
    }
    let user = message.split_once("User \"").and_then(|(_, rest)| rest.split_once('"')).map(|(user, _)| user);
    let account = match user {
        Some(user) => account_of(user),
        // The message names no user if the proxy itself refused the request.
        None if through_proxy => None,
        None => who.namespace.zip(who.service_account),
    };
    let role = Role::for_get(path, who.stable_name);
    let allow = |whose: &str| format!("let {whose} get {path}");
    let advice = match (account, role, user) {
        (Some((namespace, name)), Some(role), _) if is_label(namespace) && is_subdomain(name) => {
            if let Role { resource: "pods", namespace: Some(namespace), object: None } = role {
                problem += &format!(
                    "; note that get on pods lets its holder read every pod spec in the namespace {namespace}"
                );
            }
            role.commands(namespace, name)
        }
        (Some(_), ..) => allow("the service account"),
        (None, _, Some(user)) => format!(
            "{} is not a service account: use the token of a service account, or let this user get {path}",
            one_line(user)
        ),
        (None, ..) if through_proxy => {
            allow("the account of kubectl proxy") + ", and check --accept-hosts and --reject-paths"
        }
        (None, ..) => allow("this pod's service account"),
    };
    (problem, advice)
}

/// The namespace and name of the service account in a user name (`k8s.io/apiserver/pkg/authentication/serviceaccount`).
fn account_of(user: &str) -> Option<(&str, &str)> {
    user.strip_prefix("system:serviceaccount:")?.split_once(':')
}

/// A role that allows `get`. Without a namespace it is a ClusterRole.
#[derive(Clone, Copy)]
struct Role<'a> {
    resource: &'static str,
    namespace: Option<&'a str>,
    /// The name of the only object that it allows to get. Without a name it allows all.
    object: Option<&'a str>,
}

impl<'a> Role<'a> {
    /// The role for a GET of a Pod, Node or Namespace object. After a restart, a pod can run on another node,
    /// and has another name unless it is `stable_pod`.
    ///
    /// Users paste the commands into a shell, so there is no role if a name is not a Kubernetes name.
    fn for_get(path: &'a str, stable_pod: Option<&str>) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix("/api/v1/")?.split('/').collect();
        let role = match parts[..] {
            ["namespaces", namespace, "pods", name] if is_label(namespace) && is_subdomain(name) => Role {
                resource: "pods",
                namespace: Some(namespace),
                object: Some(name).filter(|name| stable_pod == Some(name)),
            },
            // A Namespace object belongs to its own namespace, so a Role in it is enough.
            ["namespaces", name] if is_label(name) => {
                Role { resource: "namespaces", namespace: Some(name), object: Some(name) }
            }
            ["nodes", name] if is_subdomain(name) => {
                Role { resource: "nodes", namespace: None, object: None }
            }
            _ => return None,
        };
        Some(role)
    }

    /// A line that creates the role and binds it to the service account `account` in `account_namespace`.
    ///
    /// No part of the role's name can contain a colon, so two requests give the same name only if they need
    /// the same role. A path segment name (`k8s.io/apimachinery/pkg/api/validation/path`) may contain colons.
    fn commands(&self, account_namespace: &str, account: &str) -> String {
        let Role { resource, namespace, object } = *self;
        let parts =
            [account_namespace, account, resource, namespace.unwrap_or_default(), object.unwrap_or_default()];
        let name = format!("introspod:{}", parts.join(":").trim_end_matches(':'));
        let kind = if namespace.is_some() { "role" } else { "clusterrole" };
        let option = |name: &str, value: Option<&str>| {
            value.map(|value| format!(" --{name}={value}")).unwrap_or_default()
        };
        let (scope, object) = (option("namespace", namespace), option("resource-name", object));
        format!(
            "kubectl create {kind} {name}{scope} --verb=get --resource={resource}{object} && \
             kubectl create {kind}binding {name}{scope} --{kind}={name} --serviceaccount={account_namespace}:{account}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "/api/v1/namespaces/shop/pods/web-0";

    #[test]
    fn nobody_is_advised_to_bind_a_role_to_an_unknown_account() {
        let advice =
            |through_proxy| explain(String::new(), "Forbidden", through_proxy, POD, Identity::default()).1;
        assert!(!advice(true).contains("create"));
        assert_eq!(advice(false), format!("let this pod's service account get {POD}"));
    }
}
