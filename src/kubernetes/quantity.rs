//! Amounts of a resource: `500m`, `1536Mi`, `12e6`.
//!
//! The rules are those of Kubernetes' `k8s.io/apimachinery/pkg/api/resource` (`quantity.go`,
//! `amount.go`, `scale_int.go`, `suffix.go`). Go stores a quantity in one of two forms: a 64-bit
//! integer with a power of ten (`int64Amount`), or an arbitrary decimal (`inf.Dec`). The form decides
//! which texts it leaves unchanged. It also affects how Go rounds negative amounts. Here they are always
//! rounded away from zero, because no resource is negative.

use std::fmt;

use super::fraction::Fraction;

/// The suffixes of decimal quantities. The first is for 10⁻⁹, and each next one is 1000 times larger.
const DECIMAL_SUFFIXES: [&str; 10] = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];

/// The suffixes of binary quantities. The first is for 1, and each next one is 1024 times larger.
const BINARY_SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];

/// The power of ten of the smallest amount that Kubernetes keeps.
const NANO: i64 = -9;

/// The number of nano units in a unit.
const NANOS: i128 = 1_000_000_000;

/// The number of digits that always fit into a 64-bit integer (`maxInt64Factors` in `math.go`).
const INT64_DIGITS: i64 = 18;

/// The number of digits up to which a binary quantity becomes a 64-bit integer. Subtract three for each
/// 1024 in its suffix (`ParseQuantity` in `quantity.go`).
const INT64_DIGITS_OF_BINARY: i64 = 14;

/// The text does not have the shape of a quantity. This and the next two are Kubernetes' words (`quantity.go`).
const SHAPE: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
/// The number has no digits, or is far larger than any amount can be.
const NUMERIC: &str = "unable to parse numeric part of quantity";
/// What follows the number is neither a suffix nor an exponent.
const SUFFIX: &str = "unable to parse quantity's suffix";

/// The family of suffixes of a quantity's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DecimalExponent,
    BinarySi,
    DecimalSi,
}

/// An amount of a resource, as Kubernetes' `resource.Quantity`.
///
/// Two quantities are equal if they have the same amount and the same text. To compare amounts, compare
/// [`value`](Self::value) or [`milli_value`](Self::milli_value). `Display` writes the canonical form
/// (`Quantity.String` in `quantity.go`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    nanos: i128,
    format: Format,
    /// The parsed text, if Kubernetes regards it as canonical.
    text: Option<String>,
}

impl Quantity {
    /// Parses a quantity as Kubernetes' `ParseQuantity` does (`quantity.go`). It rounds up to a multiple
    /// of 10⁻⁹, and limits binary quantities to 2⁶³-1.
    ///
    /// # Errors
    ///
    /// Those of Kubernetes. A number above about 10²⁹ units is an error too, although Kubernetes accepts it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (whole, decimals, suffix) = split(text).ok_or(SHAPE)?;
        let (format, exponent) = interpret(suffix).ok_or(SUFFIX)?;
        let is_binary = format == Format::BinarySi;
        let has_digits = !whole.is_empty() || !decimals.is_empty();
        let whole = whole.trim_start_matches('0');
        let digits = [whole, decimals].concat();
        let count = (whole.len().max(1) + decimals.len()) as i64;
        // The power of ten of the last digit.
        let place = if is_binary { 0 } else { exponent } - decimals.len() as i64;
        let is_int64 = if is_binary {
            place == 0 && count <= INT64_DIGITS_OF_BINARY - exponent * 3 / 10
        } else {
            place >= NANO && count <= INT64_DIGITS
        };
        if !is_int64 && !has_digits {
            return Err(NUMERIC);
        }
        let magnitude = if is_binary {
            let largest = i128::from(i64::MAX) * NANOS;
            scaled(&digits, 1 << exponent, place - NANO).map_or(largest, |nanos| nanos.min(largest))
        } else {
            scaled(&digits, 1, place - NANO).ok_or(NUMERIC)?
        };
        let number = digits.parse::<i64>().unwrap_or(0);
        let is_canonical = if is_binary {
            number % 8 != 0
        } else {
            place % 3 == 0 && !whole.is_empty() && number % 1000 != 0
        };
        Ok(Self {
            nanos: if text.starts_with('-') { -magnitude } else { magnitude },
            format: if is_binary && magnitude < NANOS { Format::DecimalSi } else { format },
            text: (is_int64 && is_canonical).then(|| text.to_owned()),
        })
    }

    /// A number of bytes. Its text has a binary suffix if possible: `64Mi`.
    pub(crate) fn from_bytes(bytes: u64) -> Self {
        Self { nanos: i128::from(bytes) * NANOS, format: Format::BinarySi, text: None }
    }

    /// A number of thousandths of a unit. Its text has a decimal suffix: `100m`, `2`.
    pub(crate) fn from_milli(milli: u64) -> Self {
        Self { nanos: i128::from(milli) * (NANOS / 1000), format: Format::DecimalSi, text: None }
    }

    /// `number` times `unit`, which is a divisor of a resource (`1m`, `1Ki`); `None` if that is more than
    /// any resource can be.
    pub(crate) fn of_units(number: u64, unit: &str) -> Option<Self> {
        match unit {
            "1m" => Some(Self::from_milli(number)),
            "1" => Some(Self::from_bytes(number)),
            "1Ki" => Some(Self::from_bytes(number.checked_mul(1 << 10)?)),
            "1Mi" => Some(Self::from_bytes(number.checked_mul(1 << 20)?)),
            _ => Self::parse(&format!("{number}{}", unit.strip_prefix('1')?)).ok(),
        }
    }

    /// Whether it is 0.
    pub(crate) fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// The exact amount in units.
    pub(crate) fn amount(&self) -> Fraction {
        Fraction::new(self.nanos, NANOS).unwrap_or(Fraction::ZERO)
    }

    /// The amount in whole units, rounded up (`Quantity.Value` in `quantity.go`). If it does not fit, it
    /// is the nearest number that fits.
    pub(crate) fn value(&self) -> i64 {
        self.rounded(NANOS)
    }

    /// The amount in thousandths of a unit, rounded up (`Quantity.MilliValue` in `quantity.go`). If it
    /// does not fit, it is the nearest number that fits.
    pub(crate) fn milli_value(&self) -> i64 {
        self.rounded(NANOS / 1000)
    }

    /// The amount in units of `unit` nano units, rounded away from zero.
    fn rounded(&self, unit: i128) -> i64 {
        let rounded = self.nanos / unit + (self.nanos % unit).signum();
        rounded.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return formatter.write_str(text);
        }
        if self.nanos == 0 {
            return formatter.write_str("0");
        }
        let units = self.nanos / NANOS;
        // `CanonicalizeBytes` in `quantity.go`.
        if self.format == Format::BinarySi && self.nanos % NANOS == 0 && units.abs() >= 1024 {
            let (number, power) = remove_factors(units, 1024);
            return write!(formatter, "{number}{}", BINARY_SUFFIXES.get(power).unwrap_or(&""));
        }
        let (number, power) = remove_factors(self.nanos, 1000);
        let exponent = NANO + 3 * power as i64;
        match DECIMAL_SUFFIXES.get(power) {
            Some(suffix) if self.format != Format::DecimalExponent || exponent == 0 => {
                write!(formatter, "{number}{suffix}")
            }
            _ => write!(formatter, "{number}e{exponent}"),
        }
    }
}

/// The digits before the point, those after it, and the suffix of a quantity's text (`parseQuantityString` in
/// `quantity.go`).
fn split(text: &str) -> Option<(&str, &str, &str)> {
    let (whole, rest) = split_digits(text.strip_prefix(['+', '-']).unwrap_or(text));
    let (decimals, suffix) = rest.strip_prefix('.').map_or(("", rest), split_digits);
    let exponent = suffix.trim_start_matches(|letter| "eEinumkKMGTP".contains(letter));
    let (_, rest) = split_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent));
    (rest.is_empty() && !text.is_empty()).then_some((whole, decimals, suffix))
}

fn split_digits(text: &str) -> (&str, &str) {
    let end = text.find(|character: char| !character.is_ascii_digit());
    text.split_at(end.unwrap_or(text.len()))
}

/// The meaning of a suffix: the format, and the power of ten or, for `BinarySi`, of two
/// (`interpret` in `suffix.go`).
fn interpret(suffix: &str) -> Option<(Format, i64)> {
    if let Some(index) = DECIMAL_SUFFIXES.iter().position(|known| *known == suffix) {
        return Some((Format::DecimalSi, index as i64 * 3 + NANO));
    }
    if let Some(index) = BINARY_SUFFIXES.iter().position(|known| *known == suffix) {
        return Some((Format::BinarySi, index as i64 * 10));
    }
    let exponent: i64 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    // Go parses 64 bits and keeps 32.
    Some((Format::DecimalExponent, (exponent as i32).into()))
}

/// The number `digits` times `factor`, which is at most 2⁶⁰, and 10^`place`, rounded up; `None` if that does not fit.
///
/// It multiplies digit by digit, from the last to the first. So the result is exact for any number of
/// digits.
fn scaled(digits: &str, factor: u64, mut place: i64) -> Option<i128> {
    let (mut total, mut carry, mut is_inexact) = (0i128, 0, false);
    for digit in digits.bytes().rev() {
        carry += u64::from(digit - b'0') * factor;
        is_inexact |= place < 0 && carry % 10 != 0;
        total = total.checked_add(at_place(carry % 10, place)?)?;
        carry /= 10;
        place += 1;
    }
    // A carry remains only with a factor. Then all digits up to the point are done, so it is a whole number.
    total.checked_add(at_place(carry, place)?)?.checked_add(is_inexact.into())
}

/// `number` times 10^`place`, rounded down to a whole number; `None` if that does not fit.
fn at_place(number: u64, place: i64) -> Option<i128> {
    if number == 0 || place < 0 {
        return Some(0);
    }
    10i128.checked_pow(place.try_into().ok()?)?.checked_mul(number.into())
}

/// `number` without its factors `factor`, and their count. `number` is not 0.
fn remove_factors(mut number: i128, factor: i128) -> (i128, usize) {
    let mut removed = 0;
    while number % factor == 0 {
        number /= factor;
        removed += 1;
    }
    (number, removed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;

    /// Go loses the upper bits of it.
    const LOST: &str = "-1Pi";

    fn vectors(file: &str) -> Vec<Value> {
        let path = format!("{}/tests/fixtures/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    fn quantity(text: &str) -> Quantity {
        Quantity::parse(text).unwrap()
    }

    #[test]
    fn what_kubernetes_says_of_each_quantity() {
        for case in vectors("quantity.json") {
            let text = case["in"].as_str().unwrap();
            match (Quantity::parse(text), case["error"].as_str()) {
                (Err(error), Some(expected)) => assert_eq!(error, expected, "{text:?}"),
                (Ok(_), None) if text == LOST => {}
                (Ok(quantity), None) => {
                    assert_eq!(quantity.to_string(), case["canonical"], "{text:?}");
                    assert_eq!(quantity.value().to_string(), case["value"], "{text:?}");
                    assert_eq!(quantity.milli_value().to_string(), case["milli"], "{text:?}");
                }
                (result, expected) => panic!("{text:?}: {result:?}, but Kubernetes: {expected:?}"),
            }
        }
    }

    #[test]
    fn a_number_may_lack_all_its_digits() {
        for text in ["-", "+", ".", "Ki", ".m", "e3", "-0", "000", "00.000Mi"] {
            assert_eq!(quantity(text).to_string(), "0", "{text:?}");
        }
        for text in ["Pi", ".Pi", "e-10", "-e-10"] {
            assert_eq!(Quantity::parse(text), Err(NUMERIC), "{text:?}");
        }
    }

    #[test]
    fn nothing_is_lost_before_rounding_up() {
        let digits = "0".repeat(60);
        assert_eq!(quantity(&format!("1.{digits}1")).to_string(), "1000000001n");
        assert_eq!(quantity(&format!("1.{digits}1Ki")).to_string(), "1024000000001n");
        assert_eq!(quantity(&format!("1.{digits}Pi")).to_string(), "1Pi");
        assert_eq!(quantity(&format!("{digits}1Pi")).to_string(), "1Pi");
        assert_eq!(quantity("1e-2147483648").to_string(), "1e-9");
        assert_eq!(quantity("0.33333333333333333333333Gi").to_string(), "357913941333333334n");
    }

    #[test]
    fn binary_quantities_are_capped() {
        let digits = "9".repeat(60);
        for text in ["8Ei", "9999Ei", "7.99999999999999999999Ei", &format!("{digits}Ki")] {
            assert_eq!(quantity(text).value(), i64::MAX, "{text}");
            assert_eq!(quantity(text).milli_value(), i64::MAX, "{text}");
            assert_eq!(quantity(text).to_string(), "9223372036854775807", "{text}");
        }
        assert_eq!(quantity("-8Ei").value(), -i64::MAX);
    }

    #[test]
    fn what_does_not_fit_is_the_nearest_number_or_an_error() {
        assert_eq!(quantity("10E").value(), i64::MAX);
        assert_eq!(quantity("-10E").value(), i64::MIN);
        assert_eq!(Quantity::parse("1e2147483647"), Err(NUMERIC));
        assert_eq!(quantity("10000E").to_string(), "10e21");
        assert_eq!(Quantity::parse(&"9".repeat(60)), Err(NUMERIC));
    }

    #[test]
    fn negative_amounts_round_away_from_zero() {
        assert_eq!(quantity("-1500m").value(), -2);
        assert_eq!(quantity("-1.5000000000000000000").value(), -2);
    }

    #[test]
    fn bytes_and_thousandths_are_written_canonically() {
        for (bytes, text) in [
            (0, "0"),
            (512, "512"),
            (1024, "1Ki"),
            (1 << 26, "64Mi"),
            (100_000_000, "100000000"),
            (1 << 60, "1Ei"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(Quantity::from_bytes(bytes).to_string(), text);
        }
        for (milli, text) in [(0, "0"), (100, "100m"), (1500, "1500m"), (2000, "2"), (2_000_000, "2k")] {
            assert_eq!(Quantity::from_milli(milli).to_string(), text);
        }
        assert_eq!(Quantity::from_milli(1500).value(), 2);
        assert_eq!(Quantity::from_bytes(u64::MAX).value(), i64::MAX);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[+-]?[0-9.]{0,45}[eEinumkKMGTP]{0,2}[-+]?[0-9]{0,12}|\\PC*") {
            if let Ok(quantity) = Quantity::parse(&text) {
                let canonical = quantity.to_string();
                let _ = (quantity.value(), quantity.milli_value());
                prop_assert!(Quantity::parse(&canonical).is_ok(), "{canonical}");
                let _ = crate::kubernetes::resource::resource_field("cpu", &quantity, &quantity);
            }
        }

        #[test]
        fn whole_numbers_stay_themselves(number in 0u64..=1 << 62) {
            prop_assert_eq!(quantity(&number.to_string()).value(), number as i64);
            let written = Quantity::from_bytes(number).to_string();
            prop_assert_eq!(quantity(&written).value(), number as i64);
            let written = Quantity::from_milli(number).to_string();
            prop_assert_eq!(quantity(&written).milli_value(), number as i64);
        }
    }
}
