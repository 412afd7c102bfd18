//! Amounts as Stripe writes them: in ISO 4217's minor units, but for three currencies.
//!
//! Source: <https://docs.stripe.com/currencies>, "Zero-decimal currencies" and "Special cases".
//!
//! | currency | ISO 4217 | Stripe |
//! |---|---|---|
//! | ISK, UGX | no decimals | two, always `00`: 5 ISK are `500` |
//! | MGA | two decimals | none: 5 MGA are `5` |
//!
//! An amount that Stripe has no number for is still written as it is, so that Stripe refuses it
//! rather than charges another: 5.50 MGA become `5.50`, which is no integer, and 5.124 KWD `5124`,
//! where Stripe asks of BHD, JOD, KWD, OMR and TND that the last digit be 0. HUF and TWD are
//! special in payouts only.

use crate::payment::Money;

/// The amount as it stands in a request.
pub(super) fn amount_text(money: Money) -> String {
    let minor = money.minor();
    match money.currency().code() {
        "ISK" | "UGX" => format!("{minor}00"),
        "MGA" if minor % 100 != 0 => format!("{}.{:02}", minor / 100, minor % 100),
        "MGA" => (minor / 100).to_string(),
        _ => minor.to_string(),
    }
}

/// The currency as it stands in requests and answers.
pub(super) fn currency_text(money: Money) -> String {
    money.currency().code().to_ascii_lowercase()
}

/// An amount of an answer in minor units of `like`'s currency, if it is one of them.
pub(super) fn minor(like: Money, amount: i64) -> Option<i64> {
    minor_of(like.currency().code(), amount)
}

/// As [`minor`], of the currency with the code `code`, in capitals.
pub(super) fn minor_of(code: &str, amount: i64) -> Option<i64> {
    match code {
        "ISK" | "UGX" => (amount % 100 == 0).then_some(amount / 100),
        "MGA" => amount.checked_mul(100),
        _ => Some(amount),
    }
}

/// Whether `amount` and `currency` of an answer are `money`.
pub(super) fn is(money: Money, amount: i64, currency: &str) -> bool {
    amount.to_string() == amount_text(money) && currency == currency_text(money)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(minor: i64, currency: &str) -> Money {
        Money::new(minor, currency.parse().unwrap()).unwrap()
    }

    #[test]
    fn an_amount_is_written_in_the_units_that_stripe_reads() {
        let table = [
            (4_200, "EUR", "4200"),
            (4_200, "JPY", "4200"),
            (5_120, "KWD", "5120"),
            (1_045, "HUF", "1045"),
            (1_045, "TWD", "1045"),
            (5, "ISK", "500"),
            (5, "UGX", "500"),
            (99_999_999, "UGX", "9999999900"),
            (500, "MGA", "5"),
            (550, "MGA", "5.50"),
            (5, "MGA", "0.05"),
        ];
        for (minor, currency, text) in table {
            assert_eq!(amount_text(money(minor, currency)), text, "{currency}");
        }
    }

    #[test]
    fn an_amount_is_read_in_the_units_in_which_it_was_written() {
        for currency in ["EUR", "JPY", "KWD", "ISK", "UGX", "MGA"] {
            let money = money(500, currency);
            let written: i64 = amount_text(money).parse().unwrap();
            assert_eq!(minor(money, written), Some(500), "{currency}");
        }
        assert_eq!(minor(money(5, "ISK"), 550), None, "no fraction of a króna");
        assert_eq!(minor(money(5, "MGA"), i64::MAX), None);
    }

    #[test]
    fn an_answer_is_compared_in_the_units_that_stripe_writes() {
        assert!(is(money(4_200, "EUR"), 4_200, "eur"));
        assert!(!is(money(4_200, "EUR"), 4_201, "eur"));
        assert!(!is(money(4_200, "EUR"), 4_200, "usd"));
        assert!(is(money(5, "ISK"), 500, "isk"));
        assert!(!is(money(5, "ISK"), 5, "isk"));
        assert!(is(money(500, "MGA"), 5, "mga"));
        assert!(!is(money(550, "MGA"), 5, "mga"), "never rounded");
        assert!(!is(money(550, "MGA"), 550, "mga"), "never a hundredfold");
    }
}
