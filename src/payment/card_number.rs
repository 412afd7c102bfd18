//! Card numbers have no business here: a field that holds one is refused before it is kept.

/// The shortest and longest card number, in digits (ISO/IEC 7812).
const DIGITS: std::ops::RangeInclusive<usize> = 13..=19;

/// Whether `text` holds 13 to 19 digits, perhaps in groups parted by single spaces or hyphens, that
/// pass the Luhn check and are not part of a word.
pub fn contains_card_number(text: &str) -> bool {
    let mut groups: Vec<Vec<u8>> = Vec::new();
    let mut previous = ' ';
    let mut parted = false; // Whether one separator stands between the last group and here.
    for character in text.chars() {
        match character.to_digit(10) {
            Some(digit) if previous.is_ascii_digit() => {
                if let Some(group) = groups.last_mut() {
                    group.push(digit as u8);
                }
            }
            Some(digit) => {
                let in_a_word = previous.is_alphanumeric() || previous == '_';
                if in_a_word || !parted {
                    if hold_a_card_number(&groups) {
                        return true;
                    }
                    groups.clear();
                }
                // Digits that follow a letter are a group too long to be part of any number.
                let group = if in_a_word {
                    vec![0; 1 + DIGITS.end()]
                } else {
                    vec![digit as u8]
                };
                groups.push(group);
            }
            None if previous.is_ascii_digit()
                && (character.is_alphanumeric() || character == '_') =>
            {
                groups.pop();
            }
            None => {}
        }
        parted = previous.is_ascii_digit() && (character == ' ' || character == '-');
        previous = character;
    }
    hold_a_card_number(&groups)
}

/// Whether neighbouring groups, taken together, are a card number.
fn hold_a_card_number(groups: &[Vec<u8>]) -> bool {
    (0..groups.len()).any(|first| {
        let mut digits = Vec::new();
        // A body is full of short groups if its sender wants: no longer look than a number is long.
        for group in groups.iter().skip(first).take(*DIGITS.end()) {
            digits.extend_from_slice(group);
            if is_card_number(&digits) {
                return true;
            }
        }
        false
    })
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
            "4242 4242 4242 4242 is mine",
            "order 7 4242-4242-4242-4242 2 pieces",
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
