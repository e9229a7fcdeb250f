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
