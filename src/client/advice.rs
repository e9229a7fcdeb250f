//! What to do about a failure.

use super::Failure;

/// Who asks, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Identity<'a> {
    pub(crate) namespace: Option<&'a str>,
    pub(crate) service_account: Option<&'a str>,
    /// The pod's name, where it is the same after every restart: a StatefulSet's.
    pub(crate) stable_name: Option<&'a str>,
}

/// Lines that say what to do about `failure` of getting `path`.
pub(crate) fn advise(failure: &Failure, path: &str, who: Identity) -> String {
    let advice = match failure {
        Failure::Status { status: 403, message, .. } => return of_forbidden(message, path, who),
        Failure::NoEndpoint(_) => {
            "outside a cluster say where it is: --api-url https://HOST:PORT, or \
             kubectl proxy and --api-url http://127.0.0.1:8001"
        }
        Failure::NoToken(_) => {
            "mount the service account's token: automountServiceAccountToken: true in the \
             pod's spec or its ServiceAccount; or do without the API: --api never"
        }
        Failure::NoCa(_) => {
            "mount the service account's volume whole: it brings ca.crt beside the token \
             (ConfigMap kube-root-ca.crt)"
        }
        Failure::NoClient(_) => "do the container's limits leave room for two threads and a few descriptors?",
        Failure::Timeout { step: "DNS", .. } => {
            "does the cluster's DNS answer? leave out --api-url to do without it"
        }
        Failure::Timeout { step: "TCP connect", .. } => {
            "does a NetworkPolicy let the pod reach the API server? --timeout gives it more time"
        }
        Failure::Timeout { .. } => {
            "the API server is slow, or something in between swallows the answer; --timeout gives it more time"
        }
        Failure::Dns { .. } => {
            "check the name, /etc/resolv.conf and the cluster's DNS, or leave out --api-url: \
             the pod's variables name the API server's address"
        }
        Failure::Connection { .. } => "is the API server up, and does a NetworkPolicy let the pod reach it?",
        Failure::Certificate { remedy, .. } => remedy,
        Failure::Status { status: 401, .. } => {
            "the token has expired, or is for another audience than the API \
             server's: mount the default service account token"
        }
        Failure::Status { status: 404, .. } => "check namespace and name; is the object of this cluster?",
        Failure::Status { status: 408 | 429 | 500..=599, .. } => {
            "the API server is overloaded or ill; try again, or give it more time: --timeout"
        }
        Failure::Redirect { .. } => "name the API server itself: --api-url",
        Failure::AnotherPod { .. } => {
            "the pod was replaced by one of the same name, or POD_NAME and POD_NAMESPACE are another's"
        }
        Failure::Status { .. }
        | Failure::Tls { .. }
        | Failure::TooLarge
        | Failure::Encoded(_)
        | Failure::NotThePod(_)
        | Failure::NotTheNode(_) => "is it the API server that answers there, or something in between?",
    };
    advice.to_owned()
}

/// The role that is missing, as YAML to apply.
fn of_forbidden(message: &str, path: &str, who: Identity) -> String {
    let user = quoted_after(message, "User ");
    let mut account = user.and_then(|user| user.strip_prefix("system:serviceaccount:")?.split_once(':'));
    if user.is_none() {
        account = who.namespace.zip(who.service_account);
    }
    let Some((account_namespace, account)) = account else {
        let user = user.unwrap_or("this user");
        return format!(
            "{user} is no service account: give the pod a token of its own, or let its role get {path}"
        );
    };
    let access = Access::to(path);
    let (rule, warning) = match who.stable_name.filter(|_| access.is_pod) {
        Some(name) => (format!("{}, resourceNames: [{name:?}]", access.rule), ""),
        None if access.is_pod => {
            (access.rule, "# Whoever may get pods can read every pod's spec in the namespace.\n")
        }
        None => (access.rule, ""),
    };
    let (prefix, scope) = match access.namespace {
        Some(namespace) => ("", format!(", namespace: {namespace:?}")),
        None => ("Cluster", String::new()),
    };
    let name = format!("{account}-introspod");
    format!(
        "apply this, and nothing wider:\n{warning}\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}Role\n\
         metadata: {{name: {name:?}{scope}}}\nrules:\n- {{{rule}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}RoleBinding\n\
         metadata: {{name: {name:?}{scope}}}\n\
         subjects:\n- {{kind: ServiceAccount, name: {account:?}, namespace: {account_namespace:?}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {prefix}Role, name: {name:?}}}"
    )
}

/// What getting a path takes, in the words of a Role.
struct Access<'a> {
    namespace: Option<&'a str>,
    rule: String,
    is_pod: bool,
}

impl<'a> Access<'a> {
    /// As the API server reads a path (`RequestInfo` in `k8s.io/apiserver/pkg/endpoints/request`).
    fn to(path: &'a str) -> Self {
        let (path, _query) = path.split_once('?').unwrap_or((path, ""));
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let (group, segments) = match segments.as_slice() {
            ["api", _version, rest @ ..] => ("", rest),
            ["apis", group, _version, rest @ ..] => (*group, rest),
            _ => ("", &[][..]),
        };
        let (namespace, object) = match segments {
            ["namespaces", namespace, object @ ..] if !object.is_empty() => (Some(*namespace), object),
            object => (None, object),
        };
        let (resource, verb) = match object {
            [] | [""] => {
                let rule = format!("nonResourceURLs: [{path:?}], verbs: [get]");
                return Access { namespace: None, rule, is_pod: false };
            }
            [resource] => ((*resource).to_owned(), "list"),
            [resource, _name] => ((*resource).to_owned(), "get"),
            [resource, _name, subresource, ..] => (format!("{resource}/{subresource}"), "get"),
        };
        let rule = format!("apiGroups: [{group:?}], resources: [{resource:?}], verbs: [{verb}]");
        let is_pod = group.is_empty() && resource == "pods" && verb == "get";
        Access { namespace, rule, is_pod }
    }
}

/// What stands in double quotes after `word`.
fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("{word}\""))?;
    rest.split_once('"').map(|(quoted, _)| quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forbidden(message: &str, path: &str, who: Identity) -> String {
        let (message, retry_after) = (message.to_owned(), std::time::Duration::ZERO);
        advise(&Failure::Status { status: 403, message, retry_after }, path, who)
    }

    /// The API server's words for `user`.
    fn message(user: &str) -> String {
        format!("it is forbidden: User \"{user}\" cannot get it")
    }

    #[test]
    fn a_forbidden_pod_gets_a_role() {
        let message = message("system:serviceaccount:default:noperm");
        let advice = forbidden(&message, "/api/v1/namespaces/default/pods/noperm", Identity::default());
        assert_eq!(
            advice,
            "apply this, and nothing wider:\n\
             # Whoever may get pods can read every pod's spec in the namespace.\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
             metadata: {name: \"noperm-introspod\", namespace: \"default\"}\n\
             rules:\n- {apiGroups: [\"\"], resources: [\"pods\"], verbs: [get]}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
             metadata: {name: \"noperm-introspod\", namespace: \"default\"}\n\
             subjects:\n- {kind: ServiceAccount, name: \"noperm\", namespace: \"default\"}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: \"noperm-introspod\"}"
        );
    }

    #[test]
    fn a_stable_name_makes_the_role_narrower() {
        let who = Identity { stable_name: Some("db-0"), ..Identity::default() };
        let message = message("system:serviceaccount:default:db");
        let advice = forbidden(&message, "/api/v1/namespaces/default/pods/db-0", who);
        assert!(advice.contains("verbs: [get], resourceNames: [\"db-0\"]}"), "{advice}");
        assert!(!advice.contains("every pod"), "{advice}");
        let advice = forbidden(&message, "/api/v1/nodes/kt-node-1", who);
        assert!(!advice.contains("resourceNames"), "{advice}");
    }

    #[test]
    fn a_forbidden_node_gets_a_cluster_role() {
        let message = message("system:serviceaccount:default:reader");
        let advice = forbidden(&message, "/api/v1/nodes/kt-node-1", Identity::default());
        assert!(advice.contains("kind: ClusterRole\nmetadata: {name: \"reader-introspod\"}\n"), "{advice}");
        assert!(advice.contains("kind: ClusterRoleBinding"), "{advice}");
        assert!(
            advice.contains("{kind: ServiceAccount, name: \"reader\", namespace: \"default\"}"),
            "{advice}"
        );
    }

    #[test]
    fn rules_are_read_from_the_path() {
        for (path, namespace, rule) in [
            ("/api/v1/pods", None, r#"apiGroups: [""], resources: ["pods"], verbs: [list]"#),
            (
                "/apis/batch/v1/namespaces/shop/jobs/x?resourceVersion=0",
                Some("shop"),
                r#"apiGroups: ["batch"], resources: ["jobs"], verbs: [get]"#,
            ),
            (
                "/api/v1/namespaces/shop/pods/web-0/log?tailLines=1",
                Some("shop"),
                r#"apiGroups: [""], resources: ["pods/log"], verbs: [get]"#,
            ),
            ("/api/v1/namespaces/shop", None, r#"apiGroups: [""], resources: ["namespaces"], verbs: [get]"#),
            ("/metrics", None, r#"nonResourceURLs: ["/metrics"], verbs: [get]"#),
            ("/apis/batch/v1", None, r#"nonResourceURLs: ["/apis/batch/v1"], verbs: [get]"#),
        ] {
            let access = Access::to(path);
            assert_eq!((access.namespace, access.rule.as_str()), (namespace, rule), "{path}");
        }
    }

    #[test]
    fn an_anonymous_user_is_no_service_account() {
        let path = "/api/v1/namespaces/a/pods/b";
        let advice = forbidden(&message("system:anonymous"), path, Identity::default());
        assert!(advice.contains("system:anonymous is no service account"), "{advice}");
    }

    #[test]
    fn without_a_message_what_is_known_is_filled_in() {
        let who = Identity { namespace: Some("shop"), service_account: Some("web"), stable_name: None };
        let advice = forbidden("Forbidden", "/api/v1/namespaces/shop/pods/x", who);
        assert!(advice.contains("name: \"web\", namespace: \"shop\"}"), "{advice}");
    }
}
