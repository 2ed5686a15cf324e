//! Reading a JSON body field by field, so that one answer names everything that is wrong.

use std::fmt::Display;

use axum::body::Bytes;
use serde_json::{Map, Value};
use terminal_hal::text::{bounded, line_problem};

use super::error::{ApiError, FieldError};

/// Characters of a wrong value that the answer repeats.
const ECHO_CHARS_MAX: usize = 64;
/// Characters of a message that repeats a text.
const MESSAGE_CHARS_MAX: usize = 256;

/// A body that is being read, and what is wrong with it so far.
pub(super) struct Fields {
    map: Map<String, Value>,
    prefix: String,
    errors: Vec<FieldError>,
}

impl Fields {
    /// The object in a body.
    pub(super) fn parse(body: &Bytes) -> Result<Self, ApiError> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(map)) => Ok(Self::of(map, "")),
            Ok(other) => {
                Err(ApiError::bad_request(format!("body: got {}, want an object", show(&other))))
            }
            Err(error) => Err(ApiError::bad_request(format!("body: not JSON: {error}"))),
        }
    }

    fn of(map: Map<String, Value>, prefix: &str) -> Self {
        Self { map, prefix: prefix.to_owned(), errors: Vec::new() }
    }

    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let path = format!("{}{name}", self.prefix);
        self.errors.push(FieldError { path, message: message.into() });
    }

    /// Takes a field; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A line of text of 1 to `max` characters.
    pub(super) fn line(&mut self, name: &str, max: usize) -> Option<String> {
        let value = self.take(name)?;
        let problem = match value.as_str() {
            Some(text) => line_problem(text, 1, max).map(|problem| format!("{value} {problem}")),
            None => Some(format!("got {value}, want a text")),
        };
        match problem {
            None => value.as_str().map(str::to_owned),
            Some(problem) => {
                self.problem(name, bounded(&problem, MESSAGE_CHARS_MAX));
                None
            }
        }
    }

    /// The same, and it must be there.
    pub(super) fn required_line(&mut self, name: &str, max: usize) -> Option<String> {
        if self.map.get(name).is_none_or(Value::is_null) {
            self.problem(name, format!("is missing, want a text of 1 to {max} characters"));
            return None;
        }
        self.line(name, max)
    }

    /// One of a few names.
    pub(super) fn choice<T: Copy>(&mut self, name: &str, choices: &[(&str, T)]) -> Option<T> {
        let value = self.take(name)?;
        let found = value.as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        if found.is_none() {
            let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            self.problem(name, format!("got {}, want one of {names}", show(&value)));
        }
        found.map(|(_, choice)| *choice)
    }

    /// The same, and it must be there.
    pub(super) fn required_choice<T: Copy>(
        &mut self,
        name: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        if self.map.get(name).is_none_or(Value::is_null) {
            let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            self.problem(name, format!("is missing, want one of {names}"));
            return None;
        }
        self.choice(name, choices)
    }

    /// An integer in a range.
    pub(super) fn integer(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        let value = self.take(name)?;
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.problem(name, format!("got {}, want an integer of {min} to {max}", show(&value)));
        }
        number
    }

    /// An object as it is.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        let value = self.take(name)?;
        if let Value::Object(map) = value {
            return Some(map);
        }
        self.problem(name, format!("got {}, want an object", show(&value)));
        None
    }

    /// An object that is read field by field.
    pub(super) fn nested<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        let mut inner = Self::of(self.object(name)?, &format!("{}{name}.", self.prefix));
        let value = read(&mut inner);
        self.errors.extend(inner.leftovers());
        Some(value)
    }

    fn leftovers(mut self) -> Vec<FieldError> {
        let names = self.map.keys().cloned().collect::<Vec<_>>();
        for name in names {
            self.problem(&bounded(&name, ECHO_CHARS_MAX), "is not a field of this request");
        }
        self.errors
    }

    /// The value that was built, when nothing was wrong and nothing is left over.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<T, ApiError> {
        let errors = self.leftovers();
        match value {
            Some(value) if errors.is_empty() => Ok(value),
            _ => Err(ApiError::invalid(errors)),
        }
    }
}

fn show(value: &impl Display) -> String {
    bounded(&value.to_string(), ECHO_CHARS_MAX)
}
