//! Every target over its corpus, and over what once broke it.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, which clippy takes for tests only where they stand in a test module"
)]

use std::{fs, path::PathBuf};

use terminal_fuzz::TARGETS;

/// Corpora are part of the sources.
const FILES_MAX: usize = 400;
const BYTES_MAX: usize = 1 << 20;

fn folder(kind: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(kind)
}

/// The inputs of a target, in order of their names.
fn inputs(kind: &str, target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(kind).join(target)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

fn replay(kind: &str, target: &str, run: fn(&[u8])) -> usize {
    let inputs = inputs(kind, target);
    for (path, input) in &inputs {
        // The name of the one that breaks it comes last.
        println!("{}", path.display());
        run(input);
    }
    inputs.len()
}

/// The targets, one test each, so that they run beside each other.
macro_rules! corpora {
    ($($name:ident)+) => {
        $(
            #[test]
            fn $name() {
                let (name, run) = TARGETS.iter().find(|(n, _)| *n == stringify!($name)).unwrap();
                assert!(replay("corpus", name, *run) > 0, "{name} has no corpus");
                replay("regressions", name, *run);
            }
        )+

        const REPLAYED: &[&str] = &[$(stringify!($name)),+];
    };
}

corpora! {
    cloud_frame agent_frame log_data engine config store_records hal_answer mock_files link url
    arguments redact manifest archive
}

#[test]
fn every_target_is_replayed_and_every_corpus_has_a_target() {
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, REPLAYED);
    for kind in ["corpus", "regressions"] {
        for entry in fs::read_dir(folder(kind)).into_iter().flatten() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(names.contains(&name.as_str()), "{kind}/{name} has no target");
        }
    }
}

#[test]
fn every_target_is_a_program_of_the_fuzzer() {
    for (name, _) in TARGETS {
        let path = folder("libfuzzer/fuzz_targets").join(format!("{name}.rs"));
        let source = fs::read_to_string(&path).unwrap();
        assert!(source.contains(&format!("terminal_fuzz::{name}(")), "{}", path.display());
    }
}

#[test]
fn the_corpora_stay_small() {
    let all: Vec<_> = TARGETS.iter().flat_map(|(name, _)| inputs("corpus", name)).collect();
    let bytes: usize = all.iter().map(|(_, input)| input.len()).sum();
    assert!(all.len() <= FILES_MAX && bytes <= BYTES_MAX, "{} files, {bytes} bytes", all.len());
}

#[test]
fn the_examples_of_the_protocol_break_nothing() {
    let reference = folder("../../agent/PROTOCOL.md");
    let reference = fs::read_to_string(reference).unwrap();
    for (fence, run) in [
        ("```json cloud\n", terminal_fuzz::cloud_frame as fn(&[u8])),
        ("```json agent\n", terminal_fuzz::agent_frame),
    ] {
        let examples = reference.split(fence).skip(1).filter_map(|rest| rest.split_once("```"));
        let run_all = examples.map(|(example, _)| run(example.as_bytes()));
        assert!(run_all.count() > 10, "{fence}");
    }
}

#[test]
fn bytes_that_nobody_meant_break_nothing() {
    // Knuth's MMIX generator: the same bytes in every run.
    let mut state = 0x5eed_u64;
    for round in 0..200 {
        let bytes: Vec<u8> = (0..round * 3)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                (state >> 56) as u8
            })
            .collect();
        for (_, run) in TARGETS.iter().filter(|(name, _)| *name != "link") {
            run(&bytes);
        }
    }
}
