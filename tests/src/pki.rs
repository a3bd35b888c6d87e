//! Certificates of a CA that a test makes: a server's, and those of clients.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

/// A CA, and a folder for what it signs.
pub struct Pki {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Pki {
    /// Makes one; its certificate is in `NAME.pem`.
    #[must_use]
    pub fn new(folder: &Path, name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join(format!("{name}.pem")), ca.pem()).expect("a writable folder");
        Pki {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Writes `NAME.pem` and `NAME.key`, good until the year `until`.
    pub fn issue(&self, name: &str, until: i32) {
        let key = KeyPair::generate().expect("a key");
        let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
        let mut params = CertificateParams::new(names).expect("two names");
        params.not_before = date_time_ymd(2019, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let file = |end: &str| self.folder.join(format!("{name}.{end}"));
        fs::write(file("pem"), certificate.pem()).expect("a writable folder");
        fs::write(file("key"), key.serialize_pem()).expect("a writable folder");
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(file("key"), mode).expect("our own file");
    }
}
