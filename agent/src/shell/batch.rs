//! Which effects of several steps may share a commit.

use std::collections::BTreeSet;

use terminal_core::{
    engine::{Effect, Write},
    protocol::Seq,
};

/// How many of the first effects may be carried out with all their appends first. A commit of a
/// later step may remove a report that an earlier one sends: it has to wait.
pub(super) fn first(effects: &[Effect]) -> usize {
    let mut sent: BTreeSet<Seq> = BTreeSet::new();
    let clash = effects.iter().position(|effect| {
        if let Effect::SendReport(order) = effect {
            sent.insert(order.place);
        }
        matches!(effect, Effect::Append(writes) if writes.iter().any(|w| removes_one_of(w, &sent)))
    });
    clash.unwrap_or(effects.len())
}

fn removes_one_of(write: &Write, places: &BTreeSet<Seq>) -> bool {
    matches!(write, Write::RemoveReport(place) if places.contains(place))
}

#[cfg(test)]
mod tests {
    use terminal_core::{engine::ReportOrder, protocol::StoreEpoch};

    use super::*;

    fn send(place: u64) -> Effect {
        let (place, store_epoch) = (Seq(place), StoreEpoch(uuid::Uuid::nil()));
        Effect::SendReport(ReportOrder { place, seq: place, store_epoch })
    }

    fn remove(place: u64) -> Effect {
        Effect::Append(vec![Write::RemoveReport(Seq(place))])
    }

    #[test]
    fn appends_go_together_unless_one_removes_what_is_sent_before() {
        assert_eq!(first(&[]), 0);
        assert_eq!(first(&[remove(1), send(2), remove(3), Effect::Ping]), 4);
        assert_eq!(first(&[remove(1), send(1), Effect::Ping]), 3, "it is gone as it should be");
        assert_eq!(first(&[send(1), Effect::Ping, remove(2), remove(1)]), 3);
        assert_eq!(first(&[remove(1)]), 1, "never nothing");
    }
}
