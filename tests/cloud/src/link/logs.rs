//! Log data of one link: who may send it, and what is answered.

use std::{collections::BTreeSet, path::Path};

use terminal_core::protocol::{CloudFrame, ErrorFrame, LogAck, LogChunk, LogEnd, error_code};
use terminal_hal::{OperationId, OperationKind};
use tokio_tungstenite::tungstenite::Bytes;
use uuid::Uuid;

use super::{
    log_store::{LogStore, Outcome, Write},
    session::Link,
    socket::Gone,
};
use crate::db::{self, DbError, logs::StoredLog, now};

/// What arrives of a log.
pub(super) enum LogItem {
    Chunk(Bytes),
    End(LogEnd),
}

/// Logs that this link is receiving.
pub(super) struct Logs {
    store: LogStore,
    /// Operations of which this link may send logs.
    admitted: BTreeSet<OperationId>,
}

impl Logs {
    pub(super) fn new(data_dir: &Path, terminal_id: &str) -> Self {
        Self { store: LogStore::new(data_dir, terminal_id), admitted: BTreeSet::new() }
    }
}

/// Admissions that are remembered; beyond it they are looked up again.
const ADMITTED_MAX: usize = 64;

impl Link {
    /// Stores log data; the answers say what is durable.
    pub(super) async fn store_log_data(
        &mut self,
        items: Vec<LogItem>,
    ) -> Result<Vec<CloudFrame>, Gone> {
        let mut answers = Vec::new();
        let mut writes = Vec::new();
        for item in items {
            let write = match item {
                LogItem::End(end) => Write::End(end),
                LogItem::Chunk(bytes) => match LogChunk::decode(&bytes) {
                    Ok(chunk) => Write::Chunk {
                        id: chunk.id,
                        attempt: chunk.attempt,
                        offset: chunk.offset,
                        data: bytes.slice_ref(chunk.data),
                    },
                    Err(error) => {
                        let id = operation_of(&bytes);
                        answers.push(refusal(error_code::INVALID_MESSAGE, &error, id));
                        continue;
                    }
                },
            };
            match self.admit(write.id()).await? {
                Admission::Yes => writes.push(write),
                Admission::No(problem) => {
                    answers.push(refusal(error_code::INVALID_MESSAGE, &problem, Some(write.id())))
                }
                Admission::Stored(log) if log.attempt == write.attempt() => {
                    answers.push(stored(&log, matches!(write, Write::End(_))));
                }
                Admission::Stored(_) => writes.push(write),
            }
        }
        answers.extend(self.write_log_data(writes).await?);
        Ok(answers)
    }

    async fn write_log_data(&mut self, writes: Vec<Write>) -> Result<Vec<CloudFrame>, Gone> {
        let lost = |error: &dyn std::fmt::Display| Gone::Peer(format!("storing log data: {error}"));
        let mut store = std::mem::take(&mut self.logs.store);
        let (store, outcomes) = tokio::task::spawn_blocking(move || {
            let outcomes = store.write(writes);
            (store, outcomes)
        })
        .await
        .map_err(|error| lost(&error))?;
        self.logs.store = store;
        let mut answers = Vec::new();
        for outcome in outcomes.map_err(|error| lost(&error))? {
            answers.push(match outcome {
                Outcome::Durable { id, attempt, offset } => {
                    CloudFrame::LogAck(LogAck { id, attempt, offset, complete: false })
                }
                Outcome::Refused { id, code, problem } => refusal(code, &problem, Some(id)),
                Outcome::Dropped { id } => {
                    let terminal_id = self.key.terminal_id.clone();
                    self.shared
                        .db
                        .write(move |db| db::logs::dropped(db, &terminal_id, id))
                        .await
                        .map_err(|error| lost(&error))?;
                    continue;
                }
                Outcome::Complete { id, attempt, bytes, sha256 } => {
                    let completed_at = now();
                    let log = StoredLog { operation_id: id, attempt, bytes, sha256, completed_at };
                    let answer = stored(&log, true);
                    let terminal_id = self.key.terminal_id.clone();
                    // A verified log may come again: it is looked up from now on.
                    self.logs.admitted.remove(&id);
                    self.shared
                        .db
                        .write(move |db| db::logs::complete(db, &terminal_id, &log))
                        .await
                        .map_err(|error| lost(&error))?;
                    answer
                }
            });
        }
        Ok(answers)
    }

    /// Log data belongs to a `send_logs` of this terminal, or to one that only the terminal knows.
    async fn admit(&mut self, id: OperationId) -> Result<Admission, Gone> {
        if self.logs.admitted.contains(&id) {
            return Ok(Admission::Yes);
        }
        let terminal_id = self.key.terminal_id.clone();
        let found = self
            .shared
            .db
            .read(move |db| {
                let stored = db::logs::find(db, &terminal_id, id)?;
                Ok::<_, DbError>((db::logs::owner(db, id)?, stored))
            })
            .await
            .map_err(|error| Gone::Peer(error.to_string()))?;
        Ok(match found {
            (Some((owner, _)), _) if owner != self.key.terminal_id => {
                Admission::No("operation of another terminal".to_owned())
            }
            (Some((_, kind)), _) if kind != OperationKind::SendLogs.as_str() => {
                Admission::No(format!("operation is {kind}, want send_logs"))
            }
            (_, Some(stored)) => Admission::Stored(stored),
            (_, None) => {
                if self.logs.admitted.len() >= ADMITTED_MAX {
                    self.logs.admitted.clear();
                }
                self.logs.admitted.insert(id);
                Admission::Yes
            }
        })
    }
}

/// The operation that a chunk names, also when the rest of it is no chunk.
fn operation_of(bytes: &[u8]) -> Option<OperationId> {
    bytes.first_chunk::<16>().map(|id| OperationId(Uuid::from_bytes(*id)))
}

enum Admission {
    Yes,
    No(String),
    /// A whole log is stored already.
    Stored(StoredLog),
}

fn stored(log: &StoredLog, complete: bool) -> CloudFrame {
    CloudFrame::LogAck(LogAck {
        id: log.operation_id,
        attempt: log.attempt,
        offset: log.bytes,
        complete,
    })
}

fn refusal(code: &str, problem: &dyn std::fmt::Display, id: Option<OperationId>) -> CloudFrame {
    CloudFrame::Error(ErrorFrame {
        code: code.to_owned(),
        message: problem.to_string(),
        reference: id.map(|id| id.to_string()),
    })
}
