//! Downloads that break off, and go on.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// Gives so many bytes of an image at a time, then breaks off.
struct Breaking {
    folder: Folder,
    bytes_per_try: u64,
    tries: AtomicUsize,
    offsets: Mutex<Vec<u64>>,
}

struct Short {
    bytes: Box<dyn Bytes>,
    left: u64,
}

impl Source for Breaking {
    fn is_remote(&self) -> bool {
        true
    }

    fn open<'a>(&'a self, name: &'a str, offset: u64) -> HalFuture<'a, Option<Box<dyn Bytes>>> {
        Box::pin(async move {
            let bytes = self.folder.open(name, offset).await?;
            if !name.ends_with(".tar") {
                return Ok(bytes);
            }
            self.tries.fetch_add(1, Ordering::SeqCst);
            self.offsets.lock().unwrap().push(offset);
            Ok(bytes.map(|bytes| Box::new(Short { bytes, left: self.bytes_per_try }) as _))
        })
    }
}

impl Bytes for Short {
    fn next(&mut self) -> HalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async {
            if self.left == 0 {
                return Err(Failure::new(ErrorCode::DownloadFailed, "the link is gone"));
            }
            let mut piece = self.bytes.next().await?;
            if let Some(piece) = &mut piece {
                piece.truncate(usize::try_from(self.left).unwrap());
                self.left -= piece.len() as u64;
            }
            Ok(piece)
        })
    }
}

fn breaking(bench: &Bench, bytes_per_try: u64) -> (Arc<Breaking>, Surroundings) {
    let source = Arc::new(Breaking {
        folder: Folder(bench.path("source")),
        bytes_per_try,
        tries: AtomicUsize::new(0),
        offsets: Mutex::default(),
    });
    let around = Surroundings { source: Arc::clone(&source) as _, ..bench.around() };
    (source, around)
}

fn image_bytes(bench: &Bench) -> u64 {
    fs::metadata(bench.path("source/firmware-3.15.0.tar")).unwrap().len()
}

/// Begins with every file, and gives its end only after some tries.
struct Stalling {
    folder: Folder,
    stalls: usize,
    tries: AtomicUsize,
}

struct Stalled {
    first: Option<Vec<u8>>,
}

impl Source for Stalling {
    fn is_remote(&self) -> bool {
        true
    }

    fn open<'a>(&'a self, name: &'a str, offset: u64) -> HalFuture<'a, Option<Box<dyn Bytes>>> {
        Box::pin(async move {
            if self.tries.fetch_add(1, Ordering::SeqCst) >= self.stalls {
                return self.folder.open(name, offset).await;
            }
            Ok(Some(Box::new(Stalled { first: Some(b"{".to_vec()) }) as _))
        })
    }
}

impl Bytes for Stalled {
    fn next(&mut self) -> HalFuture<'_, Option<Vec<u8>>> {
        Box::pin(async {
            match self.first.take() {
                Some(piece) => Ok(Some(piece)),
                None => std::future::pending().await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_stops_in_the_middle_is_asked_for_again_and_not_for_ever() {
    for (stalls, code) in [(2, None), (3, Some(ErrorCode::DownloadFailed))] {
        let bench = Bench::new();
        let source = Arc::new(Stalling {
            folder: Folder(bench.path("source")),
            stalls,
            tries: AtomicUsize::new(0),
        });
        let around = Surroundings { source: Arc::clone(&source) as _, ..bench.around() };
        let firmware = SlotFirmware::open(bench.config(), around).unwrap();
        let parameters = now();
        let installing = install(&firmware, &parameters);
        let installed = tokio::time::timeout(Duration::from_secs(600), installing).await.unwrap();
        assert_eq!(installed.err().map(|failure| failure.code), code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_download_goes_on_where_it_broke_off_and_says_how_often() {
    let bench = Bench::new();
    let whole = image_bytes(&bench);
    let (source, around) = breaking(&bench, whole / 3 + 1);
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    assert_eq!(install(&firmware, &now()).await, Ok(InstallOutcome::RestartRequired));
    let step = whole / 3 + 1;
    assert_eq!(*source.offsets.lock().unwrap(), [0, step, 2 * step]);
    bench.boot();
    let state = bench.settled(&bench.open(), ID).await;
    let UpdateState::Committed(result) = state else { panic!("{state:?}") };
    assert_eq!((result.bytes_downloaded, result.resumes), (whole, 2));
}

#[tokio::test(start_paused = true)]
async fn a_source_that_brings_nothing_is_given_up_after_a_few_tries() {
    let bench = Bench::new();
    let (source, around) = breaking(&bench, 0);
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    let failure = refusal(&firmware, &now()).await;
    assert_eq!(failure.code, ErrorCode::DownloadFailed);
    assert_eq!(source.tries.load(Ordering::SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn the_next_operation_goes_on_with_what_the_one_before_has_left() {
    let bench = Bench::new();
    let whole = image_bytes(&bench);
    let (_, around) = breaking(&bench, 1_000);
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    let (call, handle) = call();
    let withdraw = async {
        while !bench.path("firmware/download").exists() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        handle.cancel();
    };
    let parameters = now();
    let (outcome, ()) = tokio::join!(firmware.install(&call, &parameters), withdraw);
    assert_eq!(outcome.unwrap_err().code, ErrorCode::Canceled);
    let (source, around) = breaking(&bench, whole);
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    assert_eq!(install(&firmware, &parameters).await, Ok(InstallOutcome::RestartRequired));
    let offsets = source.offsets.lock().unwrap().clone();
    assert!(offsets.len() == 1 && offsets[0] >= 1_000, "{offsets:?}");
}

#[tokio::test(start_paused = true)]
async fn what_the_record_does_not_vouch_for_is_downloaded_again() {
    let bench = Bench::new();
    let whole = image_bytes(&bench);
    let (_, around) = breaking(&bench, 0);
    // A power cut has left a file that is longer than what is known to be on the medium.
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    refusal(&firmware, &now()).await;
    fs::write(bench.path("firmware/download"), vec![0; 5_000]).unwrap();
    let (source, around) = breaking(&bench, whole);
    let firmware = SlotFirmware::open(bench.config(), around).unwrap();
    assert_eq!(install(&firmware, &now()).await, Ok(InstallOutcome::RestartRequired));
    assert_eq!(*source.offsets.lock().unwrap(), [0]);
}

#[tokio::test]
async fn what_is_installed_is_what_was_verified_also_when_the_file_is_replaced() {
    let bench = Bench::new();
    let release = Manifest::parse(&fs::read(bench.path("source/stable.json")).unwrap()).unwrap();
    let release = release.releases.first().unwrap();
    let (call, _handle) = call();
    let folder = bench.path("firmware");
    fs::create_dir(&folder).unwrap();
    let source = Folder(bench.path("source"));
    let disk = Disk::default();
    let download =
        download::Download { disk: &disk, folder: &folder, source: &source, call: &call };
    let image = download.fetch(release).await.unwrap();
    bench.pack("9.9.9");
    fs::rename(bench.path("source/firmware-9.9.9.tar"), folder.join("download")).unwrap();
    let slots = ab::AbSlots::new(
        disk.clone(),
        AbConfig { directory: bench.path("slots"), boot_attempts: 1 },
    );
    slots.install(&call, &image, "slot-b").await.unwrap();
    let version = fs::read_to_string(bench.path("slots/slot-b/VERSION")).unwrap();
    assert_eq!(version.trim(), NEW);
}

#[test]
fn an_image_that_an_installer_has_made_its_own_is_downloaded_again() {
    as_nobody(async {
        use std::os::unix::fs::PermissionsExt as _;
        let bench = Bench::new();
        let release =
            Manifest::parse(&fs::read(bench.path("source/stable.json")).unwrap()).unwrap();
        let release = release.releases.first().unwrap();
        let (call, _handle) = call();
        let folder = bench.path("firmware");
        fs::create_dir(&folder).unwrap();
        let (source, disk) = (Folder(bench.path("source")), Disk::default());
        let download =
            download::Download { disk: &disk, folder: &folder, source: &source, call: &call };
        download.fetch(release).await.unwrap();
        let image = folder.join("download");
        fs::set_permissions(&image, fs::Permissions::from_mode(0o000)).unwrap();
        let again = download.fetch(release).await.unwrap();
        assert_eq!((again.bytes_downloaded, again.resumes), (image_bytes(&bench), 0));
    });
}
