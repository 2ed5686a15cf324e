//! Archives as GNU tar makes them, and what an attacker would make of them.

use std::{io::Write as _, os::unix::fs::symlink, process::Command};

use super::*;

/// One entry by hand, as tar would refuse to pack it.
fn entry(path: &str, kind: u8, target: &str, content: &[u8]) -> Vec<u8> {
    let mut block = [0; BLOCK_BYTES];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, path.as_bytes());
    put(100, b"0000644\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, target.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut bytes = block.to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
    bytes
}

fn check_bytes(entries: &[Vec<u8>]) -> Result<Vec<Entry>, Failure> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&entries.concat()).unwrap();
    file.write_all(&[0; 2 * BLOCK_BYTES]).unwrap();
    check(&file)
}

#[test]
fn what_tar_packs_is_found_again_also_with_long_names() {
    let folder = tempfile::tempdir().unwrap();
    let long = "n".repeat(180);
    std::fs::create_dir_all(folder.path().join(&long)).unwrap();
    std::fs::write(folder.path().join(&long).join(&long), "content").unwrap();
    symlink(&long, folder.path().join("link")).unwrap();
    for format in ["gnu", "pax"] {
        let archive = folder.path().with_extension(format);
        let mut tar = Command::new("tar");
        tar.arg("--format").arg(format).arg("-cf").arg(&archive).arg("-C").arg(folder.path());
        assert!(tar.arg(".").status().unwrap().success());
        let entries = check(&File::open(&archive).unwrap()).unwrap();
        std::fs::remove_file(&archive).unwrap();
        let find = |path: PathBuf| entries.iter().find(|entry| entry.path == path).unwrap();
        let file = find(Path::new(&long).join(&long));
        assert!(matches!(file.content, Content::File { size: 7, .. }), "{format}: {file:?}");
        assert_eq!(find("link".into()).content, Content::Link { target: PathBuf::from(&long) });
    }
}

#[test]
fn nothing_leads_out_of_the_slot() {
    let folder = |path| entry(path, b'5', "", b"");
    let link = |path, target| entry(path, b'2', target, b"");
    let file = |path| entry(path, b'0', "", b"x");
    for (entries, problem) in [
        (vec![file("/etc/passwd")], "not beneath the slot"),
        (vec![file("../x")], "not beneath the slot"),
        (vec![folder("a"), file("a/../../x")], "not beneath the slot"),
        (vec![link("l", "/etc")], "links to /etc"),
        (vec![link("l", "..")], "links to .."),
        (vec![folder("a"), link("a/l", "../../x")], "links to ../../x"),
        (vec![link("s", "."), link("l", "s/../x")], "links to s/../x"),
        (vec![link("l", "a"), file("l/x")], "in no folder of the archive"),
        (vec![file("a"), file("a/x")], "in no folder of the archive"),
        (vec![folder("a"), link("a", "b")], "twice"),
        (vec![file("a"), file("./a")], "twice"),
        (vec![entry("h", b'1', "etc/passwd", b"")], "h is no file"),
        (vec![entry("d", b'3', "", b"")], "d is no file"),
        (vec![entry("d", b'4', "", b"")], "d is no file"),
        (vec![entry("p", b'6', "", b"")], "p is no file"),
        (vec![], "it is empty"),
        (vec![vec![7; BLOCK_BYTES]], "no tar archive"),
    ] {
        let failure = check_bytes(&entries).unwrap_err();
        assert_eq!(failure.code, ErrorCode::InstallFailed);
        assert!(failure.failure_reason.contains(problem), "{failure}, want {problem}");
    }
    let harmless =
        [folder("a"), folder("a/b"), link("a/b/l", "../../c"), link("m", "a/b"), file("c")];
    assert_eq!(check_bytes(&harmless).unwrap().len(), 5);
}

#[test]
fn an_archive_that_is_cut_short_is_refused() {
    let whole = entry("a", b'0', "", &[1; 700]);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&whole).unwrap();
    assert!(check(&file).unwrap_err().failure_reason.contains("ends too early"));
}
