//! Waiting for something to become true in the database: woken by commits, never polling.

use std::{sync::Arc, time::Duration};

use rusqlite::Connection;

use crate::{db::DbError, state::Shared};

/// Why waiting ended without what was waited for.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// It did not happen in time; says how things stood.
    #[error("did not happen within {within:?}; last seen: {last}")]
    Elapsed {
        /// How long was waited.
        within: Duration,
        /// How things stood.
        last: String,
    },
    /// The database could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// What a look into the database found: the thing itself, or how things stand instead.
pub(crate) type Look<T> = Result<Result<T, String>, DbError>;

/// Looks after every commit until `look` finds what it wants.
pub(crate) async fn until<T: Send + 'static>(
    shared: &Shared,
    within: Duration,
    look: impl Fn(&Connection) -> Look<T> + Send + Sync + 'static,
) -> Result<T, WaitError> {
    let look = Arc::new(look);
    let mut commits = shared.db.commits();
    let deadline = tokio::time::Instant::now() + within;
    loop {
        commits.borrow_and_update();
        let this = Arc::clone(&look);
        let last = match shared.db.read(move |db| this(db)).await? {
            Ok(found) => return Ok(found),
            Err(last) => last,
        };
        match tokio::time::timeout_at(deadline, commits.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(DbError::Closed.into()),
            Err(_) => return Err(WaitError::Elapsed { within, last }),
        }
    }
}
