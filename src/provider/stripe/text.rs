//! What a provider says, made fit for logs, histories and answers.

use crate::payment::contains_card_number;

/// The longest sentence that is passed on, in characters.
const SENTENCE_CHARS_MAX: usize = 300;
/// The longest code that is passed on, in bytes.
const CODE_LEN_MAX: usize = 64;

/// A code as Stripe writes them: lower case, digits and underscores; `None` for anything else.
pub(super) fn code(text: Option<&str>) -> Option<&str> {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.filter(|text| (1..=CODE_LEN_MAX).contains(&text.len()) && text.bytes().all(is_plain))
}

/// A sentence for a person, in one line and of bounded length, with `hidden` blotted out; `None`
/// if nothing is left or if it may name a card.
pub(super) fn sentence(text: &str, hidden: Option<&str>) -> Option<String> {
    let line: String = text
        .chars()
        .map(|letter| if is_control(letter) { ' ' } else { letter })
        .collect();
    let line = match hidden.filter(|hidden| !hidden.is_empty()) {
        Some(hidden) => line.replace(hidden, "…"),
        None => line,
    };
    let line: String = line.trim().chars().take(SENTENCE_CHARS_MAX).collect();
    (!line.is_empty() && !contains_card_number(&line)).then_some(line)
}

/// Control characters, and the invisible ones that turn or hide the text around them.
fn is_control(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_passed_on_only_if_it_looks_like_one() {
        assert_eq!(code(Some("insufficient_funds")), Some("insufficient_funds"));
        let too_long = "x".repeat(CODE_LEN_MAX + 1);
        for bad in ["", "Not A Code", "a\nb", "sk-live", &too_long] {
            assert_eq!(code(Some(bad)), None, "{bad}");
        }
        assert_eq!(code(None), None);
    }

    #[test]
    fn a_sentence_has_one_line_a_bound_and_no_means_of_payment() {
        let said = sentence(" No such\r\nmethod: 'pm_1'\u{202e} ", Some("pm_1"));
        assert_eq!(said.as_deref(), Some("No such  method: '…'"));
        assert_eq!(
            sentence(&"é".repeat(1_000), None).unwrap().chars().count(),
            SENTENCE_CHARS_MAX
        );
        assert_eq!(sentence("\n\t", None), None);
        assert_eq!(sentence("The card is 4242 4242 4242 4242.", None), None);
    }
}
