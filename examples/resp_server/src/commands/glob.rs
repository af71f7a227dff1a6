//! Patterns of keys as Redis has them: `*`, `?`, `[abc]`, `[a-z]`, `[^a]`, and `\` before a character
//! that means itself.

/// Whether `pattern` matches all of `text`.
///
/// Only the last `*` is tried again, so the number of steps is at most the product of the two
/// lengths. (Trying every `*` again takes time exponential in their number.)
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut pattern, mut text) = (pattern, text);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            star = Some((behind, text));
            pattern = behind;
            continue;
        }
        let Some((&byte, more)) = text.split_first() else { return pattern.is_empty() };
        if let Some(behind) = one(pattern, byte) {
            (pattern, text) = (behind, more);
            continue;
        }
        // The star takes one byte more than it did.
        let Some((behind, [_, shorter @ ..])) = star else { return false };
        star = Some((behind, shorter));
        (pattern, text) = (behind, shorter);
    }
}

/// The rest of the pattern after its first element, if this element matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', behind @ ..] => Some(behind),
        [b'[', b'^', class @ ..] => {
            let (found, behind) = in_class(class, byte);
            (!found).then_some(behind)
        }
        [b'[', class @ ..] => {
            let (found, behind) = in_class(class, byte);
            found.then_some(behind)
        }
        [b'\\', escaped, behind @ ..] => (*escaped == byte).then_some(behind),
        [plain, behind @ ..] => (*plain == byte).then_some(behind),
    }
}

/// Whether `byte` is in a class, and the pattern after the class. An unclosed class ends with the
/// pattern.
fn in_class(mut class: &[u8], byte: u8) -> (bool, &[u8]) {
    let mut found = false;
    loop {
        class = match class {
            [] => return (found, class),
            [b'\\', escaped, rest @ ..] => {
                found |= *escaped == byte;
                rest
            }
            [b']', behind @ ..] => return (found, behind),
            [first, b'-', last, rest @ ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest
            }
            [plain, rest @ ..] => {
                found |= *plain == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_stand_for_what_redis_says() {
        for (pattern, yes, no) in [
            ("", vec![""], vec!["a"]),
            ("*", vec!["", "a", "a*b"], vec![]),
            ("h?llo", vec!["hello", "hxllo"], vec!["hllo", "heello"]),
            ("h*llo", vec!["hllo", "heeeello"], vec!["hell", "hllox"]),
            ("h[ae]llo", vec!["hallo", "hello"], vec!["hillo", "h[ae]llo"]),
            ("h[^e]llo", vec!["hallo", "h^llo"], vec!["hello", "hllo"]),
            ("h[a-c]llo", vec!["hallo", "hcllo"], vec!["hdllo", "h-llo"]),
            ("h[c-a]llo", vec!["hbllo"], vec!["hdllo"]),
            (r"h\*llo", vec!["h*llo"], vec!["hxllo", r"h\llo"]),
            (r"[\]\-]", vec!["]", "-"], vec!["\\", "a"]),
            ("[a-]", vec!["a", "]"], vec!["b", "-"]),
            ("[abc", vec!["a", "c"], vec!["[", "d"]),
            ("[", vec![], vec!["[", ""]),
            (r"\", vec![r"\"], vec!["", "a"]),
            ("a*b*c", vec!["abc", "aXbXbXc"], vec!["acb", "ab"]),
            ("**a**", vec!["a", "bab"], vec!["", "b"]),
        ] {
            for text in yes {
                assert!(matches(pattern.as_bytes(), text.as_bytes()), "{pattern} is not {text}");
            }
            for text in no {
                assert!(!matches(pattern.as_bytes(), text.as_bytes()), "{pattern} is {text}");
            }
        }
    }

    #[test]
    fn many_stars_take_no_longer_than_one() {
        let text = "a".repeat(10_000);
        // With every star tried again this would not end in any practical time.
        assert!(!matches(format!("{}b", "a*".repeat(100)).as_bytes(), text.as_bytes()));
        assert!(matches("a*".repeat(100).as_bytes(), text.as_bytes()));
    }
}
