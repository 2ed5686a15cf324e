//! What the cloud remembers: one SQLite file, one thread that owns it.
//!
//! Every answer of [`Db::write`] comes after the commit; jobs that arrive together share one.

pub(crate) mod activation;
pub(crate) mod arrived;
pub(crate) mod beforehand;
pub(crate) mod certificates;
pub(crate) mod configuration;
pub(crate) mod cursor;
pub(crate) mod deliveries;
pub(crate) mod endpoints;
pub(crate) mod enrolment;
pub(crate) mod events;
pub(crate) mod locations;
pub(crate) mod logs;
pub(crate) mod offline;
pub(crate) mod operations;
pub(crate) mod pending;
pub(crate) mod reports;
mod schema;
pub(crate) mod sequence;
pub(crate) mod session;
pub(crate) mod terminals;
pub(crate) mod timeline;
pub(crate) mod tokens;
mod tries;
pub(crate) mod verdict;

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, Row};
use terminal_hal::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

/// Jobs that wait for the thread.
const JOBS_MAX: usize = 1024;
/// Jobs that share a commit.
const JOBS_PER_COMMIT_MAX: usize = 256;
/// A job that cannot be handed over or answered within this time fails.
const JOB_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a record could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// From SQLite.
    #[error("database: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored JSON document cannot be read.
    #[error("stored document: {0}")]
    Json(#[from] serde_json::Error),
    /// A number that SQLite cannot hold, or a stored id that is none.
    #[error("value out of range: {0}")]
    Range(&'static str),
    /// Made by another version of this program.
    #[error("the data directory has tables of version {found}, want {wanted}: take a new one")]
    Version {
        /// What is there.
        found: i64,
        /// What this program makes.
        wanted: i64,
    },
    /// The transaction failed; why is in the log.
    #[error("the database kept nothing of this")]
    NotKept,
    /// The cloud is being stopped.
    #[error("the database is closed")]
    Closed,
    /// The database did not answer in time.
    #[error("the database did not answer within 30 s")]
    Overloaded,
    /// A file or the random source.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

type Reply = Box<dyn FnOnce(Result<(), DbError>) + Send>;
/// Runs inside the transaction; says whether to keep what it wrote, and how to answer.
type Work = Box<dyn FnOnce(&Connection) -> (bool, Reply) + Send>;

struct Job {
    work: Work,
    writes: bool,
}

enum Message {
    Job(Job),
    Close,
}

/// Handle of the database thread.
#[derive(Clone)]
pub(crate) struct Db {
    jobs: mpsc::Sender<Message>,
    commits: watch::Receiver<u64>,
    killed: Arc<AtomicBool>,
}

impl Db {
    /// Opens the file and starts its thread.
    pub(crate) fn start(path: &Path) -> Result<(Self, std::thread::JoinHandle<()>), DbError> {
        let connection = open(path)?;
        session::forget_links(&connection)?;
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let (committed, commits) = watch::channel(0);
        let killed = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&killed);
        let thread = std::thread::Builder::new()
            .name("database".into())
            .spawn(move || serve(&connection, inbox, &committed, &flag))?;
        Ok((Self { jobs, commits, killed }, thread))
    }

    /// Runs `work` in a transaction; answers after the commit.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.call(true, work).await
    }

    /// Runs `work` without announcing a change.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        self.call(false, work).await
    }

    /// Changes with every commit that wrote something.
    pub(crate) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.clone()
    }

    /// From now on nothing is committed any more, as if the process had been killed.
    pub(crate) fn kill(&self) {
        self.killed.store(true, Ordering::SeqCst);
    }

    /// Ends the thread after what is queued; not to be called from asynchronous code.
    pub(crate) fn close(&self) {
        let _ = self.jobs.blocking_send(Message::Close);
    }

    /// Ends the thread of a database that has been killed.
    pub(crate) fn close_soon(&self) {
        // When the queue is full the thread is awake and sees the kill.
        let _ = self.jobs.try_send(Message::Close);
    }

    /// Why a job was dropped: its transaction did not come so far, or there is no thread any more.
    fn unanswered(&self) -> DbError {
        let is_closed = self.killed.load(Ordering::SeqCst) || self.jobs.is_closed();
        if is_closed { DbError::Closed } else { DbError::NotKept }
    }

    async fn call<T: Send + 'static>(
        &self,
        writes: bool,
        work: impl FnOnce(&Connection) -> Result<T, DbError> + Send + 'static,
    ) -> Result<T, DbError> {
        let (answer, answered) = oneshot::channel();
        let work: Work = Box::new(move |connection| {
            let outcome = work(connection);
            let keep = outcome.is_ok();
            let reply: Reply = Box::new(move |committed| {
                // Nobody waits any more: the caller's task has ended.
                let _ = answer.send(committed.and(outcome));
            });
            (keep, reply)
        });
        let exchange = async {
            self.jobs
                .send(Message::Job(Job { work, writes }))
                .await
                .map_err(|_| DbError::Closed)?;
            answered.await.map_err(|_| self.unanswered())?
        };
        tokio::time::timeout(JOB_TIMEOUT, exchange).await.map_err(|_| DbError::Overloaded)?
    }
}

/// Opens the file, durable at every commit, with its tables.
pub(crate) fn open(path: &Path) -> Result<Connection, DbError> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.set_prepared_statement_cache_capacity(128);
    schema::create(&connection)?;
    Ok(connection)
}

fn serve(
    connection: &Connection,
    mut inbox: mpsc::Receiver<Message>,
    committed: &watch::Sender<u64>,
    killed: &AtomicBool,
) {
    while let Some(Message::Job(first)) = inbox.blocking_recv() {
        if killed.load(Ordering::SeqCst) {
            return;
        }
        let mut closing = false;
        let mut jobs = vec![first];
        while jobs.len() < JOBS_PER_COMMIT_MAX {
            match inbox.try_recv() {
                Ok(Message::Job(job)) => jobs.push(job),
                Ok(Message::Close) => {
                    closing = true;
                    break;
                }
                Err(_) => break,
            }
        }
        let writes = jobs.iter().any(|job| job.writes);
        let (outcome, replies) = run(connection, jobs, killed);
        if outcome.is_ok() && writes {
            committed.send_modify(|count| *count += 1);
        }
        for reply in replies {
            // rusqlite errors cannot be cloned: the text goes to the log, the callers learn that
            // nothing was kept.
            reply(match &outcome {
                Ok(()) => Ok(()),
                Err(_) if killed.load(Ordering::SeqCst) => Err(DbError::Closed),
                Err(_) => Err(DbError::NotKept),
            });
        }
        if let Err(error) = outcome {
            tracing::error!(%error, "transaction failed");
        }
        if closing {
            return;
        }
    }
}

fn run(
    connection: &Connection,
    jobs: Vec<Job>,
    killed: &AtomicBool,
) -> (Result<(), DbError>, Vec<Reply>) {
    if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
        return (Err(error.into()), Vec::new());
    }
    let mut replies = Vec::with_capacity(jobs.len());
    let outcome = jobs.into_iter().try_for_each(|job| {
        connection.execute_batch("SAVEPOINT job")?;
        let (keep, reply) = (job.work)(connection);
        replies.push(reply);
        connection.execute_batch(if keep { "RELEASE job" } else { "ROLLBACK TO job; RELEASE job" })
    });
    let outcome = match outcome {
        Ok(()) if killed.load(Ordering::SeqCst) => Err(DbError::Closed),
        Ok(()) => connection.execute_batch("COMMIT").map_err(DbError::from),
        Err(error) => Err(error.into()),
    };
    if outcome.is_err() {
        // Nothing to roll back when the commit itself ended the transaction.
        let _ = connection.execute_batch("ROLLBACK");
    }
    (outcome, replies)
}

/// The outer error is the database's, the inner one the request's.
pub(crate) type NewTerminalOutcome =
    Result<Result<terminals::NewTerminal, terminals::RegisterError>, DbError>;

/// The system clock.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_ms(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// A `Timestamp` as SQLite stores it.
pub(crate) fn ms(time: Timestamp) -> i64 {
    i64::try_from(time.unix_ms()).unwrap_or(i64::MAX)
}

/// A stored instant.
pub(crate) fn time(stored: i64) -> Timestamp {
    Timestamp::from_unix_ms(u64::try_from(stored).unwrap_or_default())
}

/// A column of JSON text, absent when NULL.
pub(crate) fn json<T: serde::de::DeserializeOwned>(
    row: &Row<'_>,
    column: &str,
) -> Result<Option<T>, DbError> {
    let text: Option<String> = row.get(column)?;
    Ok(text.map(|text| serde_json::from_str(&text)).transpose()?)
}

/// A column that holds an id, absent when NULL.
pub(crate) fn uuid(row: &Row<'_>, column: &str) -> Result<Option<uuid::Uuid>, DbError> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| uuid::Uuid::parse_str(&text).map_err(|_| DbError::Range("stored id")))
        .transpose()
}

/// Rows of a query, each read by `read`.
pub(crate) fn rows<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Vec<T>, DbError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row)?);
    }
    Ok(found)
}

/// The first row of a query, if any.
pub(crate) fn row<T>(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
    read: impl Fn(&Row<'_>) -> Result<T, DbError>,
) -> Result<Option<T>, DbError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    rows.next()?.map(read).transpose()
}

/// Runs one statement from the cache.
pub(crate) fn execute(
    connection: &Connection,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<usize, DbError> {
    Ok(connection.prepare_cached(sql)?.execute(params)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_transaction_that_fails_is_not_the_end_of_the_database() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cloud.db");
        let (db, thread) = Db::start(&path).unwrap();
        let not_kept = |outcome| matches!(outcome, Err(DbError::NotKept));
        // COMMIT fails: the constraint is looked at by then.
        let outcome = db.write(|connection| {
            connection.pragma_update(None, "defer_foreign_keys", "ON")?;
            terminals::register(connection, "P1", "1", Some(uuid::Uuid::nil()), "test")?.unwrap();
            Ok(())
        });
        assert!(not_kept(outcome.await));
        db.read(|connection| Ok(connection.busy_timeout(Duration::ZERO)?)).await.unwrap();
        // BEGIN fails: somebody else is writing.
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(not_kept(db.write(|_| Ok(())).await));
        other.execute_batch("ROLLBACK").unwrap();
        db.write(|_| Ok(())).await.unwrap();
        db.kill();
        assert!(matches!(db.write(|_| Ok(())).await, Err(DbError::Closed)));
        thread.join().unwrap();
    }
}
