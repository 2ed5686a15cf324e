//! Stores of every released format open for ever.
//!
//! `cargo test -p terminal-agent --lib write_the_golden_store -- --ignored` writes the one of the
//! present format, once, when the format is made. It is never written again.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::sample::{self, Model};
use super::{Home, contents};

#[test]
fn the_golden_store_of_format_1_opens() {
    let home = Home::new();
    fs::create_dir_all(home.store().join("blobs")).unwrap();
    unpack(&golden(1), &home.store());
    let opened = home.open();
    assert_eq!(opened.damage, None);
    let model = Model::of(&sample::one_of_each());
    assert_eq!(opened.snapshot, model.snapshot());
    model.assert_bodies(&opened.store);
}

#[test]
#[ignore = "writes the golden store of the present format"]
fn write_the_golden_store() {
    let directory = golden(crate::store::disk::FORMAT);
    assert!(!directory.exists(), "{} is never written again", directory.display());
    let home = Home::new();
    home.open().store.append(&sample::one_of_each()).unwrap();
    // Opening once more leaves a snapshot file behind.
    drop(home.open());
    fs::create_dir_all(&directory).unwrap();
    for (path, content) in contents(&home.store()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let file = fs::File::create(directory.join(name + ".gz")).unwrap();
        let mut packed = GzEncoder::new(file, Compression::best());
        packed.write_all(&content).unwrap();
        packed.finish().unwrap();
    }
}

fn unpack(from: &Path, to: &Path) {
    for (path, packed) in contents(from) {
        let mut content = Vec::new();
        GzDecoder::new(packed.as_slice()).read_to_end(&mut content).unwrap();
        fs::write(to.join(path.file_stem().unwrap()), content).unwrap();
    }
}

fn golden(format: u64) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{format}"))
}
