//! The role that allows a refused request, as `kubectl create` commands.

/// The permission for a request: one rule of a Role or ClusterRole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request<'a> {
    verb: &'a str,
    target: Target<'a>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target<'a> {
    Resource {
        group: &'a str,
        resource: &'a str,
        subresource: Option<&'a str>,
        /// The namespace of the request. A request without one needs a ClusterRole.
        namespace: Option<&'a str>,
        name: Option<&'a str>,
    },
    /// A path that is not a resource, such as `/metrics`.
    Path(&'a str),
}

/// A service account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Account<'a> {
    /// The account in a user name (`k8s.io/apiserver/pkg/authentication/serviceaccount`).
    pub(super) fn of_user(user: &'a str) -> Option<Self> {
        let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
        Some(Account { namespace, name })
    }
}

impl<'a> Request<'a> {
    /// The permission for a GET of `path`, by the rules of the API server
    /// (`k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`, `NewRequestInfo`).
    pub(super) fn get(path: &'a str) -> Self {
        let (path, _query) = path.split_once('?').unwrap_or((path, ""));
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, parts) = match &parts[..] {
            ["api", _version, parts @ ..] if !parts.is_empty() => ("", parts),
            ["apis", group, _version, parts @ ..] if !parts.is_empty() => (*group, parts),
            _ => return Request { verb: "get", target: Target::Path(path) },
        };
        let (verb, parts) = match parts {
            [verb @ ("watch" | "proxy"), parts @ ..] if !parts.is_empty() => (Some(*verb), parts),
            _ => (None, parts),
        };
        // A Namespace object belongs to its own namespace, so a Role in it is enough.
        let (namespace, parts) = match parts {
            ["namespaces", namespace] | ["namespaces", namespace, "status" | "finalize", ..] => {
                (Some(*namespace), parts)
            }
            ["namespaces", namespace, parts @ ..] => (Some(*namespace), parts),
            _ => (None, parts),
        };
        let (resource, name) = (parts.first().copied().unwrap_or_default(), parts.get(1).copied());
        let verb = verb.unwrap_or(if name.is_some() { "get" } else { "list" });
        let subresource = parts.get(2).copied();
        Request { verb, target: Target::Resource { group, resource, subresource, namespace, name } }
    }

    /// A warning if the role lets its holder read the spec of every pod.
    pub(super) fn reads_every_pod(&self, stable_pod: Option<&str>) -> Option<String> {
        let Target::Resource { group: "", resource: "pods", subresource: None, namespace, .. } = self.target
        else {
            return None;
        };
        let scope = namespace.map_or("cluster".to_owned(), |namespace| format!("namespace {namespace}"));
        let is_wide = self.object(stable_pod).is_none();
        is_wide.then(|| format!("{} on pods lets its holder read every pod spec in the {scope}", self.verb))
    }

    /// The object to which the role is limited.
    ///
    /// After a restart, a pod can run on another node, and has another name unless it is `stable_pod`.
    fn object(&self, stable_pod: Option<&str>) -> Option<&'a str> {
        match self.target {
            Target::Resource { resource: "pods", name, .. } => name.filter(|name| stable_pod == Some(name)),
            Target::Resource { resource: "nodes", .. } | Target::Path(_) => None,
            Target::Resource { name, .. } => name,
        }
    }

    /// A line that creates a role for this request and binds it to `account`.
    ///
    /// Users paste the line into a shell, but its words come from the server's message, the token's claims
    /// and the path. If one of them is not a plain name, there is no line.
    ///
    /// The role's name is `introspod:ACCOUNT_NAMESPACE:ACCOUNT:VERB:RESOURCE:NAMESPACE:OBJECT`, without the
    /// empty parts at its end. No part can contain a colon, so two requests give the same name only if they
    /// need the same role. A path segment name (`k8s.io/apimachinery/pkg/api/validation/path`) may contain
    /// colons, but no slash.
    pub(super) fn grant(&self, account: Account, stable_pod: Option<&str>) -> Option<String> {
        let (role, namespace, rule) = self.rule(stable_pod)?;
        if !is_dns_name(account.namespace) || !is_dns_name(account.name) {
            return None;
        }
        let name = format!("introspod:{}:{}:{}:{role}", account.namespace, account.name, self.verb);
        let kind = if namespace.is_some() { "role" } else { "clusterrole" };
        let scope = namespace.map(|namespace| format!(" --namespace={namespace}")).unwrap_or_default();
        Some(format!(
            "kubectl create {kind} {name}{scope} --verb={} {rule} && \
             kubectl create {kind}binding {name}{scope} --{kind}={name} --serviceaccount={}:{}",
            self.verb, account.namespace, account.name
        ))
    }

    /// The end of the role's name, its namespace, and the options of `kubectl create role` for its rule.
    fn rule(&self, stable_pod: Option<&str>) -> Option<(String, Option<&'a str>, String)> {
        let Target::Resource { group, resource, subresource, namespace, .. } = self.target else {
            return self.rule_of_path();
        };
        let object = self.object(stable_pod);
        let is_plain = [Some(resource), subresource, namespace].into_iter().flatten().all(is_dns_name)
            && !resource.contains('.')
            && (group.is_empty() || is_dns_name(group))
            && object.is_none_or(is_object_name);
        if !is_plain {
            return None;
        }
        let dotted_group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let with = |separator: &str| {
            let subresource = subresource.map(|name| format!("{separator}{name}")).unwrap_or_default();
            format!("{resource}{dotted_group}{subresource}")
        };
        let mut rule = format!("--resource={}", with("/"));
        rule.extend(object.map(|name| format!(" --resource-name={name}")));
        let name = [&with("_"), namespace.unwrap_or_default(), object.unwrap_or_default()].join(":");
        Some((name.trim_end_matches(':').to_owned(), namespace, rule))
    }

    fn rule_of_path(&self) -> Option<(String, Option<&'a str>, String)> {
        let Target::Path(path) = self.target else { return None };
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-');
        let is_plain = path.starts_with('/') && path.bytes().all(is_word);
        is_plain.then(|| (path.replace('/', ":"), None, format!("--non-resource-url={path}")))
    }
}

/// Whether the name is a DNS-1123 subdomain, such as the name of a namespace, account or resource
/// (`k8s.io/apimachinery/pkg/util/validation`).
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_word) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Whether the name has no special character of a shell. It may be another name than a DNS name.
fn is_object_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !name.is_empty() && name.bytes().all(is_word) && !name.starts_with(['-', '.'])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: Account = Account { namespace: "shop", name: "web" };

    fn grant(path: &str, stable_pod: Option<&str>) -> String {
        Request::get(path).grant(ACCOUNT, stable_pod).unwrap_or_default()
    }

    #[test]
    fn a_pod_in_its_namespace() {
        assert_eq!(
            grant("/api/v1/namespaces/shop/pods/web-0?resourceVersion=0", Some("web-0")),
            "kubectl create role introspod:shop:web:get:pods:shop:web-0 --namespace=shop --verb=get \
             --resource=pods --resource-name=web-0 && \
             kubectl create rolebinding introspod:shop:web:get:pods:shop:web-0 --namespace=shop \
             --role=introspod:shop:web:get:pods:shop:web-0 --serviceaccount=shop:web"
        );
        let wide = grant("/api/v1/namespaces/shop/pods/web-0", None);
        assert!(wide.starts_with("kubectl create role introspod:shop:web:get:pods:shop --namespace=shop "));
        assert!(!wide.contains("--resource-name"), "{wide}");
    }

    #[test]
    fn a_node_in_the_cluster() {
        assert_eq!(
            grant("/api/v1/nodes/kt-node-1", None),
            "kubectl create clusterrole introspod:shop:web:get:nodes --verb=get --resource=nodes && \
             kubectl create clusterrolebinding introspod:shop:web:get:nodes \
             --clusterrole=introspod:shop:web:get:nodes --serviceaccount=shop:web"
        );
    }

    #[test]
    fn only_a_role_that_is_not_limited_to_a_pod_reads_every_pod() {
        let reads = |path| Request::get(path).reads_every_pod(Some("web-0")).is_some();
        assert!(reads("/api/v1/namespaces/shop/pods/web-1") && reads("/api/v1/pods"));
        assert!(!reads("/api/v1/namespaces/shop/pods/web-0") && !reads("/api/v1/namespaces/shop/pods/a/log"));
        assert!(!reads("/apis/metrics.k8s.io/v1beta1/namespaces/shop/pods/a") && !reads("/api/v1/nodes"));
    }

    #[test]
    fn users_are_accounts_or_not() {
        let account = Account { namespace: "shop", name: "web" };
        assert_eq!(Account::of_user("system:serviceaccount:shop:web"), Some(account));
        for user in ["", "system:anonymous", "system:serviceaccount:shop", "jane"] {
            assert_eq!(Account::of_user(user), None);
        }
    }
}
