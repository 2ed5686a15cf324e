//! What the terminals say has happened, in order, and how the fleet stands because of it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use terminal_core::engine::LinkEnd;
use tokio::{sync::mpsc, time::Instant};

use super::terminal::World;

/// Something that happened to a terminal.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) terminal: u32,
    pub(super) at_ms: u64,
    pub(super) what: What,
}

/// What it was.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// It began to connect.
    Attempt,
    /// `welcome` came.
    Welcomed,
    /// An attempt or a link has ended.
    Closed(LinkEnd),
    /// Its verdict has been acked.
    Settled,
}

pub(super) struct Observer {
    inbox: mpsc::UnboundedReceiver<Note>,
    notes: Vec<Note>,
    linked: Vec<bool>,
    settled: Vec<bool>,
}

impl Observer {
    /// An observer, and the world that the terminals of its fleet live in.
    pub(super) fn new(links: u32) -> (World, Self) {
        let (notes, inbox) = mpsc::unbounded_channel();
        let none = vec![false; links as usize];
        let observer = Self { inbox, notes: Vec::new(), linked: none.clone(), settled: none };
        (World::new(notes), observer)
    }

    /// Takes notes until the fleet stands as wanted.
    pub(super) async fn until(
        &mut self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let end = Instant::now() + limit;
        while !wanted(self) {
            match tokio::time::timeout_at(end, self.inbox.recv()).await {
                Ok(note) => self.take(note.context("the whole fleet has ended")?),
                Err(_) => {
                    let of = |list: &[bool]| list.iter().filter(|one| **one).count();
                    let (linked, settled) = (of(&self.linked), of(&self.settled));
                    bail!("waited for {what}: {linked} have a link, {settled} have settled");
                }
            }
        }
        Ok(())
    }

    pub(super) fn all_linked(&self) -> bool {
        self.linked.iter().all(|linked| *linked)
    }

    pub(super) fn none_linked(&self) -> bool {
        !self.linked.contains(&true)
    }

    /// All have a link, and the verdict of an operation has been acked to each.
    pub(super) fn all_settled(&self) -> bool {
        self.all_linked() && self.settled.iter().all(|settled| *settled)
    }

    /// When the newest welcome came.
    pub(super) fn last_welcome_ms(&self) -> u64 {
        let mut newest = self.notes.iter().rev();
        newest.find(|note| matches!(note.what, What::Welcomed)).map_or(0, |note| note.at_ms)
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes
    }

    fn take(&mut self, note: Note) {
        let index = note.terminal as usize;
        match note.what {
            What::Welcomed => self.linked[index] = true,
            What::Closed(_) => self.linked[index] = false,
            What::Settled => self.settled[index] = true,
            What::Attempt => {}
        }
        self.notes.push(note);
    }
}
