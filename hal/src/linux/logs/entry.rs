//! One entry of the journal: whose it is, and what it says.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{is_of, lines::text};
use crate::{
    Timestamp,
    api::{LogLine, LogRange},
    operation::send_logs::LogLevel,
};

/// Ends of the names of units; what ends otherwise is a syslog identifier.
const UNIT_SUFFIXES: [&str; 6] = [".service", ".socket", ".timer", ".mount", ".target", ".scope"];

/// Whose entries are asked for.
#[derive(Debug)]
pub(super) struct Reader {
    /// Component by unit or identifier.
    components: BTreeMap<String, String>,
}

/// An entry as `journalctl --output=json` writes it.
#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    time_us: String,
    #[serde(rename = "MESSAGE", default)]
    message: Field,
    #[serde(rename = "PRIORITY", default)]
    priority: Field,
    #[serde(rename = "SYSLOG_IDENTIFIER", default)]
    identifier: Field,
    #[serde(rename = "_SYSTEMD_UNIT", default)]
    unit: Field,
    /// Of which the service manager speaks.
    #[serde(rename = "UNIT", default)]
    about: Field,
}

/// Text, bytes that are no text, several values of which the first counts, or nothing.
#[derive(Default)]
struct Field(Option<Vec<u8>>);

#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Bytes(Vec<u8>),
    Several(Vec<Self>),
    Other(IgnoredAny),
}

impl Value {
    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.into_bytes()),
            Self::Bytes(bytes) => Some(bytes),
            Self::Several(values) => values.into_iter().next().and_then(Self::bytes),
            Self::Other(_) => None,
        }
    }
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        Value::deserialize(input).map(|value| Self(value.bytes()))
    }
}

impl Field {
    fn text(&self) -> Option<String> {
        self.0.as_deref().map(text)
    }
}

impl Reader {
    pub(super) fn new(components: &BTreeMap<String, Vec<String>>, range: &LogRange) -> Self {
        let asked_for = components.iter().filter(|(component, _)| is_of(range, component));
        let of = asked_for.flat_map(|(component, sources)| {
            sources.iter().map(|source| (source.clone(), component.clone()))
        });
        Self { components: of.collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.components.is_empty()
    }

    /// Arguments of `journalctl`: any of these.
    pub(super) fn matches(&self) -> Vec<String> {
        let mut matches = Vec::new();
        for source in self.components.keys() {
            if !matches.is_empty() {
                matches.push("+".to_owned());
            }
            if UNIT_SUFFIXES.iter().any(|suffix| source.ends_with(suffix)) {
                let of_manager = format!("UNIT={source}");
                let alternatives =
                    [format!("_SYSTEMD_UNIT={source}"), "+".into(), "_PID=1".into(), of_manager];
                matches.extend(alternatives);
            } else {
                matches.push(format!("SYSLOG_IDENTIFIER={source}"));
            }
        }
        matches
    }

    /// `None` for an entry of somebody else, or without a message.
    pub(super) fn line(&self, json: &[u8]) -> serde_json::Result<Option<LogLine>> {
        let entry: Entry = serde_json::from_slice(json)?;
        let time_us: u64 = entry.time_us.parse().map_err(serde::de::Error::custom)?;
        let sources = [&entry.unit, &entry.about, &entry.identifier];
        let mut names = sources.into_iter().filter_map(Field::text);
        let component = names.find_map(|name| self.components.get(&name)).cloned();
        let line = component.zip(entry.message.text()).map(|(component, message)| LogLine {
            time: Timestamp::from_unix_ms(time_us / 1000),
            level: level(entry.priority.text().as_deref()),
            component,
            message,
        });
        Ok(line.filter(|line| !line.message.is_empty()))
    }
}

/// Syslog's numbers; what names none is news.
fn level(priority: Option<&str>) -> LogLevel {
    match priority {
        Some("0" | "1" | "2" | "3") => LogLevel::Error,
        Some("4") => LogLevel::Warn,
        Some("7") => LogLevel::Debug,
        _ => LogLevel::Info,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let components = BTreeMap::from([
            ("kernel".to_owned(), of(&["kernel"])),
            ("payment".to_owned(), of(&["pay.service", "payd"])),
        ]);
        let range = LogRange {
            from: Timestamp::from_unix_ms(0),
            to: Timestamp::from_unix_ms(1),
            components: Vec::new(),
            min_level: LogLevel::Trace,
        };
        Reader::new(&components, &range)
    }

    fn line(fields: &str) -> Option<(String, LogLevel, String)> {
        let json = format!(r#"{{"__REALTIME_TIMESTAMP":"1782758100123456",{fields}}}"#);
        let line = reader().line(json.as_bytes()).unwrap()?;
        assert_eq!(line.time.unix_ms(), 1_782_758_100_123);
        Some((line.component, line.level, line.message))
    }

    fn some(component: &str, level: LogLevel, message: &str) -> Option<(String, LogLevel, String)> {
        Some((component.to_owned(), level, message.to_owned()))
    }

    #[test]
    fn an_entry_is_of_its_unit_or_identifier_or_not_sent_at_all() {
        let of_unit = r#""_SYSTEMD_UNIT":"pay.service","MESSAGE":"sale","PRIORITY":"4""#;
        assert_eq!(line(of_unit), some("payment", LogLevel::Warn, "sale"));
        let of_manager = r#""UNIT":"pay.service","SYSLOG_IDENTIFIER":"systemd","MESSAGE":"up""#;
        assert_eq!(line(of_manager), some("payment", LogLevel::Info, "up"));
        let of_name = r#""SYSLOG_IDENTIFIER":"kernel","MESSAGE":"oom","PRIORITY":"2""#;
        assert_eq!(line(of_name), some("kernel", LogLevel::Error, "oom"));
        assert_eq!(line(r#""SYSLOG_IDENTIFIER":"sshd","MESSAGE":"root""#), None);
        assert_eq!(line(r#""MESSAGE":"nobody's""#), None);
    }

    #[test]
    fn a_message_may_be_bytes_several_or_missing() {
        let payd = |message| line(&format!(r#""SYSLOG_IDENTIFIER":"payd","MESSAGE":{message}"#));
        let info = |message| some("payment", LogLevel::Info, message);
        assert_eq!(payd("[111,107,10,255]"), info("ok \u{fffd}"));
        assert_eq!(payd(r#"["first","second"]"#), info("first"));
        assert_eq!(payd(r#"[[104,105],"second"]"#), info("hi"));
        assert_eq!(payd(r#""two\nlines""#), info("two lines"));
        for nothing in ["null", "{}", "7", "[]", "\"\""] {
            assert_eq!(payd(nothing), None, "{nothing}");
        }
        assert_eq!(line(r#""SYSLOG_IDENTIFIER":"payd""#), None);
    }

    #[test]
    fn what_is_no_entry_is_an_error() {
        for json in ["", "{", "[]", "{}", r#"{"__REALTIME_TIMESTAMP":"soon","MESSAGE":"x"}"#] {
            assert!(reader().line(json.as_bytes()).is_err(), "{json}");
        }
    }

    #[test]
    fn only_what_is_asked_for_is_matched() {
        let want = ["SYSLOG_IDENTIFIER=kernel", "+", "_SYSTEMD_UNIT=pay.service", "+", "_PID=1"];
        let matches = reader().matches();
        assert_eq!(matches[..5], want);
        assert_eq!(matches[5..], ["UNIT=pay.service", "+", "SYSLOG_IDENTIFIER=payd"]);
    }
}
