//! `end_of_day`: close the batch and report its totals.

use serde::{Deserialize, Serialize};

use super::{InvalidParameters, Validate, check_line, check_range};
#[cfg(feature = "schema")]
use crate::schema::LINE;
use crate::{
    Timestamp,
    text::{CURRENCY_CHARS, NAME_CHARS_MAX, bounded},
};

/// Largest amount or count on the wire: what a JSON number carries exactly everywhere.
pub const AMOUNT_MAX: i64 = (1 << 53) - 1;
/// Longest `flush_timeout_s`.
pub const FLUSH_TIMEOUT_S_MAX: u32 = 300;
/// Most rows in `totals`.
pub const TOTALS_MAX: usize = 256;
/// Most bytes of JSON that `totals` may take, so that a verdict stays below the frame limit.
pub const TOTALS_BYTES_MAX: usize = 48 << 10;

/// What an end of day may be asked to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EndOfDayParameters {
    /// Close, only report (X report), or read the previous close again.
    pub mode: CloseMode,
    /// For `previous` the batch to read; for `close` a guard: another open batch is not closed.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NAME_CHARS_MAX), regex(pattern = LINE))
    )]
    pub batch_id: Option<String>,
    /// Who asked, 1 to 64 characters.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = NAME_CHARS_MAX), regex(pattern = LINE))
    )]
    pub operator_id: Option<String>,
    /// What to do with payments that were authorised offline and not forwarded yet.
    pub offline_pending: OfflinePending,
    /// How long forwarding them may take, 0 to 300 seconds.
    #[cfg_attr(feature = "schema", schemars(range(max = FLUSH_TIMEOUT_S_MAX)))]
    pub flush_timeout_s: u32,
    /// Print the report on the terminal.
    pub print_report: bool,
}

impl Default for EndOfDayParameters {
    fn default() -> Self {
        Self {
            mode: CloseMode::Close,
            batch_id: None,
            operator_id: None,
            offline_pending: OfflinePending::Flush,
            flush_timeout_s: 60,
            print_report: false,
        }
    }
}

/// Close or only read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CloseMode {
    /// Close the open batch.
    #[default]
    Close,
    /// Totals so far, nothing is closed.
    Report,
    /// Totals of a batch that has been closed.
    Previous,
}

/// What to do with payments that wait to be forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OfflinePending {
    /// Forward them first; what cannot be forwarded is reported.
    #[default]
    Flush,
    /// Leave them for the next batch.
    Carry,
    /// Fail with `OFFLINE_QUEUE_NOT_EMPTY`.
    Fail,
}

impl Validate for EndOfDayParameters {
    fn validate(&self) -> Result<(), InvalidParameters> {
        check_line("batch_id", self.batch_id.as_deref(), NAME_CHARS_MAX)?;
        check_line("operator_id", self.operator_id.as_deref(), NAME_CHARS_MAX)?;
        check_range("flush_timeout_s", self.flush_timeout_s.into(), 0, FLUSH_TIMEOUT_S_MAX.into())
    }
}

/// Totals of a batch. Amounts are integers in minor units of `currency`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EndOfDayResult {
    /// What became of the batch.
    pub outcome: CloseOutcome,
    /// The batch that these totals belong to.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub batch_id: String,
    /// The batch that is open now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_CHARS_MAX), regex(pattern = LINE)))]
    pub next_batch_id: Option<String>,
    /// ISO 4217, three capitals.
    #[cfg_attr(feature = "schema", schemars(length(max = CURRENCY_CHARS), regex(pattern = LINE)))]
    pub currency: String,
    /// When the batch was opened.
    pub start_of_day_at: Timestamp,
    /// When it was closed; absent in a report of an open batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_of_day_at: Option<Timestamp>,
    /// When the batch before was closed; absent on a new terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_end_of_day_at: Option<Timestamp>,
    /// Number of purchases.
    pub purchases_count: u64,
    /// Their sum, tips included.
    pub purchases_amount: i64,
    /// Number of reversals.
    pub reversals_count: u64,
    /// Their sum.
    pub reversals_amount: i64,
    /// Sales without tips.
    pub sale_amount: i64,
    /// Tips.
    pub tip_amount: i64,
    /// By scheme and type, at most [`TOTALS_MAX`] rows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = TOTALS_MAX)))]
    pub totals: Vec<Total>,
    /// What the acquirer host counted, where it tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_totals: Option<HostTotals>,
    /// What became of payments that were authorised offline.
    pub offline: OfflineSummary,
    /// What a person should look at, such as `TOTALS_INCONSISTENT`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(
        feature = "schema",
        schemars(
            length(max = WARNINGS_MAX),
            inner(length(max = NAME_CHARS_MAX), regex(pattern = LINE))
        )
    )]
    pub warnings: Vec<String>,
}

/// What became of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum CloseOutcome {
    /// Closed, totals agreed.
    Closed,
    /// Nothing to close; no new batch was opened.
    Empty,
    /// Had been closed before; these are its stored totals.
    AlreadyClosed,
    /// Terminal and host disagree.
    Mismatch,
    /// The host did not confirm.
    Unconfirmed,
    /// A report; nothing was closed.
    Report,
}

/// One row of the totals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Total {
    /// Card scheme, 1 to 32 characters.
    #[cfg_attr(feature = "schema", schemars(length(max = SCHEME_CHARS_MAX), regex(pattern = LINE)))]
    pub scheme: String,
    /// Acquirer, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(max = SCHEME_CHARS_MAX), regex(pattern = LINE)))]
    pub acquirer_id: Option<String>,
    /// ISO 4217.
    #[cfg_attr(feature = "schema", schemars(length(max = CURRENCY_CHARS), regex(pattern = LINE)))]
    pub currency: String,
    /// What was counted.
    #[serde(rename = "type")]
    pub kind: TotalKind,
    /// How many.
    pub count: u64,
    /// Sum in minor units.
    pub amount: i64,
}

/// What a row of the totals counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TotalKind {
    /// Purchases.
    Purchase,
    /// Refunds.
    Refund,
    /// Reversals.
    Reversal,
    /// Tips.
    Tip,
    /// Cash advances.
    CashAdvance,
    /// Declined payments.
    Declined,
}

/// What the acquirer host counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HostTotals {
    /// How many.
    pub count: u64,
    /// Sum in minor units.
    pub amount: i64,
}

/// Payments that were authorised offline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OfflineSummary {
    /// Forwarded and accepted during this close.
    pub forwarded: u64,
    /// Forwarded and declined.
    pub declined: u64,
    /// Still waiting.
    pub pending_count: u64,
    /// Sum of those, minor units.
    pub pending_amount: i64,
}

/// The warning for `purchases_amount ≠ sale_amount + tip_amount`.
const TOTALS_INCONSISTENT: &str = "TOTALS_INCONSISTENT";
/// The warning for an amount beyond [`AMOUNT_MAX`]: not every reader gets it exactly.
const AMOUNT_OUT_OF_RANGE: &str = "AMOUNT_OUT_OF_RANGE";
const TOTALS_TRUNCATED: &str = "TOTALS_TRUNCATED";
/// Most warnings: the three above, and those of the backend.
const WARNINGS_MAX: usize = 16;
/// Longest `scheme` and `acquirer_id`.
const SCHEME_CHARS_MAX: usize = 32;

impl EndOfDayResult {
    pub(crate) fn bounded(mut self) -> Self {
        self.batch_id = bounded(&self.batch_id, NAME_CHARS_MAX);
        self.next_batch_id = self.next_batch_id.map(|id| bounded(&id, NAME_CHARS_MAX));
        self.currency = bounded(&self.currency, CURRENCY_CHARS);
        self.warnings.truncate(WARNINGS_MAX);
        self.warnings = self.warnings.iter().map(|text| bounded(text, NAME_CHARS_MAX)).collect();
        let amounts =
            [self.purchases_amount, self.reversals_amount, self.sale_amount, self.tip_amount];
        if amounts.iter().any(|amount| amount.unsigned_abs() > AMOUNT_MAX.unsigned_abs()) {
            self.warn(AMOUNT_OUT_OF_RANGE);
        }
        if self.sale_amount.checked_add(self.tip_amount) != Some(self.purchases_amount) {
            self.warn(TOTALS_INCONSISTENT);
        }
        for total in &mut self.totals {
            total.scheme = bounded(&total.scheme, SCHEME_CHARS_MAX);
            total.currency = bounded(&total.currency, CURRENCY_CHARS);
            total.acquirer_id =
                total.acquirer_id.as_deref().map(|id| bounded(id, SCHEME_CHARS_MAX));
        }
        let rows = self.totals.len();
        self.totals.truncate(TOTALS_MAX);
        while json_bytes(&self.totals) > TOTALS_BYTES_MAX {
            self.totals.truncate(self.totals.len() * 3 / 4);
        }
        if self.totals.len() < rows {
            self.warn(TOTALS_TRUNCATED);
        }
        self
    }

    fn warn(&mut self, warning: &str) {
        if !self.warnings.iter().any(|known| known == warning) {
            self.warnings.push(warning.to_owned());
        }
    }
}

fn json_bytes(totals: &[Total]) -> usize {
    serde_json::to_vec(totals).map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> EndOfDayResult {
        EndOfDayResult {
            outcome: CloseOutcome::Closed,
            batch_id: "B1".into(),
            next_batch_id: None,
            currency: "NOK".into(),
            start_of_day_at: Timestamp::default(),
            end_of_day_at: None,
            last_end_of_day_at: None,
            purchases_count: 1,
            purchases_amount: 110,
            reversals_count: 0,
            reversals_amount: 0,
            sale_amount: 100,
            tip_amount: 10,
            totals: Vec::new(),
            host_totals: None,
            offline: OfflineSummary::default(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn totals_that_do_not_add_up_pass_with_one_warning() {
        assert!(result().bounded().warnings.is_empty());
        let wrong = EndOfDayResult { tip_amount: 11, ..result() }.bounded().bounded();
        assert_eq!(wrong.warnings, [TOTALS_INCONSISTENT]);
        assert_eq!(wrong.purchases_amount, 110);
        let exact = EndOfDayResult { reversals_amount: AMOUNT_MAX, ..result() };
        assert!(exact.bounded().warnings.is_empty());
        let beyond = EndOfDayResult { reversals_amount: AMOUNT_MAX + 1, ..result() };
        assert_eq!(beyond.bounded().warnings, [AMOUNT_OUT_OF_RANGE]);
    }

    #[test]
    fn totals_are_cut_at_their_limit_and_still_fit_a_frame() {
        let row = |scheme: &str| Total {
            scheme: scheme.repeat(40),
            acquirer_id: Some(scheme.repeat(40)),
            currency: "NOK".into(),
            kind: TotalKind::CashAdvance,
            count: 7,
            amount: AMOUNT_MAX,
        };
        let with =
            |scheme, n| EndOfDayResult { totals: vec![row(scheme); n], ..result() }.bounded();
        assert_eq!(with("x", 200).totals.len(), 200);
        assert!(with("x", 200).warnings.is_empty());
        let many = with("x", TOTALS_MAX + 1);
        assert_eq!(many.totals.len(), TOTALS_MAX);
        assert_eq!(many.warnings, [TOTALS_TRUNCATED]);
        let wide = with("\u{1F4B3}", TOTALS_MAX);
        assert!(json_bytes(&wide.totals) <= TOTALS_BYTES_MAX);
        assert_eq!(wide.warnings, [TOTALS_TRUNCATED]);
    }
}
