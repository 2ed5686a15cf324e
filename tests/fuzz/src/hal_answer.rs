//! What a backend answers: however long or odd it is, the cloud gets a frame that it can read.

use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use terminal_core::{
    engine::{CallOutcome, ConfigurationOutcome, Effect, Event},
    protocol::{CloudFrame, ConfigurationFrame, OperationFrame, Policy},
};
use terminal_hal::{
    ErrorCode, Failure, OperationId, OperationKind, OperationResult, Parameters, Timestamp,
    api::{Progress, call},
    operation::{
        CheckUpdateResult, ConfigureResult, EndOfDayResult, LockResult, OpenMenuResult,
        RebootResult, SendLogsResult, SettingProblem, UpdateResult,
    },
    status::TerminalHealth,
};
use uuid::Uuid;

use crate::{
    frames::reaches_the_terminal,
    world::{Link, World},
};

/// In the bytes of an answer this stands for a long text, so that a short input can hold one.
const LONG: char = '~';
const LONG_CHARS: usize = 3_000;
/// A longer answer only costs time.
const ANSWER_BYTES_MAX: usize = 256 << 10;
const ID: OperationId = OperationId(Uuid::from_u128(7));

/// The first byte says what is answered, the rest is the answer: JSON, or a plain text.
pub fn hal_answer(data: &[u8]) {
    let Some((which, answer)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(answer).replace(LONG, &"x".repeat(LONG_CHARS));
    if text.len() > ANSWER_BYTES_MAX {
        return;
    }
    match which % 16 {
        9 => {
            if let Some(failure) = read::<Failure>(&text) {
                finished(OperationKind::CheckUpdate, CallOutcome::Failed(failure));
            }
        }
        10 => {
            if let Some(health) = read::<TerminalHealth>(&text) {
                let mut world = connected();
                world.step(&Event::HealthObserved(Box::new(health)));
            }
        }
        11 => {
            if let Some(problems) = read::<Vec<SettingProblem>>(&text) {
                configured(ConfigurationOutcome::Rejected(problems));
            }
        }
        12 => progressed(&text),
        13 => finished(
            OperationKind::Reboot,
            CallOutcome::ReadyToRestart { instance: Some(text), application_hangs: true },
        ),
        14 => configured(ConfigurationOutcome::Applied { sha256: text }),
        15 => asked(&text),
        kind => {
            let kind = OperationKind::ALL.get(usize::from(kind)).copied();
            let kind = kind.unwrap_or(OperationKind::EndOfDay);
            if let Some(result) = result(kind, &text) {
                let once = result.clone().bounded();
                assert_eq!(once.clone().bounded(), once);
                finished(kind, CallOutcome::Completed(Box::new(result)));
            }
        }
    }
}

fn read<T: DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

fn result(kind: OperationKind, text: &str) -> Option<OperationResult> {
    Some(match kind {
        OperationKind::EndOfDay => OperationResult::EndOfDay(read::<EndOfDayResult>(text)?),
        OperationKind::SendLogs => OperationResult::SendLogs(read::<SendLogsResult>(text)?),
        OperationKind::CheckUpdate => {
            OperationResult::CheckUpdate(read::<CheckUpdateResult>(text)?)
        }
        OperationKind::OpenMenu => OperationResult::OpenMenu(read::<OpenMenuResult>(text)?),
        OperationKind::Reboot => OperationResult::Reboot(read::<RebootResult>(text)?),
        OperationKind::Update => OperationResult::Update(read::<UpdateResult>(text)?),
        OperationKind::Lock => OperationResult::Lock(read::<LockResult>(text)?),
        OperationKind::Unlock => OperationResult::Unlock(read::<LockResult>(text)?),
        OperationKind::Configure => OperationResult::Configure(read::<ConfigureResult>(text)?),
    })
}

/// A call ends so; its verdict survives a restart.
fn finished(kind: OperationKind, outcome: CallOutcome) {
    let mut world = running(kind);
    let is_restart = matches!(outcome, CallOutcome::ReadyToRestart { .. });
    world.step(&Event::Finished { id: ID, attempt: 1, outcome });
    assert_eq!(world.unfinished(), usize::from(is_restart));
    world.memory_is_the_store();
    world.restart(true);
}

/// Progress reaches the engine through the call that a backend was given.
fn progressed(phase: &str) {
    let mut world = running(OperationKind::EndOfDay);
    let (call, mut handle) = call(ID, 1, Duration::from_secs(60));
    call.progress(phase, phase.bytes().next());
    let told = handle.progress.try_recv();
    assert!(told.is_ok());
    if let Ok(Progress { phase, percent }) = told {
        assert!(phase.chars().count() <= 32 && percent.is_none_or(|percent| percent <= 100));
        world.step(&Event::Progressed { id: ID, phase, percent });
    }
    // As the call would end for want of a backend.
    let outcome = CallOutcome::Failed(Failure::new(ErrorCode::DeviceFault, ""));
    world.step(&Event::Finished { id: ID, attempt: 1, outcome });
    assert_eq!(world.unfinished(), 0);
}

fn configured(outcome: ConfigurationOutcome) {
    let mut world = connected();
    let config = Map::from_iter([("a".to_owned(), json!(1))]);
    receive(&mut world, &CloudFrame::Configuration(ConfigurationFrame { revision: 1, config }));
    let mut calls = world.open.iter().filter_map(|open| {
        if let Effect::Configure(order) = open { Some(order.call) } else { None }
    });
    let call = calls.next();
    assert!(call.is_some());
    if let Some(call) = call {
        world.step(&Event::Configured { call, outcome });
    }
    world.memory_is_the_store();
}

/// Parameters as the cloud sends them: what the backend gets has been checked, and nothing of it
/// is lost on the way.
fn asked(text: &str) {
    let Some(parameters) = read::<Map<String, Value>>(text) else { return };
    for kind in OperationKind::ALL {
        match Parameters::parse(kind, &parameters) {
            Ok(checked) => assert_eq!(checked.kind(), kind),
            Err(invalid) => assert!(!invalid.path.is_empty() && !invalid.problem.is_empty()),
        }
    }
}

fn running(kind: OperationKind) -> World {
    let parameters = match kind {
        OperationKind::Configure => json!({ "revision": 1, "config": {} }),
        OperationKind::EndOfDay
        | OperationKind::SendLogs
        | OperationKind::CheckUpdate
        | OperationKind::OpenMenu
        | OperationKind::Reboot
        | OperationKind::Update
        | OperationKind::Lock
        | OperationKind::Unlock => json!({}),
    };
    let mut world = connected();
    let now = Timestamp::from_unix_ms(world.wall);
    let operation = OperationFrame {
        id: ID,
        operation: kind.to_string(),
        parameters: parameters.as_object().cloned().unwrap_or_default(),
        created_at: now,
        created_by: String::new(),
        first_epoch: None,
        ttl_s: 900,
        not_after: now.plus_ms(86_400_000),
        deadline_s: 300,
        policy: Policy::default(),
    };
    receive(&mut world, &CloudFrame::Operation(Box::new(operation)));
    assert!(world.open.iter().any(|open| matches!(open, Effect::Start(_))));
    world
}

fn connected() -> World {
    let mut world = World::new();
    while world.link != Link::Wanted {
        world.wait();
        world.step(&Event::Woken);
    }
    world.link = Link::Open;
    world.step(&Event::LinkOpened);
    let welcome = CloudFrame::Welcome(world.welcome());
    receive(&mut world, &welcome);
    assert!(world.is_up());
    world
}

fn receive(world: &mut World, frame: &CloudFrame) {
    world.step(&Event::FrameReceived(reaches_the_terminal(frame)));
}
