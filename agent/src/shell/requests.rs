//! Requests for operations that come from the terminal itself, and who waits for their answers.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use terminal_core::engine::{LocalAnswer, LocalRefusal, LocalRequest, LocalTaken};
use terminal_hal::{OperationId, OperationKind, operation::OperationRequest, vendor};
use tokio::sync::oneshot;

use super::{
    clock,
    control::{self, StartRequest},
};

/// Longest key of a request, as on the vendor socket.
const KEY_CHARS_MAX: usize = vendor::wire::NAME_CHARS_MAX;

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
    let StartRequest { operation, parameters, key } = request.clone();
    let key = key.unwrap_or_else(|| format!("{:032x}", clock::entropy()));
    let request = OperationRequest { key, operation, parameters };
    from_source("control", request, format!("user {uid}"))
}

/// A choice in a menu of the payment application.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn from_menu(request: OperationRequest) -> Result<LocalRequest, String> {
    from_source("menu", request, "menu".to_owned())
}

fn from_source(
    source: &str,
    request: OperationRequest,
    created_by: String,
) -> Result<LocalRequest, String> {
    let OperationRequest { key, operation, parameters } = request;
    let kind = OperationKind::from_name(&operation).ok_or_else(|| {
        let kinds = OperationKind::ALL.into_iter().filter(|kind| LocalRequest::allows(*kind));
        let names: Vec<_> = kinds.map(OperationKind::as_str).collect();
        format!("operation: got {operation:?}, want one of {}", names.join(", "))
    })?;
    if key.is_empty() || key.chars().count() > KEY_CHARS_MAX {
        return Err(format!("key: want 1 to {KEY_CHARS_MAX} characters"));
    }
    Ok(LocalRequest { trigger: format!("{source}/{key}"), kind, parameters, created_by })
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
        let parameters = serde_json::Map::new();
        let chosen =
            OperationRequest { key: "a".into(), operation: "end_of_day".into(), parameters };
        let chosen = from_menu(chosen).unwrap();
        assert_ne!(chosen.trigger, trigger(Some("a")));
        assert_eq!(chosen.created_by, "menu");
    }

    #[test]
    fn a_key_keeps_its_limit_and_what_is_wrong_is_named() {
        let longest = "k".repeat(KEY_CHARS_MAX);
        assert!(from_control(&request(Some(&longest)), 0).is_ok());
        for wrong in ["", &format!("{longest}k")] {
            assert!(from_control(&request(Some(wrong)), 0).unwrap_err().starts_with("key: "));
        }
        let dance = StartRequest { operation: "dance".to_owned(), ..request(None) };
        let problem = from_control(&dance, 0).unwrap_err();
        assert!(problem.contains("want one of end_of_day"), "{problem}");
        // That is the cloud's to ask for.
        assert!(!problem.contains("unlock") && problem.ends_with("lock"), "{problem}");
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
