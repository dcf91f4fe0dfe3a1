//! Parsers that read from a green stream, or know nothing of streams: feed-rs and httparse.

use std::io::{self, BufReader, Read, Write};

use evy_test_crates::{at_once, serve};

#[test]
fn feeds_are_parsed_as_they_come() {
    let address = serve(|mut client, together| {
        let mut number = [0];
        client.read_exact(&mut number)?;
        let feed = format!(
            "<?xml version=\"1.0\"?><rss version=\"2.0\"><channel><title>feed {}</title>\
             <item><title>news</title></item></channel></rss>",
            number[0]
        );
        let (first, second) = feed.as_bytes().split_at(40);
        client.write_all(first)?;
        // All parsers are in the middle of their feeds.
        together.wait();
        client.write_all(second)
    });
    let titles = at_once(move |number| {
        let mut stream = evy::connect(address).unwrap();
        stream.write_all(&[number as u8]).unwrap();
        let feed = feed_rs::parser::parse(BufReader::new(stream)).unwrap();
        assert_eq!(feed.entries.len(), 1);
        feed.title.unwrap().content
    });
    for (number, title) in titles.into_iter().enumerate() {
        assert_eq!(title, format!("feed {number}"));
    }
}

/// The path of a request that comes on a stream.
fn path(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    loop {
        let mut piece = [0; 16];
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        head.extend_from_slice(&piece[..count]);
        let mut headers = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut headers);
        if request.parse(&head).map_err(io::Error::other)?.is_complete() {
            return Ok(request.path.unwrap_or_default().to_owned());
        }
    }
}

#[test]
fn a_server_over_httparse_answers_all_at_once() {
    let address = serve(|mut client, together| {
        let path = path(&mut client)?;
        together.wait();
        write!(client, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len())
    });
    let answers = at_once(move |number| {
        let mut stream = evy::connect(address)?;
        write!(stream, "GET /number/{number} HTTP/1.1\r\n")?;
        evy::yield_now();
        write!(stream, "Host: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        io::Result::Ok(answer)
    });
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.unwrap();
        assert!(answer.ends_with(&format!("\r\n\r\n/number/{number}")), "{answer}");
    }
}
