//! Card numbers have no business here: a field that holds one is refused before it is kept.

/// The shortest and longest card number, in digits (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether `text` holds 13 to 19 digits, perhaps parted by single spaces or hyphens, that pass
/// the Luhn check and stand free of other digits and letters.
pub fn contains_card_number(text: &str) -> bool {
    let mut digits: Vec<u8> = Vec::new();
    let mut previous = ' ';
    let mut after_letter = false;
    // A closing sentinel, so that a number at the very end is looked at as well.
    for character in text.chars().chain(std::iter::once('.')) {
        if let Some(digit) = character.to_digit(10) {
            if digits.is_empty() {
                after_letter = previous.is_alphanumeric() || previous == '_';
            }
            digits.push(digit as u8);
        } else if (character == ' ' || character == '-') && previous.is_ascii_digit() {
            // One separator between groups keeps the number together.
        } else {
            let in_a_word = after_letter || character.is_alphanumeric() || character == '_';
            if !in_a_word && is_card_number(&digits) {
                return true;
            }
            digits.clear();
        }
        previous = character;
    }
    false
}

fn is_card_number(digits: &[u8]) -> bool {
    DIGITS.contains(&digits.len())
        && luhn_sum(digits).is_multiple_of(10)
        && digits.iter().any(|d| *d != 0)
}

/// The weighted sum of ISO/IEC 7812-1 annex B; a multiple of ten for a valid number.
fn luhn_sum(digits: &[u8]) -> u32 {
    let weighted = digits.iter().rev().enumerate().map(|(place, digit)| {
        let weight = if place % 2 == 1 { 2 } else { 1 };
        let product = u32::from(*digit) * weight;
        if product > 9 { product - 9 } else { product }
    });
    weighted.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_found_plain_grouped_and_inside_a_text() {
        for text in [
            "4242424242424242",
            "4242 4242 4242 4242",
            "5555-5555-5555-4444",
            "card: 378282246310005, thanks",
            "6011000990139424.",
        ] {
            assert!(contains_card_number(text), "{text}");
        }
    }

    #[test]
    fn other_numbers_pass() {
        for text in [
            "4242424242424241",     // fails Luhn
            "424242424242",         // too short
            "42424242424242424242", // too long
            "pay_4242424242424242", // part of an id
            "a4242424242424242",
            "order-17",
            "0000000000000000",
        ] {
            assert!(!contains_card_number(text), "{text}");
        }
    }
}
