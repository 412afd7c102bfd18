//! Money in minor units, in a currency of ISO 4217.

use std::{fmt, str::FromStr};

/// The largest amount of one payment, in minor units: eight digits, as the documentation of
/// Stripe's `amount` gives it.
pub const AMOUNT_MAX: i64 = 99_999_999;

/// A currency: the code of one in use when it was asked for, which may have gone out of use since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency([u8; CODE_LEN]); // Invariant: capital letters of ASCII.

const CODE_LEN: usize = 3;

impl Currency {
    /// The currency of a record, ours or the provider's: any three capital letters.
    ///
    /// Currencies go out of use, and the list of them with them; what was paid in one is still read,
    /// captured and refunded. Who asks for a payment goes through [`FromStr`].
    ///
    /// # Errors
    /// [`MoneyError::NoCode`] unless it looks like a code.
    pub fn from_record(code: &str) -> Result<Self, MoneyError> {
        <[u8; CODE_LEN]>::try_from(code.as_bytes())
            .ok()
            .filter(|code| code.iter().all(u8::is_ascii_uppercase))
            .map(Self)
            .ok_or(MoneyError::NoCode)
    }

    /// The three capital letters of ISO 4217.
    pub fn code(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default() // Letters of ASCII always are.
    }
}

/// One to pay in now: neither a fund, a metal, a test code nor superseded.
impl FromStr for Currency {
    type Err = MoneyError;

    fn from_str(code: &str) -> Result<Self, MoneyError> {
        iso_currency::Currency::from_code(code)
            .filter(|currency| currency.flags().is_empty())
            .ok_or(MoneyError::UnknownCurrency)
            .and_then(|currency| Self::from_record(currency.code()))
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl serde::Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

/// An amount of money in minor units: cents for EUR, whole yen for JPY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    minor: i64, // Invariant: 1 <= minor <= AMOUNT_MAX.
    currency: Currency,
}

/// What is wrong with an amount or a currency, in words for the one who sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    #[error("must be between 1 and {AMOUNT_MAX}, in minor units")]
    OutOfRange,
    #[error("must be an ISO 4217 code in capitals, such as EUR, of a currency in use")]
    UnknownCurrency,
    #[error("must be an ISO 4217 code in capitals, such as EUR")]
    NoCode,
}

impl Money {
    /// # Errors
    /// [`MoneyError::OutOfRange`] unless `1 <= minor <= AMOUNT_MAX`.
    pub fn new(minor: i64, currency: Currency) -> Result<Self, MoneyError> {
        Self::check_minor(minor).map(|()| Self { minor, currency })
    }

    /// Whether `minor` is an amount, in whichever currency.
    ///
    /// # Errors
    /// [`MoneyError::OutOfRange`] unless `1 <= minor <= AMOUNT_MAX`.
    pub fn check_minor(minor: i64) -> Result<(), MoneyError> {
        if (1..=AMOUNT_MAX).contains(&minor) {
            Ok(())
        } else {
            Err(MoneyError::OutOfRange)
        }
    }

    /// So much of it, at least one minor unit and at most all.
    #[must_use]
    pub fn part(self, minor: i64) -> Self {
        let minor = minor.clamp(1, self.minor);
        Self { minor, ..self }
    }

    pub fn minor(self) -> i64 {
        self.minor
    }

    pub fn currency(self) -> Currency {
        self.currency
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_at_least_one_minor_unit_and_at_most_eight_digits() {
        let eur = "EUR".parse().unwrap();
        assert_eq!(Money::new(0, eur), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(-1, eur), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(AMOUNT_MAX + 1, eur), Err(MoneyError::OutOfRange));
        assert_eq!(Money::new(AMOUNT_MAX, eur).unwrap().minor(), AMOUNT_MAX);
    }

    #[test]
    fn only_currencies_that_people_pay_in_are_known() {
        for code in ["EUR", "JPY", "BHD", "USD"] {
            assert_eq!(code.parse::<Currency>().unwrap().code(), code);
        }
        for code in ["eur", "EURO", "XAU", "XTS", "XXX", "HRK", "CLF", ""] {
            assert_eq!(
                code.parse::<Currency>(),
                Err(MoneyError::UnknownCurrency),
                "{code}"
            );
        }
    }

    #[test]
    fn what_was_paid_in_a_currency_that_went_out_of_use_is_still_read() {
        for code in ["EUR", "HRK", "BGN", "ANG"] {
            assert_eq!(Currency::from_record(code).unwrap().code(), code);
        }
        assert_eq!(Currency::from_record("EUR"), "EUR".parse());
        for code in ["hrk", "EURO", "EU", "E1R", "É!", ""] {
            assert_eq!(
                Currency::from_record(code),
                Err(MoneyError::NoCode),
                "{code}"
            );
        }
    }
}
