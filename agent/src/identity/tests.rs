//! Identities that are cut off, refused, renewed and given up.

use std::{fs, os::unix::fs::PermissionsExt as _};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use tempfile::TempDir;

use super::*;

/// 2026-06-29.
const NOW_S: u64 = 1_782_691_200;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    /// What a cloud sends for a key.
    fn enrolled(&self, key_pem: &str, terminal_id: &str) -> Enrolled {
        self.enrolled_as(key_pem, terminal_id, |_| {})
    }

    fn enrolled_as(
        &self,
        key_pem: &str,
        terminal_id: &str,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Enrolled {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, terminal_id);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) =
            (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
        change(&mut params);
        let key = KeyPair::from_pem(key_pem).unwrap();
        Enrolled {
            nonce: String::new(),
            terminal_id: terminal_id.to_owned(),
            location_id: None,
            display_name: Some("Counter 3".to_owned()),
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            trust_bundle: self.0.pem(),
            url: "wss://cloud.example/v1/terminal/ws".to_owned(),
            config_revision: 0,
        }
    }
}

/// A terminal that has asked for a certificate.
struct Asked {
    folder: TempDir,
    store: IdentityStore,
    key_pem: String,
}

fn asked() -> Asked {
    let folder = tempfile::tempdir().unwrap();
    let store = IdentityStore::open(&folder.path().join("identity")).unwrap();
    store.signing_request(RequestKey::New, "SN-1").unwrap();
    let key_pem = fs::read_to_string(folder.path().join("identity/pending.key")).unwrap();
    Asked { folder, store, key_pem }
}

impl Asked {
    fn open(&self) -> IdentityStore {
        IdentityStore::open(&self.folder.path().join("identity")).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("identity").join(name)
    }
}

fn refusal(asked: &mut Asked, enrolled: &Enrolled) -> String {
    let error = asked.store.adopt(enrolled, NOW_S).unwrap_err().to_string();
    assert!(asked.open().newest().is_none(), "what is refused leaves nothing");
    error
}

#[test]
fn a_request_is_signed_by_a_key_that_only_the_agent_can_read_and_is_used_again() {
    let asked = asked();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&asked.path("pending.key")), 0o600);
    assert_eq!(mode(&asked.path("")), 0o700);
    let request = asked.open().signing_request(RequestKey::New, "SN-1").unwrap();
    assert!(request.starts_with("-----BEGIN CERTIFICATE REQUEST-----"), "{request}");
    assert!(!request.contains("PRIVATE"));
    assert_eq!(fs::read_to_string(asked.path("pending.key")).unwrap(), asked.key_pem);
}

#[test]
fn an_identity_is_kept_whole_and_found_again() {
    let mut asked = asked();
    let enrolled = Authority::new("CA").enrolled(&asked.key_pem, "T-1");
    asked.store.adopt(&enrolled, NOW_S).unwrap();
    let found = asked.open();
    let identity = found.newest().unwrap();
    assert_eq!(identity.terminal_id, "T-1");
    assert_eq!(identity.url.to_string(), enrolled.url);
    assert_eq!(identity.certificate.not_after.to_string(), "2027-01-01T00:00:00.000Z");
    assert_eq!(fs::read_to_string(identity.client().key_file).unwrap(), asked.key_pem);
    assert_eq!(fs::read_to_string(identity.trust_file()).unwrap(), enrolled.trust_bundle);
    let mode = fs::metadata(identity.key_file()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    assert!(!asked.path("pending.key").exists(), "a key gets one certificate at a time");
}

#[test]
fn an_identity_for_the_same_key_is_taken_again() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    for _ in 0..2 {
        asked.store.adopt(&authority.enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
    }
    assert!(asked.open().before().is_some());
}

#[test]
fn a_folder_that_the_medium_did_not_give_up_is_not_in_the_way_of_the_next_identity() {
    let mut asked = asked();
    fs::create_dir(asked.path("00000001")).unwrap();
    fs::write(asked.path("00000001/remains"), "x").unwrap();
    fs::create_dir(asked.path("00000003")).unwrap();
    asked.store.adopt(&Authority::new("CA").enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
    assert_eq!(asked.open().newest().unwrap().terminal_id, "T-1");
}

#[test]
fn what_is_not_this_terminals_identity_is_refused_with_a_reason() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    let key = asked.key_pem.clone();
    let good = authority.enrolled(&key, "T-1");
    let strange_key = KeyPair::generate().unwrap().serialize_pem();
    let changed = |change: fn(&mut CertificateParams)| authority.enrolled_as(&key, "T-1", change);
    for (wrong, reason) in [
        (authority.enrolled(&strange_key, "T-1"), "another key"),
        (changed(|p| p.not_after = date_time_ymd(2026, 6, 1)), "expired at 2026-06-01"),
        (Enrolled { certificate: String::new(), ..good.clone() }, "no certificate"),
        (Enrolled { trust_bundle: "x".to_owned(), ..good.clone() }, "trust_bundle"),
        (Enrolled { certificate: good.trust_bundle.clone(), ..good.clone() }, "another key"),
        (Enrolled { url: "ws://127.0.0.1/".to_owned(), ..good.clone() }, "want wss"),
        (Enrolled { url: "https://cloud.example/".to_owned(), ..good.clone() }, "want wss"),
        (Enrolled { display_name: Some("a\nb".to_owned()), ..good.clone() }, "display_name"),
    ] {
        let error = refusal(&mut asked, &wrong);
        assert!(error.contains(reason), "{reason:?} is not in {error:?}");
    }
    asked.store.adopt(&good, NOW_S).unwrap();
}

#[test]
fn a_certificate_that_begins_a_little_later_by_this_clock_is_taken() {
    let mut asked = asked();
    let enrolled = Authority::new("CA").enrolled(&asked.key_pem, "T-1");
    asked.store.adopt(&enrolled, 1_700_000_000).unwrap();
}

#[test]
fn of_two_identities_the_one_that_the_cloud_accepts_is_kept() {
    let authority = Authority::new("CA");
    for newest in [true, false] {
        let mut asked = asked();
        asked.store.adopt(&authority.enrolled(&asked.key_pem, "before"), NOW_S).unwrap();
        asked.store.signing_request(RequestKey::New, "SN-1").unwrap();
        let key = fs::read_to_string(asked.path("pending.key")).unwrap();
        asked.store.adopt(&authority.enrolled(&key, "after"), NOW_S).unwrap();
        assert_eq!(asked.open().before().unwrap().terminal_id, "before");
        asked.store.keep(newest).unwrap();
        for store in [&asked.store, &asked.open()] {
            let kept = store.newest().unwrap().terminal_id.as_str();
            assert_eq!(kept, if newest { "after" } else { "before" });
            assert!(store.before().is_none());
        }
    }
}

#[test]
fn an_identity_is_on_probation_until_one_has_been_welcomed_and_never_again() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    let adopt = |asked: &mut Asked| {
        let enrolled = authority.enrolled(&asked.key_pem, "T-1");
        asked.store.adopt(&enrolled, NOW_S).unwrap();
        asked.open().certificates().unwrap().on_probation
    };
    assert!(adopt(&mut asked) && adopt(&mut asked));
    asked.store.keep(true).unwrap();
    assert!(!asked.open().certificates().unwrap().on_probation);
    assert!(!adopt(&mut asked));
}

#[test]
fn asking_again_and_again_leaves_two_identities() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    for _ in 0..4 {
        asked.store.adopt(&authority.enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
        assert!(fs::read_dir(asked.path("")).unwrap().count() <= 2);
    }
    // A cut may leave the oldest.
    copy(&asked.path("00000003"), &asked.path("00000001"));
    assert!(asked.open().before().unwrap().folder.ends_with("00000003"));
    assert!(!asked.path("00000001").exists());
}

#[test]
fn what_is_forgotten_leaves_no_key() {
    let mut asked = asked();
    asked.store.adopt(&Authority::new("CA").enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
    asked.store.signing_request(RequestKey::New, "SN-1").unwrap();
    asked.store.forget().unwrap();
    assert_eq!(fs::read_dir(asked.path("")).unwrap().count(), 0);
    assert!(asked.open().newest().is_none());
}

#[test]
fn a_damaged_identity_is_set_aside_and_a_newer_one_is_not_touched() {
    let mut asked = asked();
    asked.store.adopt(&Authority::new("CA").enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
    fs::write(asked.path("00000001/certificate.pem"), "x").unwrap();
    assert!(asked.open().newest().is_none());
    assert!(asked.path("00000001.damaged/key.pem").exists());
    fs::create_dir(asked.path("00000003")).unwrap();
    let facts = r#"{"format":2,"terminal_id":"T","url":"wss://x/"}"#;
    fs::write(asked.path("00000003/identity.json"), facts).unwrap();
    let error = IdentityStore::open(&asked.path("")).unwrap_err();
    assert!(matches!(error, IdentityError::NewerFormat { format: 2, .. }), "{error}");
    assert!(asked.path("00000003").exists());
}

#[test]
fn an_identity_that_cannot_be_read_now_is_not_set_aside() {
    for name in ["key.pem", "certificate.pem", "trust.pem", "identity.json"] {
        let mut asked = asked();
        asked.store.adopt(&Authority::new("CA").enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
        let (file, away) = (asked.path("00000001").join(name), asked.path("away"));
        fs::rename(&file, &away).unwrap();
        // Reading it fails, and not because it is missing.
        fs::create_dir(&file).unwrap();
        let error = IdentityStore::open(&asked.path("")).unwrap_err();
        assert!(matches!(error, IdentityError::Io { .. }), "{name}: {error}");
        fs::remove_dir(&file).unwrap();
        fs::rename(&away, &file).unwrap();
        assert_eq!(asked.open().newest().unwrap().terminal_id, "T-1", "{name}");
    }
}

#[test]
fn what_cannot_be_read_back_does_not_count_and_the_identity_before_does() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    asked.store.adopt(&authority.enrolled(&asked.key_pem, "T-1"), NOW_S).unwrap();
    let longer_than_any_file = "T".repeat(128 << 10);
    let good = authority.enrolled(&asked.key_pem, "T-1");
    let enrolled = Enrolled { terminal_id: longer_than_any_file, ..good };
    let error = asked.store.adopt(&enrolled, NOW_S).unwrap_err();
    assert!(matches!(error, IdentityError::Damaged { .. }), "{error}");
    for store in [&asked.store, &asked.open()] {
        assert_eq!(store.newest().unwrap().terminal_id, "T-1");
        assert!(store.before().is_none());
    }
}

/// Every way in which a power cut can end these changes: what took effect. Of those whose names had
/// not been synced any may be lost, and of a file that is being written there may be half.
fn ways_to_end(changes: &[Change]) -> Vec<Vec<Change>> {
    let mut ways = Vec::new();
    for end in 0..=changes.len() {
        let (done, _) = changes.split_at(end);
        let loose: Vec<usize> = (0..end).filter(|at| is_loose(done, *at)).collect();
        for lost in 0..1_u32 << loose.len() {
            let is_lost =
                |at| loose.iter().position(|l| *l == at).is_some_and(|n| lost >> n & 1 == 1);
            let kept = done.iter().enumerate().filter(|(at, _)| !is_lost(*at));
            ways.push(kept.map(|(_, change)| change.clone()).collect());
        }
        if let Some(Change::WriteSynced(path, content)) = changes.get(end) {
            let half = Change::WriteSynced(path.clone(), content[..content.len() / 2].to_vec());
            ways.push(done.iter().cloned().chain([half]).collect());
        }
    }
    ways
}

/// Whether no later change has put the name that this one makes on the medium.
fn is_loose(done: &[Change], at: usize) -> bool {
    let path = match &done[at] {
        Change::MakeFolder(path)
        | Change::WriteSynced(path, _)
        | Change::Rename(_, path)
        | Change::RemoveFile(path)
        | Change::RemoveFolder(path) => path,
        Change::Sync(_) => return false,
    };
    !done[at..].contains(&Change::Sync(path.parent().unwrap().to_owned()))
}

/// For each way in which these changes can be cut off: what is found afterwards.
fn each_outcome(asked: &Asked, changes: &[Change], mut look: impl FnMut(IdentityStore)) -> usize {
    let kept = tempfile::tempdir().unwrap();
    copy(&asked.path(""), kept.path());
    let ways = ways_to_end(changes);
    for way in &ways {
        fs::remove_dir_all(asked.path("")).unwrap();
        copy(kept.path(), &asked.path(""));
        for change in way {
            // What it builds on may have been lost.
            let _ = change.apply();
        }
        look(asked.open());
    }
    ways.len()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// What is there is whole: the link could use it.
fn is_whole(identity: &StoredIdentity, enrolled: &Enrolled) {
    let client = identity.client();
    assert_eq!(fs::read_to_string(client.certificate_file).unwrap(), enrolled.certificate);
    assert_eq!(fs::read_to_string(identity.trust_file()).unwrap(), enrolled.trust_bundle);
    let key = fs::read_to_string(client.key_file).unwrap();
    assert!(check::usable(enrolled, &key, NOW_S).is_ok());
}

#[test]
fn an_enrolment_that_the_power_cuts_off_leaves_the_key_that_was_asked_for_or_the_whole_identity() {
    let asked = asked();
    let enrolled = Authority::new("CA").enrolled(&asked.key_pem, "T-1");
    let changes = stored::writing(&asked.path(""), 1, &enrolled, &asked.key_pem, true);
    let mut found = [0, 0];
    let cuts = each_outcome(&asked, &changes, |mut store| {
        match store.newest() {
            Some(identity) => {
                is_whole(identity, &enrolled);
                found[1] += 1;
            }
            None => {
                let pending = fs::read_to_string(asked.path("pending.key")).unwrap();
                assert_eq!(pending, asked.key_pem, "the cloud knows this key");
                found[0] += 1;
            }
        }
        // The cloud sends it again.
        store.adopt(&enrolled, NOW_S).unwrap();
        is_whole(store.newest().unwrap(), &enrolled);
    });
    assert!(cuts > 20 && found[0] > 5 && found[1] > 2, "{cuts} {found:?}");
}

#[test]
fn a_renewal_that_the_power_cuts_off_leaves_the_old_identity_or_both() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    let old = authority.enrolled(&asked.key_pem, "T-1");
    asked.store.adopt(&old, NOW_S).unwrap();
    let key = SigningKey::generate().unwrap().to_pem();
    let new = authority.enrolled(&key, "T-1");
    let mut changes = keeping_key(&asked.path(""), &key);
    changes.extend(stored::writing(&asked.path(""), 2, &new, &key, false));
    let mut found = [0, 0];
    each_outcome(&asked, &changes, |store| match store.before() {
        Some(before) => {
            is_whole(before, &old);
            is_whole(store.newest().unwrap(), &new);
            found[1] += 1;
        }
        None => {
            is_whole(store.newest().unwrap(), &old);
            found[0] += 1;
        }
    });
    assert!(found[0] > 10 && found[1] > 2, "{found:?}");
}

#[test]
fn a_cut_while_one_is_forgotten_leaves_the_other() {
    let mut asked = asked();
    let authority = Authority::new("CA");
    let old = authority.enrolled(&asked.key_pem, "T-1");
    asked.store.adopt(&old, NOW_S).unwrap();
    let new = authority.enrolled(&asked.key_pem, "T-1");
    asked.store.adopt(&new, NOW_S).unwrap();
    each_outcome(&asked, &removing(&asked.path(""), 1), |store| {
        is_whole(store.newest().unwrap(), &new);
    });
}

#[test]
fn a_key_is_on_the_medium_as_a_whole_or_not_at_all() {
    let asked = asked();
    fs::remove_file(asked.path("pending.key")).unwrap();
    each_outcome(&asked, &keeping_key(&asked.path(""), &asked.key_pem), |store| {
        let path = asked.path("pending.key");
        assert!(!path.exists() || fs::read_to_string(path).unwrap() == asked.key_pem);
        store.signing_request(RequestKey::New, "SN-1").unwrap();
    });
}
