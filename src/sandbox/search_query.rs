//! The part of Stripe's search language that finds payments by metadata:
//! `metadata['key']:'value'`, several of them joined by `AND`, in single or double quotes.

/// The pairs that all have to match; never empty.
pub(super) type Clauses = Vec<(String, String)>;

/// Reads a query; the error is a sentence about the first thing that is wrong.
pub(super) fn parse(query: &str) -> Result<Clauses, String> {
    let mut clauses = Clauses::new();
    let mut rest = query.trim();
    loop {
        let (clause, after) = parse_clause(rest)?;
        clauses.push(clause);
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(clauses);
        }
        rest = match rest.split_once(char::is_whitespace) {
            Some((word, after)) if word.eq_ignore_ascii_case("and") => after.trim_start(),
            _ => return Err(format!("expected AND at: {rest}")),
        };
    }
}

fn parse_clause(text: &str) -> Result<((String, String), &str), String> {
    let expected = |what: &str, at: &str| format!("expected {what} at: {at}");
    let inner = text
        .strip_prefix("metadata[")
        .ok_or_else(|| expected("metadata['key']:'value' (nothing else is searchable)", text))?;
    let (key, after) = parse_string(inner)?;
    let after = after
        .strip_prefix("]:")
        .ok_or_else(|| expected("]:", after))?;
    let (value, after) = parse_string(after)?;
    Ok(((key, value), after))
}

/// A quoted string, in which a backslash takes the next character as it is.
fn parse_string(text: &str) -> Result<(String, &str), String> {
    let mut characters = text.char_indices();
    let quote = match characters.next() {
        Some((_, quote @ ('\'' | '"'))) => quote,
        _ => return Err(format!("expected a quoted string at: {text}")),
    };
    let mut value = String::new();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
            _ if character == quote => {
                let after = text.get(at + quote.len_utf8()..).unwrap_or_default();
                return Ok((value, after));
            }
            _ => value.push(character),
        }
    }
    Err(format!("unterminated string at: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clauses(pairs: &[(&str, &str)]) -> Clauses {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn one_clause_several_and_either_quote_are_understood() {
        assert_eq!(parse("metadata['a']:'1'"), Ok(clauses(&[("a", "1")])));
        assert_eq!(
            parse(r#" metadata["a"]:"1" AND metadata['b']:'it\'s' "#),
            Ok(clauses(&[("a", "1"), ("b", "it's")]))
        );
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "status:'succeeded'",
            "metadata['a']",
            "metadata['a']:1",
            "metadata['a']:'1",
            "metadata['a']:'1' OR metadata['b']:'2'",
            "metadata['a']:'1' AND",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
