//! The hash of the server's certificate that binds an authentication to its TLS connection
//! (`tls-server-end-point`, RFC 5929).
//!
//! It is made with the hash of the certificate's signature, which has to be read out of the certificate:
//!
//! ```text
//! SEQUENCE                            the certificate
//!   SEQUENCE …                        what is signed
//!   SEQUENCE                          the algorithm of the signature
//!     OBJECT IDENTIFIER
//!     …                               its parameters
//!   BIT STRING                        the signature
//! ```

use sha2::{Digest, Sha256, Sha384, Sha512};

/// The hash, if the signature has one that it could be.
pub(super) fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let hash = match signature_algorithm(certificate)? {
        // MD5 and SHA-1 count as SHA-256.
        MD5_RSA | SHA1_RSA | SHA1_ECDSA | SHA256_RSA | SHA256_ECDSA => {
            Sha256::digest(certificate).to_vec()
        }
        SHA384_RSA | SHA384_ECDSA => Sha384::digest(certificate).to_vec(),
        SHA512_RSA | SHA512_ECDSA => Sha512::digest(certificate).to_vec(),
        // Ed25519 has none of its own; of RSASSA-PSS it is among the parameters, and servers differ.
        _ => return None,
    };
    Some(hash)
}

// 1.2.840.113549.1.1
const MD5_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 4];
const SHA1_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 5];
const SHA256_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
const SHA384_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12];
const SHA512_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13];
// 1.2.840.10045.4
const SHA1_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const SHA256_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SHA384_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const SHA512_ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 4];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;

fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (_signed, rest) = element(SEQUENCE, certificate)?;
    let (algorithm, _) = element(SEQUENCE, rest)?;
    let (identifier, _) = element(OBJECT_IDENTIFIER, algorithm)?;
    Some(identifier)
}

/// The contents of the DER element of that type at the beginning, and what is behind it.
fn element(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&found, bytes) = bytes.split_first()?;
    let (&first, bytes) = bytes.split_first()?;
    let (length, bytes) = match first {
        0..0x80 => (usize::from(first), bytes),
        _ => {
            let (long, bytes) = bytes.split_at_checked(usize::from(first & 0x7f))?;
            if long.len() > 4 {
                return None;
            }
            (long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), bytes)
        }
    };
    (found == tag).then_some(())?;
    bytes.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = rcgen::KeyPair::generate_for(algorithm).expect("a key");
        let params = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.self_signed(&key).expect("a certificate").der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature() {
        let certificate = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        let hash = server_end_point(&certificate).expect("it has one");
        assert_eq!(hash, Sha256::digest(&certificate).to_vec());
    }

    #[test]
    fn a_longer_hash_is_taken_where_the_signature_has_one() {
        let certificate = certificate(&rcgen::PKCS_ECDSA_P384_SHA384);
        let hash = server_end_point(&certificate).expect("it has one");
        assert_eq!(hash, Sha384::digest(&certificate).to_vec());
    }

    #[test]
    fn a_signature_without_a_hash_gives_none() {
        assert_eq!(server_end_point(&certificate(&rcgen::PKCS_ED25519)), None);
    }

    #[test]
    fn what_is_no_certificate_gives_none() {
        let whole = certificate(&rcgen::PKCS_ECDSA_P256_SHA256);
        for length in 0..whole.len() - 80 {
            assert_eq!(server_end_point(&whole[..length]), None, "{length} bytes");
        }
        assert_eq!(server_end_point(&[SEQUENCE, 0x85, 1, 1, 1, 1, 1]), None);
        assert_eq!(server_end_point(&[SEQUENCE, 0x84, 255, 255, 255, 255]), None);
    }
}
