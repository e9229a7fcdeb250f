//! Exact numbers: fractions of 128-bit integers.

/// A reduced fraction. Every operation is exact; one whose result does not fit has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: i128,
    /// It is above 0.
    denominator: i128,
}

impl Default for Fraction {
    /// 0
    fn default() -> Self {
        Fraction::from(0)
    }
}

impl From<i64> for Fraction {
    fn from(number: i64) -> Self {
        Fraction { numerator: number.into(), denominator: 1 }
    }
}

impl Fraction {
    /// `numerator` divided by `denominator`; none if that is 0, or if the result does not fit.
    pub(crate) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let divisor = greatest_common_divisor(numerator.checked_abs()?, denominator.checked_abs()?);
        let sign = denominator.signum();
        (sign != 0).then(|| Fraction {
            numerator: sign * numerator / divisor,
            denominator: sign * denominator / divisor,
        })
    }

    /// Parses digits with an optional point and digits after it, such as `0.5`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') || text.matches('.').count() > 1 {
            return None;
        }
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = whole.bytes().chain(decimals.bytes()).skip_while(|digit| *digit == b'0');
        let mut digits = digits.map(|digit| i128::from(digit - b'0'));
        let number = digits.try_fold(0i128, |all, digit| all.checked_mul(10)?.checked_add(digit))?;
        Fraction::new(number, 10i128.checked_pow(decimals.len().try_into().ok()?)?)
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        let left = self.numerator.checked_mul(other.denominator)?;
        let right = other.numerator.checked_mul(self.denominator)?;
        Fraction::new(left.checked_add(right)?, self.denominator.checked_mul(other.denominator)?)
    }

    pub(crate) fn minus(self, other: Self) -> Option<Self> {
        self.plus(Fraction { numerator: other.numerator.checked_neg()?, ..other })
    }

    pub(crate) fn times(self, other: Self) -> Option<Self> {
        // Reduced crosswise first, so that nothing overflows that need not.
        let one = Fraction::new(self.numerator, other.denominator)?;
        let two = Fraction::new(other.numerator, self.denominator)?;
        Some(Fraction {
            numerator: one.numerator.checked_mul(two.numerator)?,
            denominator: one.denominator.checked_mul(two.denominator)?,
        })
    }

    /// The quotient; none also if `other` is 0.
    pub(crate) fn divided_by(self, other: Self) -> Option<Self> {
        self.times(Fraction::new(other.denominator, other.numerator)?)
    }

    /// The largest whole number that is not above it.
    pub(crate) fn floor(self) -> i128 {
        self.numerator.div_euclid(self.denominator)
    }

    /// Whether it is 0.
    pub(crate) fn is_zero(self) -> bool {
        self.numerator == 0
    }

    /// Whether it is below 0.
    pub(crate) fn is_negative(self) -> bool {
        self.numerator < 0
    }
}

fn greatest_common_divisor(mut one: i128, mut other: i128) -> i128 {
    while other != 0 {
        (one, other) = (other, one % other);
    }
    one.max(1)
}
