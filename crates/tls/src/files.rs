//! The files: read, checked, and made into what rustls speaks with.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use sha2::{Digest, Sha256};
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Octets of a file at most.
const FILE_MAX: u64 = 1 << 20;

/// What is wrong with a file.
#[derive(Debug, Error)]
#[error("{}: {why}", path.display())]
pub struct TlsError {
    path: PathBuf,
    why: String,
}

impl TlsError {
    fn new(path: &Path, why: impl fmt::Display) -> Self {
        TlsError {
            path: path.into(),
            why: why.to_string(),
        }
    }
}

/// Where somebody's certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and behind it those up to the CA's: PEM.
    pub certificate: PathBuf,
    /// Its key: PEM, PKCS #8 or what came before it.
    pub key: PathBuf,
}

/// What a server speaks with.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// For its handshakes.
    pub config: Arc<ServerConfig>,
    /// The same as long as the files say the same.
    pub id: String,
}

/// Whose certificates a server asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clients {
    /// The CAs: PEM.
    pub ca: PathBuf,
    /// Who shows none is not let in; else he may have something else to show.
    pub needed: bool,
}

/// What a server speaks with.
///
/// # Errors
/// What is wrong with a file: it cannot be read, others may read the key, a certificate is over or not yet
/// good, or the two do not belong together.
pub fn server(own: &Identity, clients: Option<&Clients>) -> Result<ServerTls, TlsError> {
    let (chain, key) = load(own)?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(&own.certificate, error))?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => {
            let roots = Arc::new(roots(&clients.ca)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = match clients.needed {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            builder.with_client_cert_verifier(
                verifier.map_err(|error| TlsError::new(&clients.ca, error))?,
            )
        }
    };
    let config = builder.with_single_cert(chain, key);
    let config = Arc::new(config.map_err(|error| mismatch(own, &error))?);
    let mut files = Sha256::new();
    for path in [
        Some(&own.certificate),
        Some(&own.key),
        clients.map(|it| &it.ca),
    ] {
        files.update(path.map(|path| read(path)).transpose()?.unwrap_or_default());
        files.update([u8::from(clients.is_some_and(|clients| clients.needed))]);
    }
    let id = hex(&files.finalize());
    Ok(ServerTls { config, id })
}

/// What a client speaks with: whom it believes, and what it shows.
///
/// # Errors
/// As [`server`].
pub fn client(ca: &Path, own: Option<&Identity>) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::new(ca, error))?
        .with_root_certificates(roots(ca)?);
    let config = match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let (chain, key) = load(own)?;
            let config = builder.with_client_auth_cert(chain, key);
            config.map_err(|error| mismatch(own, &error))?
        }
    };
    Ok(Arc::new(config))
}

/// The name that a server's certificate must have: the host of `HOST:PORT`.
///
/// # Errors
/// It is neither a name nor an address.
pub fn name_of(address: &str) -> Result<ServerName<'static>, String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(|_| format!("`{host}` is no name of a server"))
}

/// What a certificate is known by: the SHA-256 of its DER form, in hex.
#[must_use]
pub fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    hex(&Sha256::digest(certificate.as_ref()))
}

fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// The same of the first certificate of a PEM file.
///
/// # Errors
/// It cannot be read, or has none.
pub fn fingerprint_of(path: &Path) -> Result<String, TlsError> {
    let chain = certificates(path)?;
    let first = chain.first().map(fingerprint);
    first.ok_or_else(|| TlsError::new(path, "it has no certificate"))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn mismatch(own: &Identity, error: &rustls::Error) -> TlsError {
    let with = format!("with {}: {error}", own.certificate.display());
    TlsError::new(&own.key, with)
}

fn load(
    own: &Identity,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
    let chain = certificates(&own.certificate)?;
    if let Some(first) = chain.first() {
        check_time(&own.certificate, first)?;
    }
    let text = read(&own.key)?;
    let mode = std::fs::metadata(&own.key).map_or(0, |about| about.permissions().mode());
    if mode & 0o027 != 0 {
        let why = format!(
            "others may read it, or more than its owner write it (mode {:04o}): chmod 640",
            mode & 0o777
        );
        return Err(TlsError::new(&own.key, why));
    }
    let key = PrivateKeyDer::from_pem_slice(&text);
    let key = key.map_err(|error| TlsError::new(&own.key, format!("no private key: {error}")))?;
    Ok((chain, key))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::new(path, error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| TlsError::new(path, format!("no certificate: {error}")))?;
    if all.is_empty() {
        return Err(TlsError::new(path, "it has no certificate"));
    }
    Ok(all)
}

/// Its time has come and is not over.
fn check_time(path: &Path, certificate: &CertificateDer<'_>) -> Result<(), TlsError> {
    let fault = |why: String| Err(TlsError::new(path, why));
    let read = match Certificate::from_der(certificate) {
        Ok(read) => read,
        Err(error) => return fault(format!("no certificate: {error}")),
    };
    let validity = read.tbs_certificate().validity();
    let now = SystemTime::now();
    if validity.not_after.to_system_time() < now {
        return fault(format!("the certificate expired at {}", validity.not_after));
    }
    if validity.not_before.to_system_time() > now {
        return fault(format!(
            "the certificate is good from {} on",
            validity.not_before
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let fault = |why: &dyn fmt::Display| TlsError::new(path, why);
    let about = std::fs::metadata(path).map_err(|error| fault(&error))?;
    // A pipe would keep its reader for ever.
    if !about.is_file() {
        return Err(fault(&"it is no regular file"));
    }
    if about.size() > FILE_MAX {
        return Err(fault(&format_args!("it has over {FILE_MAX} bytes")));
    }
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| fault(&error))?;
    let read = file.take(FILE_MAX).read_to_end(&mut text);
    read.map_err(|error| fault(&error))?;
    Ok(text)
}

#[cfg(test)]
mod tests;
