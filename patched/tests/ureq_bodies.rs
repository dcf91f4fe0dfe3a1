//! Bodies that are packed, in other alphabets, or of several parts.

mod util;

use std::io::Write;

use evy_patched::ureq::unversioned::multipart::{Form, Part};
use evy_patched::ureq::{self, Error};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use util::{HttpServer, answer};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

/// A server that answers with these bytes, and this line about them.
fn server_of(bytes: Vec<u8>, header: &'static str) -> HttpServer {
    HttpServer::start(move |_| {
        let length = bytes.len();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{header}\r\n\r\n");
        [head.as_bytes(), &bytes].concat()
    })
}

fn text_of(server: &HttpServer) -> Result<String, Error> {
    ureq::get(server.url("/")).call()?.body_mut().read_to_string()
}

#[test]
fn gzip_is_asked_for_and_unpacked() {
    let server = HttpServer::start(|request| {
        let accepted = request.header("accept-encoding").unwrap();
        answer("200 OK", accepted)
    });
    assert!(text_of(&server).unwrap().contains("gzip"));

    let text = "all work and no play ".repeat(10_000);
    let server = server_of(gzip(text.as_bytes()), "Content-Encoding: gzip");
    let mut response = ureq::get(server.url("/")).call().unwrap();
    // Nobody knows how long it is.
    assert_eq!(response.body().content_length(), None);
    assert_eq!(response.body_mut().read_to_string().unwrap(), text);
}

#[test]
fn a_small_gzip_of_much_is_cut_off_at_the_limit() {
    let server = server_of(gzip(&vec![0; 20 << 20]), "Content-Encoding: gzip");
    let mut response = ureq::get(server.url("/")).call().unwrap();
    let error = response.body_mut().with_config().limit(1 << 20).read_to_vec().unwrap_err();
    assert!(matches!(error, Error::BodyExceedsLimit(limit) if limit == 1 << 20), "{error:?}");
}

#[test]
fn a_gzip_that_breaks_off_or_is_none_is_an_error() {
    let mut short = gzip(b"some text that breaks off before its end");
    short.truncate(short.len() / 2);
    for bytes in [short, b"no gzip at all".to_vec()] {
        let server = server_of(bytes, "Content-Encoding: gzip");
        assert!(text_of(&server).is_err());
    }
}

#[test]
fn brotli_is_unpacked() {
    // `printf 'hello, brotli' | brotli`, which leaves so short a text as it is.
    let bytes = [&[0x0f, 0x06, 0x80], &b"hello, brotli"[..], &[0x03]].concat();
    let server = server_of(bytes, "Content-Encoding: br");
    assert_eq!(text_of(&server).unwrap(), "hello, brotli");
}

#[test]
fn a_text_in_another_alphabet_becomes_utf_8() {
    let server = server_of(b"gr\xfcn".to_vec(), "Content-Type: text/plain; charset=iso-8859-1");
    assert_eq!(text_of(&server).unwrap(), "grün");
}

#[test]
fn json_goes_both_ways() {
    let server = HttpServer::start(|request| {
        assert_eq!(request.header("content-type"), Some("application/json; charset=utf-8"));
        answer("200 OK", &request.body.replace("ask", "answer"))
    });
    let mut response = ureq::post(server.url("/")).send_json(json!({"ask": [1, 2]})).unwrap();
    let value: Value = response.body_mut().read_json().unwrap();
    assert_eq!(value, json!({"answer": [1, 2]}));
}

#[test]
fn forms_are_sent_as_lines_and_as_parts() {
    let server = HttpServer::start(|request| {
        answer("200 OK", &format!("{}\n{}", request.header("content-type").unwrap(), request.body))
    });
    let mut response =
        ureq::post(server.url("/")).send_form([("name", "a b"), ("other", "&")]).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    assert_eq!(text, "application/x-www-form-urlencoded\nname=a+b&other=%26");

    let form = Form::new().text("name", "me").part("file", Part::bytes(b"x,y").file_name("a.csv"));
    let mut response = ureq::post(server.url("/")).send(form).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    assert!(text.starts_with("multipart/form-data; boundary="), "{text}");
    assert!(text.contains("name=\"file\"; filename=\"a.csv\""), "{text}");
    assert!(text.contains("\r\n\r\nx,y\r\n"), "{text}");
}

#[test]
fn the_body_of_an_answer_is_passed_on_as_it_comes() {
    let source = HttpServer::start(|_| answer("200 OK", &"x".repeat(300_000)));
    let sink = HttpServer::start(|request| {
        let length = request.header("content-length").expect("it is known beforehand");
        answer("200 OK", &format!("{length} {}", request.body.len()))
    });
    let got = ureq::get(source.url("/")).call().unwrap();
    let mut response = ureq::post(sink.url("/")).send(got).unwrap();
    assert_eq!(response.body_mut().read_to_string().unwrap(), "300000 300000");
}
