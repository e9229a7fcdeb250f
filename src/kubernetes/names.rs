//! Names of objects, UIDs and addresses, by the rules of the API server.

use std::net::IpAddr;

/// The longest DNS label and the longest DNS subdomain (RFC 1123).
const LABEL_LIMIT: usize = 63;
const SUBDOMAIN_LIMIT: usize = 253;

/// Whether `text` is a DNS label, such as the name of a namespace or container
/// (`IsDNS1123Label` in `k8s.io/apimachinery/pkg/util/validation`).
pub(crate) fn is_label(text: &str) -> bool {
    text.len() <= LABEL_LIMIT && is_part_of_subdomain(text)
}

/// Whether `text` is a DNS subdomain, such as the name of most objects
/// (`IsDNS1123Subdomain` in `k8s.io/apimachinery/pkg/util/validation`).
pub(crate) fn is_subdomain(text: &str) -> bool {
    text.len() <= SUBDOMAIN_LIMIT && text.split('.').all(is_part_of_subdomain)
}

/// Whether `text` is a DNS label of any length. Kubernetes limits only the length of a subdomain as a whole.
pub(crate) fn is_part_of_subdomain(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && !text.starts_with('-') && !text.ends_with('-') && text.bytes().all(is_inner)
}

/// Whether `key` can be the key of a label or the name of a resource: `app`, `app.kubernetes.io/name`
/// (`IsQualifiedName` in `k8s.io/apimachinery/pkg/api/validate/content/kube.go`).
pub(crate) fn is_label_key(key: &str) -> bool {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    let is_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    prefix.is_none_or(is_subdomain)
        && name.len() <= LABEL_LIMIT
        && is_end(name.as_bytes().first())
        && is_end(name.as_bytes().last())
        && name.bytes().all(is_inner)
}

/// Whether `key` can be the key of an annotation. Kubernetes converts it to lower case before it checks it
/// (`pkg/fieldpath/fieldpath.go`), so its prefix may have upper-case letters.
pub(crate) fn is_annotation_key(key: &str) -> bool {
    is_label_key(&key.to_ascii_lowercase())
}

/// Whether `text` can be a UID. The UID of a static pod is a hash, not a UUID
/// (`applyDefaults` in `pkg/kubelet/config/common.go`).
pub(crate) fn is_uid(text: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !text.is_empty() && text.len() <= SUBDOMAIN_LIMIT && text.bytes().all(is_inner)
}

/// Whether `text` is the IP address of a host or pod.
pub(crate) fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok_and(|address| !address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_subdomains() {
        let long = "a".repeat(64);
        for name in ["a", "web-0", "0", "a--b"] {
            assert!(is_label(name) && is_subdomain(name), "{name}");
        }
        for name in ["a.b", "node-1.example.com", &long] {
            assert!(!is_label(name) && is_subdomain(name), "{name}");
        }
        let too_long = ["a"; 128].join(".");
        for name in ["", "-a", "a-", "A", "a_b", "a..b", ".a", "a/b", "$(POD_NAME)", "{\"a\":1}", &too_long] {
            assert!(!is_label(name) && !is_subdomain(name), "{name}");
        }
    }

    #[test]
    fn keys_are_valid_as_kubernetes_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/field-path.json");
        let vectors: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut checked = 0;
        for case in vectors["cases"].as_array().unwrap() {
            let path = case["path"].as_str().unwrap();
            let subscript = |map: &str| path.strip_prefix(map)?.strip_suffix("']");
            let is_key = match (subscript("metadata.labels['"), subscript("metadata.annotations['")) {
                (Some(key), _) => is_label_key(key),
                (_, Some(key)) => is_annotation_key(key),
                _ => continue,
            };
            assert_eq!(is_key, case.get("error").is_none(), "{case}");
            checked += 1;
        }
        assert!(checked > 8, "{checked}");
        let (prefix, name) = (format!("{}a", "a.".repeat(126)), "n".repeat(63));
        for key in ["a", "A-b_c.d9", "example.com/x", "a-b.c/9", &format!("{prefix}/{name}")] {
            assert!(is_label_key(key), "{key}");
        }
        for key in [
            "",
            "/x",
            "a/",
            "a/b/c",
            "Mixed.Case/Key",
            "a..b/c",
            "été",
            &format!("b{prefix}a/x"),
            &format!("{name}n"),
        ] {
            assert!(!is_label_key(key), "{key}");
        }
        assert!(is_annotation_key("Mixed.Case/Key"));
    }

    #[test]
    fn uids_of_pods_of_every_kind() {
        for uid in ["e9547980-83bf-438d-9893-b0834b7358b8", "0123456789abcdef0123456789abcdef", "a.b_c"] {
            assert!(is_uid(uid), "{uid}");
        }
        for uid in ["", "$(POD_UID)", "a b", "a/b", "a\n"] {
            assert!(!is_uid(uid), "{uid}");
        }
    }

    #[test]
    fn an_address_is_one_that_a_pod_can_have() {
        for address in ["10.0.0.1", "fd00::7", "127.0.0.1"] {
            assert!(is_address(address), "{address}");
        }
        for address in ["0.0.0.0", "::", "", "10.0.0", "10.0.0.1,10.0.0.2", "$(POD_IP)", "localhost"] {
            assert!(!is_address(address), "{address}");
        }
    }
}
