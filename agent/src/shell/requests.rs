//! Requests for operations that come from the terminal itself, and who waits for their answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use terminal_core::engine::{
    LocalAnswer, LocalRefusal, LocalRequest, LocalTaken, limits::LOCAL_TRIGGER_CHARS_MAX,
};
use terminal_hal::{OperationId, OperationKind};
use tokio::sync::oneshot;

use super::{
    clock,
    control::{self, StartRequest},
};

/// Longest key of a request: what names its source comes before it in the trigger.
const KEY_CHARS_MAX: usize = LOCAL_TRIGGER_CHARS_MAX - 32;

/// Who waits, by trigger: the same request may be made twice at a time.
#[derive(Debug, Default)]
pub(super) struct Requests {
    waiting: BTreeMap<String, Vec<oneshot::Sender<Value>>>,
}

impl Requests {
    /// Somebody waits for what becomes of this request.
    pub(super) fn wait(&mut self, request: &LocalRequest, reply: oneshot::Sender<Value>) {
        self.waiting.entry(request.trigger.clone()).or_default().push(reply);
    }

    /// The engine has decided.
    pub(super) fn answer(&mut self, answer: &LocalAnswer) {
        let said = match &answer.outcome {
            Ok(LocalTaken { id: OperationId(id), duplicate }) => {
                json!({ "id": id, "duplicate": duplicate })
            }
            Err(LocalRefusal { code, reason }) => control::unfit(&format!("{code}: {reason}")),
        };
        for reply in self.waiting.remove(&answer.trigger).into_iter().flatten() {
            // The asker may be gone.
            let _ = reply.send(said.clone());
        }
    }
}

/// A request over the control socket, by the user with that id.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn from_control(request: &StartRequest, uid: u32) -> Result<LocalRequest, String> {
    let kind = OperationKind::from_name(&request.operation).ok_or_else(|| {
        let known: Vec<_> = OperationKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("operation: got {:?}, want one of {}", request.operation, known.join(", "))
    })?;
    let key = match &request.key {
        Some(key) if key.is_empty() || key.chars().count() > KEY_CHARS_MAX => {
            return Err(format!("key: want 1 to {KEY_CHARS_MAX} characters"));
        }
        Some(key) => key.clone(),
        None => format!("{:032x}", clock::entropy()),
    };
    Ok(LocalRequest {
        trigger: format!("control/{key}"),
        kind,
        parameters: request.parameters.clone(),
        created_by: format!("user {uid}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: Option<&str>) -> StartRequest {
        StartRequest {
            operation: "end_of_day".to_owned(),
            parameters: serde_json::Map::new(),
            key: key.map(str::to_owned),
        }
    }

    #[test]
    fn the_same_key_is_the_same_trigger_and_without_one_every_request_is_another() {
        let trigger = |key| from_control(&request(key), 1000).unwrap().trigger;
        assert_eq!(trigger(Some("a")), trigger(Some("a")));
        assert_ne!(trigger(None), trigger(None));
        assert_eq!(from_control(&request(None), 1000).unwrap().created_by, "user 1000");
    }

    #[test]
    fn a_trigger_keeps_its_limit_and_what_is_wrong_is_named() {
        let longest = "k".repeat(KEY_CHARS_MAX);
        let trigger = from_control(&request(Some(&longest)), 0).unwrap().trigger;
        assert!(trigger.chars().count() <= LOCAL_TRIGGER_CHARS_MAX);
        for wrong in ["", &format!("{longest}k")] {
            assert!(from_control(&request(Some(wrong)), 0).unwrap_err().starts_with("key: "));
        }
        let dance = StartRequest { operation: "dance".to_owned(), ..request(None) };
        assert!(from_control(&dance, 0).unwrap_err().contains("want one of end_of_day"));
    }

    #[test]
    fn everybody_who_asked_the_same_is_answered() {
        let mut requests = Requests::default();
        let asked = from_control(&request(Some("a")), 0).unwrap();
        let (first, mut one) = oneshot::channel();
        let (second, mut two) = oneshot::channel();
        requests.wait(&asked, first);
        requests.wait(&asked, second);
        let refusal = LocalRefusal { code: "STORAGE_FULL", reason: "full".to_owned() };
        requests.answer(&LocalAnswer { trigger: asked.trigger, outcome: Err(refusal) });
        let said = json!({ "unfit": "STORAGE_FULL: full" });
        assert_eq!((one.try_recv().unwrap(), two.try_recv().unwrap()), (said.clone(), said));
        assert!(requests.waiting.is_empty());
    }
}
