//! Reading a body or a query field by field, so that one answer names everything that is wrong.

use std::fmt::Display;

use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::{Map, Value};
use terminal_hal::text::{bounded, line_problem};
use uuid::Uuid;

use super::error::{ApiError, FieldError};
use crate::vinr::Kind;

/// Characters of a wrong value that the answer repeats.
const ECHO_CHARS_MAX: usize = 64;
/// Characters of a message that repeats a text.
const MESSAGE_CHARS_MAX: usize = 256;

/// A body that is being read, and what is wrong with it so far.
pub(super) struct Fields {
    map: Map<String, Value>,
    prefix: String,
    /// Every value is a text: an integer is written in digits.
    is_form: bool,
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

    /// A body that its `Content-Type` says to be a form or, also without one, JSON.
    pub(super) fn form_or_json(headers: &HeaderMap, body: &Bytes) -> Result<Self, ApiError> {
        match content_type(headers).as_deref() {
            Some("application/x-www-form-urlencoded") => Ok(Self::pairs(body)),
            // Nothing to read, as in an action on a resource.
            None if body.is_empty() => Ok(Self::of(Map::new(), "")),
            None | Some("application/json") => Self::parse(body),
            Some(other) => {
                Err(unsupported(other, "application/x-www-form-urlencoded or application/json"))
            }
        }
    }

    /// A body that must be JSON.
    pub(super) fn json(headers: &HeaderMap, body: &Bytes) -> Result<Self, ApiError> {
        match content_type(headers).as_deref() {
            None | Some("application/json") => Self::parse(body),
            Some(other) => Err(unsupported(other, "application/json")),
        }
    }

    /// A query string.
    pub(super) fn query(query: Option<&str>) -> Self {
        Self::pairs(query.unwrap_or_default().as_bytes())
    }

    fn pairs(text: &[u8]) -> Self {
        let mut fields = Self { is_form: true, ..Self::of(Map::new(), "") };
        for (name, value) in form_urlencoded::parse(text) {
            let name = name.into_owned();
            if fields.map.contains_key(&name) {
                fields.problem(&bounded(&name, ECHO_CHARS_MAX), "is given twice");
            }
            fields.map.insert(name, Value::from(value.into_owned()));
        }
        fields
    }

    /// An object that is read field by field; `prefix` comes before the names of its fields.
    pub(super) fn of(map: Map<String, Value>, prefix: &str) -> Self {
        Self { map, prefix: prefix.to_owned(), is_form: false, errors: Vec::new() }
    }

    /// The fields as they came, for a body whose fields are not fixed.
    pub(super) fn into_map(self) -> Map<String, Value> {
        self.map
    }

    pub(super) fn problem(&mut self, name: &str, message: impl Into<String>) {
        let path = format!("{}{name}", self.prefix);
        self.errors.push(FieldError { path, message: message.into() });
    }

    /// Takes a field; null counts as absent.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Whether a field is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
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
        if !self.has(name) {
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
        if !self.has(name) {
            let names = choices.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
            self.problem(name, format!("is missing, want one of {names}"));
            return None;
        }
        self.choice(name, choices)
    }

    /// An integer in a range.
    pub(super) fn integer(&mut self, name: &str, min: u32, max: u32) -> Option<u32> {
        let value = self.take(name)?;
        let number = match value.as_str() {
            Some(text) if self.is_form => text.parse().ok(),
            Some(_) | None => value.as_u64().and_then(|number| u32::try_from(number).ok()),
        };
        let number = number.filter(|number| (min..=max).contains(number));
        if number.is_none() {
            self.problem(name, format!("got {}, want an integer of {min} to {max}", show(&value)));
        }
        number
    }

    /// An id of the other API, such as `term_…`.
    pub(super) fn id(&mut self, name: &str, kind: Kind) -> Option<Uuid> {
        let value = self.take(name)?;
        let id = value.as_str().and_then(|text| kind.parse(text));
        if id.is_none() {
            let prefix = kind.prefix();
            self.problem(
                name,
                format!("got {}, want an id that begins with {prefix}", show(&value)),
            );
        }
        id
    }

    /// A list as it is.
    pub(super) fn list(&mut self, name: &str) -> Option<Vec<Value>> {
        let value = self.take(name)?;
        if let Value::Array(list) = value {
            return Some(list);
        }
        self.problem(name, format!("got {}, want a list", show(&value)));
        None
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

fn content_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let media_type = value.split(';').next().unwrap_or_default();
    Some(media_type.trim().to_ascii_lowercase())
}

fn unsupported(got: &str, wanted: &str) -> ApiError {
    let message = format!("Content-Type: got {}, want {wanted}", bounded(got, ECHO_CHARS_MAX));
    ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message)
}

pub(super) fn show(value: &impl Display) -> String {
    bounded(&value.to_string(), ECHO_CHARS_MAX)
}
