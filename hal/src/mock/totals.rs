//! Adds up payments as a terminal's report does.

use std::collections::BTreeMap;

use super::state::{OpenBatch, Payment, PaymentKind, PaymentOutcome};
use crate::{
    Timestamp,
    operation::end_of_day::{CloseOutcome, EndOfDayResult, HostTotals, Total, TotalKind},
};

/// The currency of the terminal.
pub(super) const CURRENCY: &str = "NOK";

/// The report of an open batch: purchases with those that were reversed later, and the
/// reversals beside them; the host counts every booking and sums up what it pays out.
pub(super) fn report(batch: &OpenBatch, last_end_of_day_at: Option<Timestamp>) -> EndOfDayResult {
    let mut rows = BTreeMap::new();
    for payment in &batch.payments {
        add(&mut rows, payment);
    }
    let sum = |kind: TotalKind| {
        rows.iter()
            .filter(|((_, row_kind), _)| *row_kind == kind)
            .fold((0, 0), |(count, amount), (_, row)| (count + row.count, amount + row.amount))
    };
    let (purchases_count, purchases_amount) = sum(TotalKind::Purchase);
    let (reversals_count, reversals_amount) = sum(TotalKind::Reversal);
    let (refunds_count, refunds_amount) = sum(TotalKind::Refund);
    let (_, tip_amount) = sum(TotalKind::Tip);
    EndOfDayResult {
        outcome: CloseOutcome::Report,
        batch_id: batch.id(),
        next_batch_id: None,
        currency: CURRENCY.to_owned(),
        start_of_day_at: batch.opened_at,
        end_of_day_at: None,
        last_end_of_day_at,
        purchases_count,
        purchases_amount,
        reversals_count,
        reversals_amount,
        sale_amount: purchases_amount - tip_amount,
        tip_amount,
        host_totals: Some(HostTotals {
            count: purchases_count + reversals_count + refunds_count,
            amount: purchases_amount - reversals_amount - refunds_amount,
        }),
        totals: rows.into_values().collect(),
        offline: batch.offline,
        warnings: Vec::new(),
    }
}

fn add(rows: &mut BTreeMap<(String, TotalKind), Total>, payment: &Payment) {
    let whole = payment.sale.saturating_add(payment.tip);
    let mut book = |kind, amount: i64| {
        let scheme = payment.scheme.clone();
        let row = rows.entry((scheme.clone(), kind)).or_insert(Total {
            scheme,
            acquirer_id: None,
            currency: CURRENCY.to_owned(),
            kind,
            count: 0,
            amount: 0,
        });
        row.count += 1;
        row.amount = row.amount.saturating_add(amount);
    };
    match (payment.outcome, payment.kind) {
        // Nobody reverses a refund: it is refused instead.
        (PaymentOutcome::Declined, _) | (PaymentOutcome::Reversed, PaymentKind::Refund) => {
            return book(TotalKind::Declined, whole);
        }
        (PaymentOutcome::Approved, PaymentKind::Refund) => return book(TotalKind::Refund, whole),
        (PaymentOutcome::Approved, PaymentKind::Purchase) => book(TotalKind::Purchase, whole),
        (PaymentOutcome::Reversed, PaymentKind::Purchase) => {
            book(TotalKind::Purchase, whole);
            book(TotalKind::Reversal, whole);
        }
    }
    if payment.tip > 0 {
        book(TotalKind::Tip, payment.tip);
    }
}
