//! Equality of JSON but for the last digit of a fraction: the parser rounds it in another way than
//! the writer. Integers, and all amounts are integers, must be the same.

use serde::Serialize;
use serde_json::{Number, Value};

/// Three times the distance between two neighbours.
const TOLERANCE: f64 = 3.0 * f64::EPSILON;

/// Whether two values are the same, or differ in the last digit of a fraction only.
pub(crate) fn are_alike<T: PartialEq + Serialize>(one: &T, other: &T) -> bool {
    one == other
        || match (serde_json::to_value(one), serde_json::to_value(other)) {
            (Ok(one), Ok(other)) => has_fraction(&one) && values(&one, &other),
            (Err(_), _) | (_, Err(_)) => false,
        }
}

/// Whether there is a number that is no integer.
pub(crate) fn has_fraction(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(values) => values.iter().any(has_fraction),
        Value::Object(fields) => fields.values().any(has_fraction),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}

/// Whether two JSON values are alike.
pub(crate) fn values(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => numbers(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| values(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one.iter().zip(other).all(|((k, a), (l, b))| k == l && values(a, b))
        }
        (one, other) => one == other,
    }
}

fn numbers(one: &Number, other: &Number) -> bool {
    if one == other {
        return true;
    }
    match (one.is_f64(), one.as_f64(), other.is_f64(), other.as_f64()) {
        (true, Some(one), true, Some(other)) => (one - other).abs() <= TOLERANCE * one.abs(),
        _ => false,
    }
}
