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
    match failure {
        Failure::NoEndpoint(_) => "outside a cluster say where it is: --api-url https://HOST:PORT, or \
             kubectl proxy and --api-url http://127.0.0.1:8001"
            .to_owned(),
        Failure::NoToken(_) => {
            "mount the service account's token: automountServiceAccountToken: true in the \
             pod's spec or its ServiceAccount; or do without the API: --api never"
                .to_owned()
        }
        Failure::NoCa(_) => "mount the service account's volume whole: it brings ca.crt beside the token \
             (ConfigMap kube-root-ca.crt)"
            .to_owned(),
        Failure::Timeout { step, .. } => of_timeout(step),
        Failure::Dns { .. } => {
            "check the name, /etc/resolv.conf and the cluster's DNS, or leave out --api-url: \
             the pod's variables name the API server's address"
                .to_owned()
        }
        Failure::Connection { .. } => {
            "is the API server up, and does a NetworkPolicy let the pod reach it?".to_owned()
        }
        Failure::Certificate { .. } => {
            "the address must be the API server's own and named in its certificate; \
             the CA file must be its CA's"
                .to_owned()
        }
        Failure::Tls { .. } => "is it the API server that listens there?".to_owned(),
        Failure::Status { status: 401, .. } => {
            "the token has expired, or is for another audience than the API \
             server's: mount the default service account token"
                .to_owned()
        }
        Failure::Status { status: 403, message, details, .. } => of_forbidden(message, details, path, who),
        Failure::Status { status: 404, .. } => {
            "check namespace and name; is the object of this cluster?".to_owned()
        }
        Failure::Status { .. } => {
            "the API server is overloaded or ill; try again, or give it more time: --timeout".to_owned()
        }
        Failure::Redirect { .. } => "name the API server itself: --api-url".to_owned(),
        Failure::TooLarge | Failure::Encoded(_) | Failure::NotThePod(_) | Failure::NotTheNode(_) => {
            "is it the API server that answers there, or something in between?".to_owned()
        }
    }
}

fn of_timeout(step: &str) -> String {
    match step {
        "DNS" => "does the cluster's DNS answer? leave out --api-url to do without it".to_owned(),
        "TCP connect" => "does a NetworkPolicy let the pod reach the API server? --timeout gives it more time".to_owned(),
        _ => "the API server is slow, or something in between swallows the answer; --timeout gives it more time".to_owned(),
    }
}

/// The role that is missing, as YAML to apply.
fn of_forbidden(message: &str, details: &serde_json::Value, path: &str, who: Identity) -> String {
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
    let resource = details["kind"].as_str().or_else(|| quoted_after(message, "resource "));
    let resource = resource.unwrap_or(if path.contains("/nodes/") { "nodes" } else { "pods" });
    let group = details["group"].as_str().or_else(|| quoted_after(message, "API group ")).unwrap_or_default();
    let verb = message.split("cannot ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or("get");
    let names = match who.stable_name {
        Some(name) if resource == "pods" => format!(", resourceNames: [{name}]"),
        _ => String::new(),
    };
    let rules =
        format!("rules:\n- {{apiGroups: [{group:?}], resources: [{resource}], verbs: [{verb}]{names}}}\n");
    let namespace = namespace_of(path);
    let scope = namespace.map(|namespace| format!(", namespace: {namespace}")).unwrap_or_default();
    let prefix = if namespace.is_some() { "" } else { "Cluster" };
    let warning = match resource {
        "pods" => "# Whoever may get pods can read every pod's spec in the namespace.\n",
        _ => "",
    };
    let name = format!("{account}-introspod");
    format!(
        "apply this, and nothing wider:\n{warning}\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}Role\nmetadata: {{name: {name}{scope}}}\n{rules}---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: {prefix}RoleBinding\nmetadata: {{name: {name}{scope}}}\n\
         subjects:\n- {{kind: ServiceAccount, name: {account}, namespace: {account_namespace}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: {prefix}Role, name: {name}}}"
    )
}

fn namespace_of(path: &str) -> Option<&str> {
    let (_, rest) = path.split_once("/namespaces/")?;
    // A namespace itself is an object of the whole cluster.
    rest.split_once('/').map(|(namespace, _)| namespace)
}

/// What stands in double quotes after `word`.
fn quoted_after<'a>(message: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = message.split_once(&format!("{word}\""))?;
    rest.split_once('"').map(|(quoted, _)| quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn forbidden(message: &str, details: serde_json::Value, path: &str, who: Identity) -> String {
        let details = Box::new(details);
        let message = message.to_owned();
        advise(&Failure::Status { status: 403, message, details, retry_after: None }, path, who)
    }

    #[test]
    fn a_forbidden_pod_gets_a_role() {
        let message = "pods \"noperm\" is forbidden: User \"system:serviceaccount:default:noperm\" cannot get \
                       resource \"pods\" in API group \"\" in the namespace \"default\"";
        let details = json!({"name": "noperm", "kind": "pods"});
        let who = Identity { stable_name: Some("db-0"), ..Identity::default() };
        let advice = forbidden(message, details, "/api/v1/namespaces/default/pods/noperm", who);
        assert_eq!(
            advice,
            "apply this, and nothing wider:\n\
             # Whoever may get pods can read every pod's spec in the namespace.\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\n\
             metadata: {name: noperm-introspod, namespace: default}\n\
             rules:\n- {apiGroups: [\"\"], resources: [pods], verbs: [get], resourceNames: [db-0]}\n---\n\
             apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
             metadata: {name: noperm-introspod, namespace: default}\n\
             subjects:\n- {kind: ServiceAccount, name: noperm, namespace: default}\n\
             roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: noperm-introspod}"
        );
    }

    #[test]
    fn a_forbidden_node_gets_a_cluster_role() {
        let message = "nodes \"kt-node-1\" is forbidden: User \"system:serviceaccount:default:reader\" cannot get \
                       resource \"nodes\" in API group \"\" at the cluster scope";
        let details = json!({"name": "kt-node-1", "kind": "nodes"});
        let advice = forbidden(message, details, "/api/v1/nodes/kt-node-1", Identity::default());
        assert!(advice.contains("kind: ClusterRole\nmetadata: {name: reader-introspod}\n"), "{advice}");
        assert!(advice.contains("resources: [nodes], verbs: [get]}"), "{advice}");
        assert!(advice.contains("kind: ClusterRoleBinding"), "{advice}");
        assert!(advice.contains("{kind: ServiceAccount, name: reader, namespace: default}"), "{advice}");
    }

    #[test]
    fn another_group_and_verb() {
        let message = "jobs.batch is forbidden: User \"system:serviceaccount:shop:web\" cannot list resource \
                       \"jobs\" in API group \"batch\" in the namespace \"shop\"";
        let details = json!({"group": "batch", "kind": "jobs"});
        let advice = forbidden(message, details, "/apis/batch/v1/namespaces/shop/jobs", Identity::default());
        assert!(advice.contains("{apiGroups: [\"batch\"], resources: [jobs], verbs: [list]}"), "{advice}");
    }

    #[test]
    fn an_anonymous_user_is_no_service_account() {
        let message = "pods \"bare\" is forbidden: User \"system:anonymous\" cannot get resource \"pods\"";
        let advice = forbidden(message, json!({}), "/api/v1/namespaces/a/pods/b", Identity::default());
        assert!(advice.contains("system:anonymous is no service account"), "{advice}");
    }

    #[test]
    fn without_a_message_what_is_known_is_filled_in() {
        let who = Identity { namespace: Some("shop"), service_account: Some("web"), stable_name: None };
        let advice = forbidden("Forbidden", json!(null), "/api/v1/namespaces/shop/pods/x", who);
        assert!(advice.contains("{kind: ServiceAccount, name: web, namespace: shop}"), "{advice}");
    }
}
