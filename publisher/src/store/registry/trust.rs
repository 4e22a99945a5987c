//! Whom to trust with `--ca-file`: the system's authorities, those of the file, and a server that shows a certificate
//! of the file itself.
//!
//! `openssl req -x509` makes certificates that sign themselves and say that they are an authority's. As a server's own,
//! webpki refuses them, though the user has named this very one; every client in Go takes it.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use rustls_platform_verifier::Verifier;

/// How TLS is spoken with the certificates in this file; `identity`: what is shown to the server, certificates and key
/// in PEM.
///
/// # Errors
/// When the file cannot be read or holds no certificate, or one cannot be used.
pub(super) fn config(path: &Path, identity: Option<&[u8]>) -> anyhow::Result<ClientConfig> {
    let bytes =
        std::fs::read(path).with_context(|| format!("cannot read the CA certificates in `{}`", path.display()))?;
    let own: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().unwrap_or_default();
    anyhow::ensure!(!own.is_empty(), "there is no PEM certificate in `{}`", path.display());
    let verifier = OwnToo::new(own).with_context(|| format!("cannot use the certificates in `{}`", path.display()))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let Some(pem) = identity else { return Ok(builder.with_no_client_auth()) };
    let shown = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>()?;
    Ok(builder.with_client_auth_cert(shown, PrivateKeyDer::from_pem_slice(pem)?)?)
}

/// Trusts the authorities, and who shows one of these certificates itself.
#[derive(Debug)]
struct OwnToo {
    authorities: Verifier,
    own: Vec<CertificateDer<'static>>,
}

impl OwnToo {
    fn new(own: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let provider = Arc::new(ring::default_provider());
        Ok(Self { authorities: Verifier::new_with_extra_roots(own.iter().cloned(), provider)?, own })
    }
}

/// Whether all that is wrong is that the certificate says that it is an authority's. webpki looks at the times that it
/// is valid for before.
fn is_authority(error: &Error) -> bool {
    matches!(error, Error::InvalidCertificate(why) if format!("{why:?}").contains("CaUsedAsEndEntity"))
}

impl ServerCertVerifier for OwnToo {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(error) if is_authority(&error) && self.own.iter().any(|own| own == end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};

    /// A certificate that signs itself and says that it is an authority's.
    fn own(name: &str, until: i32) -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    #[test]
    fn a_server_with_a_certificate_of_the_file_is_trusted_under_its_name_and_in_its_time() {
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_790_000_000));
        let (good, expired, stranger) =
            (own("registry.test", 2040), own("registry.test", 2025), own("registry.test", 2040));
        let verifier = OwnToo::new(vec![good.clone(), expired.clone()]).unwrap();
        let shows = |certificate: &CertificateDer<'_>, name: &'static str| {
            let name = ServerName::try_from(name).unwrap();
            verifier.verify_server_cert(certificate, &[], &name, &[], now).is_ok()
        };
        assert!(shows(&good, "registry.test"));
        assert!(!shows(&good, "other.test"), "another name");
        assert!(!shows(&expired, "registry.test"), "too old");
        assert!(!shows(&stranger, "registry.test"), "not in the file");
    }
}
