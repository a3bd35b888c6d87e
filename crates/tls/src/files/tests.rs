//! Files as people have them, and those that must be refused with their names.

use std::fs;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};

use super::*;

/// A CA's folder.
struct Pki {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        let issuer = Issuer::new(params, key);
        Pki { folder, issuer }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a certificate and its key, good until a year.
    fn issue(&self, name: &str, until: i32) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let own = Identity {
            certificate: self.file(&format!("{name}.pem")),
            key: self.file(&format!("{name}.key")),
        };
        fs::write(&own.certificate, certificate.pem()).unwrap();
        fs::write(&own.key, key.serialize_pem()).unwrap();
        fs::set_permissions(&own.key, fs::Permissions::from_mode(0o600)).unwrap();
        own
    }
}

#[test]
fn good_files_make_a_server_and_a_client() {
    let pki = Pki::new();
    let own = pki.issue("own", 2090);
    let ca = pki.file("ca.pem");
    let clients = |needed| Clients {
        ca: ca.clone(),
        needed,
    };
    assert!(server(&own, None).is_ok());
    assert!(server(&own, Some(&clients(true))).is_ok());
    assert!(server(&own, Some(&clients(false))).is_ok());
    assert!(client(&ca, None).is_ok() && client(&ca, Some(&own)).is_ok());
    let print = fingerprint_of(&own.certificate).unwrap();
    assert_eq!(print.len(), 64);
    assert_ne!(print, fingerprint_of(&ca).unwrap());
}

#[test]
fn names_are_hosts_without_their_ports() {
    for (address, name) in [
        ("127.0.0.1:8179", "127.0.0.1"),
        ("[::1]:8179", "::1"),
        ("rs1.example:8179", "rs1.example"),
        ("rs1.example", "rs1.example"),
    ] {
        assert_eq!(name_of(address).unwrap().to_str(), name);
    }
    assert!(name_of("a b:1").is_err());
}

#[test]
fn bad_files_are_named() {
    let pki = Pki::new();
    let own = pki.issue("own", 2090);
    let fault = |own: &Identity| server(own, None).unwrap_err().to_string();
    let old = pki.issue("old", 2020);
    let text = fault(&old);
    assert!(
        text.contains("old.pem") && text.contains("expired at 2020-01-01"),
        "{text}"
    );
    let mixed = Identity {
        key: pki.issue("other", 2090).key,
        ..own.clone()
    };
    let text = fault(&mixed);
    assert!(
        text.contains("other.key") && text.contains("own.pem"),
        "{text}"
    );
    let turned = Identity {
        certificate: own.key.clone(),
        key: own.certificate.clone(),
    };
    assert!(fault(&turned).contains("own.key: it has no certificate"));
    let missing = Identity {
        key: pki.file("none.key"),
        ..own.clone()
    };
    assert!(fault(&missing).contains("none.key"));
    let folder = Identity {
        key: pki.folder.path().to_owned(),
        ..own.clone()
    };
    assert!(fault(&folder).contains("no regular file"));
    fs::write(pki.file("junk"), "-----BEGIN CERTIFICATE-----\nAAAA\n").unwrap();
    let junk = Identity {
        certificate: pki.file("junk"),
        ..own.clone()
    };
    assert!(fault(&junk).contains("junk"));
    assert!(client(&pki.file("junk"), None).is_err());
    fs::set_permissions(&own.key, fs::Permissions::from_mode(0o644)).unwrap();
    let text = fault(&own);
    assert!(
        text.contains("own.key: others may read") && text.contains("chmod 640"),
        "{text}"
    );
}

#[test]
fn no_file_makes_it_panic() {
    let pki = Pki::new();
    let own = pki.issue("own", 2090);
    let good = fs::read(&own.certificate).unwrap();
    for cut in (0..good.len()).step_by(7) {
        fs::write(&own.certificate, &good[..cut]).unwrap();
        let _ = server(&own, None);
        let mut turned = good.clone();
        turned[cut] ^= 0x15;
        fs::write(&own.certificate, &turned).unwrap();
        let _ = server(&own, None);
    }
}
