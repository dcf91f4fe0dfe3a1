use super::Length::{Chunked, Known};
use super::*;

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
const BOTH: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-LENGTH: 3\r\n\r\n";

/// Reads each piece, and then sees the requests of it; says which of them have both.
fn look(pieces: &[(&str, &[Length])]) -> Vec<bool> {
    let mut look = Look::default();
    let mut found = Vec::new();
    for (bytes, lengths) in pieces {
        look.read(bytes.as_bytes());
        found.extend(lengths.iter().map(|length| look.has_length_and_coding(*length)));
    }
    found
}

#[test]
fn a_head_with_both_is_found_and_others_are_not() {
    assert_eq!(look(&[(BOTH, &[Chunked])]), [true]);
    assert_eq!(look(&[(CHUNKED, &[Chunked])]), [false]);
    assert_eq!(look(&[(GET, &[Known(0)])]), [false]);
}

/// Their heads came along with bodies, past it.
#[test]
fn requests_that_it_has_not_seen_take_no_memory() {
    let mut look = Look::default();
    look.read(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n");
    for _ in 0..10_000 {
        assert!(!look.has_length_and_coding(Known(5)));
        assert!(look.bodies.len() < 5 && look.bytes.len() < 50, "{look:?}");
    }
}

#[test]
fn what_nobody_takes_for_a_request_is_not_kept() {
    let mut look = Look::default();
    for _ in 0..1_000 {
        look.read(&[b'x'; 8 * 1024]);
        assert!(look.bytes.len() <= LONGEST_HEAD + 8 * 1024);
    }
}

#[test]
fn it_is_found_behind_others_of_the_same_read() {
    let with_body = format!("{GET}POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{BOTH}0\r\n\r\n");
    assert_eq!(look(&[(&with_body, &[Known(0), Known(3), Chunked])]), [false, false, true]);
    let innocent = format!("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc{CHUNKED}");
    assert_eq!(look(&[(&innocent, &[Known(3), Chunked])]), [false, false]);
}

#[test]
fn it_is_found_in_pieces_and_on_a_kept_connection() {
    let (first, second) = BOTH.split_at(30);
    assert_eq!(look(&[(first, &[]), (second, &[Chunked])]), [true]);
    assert_eq!(look(&[(GET, &[Known(0)]), (BOTH, &[Chunked])]), [false, true]);
    let and_a_half = format!("{GET}{first}");
    assert_eq!(look(&[(&and_a_half, &[Known(0)]), (second, &[Chunked])]), [false, true]);
    // Byte by byte.
    let mut look = Look::default();
    BOTH.as_bytes().chunks(1).for_each(|byte| look.read(byte));
    assert!(look.has_length_and_coding(Chunked));
}

#[test]
fn a_body_that_came_with_its_head_or_later_is_no_head() {
    let post = "POST / HTTP/1.1\r\nContent-Length: 60\r\n\r\n";
    let half = format!("{post}\r\nContent-Length: 3\r\n");
    assert_eq!(look(&[(&half, &[Known(60)]), (CHUNKED, &[Chunked])]), [false, false]);
    assert_eq!(look(&[(post, &[Known(60)]), (CHUNKED, &[Chunked])]), [false, false]);
}

#[test]
fn behind_chunks_it_is_found_from_the_next_read_on() {
    let chunks = format!("{CHUNKED}3\r\nabc\r\n0\r\n\r\n");
    assert_eq!(look(&[(&chunks, &[Chunked]), (BOTH, &[Chunked])]), [false, true]);
    let both = format!("{chunks}{BOTH}");
    assert_eq!(look(&[(&both, &[Chunked, Chunked]), (BOTH, &[Chunked])]), [false, false, true]);
}

#[test]
fn it_does_not_keep_what_was_long() {
    let mut look = Look::default();
    for _ in 0..3 {
        look.read(GET.repeat(1000).as_bytes());
        (0..1000).for_each(|_| assert!(!look.has_length_and_coding(Known(0))));
    }
    look.read(GET.as_bytes());
    assert!(look.bytes.capacity() <= KEPT, "{}", look.bytes.capacity());
}

#[test]
fn lines_that_end_in_one_byte_and_empty_ones_in_front_are_lines() {
    let both = BOTH.replace("\r\n", "\n");
    assert_eq!(look(&[(&format!("\r\n\n{both}"), &[Chunked])]), [true]);
    assert_eq!(
        look(&[(&format!("{}{both}", GET.replace('\r', "")), &[Known(0), Chunked])]),
        [false, true]
    );
}

#[test]
fn a_part_of_a_head_behind_a_request_is_seen_and_nothing_else_is_taken_for_one() {
    let has_part = |bytes: &str, lengths: &[Length]| {
        let mut look = Look::default();
        look.read(bytes.as_bytes());
        lengths.iter().for_each(|length| _ = look.has_length_and_coding(*length));
        look.has_part_of_a_head()
    };
    assert!(has_part(&format!("{GET}GET / HT"), &[Known(0)]));
    assert!(has_part(&format!("{GET}{GET}G"), &[Known(0), Known(0)]));
    assert!(has_part("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcG", &[Known(3)]));
    assert!(!has_part(GET, &[Known(0)]));
    assert!(!has_part("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", &[Known(3)]));
    assert!(!has_part("POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na", &[Known(3)]));
    assert!(!has_part(&format!("{CHUNKED}3\r\nabc"), &[Chunked]));
    assert!(!has_part("", &[]));
}
