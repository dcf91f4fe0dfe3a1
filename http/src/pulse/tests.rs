use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Looks once a second, for at most `seconds`, and says what was over and after how many.
fn watch(
    watched: &mut Watched,
    pulse: &Pulse,
    start: Instant,
    seconds: u32,
) -> Option<(u32, Over)> {
    let limits = Limits::default();
    (1..=seconds).find_map(|second| {
        watched.look(pulse, &limits, start + SECOND * second).map(|over| (second, over))
    })
}

#[test]
fn fault_17_a_connection_without_a_request_is_over_after_75_seconds() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    let over = watch(&mut Watched::new(start), &pulse, start, 200);
    assert_eq!(over, Some((75, Over::Idle)));
}

#[test]
fn fault_17_a_head_is_over_after_30_seconds_however_many_bytes_come() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    let mut watched = Watched::new(start);
    let limits = Limits::default();
    let over = (1..200).find_map(|second| {
        pulse.bytes_read.set(u64::from(second) * 1000);
        watched.look(&pulse, &limits, start + SECOND * second).map(|over| (second, over))
    });
    // Seen at the first look, a second after the start.
    assert_eq!(over, Some((31, Over::Head)));
}

#[test]
fn fault_17_the_time_for_the_next_request_begins_with_the_end_of_an_answer() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    let mut watched = Watched::new(start);
    assert_eq!(watch(&mut watched, &pulse, start, 70), None);
    pulse.bytes_read.set(100);
    pulse.begin_request();
    pulse.end_request();
    let over = watch(&mut watched, &pulse, start + SECOND * 70, 200);
    assert_eq!(over, Some((76, Over::Idle)));
}

#[test]
fn fault_17_a_head_that_came_along_with_a_request_has_30_seconds_from_the_answer() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    let mut watched = Watched::new(start);
    pulse.look.borrow_mut().read(b"GET / HTTP/1.1\r\nHost: test\r\n\r\nGET /");
    pulse.bytes_read.set(35);
    pulse.begin_request();
    pulse.look.borrow_mut().has_length_and_coding(crate::look::Length::Known(0));
    pulse.end_request();
    let over = watch(&mut watched, &pulse, start, 200);
    assert_eq!(over, Some((31, Over::Head)));
}

#[test]
fn fault_17_a_body_has_30_seconds_and_one_more_for_each_500_bytes_meanwhile() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    let _awaiting = Count::new(&pulse.awaiting_body);
    let mut watched = Watched::new(start);
    assert_eq!(watch(&mut watched, &pulse, start, 20), None);
    pulse.bytes_read.set(5000);
    // Of 19 s, seen from the first look on, 10 are made up for.
    let over = watch(&mut watched, &pulse, start + SECOND * 20, 200);
    assert_eq!(over, Some((21, Over::Body)));
}

#[test]
fn fault_16_what_the_system_takes_at_once_is_no_time_for_later() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    let mut watched = Watched::new(start);
    assert_eq!(watch(&mut watched, &pulse, start, 2), None);
    pulse.bytes_written.set(4 << 20);
    pulse.is_write_pending.set(true);
    let over = watch(&mut watched, &pulse, start + SECOND * 2, 200);
    assert_eq!(over, Some((31, Over::Answer)));
}

#[test]
fn time_in_which_nobody_looked_is_not_the_peers() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    let _awaiting = Count::new(&pulse.awaiting_body);
    let mut watched = Watched::new(start);
    assert_eq!(watch(&mut watched, &pulse, start, 2), None);
    let later = start + SECOND * 3600;
    assert_eq!(watched.look(&pulse, &Limits::default(), later), None);
    assert_eq!(watch(&mut watched, &pulse, later, 200), Some((27, Over::Body)));
}

#[test]
fn fault_17_a_handler_that_takes_its_time_costs_the_client_nothing() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    assert_eq!(watch(&mut Watched::new(start), &pulse, start, 10_000), None);
}

#[test]
fn fault_17_a_body_at_the_least_rate_may_take_for_ever() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    let _awaiting = Count::new(&pulse.awaiting_body);
    let mut watched = Watched::new(start);
    let limits = Limits::default();
    let over = (1..10_000).find_map(|second| {
        pulse.bytes_read.set(u64::from(second) * limits.min_rate);
        watched.look(&pulse, &limits, start + SECOND * second)
    });
    assert_eq!(over, None);
}

#[test]
fn fault_16_a_peer_that_takes_no_answer_is_over_after_30_seconds() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    pulse.is_write_pending.set(true);
    let over = watch(&mut Watched::new(start), &pulse, start, 200);
    assert_eq!(over, Some((31, Over::Answer)));
}

#[test]
fn pings_on_an_idle_http2_connection_are_no_head_of_a_request() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.is_http2.set(true);
    pulse.bytes_read.set(17);
    let over = watch(&mut Watched::new(start), &pulse, start, 200);
    assert_eq!(over, Some((75, Over::Idle)));
}

#[test]
fn fault_17_a_body_behind_its_answer_has_the_time_of_a_body() {
    let (start, pulse) = (Instant::now(), Pulse::default());
    pulse.begin_request();
    pulse.open_body();
    pulse.end_request();
    let mut watched = Watched::new(start);
    // Its reader is at something else.
    assert_eq!(watch(&mut watched, &pulse, start, 200), None);
    pulse.bytes_read.set(5000);
    let awaiting = Count::new(&pulse.awaiting_body);
    let over = watch(&mut Watched::new(start), &pulse, start, 200);
    assert_eq!(over, Some((31, Over::Body)));
    drop(awaiting);
    pulse.close_body();
    let over = watch(&mut Watched::new(start), &pulse, start, 200);
    // Seen at the first look, a second after the start.
    assert_eq!(over, Some((76, Over::Idle)));
}
