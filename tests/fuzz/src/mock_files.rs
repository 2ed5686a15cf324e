//! The files of the simulated terminal: its script and its memory.

use std::fmt::Debug;

use serde::{Serialize, de::DeserializeOwned};
use terminal_hal::mock::{script::Script, state::State};

use crate::nearly::are_alike;

/// A script or a state file, by the first byte.
pub fn mock_files(data: &[u8]) {
    let Some((which, json)) = data.split_first() else { return };
    if which & 1 == 1 {
        if let Ok(state) = serde_json::from_slice::<State>(json) {
            survives(&state);
        }
        return;
    }
    match Script::parse(&String::from_utf8_lossy(json)) {
        Ok(script) => {
            assert!(script.battery_level.is_none_or(|level| level <= 100));
            survives(&script);
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn survives<T: PartialEq + Debug + Serialize + DeserializeOwned>(value: &T) {
    let text = serde_json::to_string(value).unwrap_or_default();
    let again = serde_json::from_str::<T>(&text);
    assert!(again.as_ref().is_ok_and(|again| are_alike(again, value)), "{again:?} from {text}");
}
