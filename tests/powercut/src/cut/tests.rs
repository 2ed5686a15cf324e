//! A cut loses nothing that was flushed, may lose anything else, and invents nothing.

use super::*;

const SECTORS: u64 = 64;

fn write(sector: u64, sectors: usize, byte: u8) -> Event {
    let bytes = vec![byte; sectors * SECTOR_BYTES].into_boxed_slice();
    Event::Write { offset: sector * SECTOR_BYTES as u64, bytes }
}

fn life(log: Vec<Event>) -> Life {
    Life { base: Image::new(SECTORS * SECTOR_BYTES as u64), promised: 0, log }
}

/// First byte of each sector; all bytes of a sector are the same.
fn sectors(image: &Image) -> Vec<u8> {
    let mut bytes = vec![0; (SECTORS as usize) * SECTOR_BYTES];
    image.read(0, &mut bytes);
    let sectors = bytes.chunks(SECTOR_BYTES);
    sectors
        .map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "half a sector");
            sector[0]
        })
        .collect()
}

fn remains(life: &Life, at: usize, loss: Loss, seed: u64) -> Remains {
    let cut = Cut { at, loss, moment: Moment::Writing };
    Cutter::new(life).cut(&cut, &mut Dice::new(seed, 0))
}

#[test]
fn what_was_flushed_stays_and_of_the_rest_any_mixture_may() {
    let log = vec![write(0, 8, 1), Event::Flush, write(4, 8, 2), Event::Holds(1), write(20, 1, 3)];
    let life = life(log);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..300 {
        for loss in Loss::ALL {
            let remains = remains(&life, 5, loss, seed);
            assert_eq!((remains.promised, remains.unflushed), (1, 2));
            let sectors = sectors(&remains.image);
            assert_eq!(sectors[..4], [1; 4]);
            assert!(sectors[4..8].iter().all(|byte| [1, 2].contains(byte)));
            assert!(sectors[8..12].iter().all(|byte| [0, 2].contains(byte)));
            seen.insert((sectors[4..12].to_vec(), sectors[20]));
        }
    }
    let lost = vec![1, 1, 1, 1, 0, 0, 0, 0];
    for whole in [(lost.clone(), 0), (lost, 3), (vec![2; 8], 0), (vec![2; 8], 3)] {
        assert!(seen.contains(&whole), "{whole:?}");
    }
    assert!(seen.len() > 50, "{} mixtures", seen.len());
}

#[test]
fn a_cut_right_after_a_flush_leaves_exactly_what_was_written() {
    let life = life(vec![write(0, 8, 1), write(4, 2, 2), Event::Flush]);
    for loss in Loss::ALL {
        let sectors = sectors(&remains(&life, 3, loss, 1).image);
        assert_eq!(sectors[..9], [1, 1, 1, 1, 2, 2, 1, 1, 0]);
    }
}

#[test]
fn of_two_writes_to_one_sector_the_later_one_is_never_below_the_earlier_one() {
    let life = life(vec![write(0, 1, 1), write(0, 1, 2)]);
    assert_eq!(sectors(&remains(&life, 2, Loss::None, 1).image)[0], 2);
    assert_eq!(sectors(&remains(&life, 2, Loss::All, 1).image)[0], 0);
    let alone = (0..50).map(|seed| sectors(&remains(&life, 2, Loss::AllButOne, seed).image)[0]);
    assert_eq!(alone.collect::<std::collections::BTreeSet<_>>(), [1, 2].into());
}

#[test]
fn a_promise_counts_from_its_place_in_the_log_on() {
    let life = life(vec![Event::Holds(4), write(0, 1, 1), Event::Flush, Event::Holds(5)]);
    assert_eq!(remains(&life, 3, Loss::All, 1).promised, 4);
    assert_eq!(remains(&life, 4, Loss::All, 1).promised, 5);
}

#[test]
fn later_cuts_of_one_life_are_those_of_a_cutter_of_their_own() {
    let mut log = Vec::new();
    for n in 0..40 {
        log.push(write(n % SECTORS, 1, n as u8 + 1));
        if n % 3 == 0 {
            log.push(Event::Flush);
            log.push(Event::Holds(n));
        }
    }
    let life = life(log);
    let mut cutter = Cutter::new(&life);
    for at in 0..=life.log.len() {
        let cut = Cut { at, loss: Loss::All, moment: Moment::Writing };
        let together = cutter.cut(&cut, &mut Dice::new(1, 0));
        let alone = remains(&life, at, Loss::All, 1);
        assert_eq!(together.image, alone.image);
        assert_eq!(together.promised, alone.promised);
    }
}

#[test]
fn cuts_hit_the_making_of_a_store_its_openings_and_the_rest() {
    let opening = |holds| [Event::Opening, write(0, 1, 1), write(1, 1, 1), Event::Holds(holds)];
    let mut log = opening(0).to_vec();
    log.extend((0..20).map(|n| write(n, 1, 2)));
    log.extend(opening(7));
    let cuts = choose(&life(log), 200, &mut Dice::new(5, 0));
    for moment in [Moment::Creating, Moment::Opening, Moment::Writing] {
        let count = cuts.iter().filter(|cut| cut.moment == moment).count();
        assert!(count > 10, "{count} {moment}");
    }
    assert!(cuts.is_sorted_by_key(|cut| cut.at));
}
