//! What tests do with a cloud that runs in their process.

use std::time::Duration;

use serde_json::{Map, Value};
use terminal_hal::OperationId;

use crate::{
    cloud::{Cloud, CloudError},
    db::{
        DbError, configuration, locations, logs, now,
        operations::{
            self, Created, NewOperation, Operation, OperationStatus, Request, TimelineEntry,
        },
        pending, reports,
        reports::{Gap, StoredReport},
        terminals::{self, NewTerminal, Terminal},
        timeline,
        tokens::{self, NewToken},
    },
    faults::{self, FaultSwitches},
    link::log_store,
    rest::uploads::{self, UploadUrl},
    wait::{self, Look, WaitError},
};

/// `created_by` of what the library creates.
const LIBRARY: &str = "library";

impl Cloud {
    /// Makes an API token.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub async fn create_token(&self, new: NewToken) -> Result<String, CloudError> {
        self.write(move |db| tokens::create(db, &new)).await
    }

    /// Registers a terminal and makes its credential.
    ///
    /// # Errors
    /// When the account has a terminal of that serial number.
    pub async fn create_terminal(
        &self,
        account_id: &str,
        serial_number: &str,
    ) -> Result<NewTerminal, CloudError> {
        let (account, serial) = (account_id.to_owned(), serial_number.to_owned());
        let outcome = self
            .write(move |db| {
                let store = locations::of_store(db, &account, "S1")?;
                Ok(match terminals::register(db, &account, &serial, Some(store.id), LIBRARY)? {
                    Err(error) => Err(error),
                    Ok(Terminal { terminal_id, .. }) => {
                        let token = terminals::new_credential(db, &terminal_id)?;
                        Ok(NewTerminal { terminal_id, token })
                    }
                })
            })
            .await?;
        Ok(outcome?)
    }

    /// Creates an operation and wakes the terminal's link.
    ///
    /// # Errors
    /// When the terminal is unknown, or busy and the operation wants to be alone.
    pub async fn create_operation(&self, new: NewOperation) -> Result<OperationId, CloudError> {
        let terminal_id = new.terminal_id.clone();
        let request = Request {
            new,
            account_id: None,
            created_by: LIBRARY.to_owned(),
            key: None,
            timeout_max_ms: self.shared().timeout_max_ms(),
            pending_max: None,
        };
        let created = self.write(move |db| operations::create(db, &request)).await?;
        match created {
            Created::New(operation) | Created::Replayed(operation) => {
                self.shared().created(&terminal_id);
                Ok(operation.id)
            }
            Created::Busy { retry_after_s } => Err(CloudError::Busy { retry_after_s }),
            Created::UnknownTerminal
            | Created::KeyReused
            | Created::Deactivated
            | Created::QueueFull => Err(CloudError::Unknown(terminal_id)),
        }
    }

    /// Withdraws an operation; false when it is not PENDING any more.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn cancel_operation(&self, id: OperationId) -> Result<bool, CloudError> {
        let shared = self.shared();
        let done = self
            .write(move |db| {
                let done = pending::request_cancel(db, None, id, LIBRARY, now())?;
                Ok((done, operations::find(db, None, id)?))
            })
            .await?;
        if let Some(operation) = done.1 {
            shared.hub.wake(&operation.terminal_id);
        }
        Ok(done.0)
    }

    /// An operation as the public API shows it.
    ///
    /// # Errors
    /// When there is none of that id.
    pub async fn operation(&self, id: OperationId) -> Result<Operation, CloudError> {
        let found = self.read(move |db| operations::find(db, None, id)).await?;
        found.ok_or_else(|| CloudError::Unknown(id.to_string()))
    }

    /// Waits until `wanted` says yes to an operation.
    ///
    /// # Errors
    /// When that does not happen in time; the error says how the operation stood.
    pub async fn wait_operation(
        &self,
        id: OperationId,
        within: Duration,
        wanted: impl Fn(&Operation) -> bool + Send + Sync + 'static,
    ) -> Result<Operation, WaitError> {
        self.wait(within, move |db| {
            Ok(match operations::find(db, None, id)? {
                Some(operation) if wanted(&operation) => Ok(operation),
                Some(operation) => Err(serde_json::to_string(&operation)?),
                None => Err(format!("no operation {id}")),
            })
        })
        .await
    }

    /// Waits until an operation has a status.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait_status(
        &self,
        id: OperationId,
        status: OperationStatus,
        within: Duration,
    ) -> Result<Operation, WaitError> {
        self.wait_operation(id, within, move |operation| operation.status == status).await
    }

    /// Waits until the timeline of an operation has so many steps of that name (`dispatched`,
    /// `accepted`, `started`, …); returns the whole timeline.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait_timeline(
        &self,
        id: OperationId,
        event: &str,
        count: usize,
        within: Duration,
    ) -> Result<Vec<TimelineEntry>, WaitError> {
        let event = event.to_owned();
        self.wait(within, move |db| {
            let timeline = timeline::list(db, id)?;
            let found = timeline.iter().filter(|entry| entry.event == event).count();
            Ok(if found >= count { Ok(timeline) } else { Err(format!("{found} × {event}")) })
        })
        .await
    }

    /// Waits until a terminal has a welcomed link, or has none.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait_online(
        &self,
        terminal_id: &str,
        online: bool,
        within: Duration,
    ) -> Result<Terminal, WaitError> {
        self.wait_terminal(terminal_id, within, move |terminal| terminal.online == online).await
    }

    /// Waits until `wanted` says yes to a terminal.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait_terminal(
        &self,
        terminal_id: &str,
        within: Duration,
        wanted: impl Fn(&Terminal) -> bool + Send + Sync + 'static,
    ) -> Result<Terminal, WaitError> {
        let id = terminal_id.to_owned();
        self.wait(within, move |db| {
            Ok(match terminals::find(db, &id)? {
                Some(terminal) if wanted(&terminal) => Ok(terminal),
                Some(terminal) => Err(format!("{terminal:?}")),
                None => Err(format!("no terminal {id}")),
            })
        })
        .await
    }

    /// Waits until so many reports of a terminal are stored; returns how many there are.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub async fn wait_reports(
        &self,
        terminal_id: &str,
        count: u64,
        within: Duration,
    ) -> Result<u64, WaitError> {
        let id = terminal_id.to_owned();
        self.wait(within, move |db| {
            let stored = reports::count(db, &id)?;
            Ok(if stored >= count { Ok(stored) } else { Err(format!("{stored} reports")) })
        })
        .await
    }

    /// A terminal with what it said last.
    ///
    /// # Errors
    /// When it is unknown.
    pub async fn terminal(&self, terminal_id: &str) -> Result<Terminal, CloudError> {
        let id = terminal_id.to_owned();
        let found = self.read(move |db| terminals::find(db, &id)).await?;
        found.ok_or_else(|| CloudError::Unknown(terminal_id.to_owned()))
    }

    /// All reports of a terminal in order of arrival.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn reports(&self, terminal_id: &str) -> Result<Vec<StoredReport>, CloudError> {
        let id = terminal_id.to_owned();
        self.read(move |db| reports::list(db, &id, None, None)).await
    }

    /// Reports that a terminal no longer has.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn gaps(&self, terminal_id: &str) -> Result<Vec<Gap>, CloudError> {
        let id = terminal_id.to_owned();
        self.read(move |db| reports::gaps(db, &id)).await
    }

    /// What happened to an operation, step by step.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn timeline(&self, id: OperationId) -> Result<Vec<TimelineEntry>, CloudError> {
        self.read(move |db| timeline::list(db, id)).await
    }

    /// Sets a terminal's own settings, whole and unchecked; returns the revision of what they make
    /// with the template of its location.
    ///
    /// # Errors
    /// When the terminal is unknown.
    pub async fn set_configuration(
        &self,
        terminal_id: &str,
        config: Map<String, Value>,
    ) -> Result<u64, CloudError> {
        let id = terminal_id.to_owned();
        let revision = self.write(move |db| configuration::override_with(db, &id, &config)).await?;
        self.shared().hub.wake(terminal_id);
        revision.ok_or_else(|| CloudError::Unknown(terminal_id.to_owned()))
    }

    /// The bytes of a log that has arrived whole over the link, as they were sent.
    ///
    /// # Errors
    /// When there is none.
    pub async fn log(&self, terminal_id: &str, id: OperationId) -> Result<Vec<u8>, CloudError> {
        let terminal = terminal_id.to_owned();
        let found = self.read(move |db| logs::find(db, &terminal, id)).await?;
        found.ok_or_else(|| CloudError::Unknown(id.to_string()))?;
        let path = log_store::path(&self.shared().config.data_dir, terminal_id, id);
        std::fs::read(path).map_err(|error| DbError::from(error).into())
    }

    /// A URL that takes one upload without other credentials, until it expires.
    pub fn mint_upload(&self, account_id: &str, name: &str, valid: Duration) -> UploadUrl {
        uploads::mint(&self.shared(), account_id, name, valid)
    }

    /// The bytes of an upload of an account.
    ///
    /// # Errors
    /// When it has not arrived.
    pub async fn upload(&self, account_id: &str, name: &str) -> Result<Vec<u8>, CloudError> {
        let (account, wanted) = (account_id.to_owned(), name.to_owned());
        let found = self.read(move |db| logs::upload(db, &account, &wanted)).await?;
        found.ok_or_else(|| CloudError::Unknown(name.to_owned()))?;
        let path = uploads::path(&self.shared().config.data_dir, account_id, name);
        std::fs::read(path).map_err(|error| DbError::from(error).into())
    }

    /// Throws fault switches; available whatever `test_switches` says.
    ///
    /// # Errors
    /// When a terminal that one of them is about has no link.
    pub async fn fault(&self, switches: FaultSwitches) -> Result<(), CloudError> {
        let shared = self.shared();
        self.run(async move { faults::apply(&shared, switches).await })
            .await?
            .map_err(|error| CloudError::Fault(error.to_string()))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, CloudError> {
        let shared = self.shared();
        Ok(self.run(async move { shared.db.write(work).await }).await??)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&rusqlite::Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, CloudError> {
        let shared = self.shared();
        Ok(self.run(async move { shared.db.read(work).await }).await??)
    }

    async fn wait<T: Send + 'static>(
        &self,
        within: Duration,
        look: impl Fn(&rusqlite::Connection) -> Look<T> + Send + Sync + 'static,
    ) -> Result<T, WaitError> {
        let shared = self.shared();
        self.run(async move { wait::until(&shared, within, look).await })
            .await
            .map_err(|_| WaitError::Db(DbError::Closed))?
    }
}
