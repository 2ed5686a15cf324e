//! Reading answers of an application that is newer than the agent: what can be left out without
//! telling a lie is left out.

use serde::de::DeserializeOwned;
use serde_json::Value;

/// Removes the items of a list that cannot be read. True when there were some.
pub(super) fn drop_unreadable<T: DeserializeOwned>(answer: &mut Value, list: &str) -> bool {
    let Some(items) = answer.get_mut(list).and_then(Value::as_array_mut) else { return false };
    let before = items.len();
    items.retain(|item| T::deserialize(item).is_ok());
    items.len() < before
}

/// Removes a field that cannot be read: absent means unknown.
pub(super) fn forget_unreadable<T: DeserializeOwned>(answer: &mut Value, field: &str) {
    let Some(fields) = answer.as_object_mut() else { return };
    if fields.get(field).is_some_and(|value| T::deserialize(value).is_err()) {
        fields.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_cannot_be_read_is_left_out() {
        let mut answer = json!({ "list": [1, "x", 2], "level": "high", "name": "n" });
        assert!(drop_unreadable::<u8>(&mut answer, "list"));
        assert!(!drop_unreadable::<u8>(&mut answer, "list"));
        forget_unreadable::<u8>(&mut answer, "level");
        forget_unreadable::<String>(&mut answer, "name");
        assert_eq!(answer, json!({ "list": [1, 2], "name": "n" }));
    }
}
