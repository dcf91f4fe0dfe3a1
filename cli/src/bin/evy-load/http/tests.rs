use super::*;

/// What is found in an answer, or several, that come in pieces of so many bytes: how many there are, what
/// was left over, whether the connection is over by that, and what is wrong.
fn found(text: &[u8], piece: usize, in_flight: usize) -> (usize, usize, bool, Option<Failure>) {
    let (mut answers, tally) = (HttpAnswers::new(None), Tally::new());
    let (mut kept, mut count) = (Vec::new(), 0);
    for piece in text.chunks(piece) {
        kept.extend_from_slice(piece);
        let found = answers.check(&kept, in_flight - count, &tally);
        count += found.answers;
        kept.drain(..found.taken);
        if found.failure.is_some() {
            return (count, kept.len(), answers.are_over(), found.failure);
        }
    }
    (count, kept.len(), answers.are_over(), None)
}

fn assert_found(text: &str, answers: usize, are_over: bool) {
    for piece in [1, 2, 3, 7, usize::MAX] {
        let (count, left, over, failure) = found(text.as_bytes(), piece.min(text.len()), answers);
        assert!(failure.is_none(), "{text:?} in pieces of {piece}: {failure:?}");
        assert_eq!((count, left, over), (answers, 0, are_over), "{text:?} in pieces of {piece}");
    }
}

#[test]
fn answers_of_each_framing_are_found_in_whatever_pieces_they_come() {
    assert_found("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 1, false);
    assert_found("HTTP/1.1 404 \r\nCONTENT-LENGTH:0\r\n\r\n", 1, false);
    assert_found("HTTP/1.1 204 No Content\r\n\r\n", 1, false);
    assert_found("HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 1, false);
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc";
    assert_found(&[length; 3].concat(), 3, false);
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n\
                   5;a=\"b\"\r\nhello\r\n00A \r\n0123456789\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n";
    assert_found(&[chunked, length, chunked].concat(), 3, false);
    let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
    assert_found(&[interim, length].concat(), 1, false);
}

#[test]
fn a_connection_is_over_when_the_server_says_so() {
    assert_found("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: x, CLOSE\r\n\r\n1", 1, true);
    assert_found("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n1", 1, true);
    assert_found(
        "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n1",
        1,
        false,
    );
    assert_found("HTTP/1.1 204 No\r\nConnection: close\r\n\r\n", 1, true);
}

#[test]
fn a_body_without_a_length_ends_with_the_connection_and_others_are_cut_off_by_it() {
    let end = |text: &[u8]| {
        let (mut answers, tally) = (HttpAnswers::new(None), Tally::new());
        let found = answers.check(text, 1, &tally);
        assert!(found.answers == 0 && found.failure.is_none());
        answers.end(&tally)
    };
    assert!(end(b"HTTP/1.1 200 OK\r\n\r\nall of this").is_ok());
    assert!(end(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nthis").is_ok());
    for text in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nConte",
        b"",
    ] {
        assert!(matches!(end(text), Err(Failure::Closed)), "{}", text.escape_ascii());
    }
}

#[test]
fn what_is_no_answer_is_malformed() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = format!("{chunked}1;{}", "x".repeat(20_000));
    for text in [
        "hello",
        "220 mail.example ESMTP\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 099 Low\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        &format!("{chunked}\r\n"),
        &format!("{chunked}x\r\n"),
        &format!("{chunked}-1\r\n"),
        &format!("{chunked}5\nhello\r\n"),
        &format!("{chunked}5\r\nhello!\r\n"),
        &format!("{chunked}11111111111111111\r\n"),
        &long,
    ] {
        for piece in [1, text.len()] {
            let (answers, _, _, failure) = found(text.as_bytes(), piece, 1);
            let is_malformed = matches!(failure, Some(Failure::Malformed(_)));
            assert!(answers == 0 && is_malformed, "{text:?}: {failure:?}");
        }
    }
}

#[test]
fn bytes_that_nobody_has_asked_for_are_surplus() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    let closing = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    for (text, in_flight) in [(answer, 1), (closing, 2)] {
        let text = format!("{text}more");
        let (answers, left, _, failure) = found(text.as_bytes(), text.len(), in_flight);
        assert!(matches!(failure, Some(Failure::Surplus)), "{failure:?}");
        assert_eq!((answers, left), (1, 4));
    }
}
