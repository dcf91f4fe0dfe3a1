//! rustls by its own `StreamOwned`, at both ends, on green sockets as they are. `evy::tls` is the same
//! with deadlines for the handshake, and for readers and writers at once.

use std::io::{self, Read, Write};
use std::sync::Arc;

use evy_test_crates::{at_once, certificate, serve};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};

#[test]
fn streams_of_rustls_overlap_at_both_ends() {
    let (chain, key) = certificate();
    let certificate = CertificateDer::from_pem_slice(chain.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let address = serve(move |socket, together| {
        let connection = ServerConnection::new(Arc::clone(&config)).map_err(io::Error::other)?;
        let mut client = StreamOwned::new(connection, socket);
        let mut asked = [0; 5];
        client.read_exact(&mut asked)?;
        together.wait();
        client.write_all(&asked)?;
        client.conn.send_close_notify();
        client.flush()
    });

    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let config = Arc::new(config);
    let answers = at_once(move |number| {
        let name = "localhost".try_into().unwrap();
        let connection = ClientConnection::new(Arc::clone(&config), name).unwrap();
        let mut stream = StreamOwned::new(connection, evy::connect(address)?);
        stream.write_all(format!("ask {number}").as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    });
    for (number, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("ask {number}"));
    }
}
