//! A container's resources in units of a divisor, as in the downward API.

use crate::kubernetes::fraction::Fraction;
use crate::kubernetes::quantity::Quantity;

/// The divisors that the API allows for CPU.
const CPU_DIVISORS: &[&str] = &["1m", "1"];

/// The divisors that the API allows for memory, ephemeral storage and huge pages.
const BYTE_DIVISORS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// The value of a `resourceFieldRef`: `quantity` in units of `divisor`, rounded up
/// (`ExtractContainerResourceValue` and `convertResource…ToString` in `pkg/api/v1/resource/helpers.go`).
///
/// `resource` is the name after `limits.` or `requests.`. A divisor of 0 means 1.
pub(crate) fn resource_field(resource: &str, quantity: &Quantity, divisor: &Quantity) -> String {
    let (amount, one) = steps(resource, quantity);
    let unit = if divisor.is_zero() { one } else { steps(resource, divisor).0 };
    // Kubernetes uses floating point too, and the digits must be the same.
    let units = (amount as f64 / unit as f64).ceil();
    (units as i64).to_string()
}

/// `quantity` in units, rounded up to the API's step.
pub(crate) fn stepped(resource: &str, quantity: &Quantity) -> Fraction {
    let (amount, one) = steps(resource, quantity);
    Fraction::new(amount.into(), one.into()).unwrap_or(Fraction::ZERO)
}

/// `quantity` in the steps in which the API computes, rounded up, and the number of steps in a unit: thousandths for
/// CPU, whole units for all other resources.
fn steps(resource: &str, quantity: &Quantity) -> (i64, i64) {
    if resource == "cpu" { (quantity.milli_value(), 1000) } else { (quantity.value(), 1) }
}

/// Whether the API accepts `divisor` in a `resourceFieldRef` to `resource`, the name after
/// `limits.` or `requests.` (`validateContainerResourceDivisor` and `validContainerResourceDivisorFor…` in
/// `pkg/apis/core/validation/validation.go`).
pub(crate) fn is_valid_divisor(resource: &str, divisor: &str) -> bool {
    let Ok(divisor) = Quantity::parse(divisor) else { return false };
    let valid = match resource {
        "cpu" => CPU_DIVISORS,
        "memory" | "ephemeral-storage" => BYTE_DIVISORS,
        _ if resource.starts_with("hugepages-") => BYTE_DIVISORS,
        // The downward API does not have it.
        _ => &[],
    };
    divisor.is_zero() || valid.contains(&&*divisor.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn what_the_kubelet_gives_for_each_resource_field() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/vectors/resource-ref.json");
        let cases: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        for case in cases {
            let [resource, amount, divisor] =
                ["resource", "quantity", "divisor"].map(|key| case[key].as_str().unwrap());
            let (_, resource) = resource.split_once('.').unwrap();
            assert!(is_valid_divisor(resource, divisor), "{case}");
            assert_eq!(
                resource_field(resource, &quantity(amount), &quantity(divisor)),
                case["value"],
                "{case}"
            );
        }
    }

    #[test]
    fn divisors_are_compared_in_canonical_form() {
        assert!(is_valid_divisor("cpu", "1000m"));
        assert!(is_valid_divisor("cpu", "0"));
        assert!(is_valid_divisor("memory", "1024Ki"));
        assert!(is_valid_divisor("hugepages-1Gi", "1Mi"));
        assert!(!is_valid_divisor("cpu", "1k"));
        assert!(!is_valid_divisor("cpu", "2"));
        assert!(!is_valid_divisor("memory", "1m"));
        assert!(!is_valid_divisor("memory", "1024"));
        assert!(!is_valid_divisor("memory", "1e3"));
        assert!(!is_valid_divisor("memory", "1MB"));
        assert!(!is_valid_divisor("pods", "1"));
    }

    #[test]
    fn a_resource_field_never_divides_by_zero() {
        assert_eq!(resource_field("memory", &quantity("8Ei"), &quantity("0")), i64::MAX.to_string());
        assert_eq!(resource_field("cpu", &quantity("0"), &quantity("-0")), "0");
    }
}
