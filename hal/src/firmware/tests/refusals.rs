//! What a terminal does not take, each with its own code, and without touching anything.

use super::*;

/// What the terminal says about a manifest that was changed like this.
async fn refused(change: impl FnOnce(&Bench, &mut Value)) -> Failure {
    let bench = Bench::new();
    let mut manifest = bench.pack(NEW);
    change(&bench, &mut manifest);
    if !bench.path("source/forged").exists() {
        bench.offer(&manifest);
    }
    let firmware = bench.open();
    let parameters = UpdateParameters { version: Some(NEW.to_owned()), ..now() };
    let failure = refusal(&firmware, &parameters).await;
    assert_eq!(failure.side_effects, crate::SideEffects::None);
    assert!(!bench.path("slots/slot-b").exists() && !bench.path("slots/trial").exists());
    assert_eq!(firmware.query_update(ID).await, Ok(UpdateState::NotStarted));
    failure
}

fn release(manifest: &mut Value) -> &mut Value {
    &mut manifest["releases"][0]
}

#[tokio::test]
async fn an_expired_manifest_is_refused() {
    let failure = refused(|_, manifest| manifest["expires_at"] = json!(NOW)).await;
    assert_eq!(failure.code, ErrorCode::MetadataExpired);
}

#[tokio::test]
async fn a_release_for_another_model_is_refused() {
    let failure = refused(|_, manifest| release(manifest)["models"] = json!(["a920"])).await;
    assert_eq!(failure.code, ErrorCode::IncompatibleHardware);
    assert!(failure.failure_reason.contains("a920"), "{failure}");
}

#[tokio::test]
async fn a_release_that_needs_another_one_first_is_refused() {
    let failure = refused(|_, manifest| release(manifest)["min_version"] = json!("3.14.3")).await;
    assert_eq!(failure.code, ErrorCode::IncompatibleHardware);
}

#[tokio::test]
async fn a_release_that_is_too_large_is_refused_before_it_is_downloaded() {
    let failure = refused(|bench, manifest| {
        release(manifest)["size_bytes"] = json!((1 << 20) + 1);
        fs::remove_file(bench.path("source/firmware-3.15.0.tar")).unwrap();
    });
    assert_eq!(failure.await.code, ErrorCode::PayloadTooLarge);
}

#[tokio::test]
async fn a_manifest_that_is_too_long_is_refused() {
    let failure = refused(|_, manifest| manifest["filler"] = json!("x".repeat(MANIFEST_BYTES_MAX)));
    assert_eq!(failure.await.code, ErrorCode::PayloadTooLarge);
}

#[tokio::test]
async fn a_manifest_signed_with_an_unknown_key_is_refused() {
    let failure = refused(|bench, manifest| {
        let foreign = KeyPair::generate_unencrypted_keypair().unwrap();
        bench.offer_signed_by(&foreign, manifest);
        fs::write(bench.path("source/forged"), "").unwrap();
    });
    assert_eq!(failure.await.code, ErrorCode::UnknownKey);
}

#[tokio::test]
async fn a_manifest_that_was_changed_after_it_was_signed_is_refused() {
    let failure = refused(|bench, manifest| {
        bench.offer(manifest);
        let text = fs::read_to_string(bench.path("source/stable.json")).unwrap();
        fs::write(bench.path("source/stable.json"), text.replace("n92", "n93")).unwrap();
        fs::write(bench.path("source/forged"), "").unwrap();
    });
    assert_eq!(failure.await.code, ErrorCode::SignatureInvalid);
}

#[tokio::test]
async fn an_image_that_is_not_the_promised_one_is_refused_and_not_kept() {
    let failure = refused(|bench, _| {
        let image = bench.path("source/firmware-3.15.0.tar");
        let mut bytes = fs::read(&image).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(image, bytes).unwrap();
    });
    assert_eq!(failure.await.code, ErrorCode::DigestMismatch);
}

#[tokio::test]
async fn an_image_that_is_longer_than_promised_is_refused() {
    let failure = refused(|bench, _| {
        let image = bench.path("source/firmware-3.15.0.tar");
        let bytes = fs::read(&image).unwrap();
        fs::write(image, [bytes, vec![0]].concat()).unwrap();
    });
    assert_eq!(failure.await.code, ErrorCode::DigestMismatch);
}

#[tokio::test]
async fn a_version_that_nobody_offers_is_refused() {
    let failure = refused(|_, manifest| release(manifest)["version"] = json!("3.15.1")).await;
    assert_eq!(failure.code, ErrorCode::NoUpdate);
}

#[tokio::test(start_paused = true)]
async fn an_update_that_cannot_be_had_or_is_there_is_not_ready() {
    let bench = Bench::new();
    let firmware = bench.open();
    let (call, _handle) = call();
    assert_eq!(firmware.check_ready(&call, &now()).await, Ok(None));
    let running = UpdateParameters { version: Some(OLD.to_owned()), ..now() };
    let result = firmware.check_ready(&call, &running).await.unwrap().unwrap();
    assert_eq!((result.to.as_str(), result.installed), (OLD, false));
    let older = UpdateParameters { version: Some("3.14.1".to_owned()), ..now() };
    assert_eq!(firmware.check_ready(&call, &older).await.unwrap_err().code, ErrorCode::NoUpdate);
    fs::remove_dir_all(bench.path("source")).unwrap();
    let failure = firmware.check_ready(&call, &now()).await.unwrap_err();
    assert_eq!(failure.code, ErrorCode::DownloadFailed);
    assert_eq!(firmware.query_update(ID).await, Ok(UpdateState::NotStarted));
}

#[tokio::test]
async fn a_manifest_that_was_seen_in_a_newer_edition_is_refused() {
    let bench = Bench::new();
    let mut manifest = bench.pack(NEW);
    bench.open().look(&CheckUpdateParameters::default()).await.unwrap();
    manifest["sequence"] = json!(4);
    bench.offer(&manifest);
    // Also by an agent that has lost its store, and everything else but the floor.
    let firmware = bench.open();
    assert_eq!(refusal(&firmware, &now()).await.code, ErrorCode::MetadataExpired);
    manifest["sequence"] = json!(5);
    bench.offer(&manifest);
    assert_eq!(install(&firmware, &now()).await, Ok(InstallOutcome::RestartRequired));
}

#[tokio::test]
async fn an_older_version_needs_the_request_and_the_terminals_own_rule() {
    let older = "3.14.1";
    for (by_request, by_rule, allowed) in
        [(false, false, false), (true, false, false), (false, true, false), (true, true, true)]
    {
        let bench = Bench::new();
        bench.offer(&bench.pack(older));
        let config = FirmwareConfig { allow_downgrade: by_rule, ..bench.config() };
        let firmware = SlotFirmware::open(config, bench.around()).unwrap();
        let version = Some(older.to_owned());
        let parameters = UpdateParameters { version, allow_downgrade: by_request, ..now() };
        let answer = install(&firmware, &parameters).await;
        match answer {
            Ok(_) => assert!(allowed),
            Err(failure) => {
                assert!(!allowed, "{failure}");
                assert_eq!(failure.code, ErrorCode::DowngradeRefused);
            }
        }
    }
}

#[tokio::test]
async fn what_is_older_than_what_has_once_run_is_refused_also_by_an_older_system() {
    let bench = Bench::new();
    let firmware = bench.open();
    firmware.state().memory.raise_floor("3.16.0").unwrap();
    let parameters = UpdateParameters { version: Some(NEW.to_owned()), ..now() };
    let failure = refusal(&firmware, &parameters).await;
    assert_eq!(failure.code, ErrorCode::DowngradeRefused);
    assert!(failure.failure_reason.contains("3.16.0"), "{failure}");
    let check = firmware.look(&CheckUpdateParameters::default()).await.unwrap();
    assert!(!check.available, "{check:?}");
}

#[tokio::test]
async fn a_damaged_floor_stops_everything_until_somebody_has_looked() {
    let bench = Bench::new();
    drop(bench.open());
    fs::write(bench.path("firmware/floor.json"), "{").unwrap();
    assert!(SlotFirmware::open(bench.config(), bench.around()).is_err());
}

#[tokio::test]
async fn a_check_lists_what_is_newer_and_installs_nothing() {
    let bench = Bench::new();
    let firmware = bench.open();
    let (call, _handle) = call();
    let check = firmware.check(&call, &CheckUpdateParameters::default()).await.unwrap();
    assert!(check.available);
    assert_eq!(check.updates[0].version, NEW);
    assert_eq!(check.current[0].version, OLD);
    assert!(!bench.path("firmware/download").exists());
}
