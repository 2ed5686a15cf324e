//! Two folders as slots: what is in the way of another system.

use std::os::unix::fs::PermissionsExt as _;

use nix::sys::statvfs::statvfs;

use super::*;

const MIB: u64 = 1 << 20;

fn free_bytes(folder: &Path) -> u64 {
    let free = statvfs(folder).unwrap();
    free.blocks_available() * free.fragment_size()
}

#[tokio::test]
async fn what_an_installation_that_was_cut_off_has_left_takes_no_room_from_the_next_one() {
    let bench = Bench::new();
    let slots = bench.path("slots");
    fs::create_dir(slots.join("slot-b.new")).unwrap();
    let left = vec![1; usize::try_from(32 * MIB).unwrap()];
    fs::write(slots.join("slot-b.new/left"), left).unwrap();
    let image = download::Image {
        file: Arc::new(fs::File::open(bench.path("source/firmware-3.15.0.tar")).unwrap()),
        // More than is free, unless what was left is removed first.
        size_bytes: free_bytes(&slots) + 12 * MIB,
        bytes_downloaded: 0,
        resumes: 0,
    };
    let config = AbConfig { directory: slots.clone(), boot_attempts: 1 };
    let (call, _handle) = call();
    let written = ab::AbSlots::new(Disk::default(), config).install(&call, &image, "slot-b").await;
    assert_eq!(written, Ok(()));
    assert!(slots.join("slot-b/VERSION").exists());
}

#[test]
fn a_slot_with_folders_that_may_not_be_written_is_replaced_all_the_same() {
    as_nobody(async {
        let bench = Bench::new();
        let inner = bench.path("slots/slot-b/etc/keys");
        fs::create_dir_all(&inner).unwrap();
        fs::write(inner.join("key"), "").unwrap();
        for (folder, mode) in [(inner.as_path(), 0o555), (inner.parent().unwrap(), 0o000)] {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
        assert_eq!(install(&bench.open(), &now()).await, Ok(InstallOutcome::RestartRequired));
        bench.boot();
        assert_eq!(bench.running(), ("slot-b".to_owned(), NEW.to_owned()));
    });
}
