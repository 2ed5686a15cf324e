//! Payments, batches and closes.

use serde::{Deserialize, Serialize};

use crate::{
    Failure, OperationId, Timestamp,
    operation::end_of_day::{EndOfDayResult, OfflineSummary},
};

/// The open batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OpenBatch {
    /// Grows by 1 with every batch.
    pub number: u64,
    /// Since when.
    pub opened_at: Timestamp,
    /// Its payments, at most [`PAYMENTS_MAX`](super::PAYMENTS_MAX).
    pub payments: Vec<Payment>,
    /// What became of offline payments so far.
    pub offline: OfflineSummary,
}

impl OpenBatch {
    /// Its id.
    pub fn id(&self) -> String {
        batch_id(self.number)
    }
}

/// The id of the batch with that number.
pub(in crate::mock) fn batch_id(number: u64) -> String {
    format!("{number:06}")
}

/// One payment. Amounts in minor units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// When.
    pub at: Timestamp,
    /// Card scheme.
    pub scheme: String,
    /// Purchase or refund.
    pub kind: PaymentKind,
    /// Amount without the tip.
    pub sale: i64,
    /// Tip.
    pub tip: i64,
    /// What became of it.
    pub outcome: PaymentOutcome,
    /// Whether it was authorised without the host.
    pub offline: bool,
}

/// What a payment does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentKind {
    /// Money to the merchant.
    #[default]
    Purchase,
    /// Money back.
    Refund,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PaymentOutcome {
    /// It counts.
    #[default]
    Approved,
    /// It was refused.
    Declined,
    /// It was approved and then taken back.
    Reversed,
}

/// A batch that the host has closed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClosedBatch {
    /// Its id.
    pub id: String,
    /// The operation that closed it; `None` for what happened before the simulation.
    pub closed_by: Option<OperationId>,
    /// How often the host closed it. More than 1 is the defect that everything here is built to
    /// prevent.
    pub closes: u32,
    /// Its totals.
    pub result: EndOfDayResult,
}

/// What is known of one close.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CloseRecord {
    /// The operation.
    pub id: OperationId,
    /// The batch that was open then.
    pub batch_id: String,
    /// How far it came.
    #[serde(flatten)]
    pub progress: CloseProgress,
}

/// How far a close came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum CloseProgress {
    /// Remembered, the host has not closed anything yet.
    Started,
    /// Done.
    Finished {
        /// The answer.
        result: Box<EndOfDayResult>,
    },
    /// Given up.
    Failed {
        /// Why.
        failure: Failure,
    },
}
