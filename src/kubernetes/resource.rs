//! A container's resources in units of a divisor, as in the downward API, and percentages of them.

use crate::kubernetes::quantity::Quantity;

/// The divisors that the API allows for CPU.
const CPU_DIVISORS: &[&str] = &["1m", "1"];

/// The divisors that the API allows for memory, ephemeral storage and huge pages.
const BYTE_DIVISORS: &[&str] =
    &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

/// Why a text is not a percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a percentage must be a number above 0 and up to 100, such as 75% or 33.3333%")]
pub(crate) struct PercentError;

/// An exact percentage above 0 and up to 100.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Percent {
    whole: u8,
    /// The decimals, each a digit from 0 to 9.
    decimals: Vec<u8>,
}

impl Percent {
    /// Parses `75%` or `33.3333%`.
    pub(crate) fn parse(text: &str) -> Result<Self, PercentError> {
        let number = text.strip_suffix('%').ok_or(PercentError)?;
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let is_number = whole.bytes().chain(decimals.bytes()).all(|byte| byte.is_ascii_digit());
        if !is_number || number.len() == number.matches('.').count() {
            return Err(PercentError);
        }
        let whole = match whole.trim_start_matches('0') {
            "" => 0,
            digits => digits.parse().map_err(|_| PercentError)?,
        };
        let decimals: Vec<u8> = decimals.trim_end_matches('0').bytes().map(|byte| byte - b'0').collect();
        match (whole, decimals.is_empty()) {
            (0, true) | (100, false) | (101.., _) => Err(PercentError),
            _ => Ok(Percent { whole, decimals }),
        }
    }

    /// This share of `amount`, which is not negative, in units of `unit`: exact, rounded down.
    fn of(&self, amount: i64, unit: i64) -> i128 {
        let amount = i128::from(amount);
        // Long division, from the last decimal to the first. The remainder of each step is less than a
        // unit of the next step, so it does not change the rounded result.
        let decimals = self.decimals.iter().rev();
        let below = decimals.fold(0, |below, digit| (below + i128::from(*digit) * amount) / 10);
        (i128::from(self.whole) * amount + below) / (100 * i128::from(unit.max(1)))
    }
}

/// A percentage of `quantity` in units of `divisor`, rounded down, but at least 1.
///
/// `resource` and `divisor` are as in [`resource_field`].
pub(crate) fn share(resource: &str, quantity: &Quantity, percent: &Percent, divisor: &Quantity) -> String {
    let one = Quantity::from_bytes(1);
    let divisor = if divisor.is_zero() { &one } else { divisor };
    // Only CPU is in thousandths: those of other resources could overflow.
    let share = match resource {
        "cpu" => percent.of(quantity.milli_value(), divisor.milli_value()),
        _ => percent.of(quantity.value(), divisor.value()),
    };
    share.max(1).to_string()
}

/// The value of a `resourceFieldRef`: `quantity` in units of `divisor`, rounded up
/// (`ExtractContainerResourceValue` and `convertResource…ToString` in `pkg/api/v1/resource/helpers.go`).
///
/// `resource` is the name after `limits.` or `requests.`. CPU is computed in thousandths, all other
/// resources in whole units. A divisor of 0 means 1.
pub(crate) fn resource_field(resource: &str, quantity: &Quantity, divisor: &Quantity) -> String {
    let (amount, unit, one) = match resource {
        "cpu" => (quantity.milli_value(), divisor.milli_value(), 1000),
        _ => (quantity.value(), divisor.value(), 1),
    };
    let unit = if divisor.is_zero() { one } else { unit };
    // Kubernetes uses floating point too, and the digits must be the same.
    let units = (amount as f64 / unit as f64).ceil();
    (units as i64).to_string()
}

/// Whether the API accepts `divisor` in a `resourceFieldRef` to `resource`, the name after
/// `limits.` or `requests.` (`validateContainerResourceDivisor` in
/// `pkg/apis/core/validation/validation.go`).
pub(crate) fn is_valid_divisor(resource: &str, divisor: &str) -> bool {
    let Ok(divisor) = Quantity::parse(divisor) else {
        return false;
    };
    let canonical = divisor.to_string();
    divisor.is_zero() || valid_divisors(resource).contains(&canonical.as_str())
}

/// The divisors that the API accepts in a `resourceFieldRef` to `resource`, the name after
/// `limits.` or `requests.`; none if that is not a resource of the downward API
/// (`validContainerResourceDivisorFor…` in `pkg/apis/core/validation/validation.go`).
pub(crate) fn valid_divisors(resource: &str) -> &'static [&'static str] {
    match resource {
        "cpu" => CPU_DIVISORS,
        "memory" | "ephemeral-storage" => BYTE_DIVISORS,
        _ if resource.starts_with("hugepages-") => BYTE_DIVISORS,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    fn percent(text: &str) -> Percent {
        Percent::parse(text).unwrap()
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

    #[test]
    fn percentages_are_exact() {
        for (text, amount, unit, expected) in [
            ("33.3333%", 3_000_000, 1, 999_999),
            ("33.3333%", 3_000_003, 1, 999_999),
            ("99.9995%", 1_000_000, 1, 999_995),
            ("99.9999999999999999999%", i64::MAX, 1, i128::from(i64::MAX) - 1),
            ("00100.000%", i64::MAX, 1, i128::from(i64::MAX)),
            ("50%", 3, 1, 1),
            (".5%", 1000, 1, 5),
            ("5.%", 1000, 1, 50),
            ("75%", 101, 2, 37),
        ] {
            assert_eq!(percent(text).of(amount, unit), expected, "{text} of {amount}");
        }
        // The last of very many decimals decides.
        let nines = format!("49.{}%", "9".repeat(100));
        assert_eq!(percent(&nines).of(2, 1), 0);
        let one_more = format!("50.{}1%", "0".repeat(100));
        assert_eq!(percent(&one_more).of(2, 1), 1);
    }

    #[test]
    fn what_is_no_percentage() {
        for text in [
            "",
            "%",
            ".%",
            "0%",
            "0.000%",
            "101%",
            "100.0001%",
            "1000%",
            "5",
            "-5%",
            "+5%",
            "5e1%",
            "1.2.3%",
            "75% ",
            " 75%",
        ] {
            assert_eq!(Percent::parse(text), Err(PercentError), "{text:?}");
        }
    }

    #[test]
    fn a_share_is_at_least_1() {
        assert_eq!(share("memory", &quantity("1Mi"), &percent("0.001%"), &quantity("1Gi")), "1");
        assert_eq!(share("cpu", &quantity("100m"), &percent("50%"), &quantity("0")), "1");
        assert_eq!(share("cpu", &quantity("100m"), &percent("50%"), &quantity("1m")), "50");
    }
}
