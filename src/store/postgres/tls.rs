//! TLS to PostgreSQL, with the words and meanings of libpq: `sslmode` and `sslrootcert`.
//!
//! **Invariant:** who asks for a certificate to be verified never gets a connection without.

use std::{fmt, str::FromStr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms, ring},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::StoreStartError;

/// The protocol's name, by which a server tells a PostgreSQL client from others.
const ALPN: &[u8] = b"postgresql";
/// The value of `sslrootcert` that names the certificates which the machine trusts.
const SYSTEM: &str = "system";

/// How much TLS is asked for: `sslmode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SslMode {
    Disable,
    /// If the server speaks it; whose certificate it shows is not looked at.
    #[default]
    Prefer,
    /// Whose certificate it is is looked at only if `sslrootcert` says by what.
    Require,
    /// The certificate must be signed by one of the roots.
    VerifyCa,
    /// And be the one of the host that was connected to.
    VerifyFull,
}

impl FromStr for SslMode {
    type Err = StoreStartError;

    fn from_str(text: &str) -> Result<Self, StoreStartError> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            other => {
                let known = "disable, prefer, require, verify-ca or verify-full";
                return Err(refused(format!("sslmode={other} must be {known}")));
            }
        })
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        })
    }
}

/// What a URL says about TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TlsSettings {
    pub(super) mode: SslMode,
    /// A file of certificates in PEM, or `system`: `sslrootcert`.
    pub(super) root_cert: Option<String>,
}

/// For the end of a sentence about a connection that failed.
impl fmt::Display for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sslmode={}", self.mode)?;
        match &self.root_cert {
            Some(file) => write!(f, " and sslrootcert={file}"),
            None => Ok(()),
        }
    }
}

impl TlsSettings {
    /// Reads the certificates, if any are needed; `None` is for connections without TLS.
    pub(super) fn connector(&self) -> Result<Option<MakeRustlsConnect>, StoreStartError> {
        use SslMode as M;
        if let (M::Disable | M::Prefer, Some(_)) = (self.mode, &self.root_cert) {
            let advice = "which verifies nothing; say sslmode=verify-full";
            return Err(refused(format!(
                "sslrootcert goes with {advice}, not sslmode={}",
                self.mode
            )));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = match self.mode {
            M::Disable => return Ok(None),
            M::Prefer => nameless(&provider, None),
            M::Require if self.root_cert.is_none() => nameless(&provider, None),
            M::Require | M::VerifyCa => {
                let chain = self.chain(&provider)?;
                nameless(&provider, Some(chain))
            }
            M::VerifyFull => self.chain(&provider)?,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Some(MakeRustlsConnect::new(config)))
    }

    /// Verifies chain and name.
    fn chain(
        &self,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<WebPkiServerVerifier>, StoreStartError> {
        let roots = match self.root_cert.as_deref() {
            None | Some(SYSTEM) => system_roots()?,
            Some(file) => roots_of(file)?,
        };
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .build()
            .map_err(|error| refused(error.to_string()))
    }
}

fn refused(reason: String) -> StoreStartError {
    StoreStartError::Url(reason)
}

fn roots_of(file: &str) -> Result<RootCertStore, StoreStartError> {
    let unusable = |why: &dyn fmt::Display| refused(format!("sslrootcert={file} {why}"));
    let certificates = CertificateDer::pem_file_iter(file)
        .map_err(|error| unusable(&format!("cannot be read: {error}")))?;
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        let certificate = certificate.map_err(|error| unusable(&format!("is not PEM: {error}")))?;
        (roots.add(certificate)).map_err(|error| unusable(&format!("cannot be used: {error}")))?;
    }
    match roots.is_empty() {
        true => Err(unusable(&"holds no certificate")),
        false => Ok(roots),
    }
}

fn system_roots() -> Result<RootCertStore, StoreStartError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // A machine may trust what rustls cannot read; the others still count.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let none = "this machine trusts no certificates; name a file with sslrootcert";
        return Err(refused(format!("{none} ({})", errors.join("; "))));
    }
    Ok(roots)
}

fn nameless(
    provider: &CryptoProvider,
    chain: Option<Arc<WebPkiServerVerifier>>,
) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Nameless {
        chain,
        algorithms: provider.signature_verification_algorithms,
    })
}

/// Takes a certificate whatever name it has; whoever signed it, unless there is a chain to verify.
#[derive(Debug)]
struct Nameless {
    chain: Option<Arc<WebPkiServerVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Nameless {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        use CertificateError as E;
        let Some(chain) = &self.chain else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is looked at after the chain.
            Err(Error::InvalidCertificate(
                E::NotValidForName | E::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
