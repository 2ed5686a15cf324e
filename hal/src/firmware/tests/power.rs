//! A power line that is cut after so many changes of the medium.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

#[derive(Clone, Debug)]
pub(in crate::firmware) struct PowerLine {
    left: Arc<AtomicUsize>,
}

impl Default for PowerLine {
    fn default() -> Self {
        Self { left: Arc::new(AtomicUsize::new(usize::MAX)) }
    }
}

impl PowerLine {
    /// Cut after `steps` more changes.
    pub(super) fn cut_after(steps: usize) -> Self {
        Self { left: Arc::new(AtomicUsize::new(steps)) }
    }

    pub(super) fn is_cut(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    /// The next change; fails, like every later one, when the power is gone.
    pub(in crate::firmware) fn step(&self) -> io::Result<()> {
        let one_less = |left: usize| left.checked_sub(1);
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        spent.map(|_| ()).map_err(|_| io::Error::other("the power is gone"))
    }
}
