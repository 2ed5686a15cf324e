//! What a story needs of a system that can be switched on and off.

use std::time::Duration;

use anyhow::Result;

/// A system with the agent in it, off at first.
pub(crate) trait System {
    /// Switches it on.
    fn boot(&mut self) -> Result<()>;

    /// Ends everything in it at once: nothing gets to write another byte.
    fn cut_power(&mut self) -> Result<()>;

    /// Waits until it has shut itself down, as it does for a restart; that is left to [`Self::boot`].
    async fn shut_down(&mut self, patience: Duration) -> Result<()>;

    /// What a command says in a root shell of the running system. It must end well.
    fn shell(&mut self, command: &str) -> Result<String>;
}
