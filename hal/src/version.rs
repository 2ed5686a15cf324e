//! Which of two versions is newer.

use std::cmp::Ordering;

/// Compares dotted numbers; `3.16.0-beta.1` is older than `3.16.0`. `None` where a part that
/// decides is not a number.
pub(crate) fn compare(a: &str, b: &str) -> Option<Ordering> {
    let (a_numbers, a_pre) = split(a)?;
    let (b_numbers, b_pre) = split(b)?;
    let numbers = a_numbers.cmp(&b_numbers);
    Some(numbers.then_with(|| match (a_pre, b_pre) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.cmp(b),
    }))
}

fn split(version: &str) -> Option<(Vec<u64>, Option<&str>)> {
    let (numbers, pre) = match version.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (version, None),
    };
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    Some((numbers?, pre))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_as_numbers_and_a_release_is_newer_than_its_betas() {
        assert_eq!(compare("3.14.2", "3.9.10"), Some(Ordering::Greater));
        assert_eq!(compare("3.16.0-beta.1", "3.16.0"), Some(Ordering::Less));
        assert_eq!(compare("3.16.0-beta.1", "3.15.9"), Some(Ordering::Greater));
        assert_eq!(compare("3.14.2", "3.14.2"), Some(Ordering::Equal));
        assert_eq!(compare("latest", "3.14.2"), None);
    }
}
