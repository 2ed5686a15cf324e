//! All cases, by topic.

mod addresses;
mod answers;
mod black_holes;
mod frames;
mod large;
mod tunnels;
mod weak;

use std::pin::Pin;

use anyhow::Result;

use crate::{figures::Figures, pace::Pace};

/// The work of one case.
pub type Work = Pin<Box<dyn Future<Output = Result<Figures>> + Send>>;

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// What happens, in words.
    pub name: &'static str,
    /// What it needs.
    pub needs: Needs,
    /// Which forms it belongs to.
    pub form: Form,
    /// Does it.
    pub run: fn(Pace) -> Work,
}

/// What a case needs of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Loopback.
    Loopback,
    /// Namespaces, filters and queues of the kernel.
    Namespaces,
}

/// Which forms a case belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Short and long.
    Both,
    /// Long only: it consists of waiting.
    Long,
}

/// All of them.
pub fn all() -> Vec<Case> {
    [
        &black_holes::CASES[..],
        &addresses::CASES,
        &weak::CASES,
        &large::CASES,
        &frames::CASES,
        &answers::CASES,
        &tunnels::CASES,
    ]
    .concat()
}

impl Case {
    const fn loopback(name: &'static str, run: fn(Pace) -> Work) -> Self {
        Self { name, needs: Needs::Loopback, form: Form::Both, run }
    }

    const fn kernel(name: &'static str, run: fn(Pace) -> Work) -> Self {
        Self { name, needs: Needs::Namespaces, form: Form::Both, run }
    }

    const fn long(self) -> Self {
        Self { form: Form::Long, ..self }
    }
}
