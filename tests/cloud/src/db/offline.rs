//! Tokens and terminals made from the command line, beside a running server or without one.

use std::path::Path;

use rusqlite::Connection;

use super::{DbError, NewTerminalOutcome, locations, open, terminals, tokens};

/// The database of a data directory, opened directly.
pub struct Registry(Connection);

impl Registry {
    /// Opens or creates the database in `data_dir`.
    ///
    /// # Errors
    /// When the directory or the file cannot be used.
    pub fn open(data_dir: &Path) -> Result<Self, DbError> {
        std::fs::create_dir_all(data_dir)?;
        Ok(Self(open(&data_dir.join("cloud.db"))?))
    }

    /// Makes a token; it cannot be read again.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn create_token(&self, new: &tokens::NewToken) -> Result<String, DbError> {
        tokens::create(&self.0, new)
    }

    /// Registers a terminal and makes its credential; the serial must be new in the account.
    ///
    /// # Errors
    /// When it cannot be stored.
    pub fn create_terminal(
        &self,
        account_id: &str,
        serial_number: &str,
        store_id: &str,
        created_by: &str,
    ) -> NewTerminalOutcome {
        let transaction = self.0.unchecked_transaction()?;
        let store = locations::of_store(&transaction, account_id, store_id)?;
        let outcome = terminals::register(
            &transaction,
            account_id,
            serial_number,
            Some(store.id),
            created_by,
        )?;
        let outcome = match outcome {
            Ok(terminal) => {
                let token = terminals::new_credential(&transaction, &terminal.terminal_id)?;
                Ok(terminals::NewTerminal { terminal_id: terminal.terminal_id, token })
            }
            Err(error) => Err(error),
        };
        transaction.commit()?;
        Ok(outcome)
    }
}
