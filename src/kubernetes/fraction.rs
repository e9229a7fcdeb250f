//! Exact numbers: fractions of 128-bit integers.

/// A reduced fraction. Every operation is exact. It returns `None` if the result does not fit into 128 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fraction {
    numerator: i128,
    /// It is above 0.
    denominator: i128,
}

impl Fraction {
    pub(crate) const ZERO: Fraction = Fraction { numerator: 0, denominator: 1 };

    /// `numerator` divided by `denominator`; `None` if that is 0, or if the result does not fit.
    pub(crate) fn new(numerator: i128, denominator: i128) -> Option<Self> {
        let (mut divisor, mut rest) = (numerator.checked_abs()?, denominator.checked_abs()?);
        if rest == 0 {
            return None;
        }
        while rest != 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        let divisor = divisor * denominator.signum();
        Some(Fraction { numerator: numerator / divisor, denominator: denominator / divisor })
    }

    /// Parses digits with an optional point and digits after it, such as `0.5`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
        let digits = ["0", whole, decimals].concat();
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Fraction::new(digits.parse().ok()?, 10i128.checked_pow(decimals.len().try_into().ok()?)?)
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
        // Each numerator is first reduced with the other denominator, so that the product overflows only if it does
        // not fit.
        let one = Fraction::new(self.numerator, other.denominator)?;
        let two = Fraction::new(other.numerator, self.denominator)?;
        Some(Fraction {
            numerator: one.numerator.checked_mul(two.numerator)?,
            denominator: one.denominator.checked_mul(two.denominator)?,
        })
    }

    /// The quotient; `None` if `other` is 0, too.
    pub(crate) fn divided_by(self, other: Self) -> Option<Self> {
        self.times(Fraction::new(other.denominator, other.numerator)?)
    }

    /// The largest whole number that is not above it.
    pub(crate) fn floor(self) -> i128 {
        self.numerator.div_euclid(self.denominator)
    }

    pub(crate) fn is_less(self, other: Self) -> Option<bool> {
        Some(self.minus(other)?.signum() < 0)
    }

    /// 1 above 0, -1 below 0, else 0.
    pub(crate) fn signum(self) -> i128 {
        self.numerator.signum()
    }
}
