//! Parameters and results of the operations: the terminal refuses what the schema refuses, and
//! whatever the hardware answers, what is reported is within the schema.

use std::collections::BTreeSet;

use serde_json::Value;
use terminal_hal::{OperationKind, OperationResult, Parameters};
use terminal_reference::{examples, parameters_schema, result_schema};

use crate::{mutations::mutations, validator};

#[test]
fn the_terminal_and_the_schema_refuse_the_same_parameters() {
    let mut kinds = BTreeSet::new();
    let mut found = BTreeSet::new();
    for frame in examples().into_iter().filter(|e| e.kind() == "operation").map(|e| e.frame) {
        let (kind, parameters) = (kind(&frame), &frame["parameters"]);
        let validator = validator(&parameters_schema(kind));
        assert!(validator.is_valid(parameters), "{parameters}");
        for mutation in mutations(parameters, &[]) {
            let read = Parameters::parse(kind, mutation.document.as_object().unwrap());
            if read.is_ok() != validator.is_valid(&mutation.document) {
                let difference = difference(&mutation.pointer, mutation.value.as_ref());
                found
                    .insert(difference.unwrap_or_else(|| panic!("{kind}: {mutation:?}\n{read:?}")));
            }
        }
        kinds.insert(kind);
    }
    assert_eq!(kinds, OperationKind::ALL.into());
    assert_eq!(found, DIFFERENCES.into(), "each difference must be real");
}

/// What no schema can say, beside the names of the headers that the terminal sets itself.
const DIFFERENCES: [&str; 4] = [
    "from and to are in the wrong order, or too far apart",
    "a time is also read with a space or in small letters",
    "to JSON Schema 1.0 and 1e300 are integers",
    "a time may be before 1970 by its offset alone",
];

fn difference(pointer: &str, value: Option<&Value>) -> Option<&'static str> {
    match value? {
        Value::String(text) if text.contains(['t', ' ']) => Some(DIFFERENCES[1]),
        Value::String(text) if text == "1970-01-01T00:00:00+01:00" => Some(DIFFERENCES[3]),
        Value::String(_) | Value::Null if matches!(pointer, "/from" | "/to") => {
            Some(DIFFERENCES[0])
        }
        Value::Number(number) if number.is_f64() => Some(DIFFERENCES[2]),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => None,
    }
}

#[test]
fn whatever_the_hardware_answers_the_result_is_within_its_schema() {
    let mut kinds = BTreeSet::new();
    for frame in examples().into_iter().filter(|e| e.kind() == "report").map(|e| e.frame) {
        let result = &frame["result"];
        if result.is_null() {
            continue;
        }
        let kind = kind(&frame);
        let validator = validator(&result_schema(kind));
        let documents = mutations(result, &[]).into_iter().map(|mutation| mutation.document);
        for document in documents.chain([result.clone()]) {
            let Some(reported) = reported(kind, document.clone()) else { continue };
            let found = validator.validate(&reported).map_err(|error| error.to_string());
            assert_eq!(found, Ok(()), "{kind}: {document}\n{reported}");
        }
        kinds.insert(kind);
    }
    assert_eq!(kinds, OperationKind::ALL.into());
}

/// What the engine makes of an answer; `None` where it cannot be one.
fn reported(kind: OperationKind, answer: Value) -> Option<Value> {
    fn read<T: serde::de::DeserializeOwned>(answer: Value) -> Option<T> {
        serde_json::from_value(answer).ok()
    }
    let result = match kind {
        OperationKind::EndOfDay => OperationResult::EndOfDay(read(answer)?),
        OperationKind::SendLogs => OperationResult::SendLogs(read(answer)?),
        OperationKind::CheckUpdate => OperationResult::CheckUpdate(read(answer)?),
        OperationKind::OpenMenu => OperationResult::OpenMenu(read(answer)?),
        OperationKind::Reboot => OperationResult::Reboot(read(answer)?),
        OperationKind::Update => OperationResult::Update(read(answer)?),
        OperationKind::Lock => OperationResult::Lock(read(answer)?),
        OperationKind::Unlock => OperationResult::Unlock(read(answer)?),
        OperationKind::Configure => OperationResult::Configure(read(answer)?),
    };
    serde_json::to_value(result.bounded()).ok()
}

fn kind(frame: &Value) -> OperationKind {
    OperationKind::from_name(frame["operation"].as_str().unwrap()).unwrap()
}
