//! The list stays true to the code that it changes.

use std::fs;

use terminal_mutants::{mutants, workspace};

#[test]
fn every_mutant_still_changes_exactly_one_place() {
    let mutants = mutants().unwrap();
    assert!(mutants.len() >= 54);
    for mutant in mutants {
        let text = fs::read_to_string(workspace().join(&mutant.file)).unwrap();
        mutant.applied_to(&text).unwrap();
    }
}
